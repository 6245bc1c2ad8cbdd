/**
 * Which keys an agent has for a provider: its auth-profiles.json, else main's, then the configuration's, then the
 * environment's.
 *
 * Owns the reading of auth-profiles.json (openclaw-facts G3): read where it lies, again when it changes, never copied and
 * never written. `api_key` and `token` profiles count; `oauth` profiles belong to the program that can renew them.
 */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { builtinProviders } from './directory.ts'
import type { Credential, Log } from './options.ts'

export interface CredentialsOptions {
  environment: Readonly<Record<string, string | undefined>>
  /** The directory that holds an agent's auth-profiles.json: `<home>/agents/<id>/agent`. */
  agentDir(agent: string): string
  /** Whose profiles stand in for an agent that has none for a provider. */
  mainAgent(): string
  /** `models.providers.<id>.apiKey`, its reference resolved; null when there is none. */
  configured(provider: string): string | null
  /** `auth.order.<provider>`: profile ids, best first; goes before the order in the file. */
  order(provider: string): readonly string[]
  /** Resolves a `keyRef` or `tokenRef` of a profile; null when it can't be. */
  secret(reference: unknown): string | null
  now(): number
  log: Log
}

export interface Credentials {
  /** Best first; empty when there are none. */
  keysFor(agent: string, provider: string): readonly Credential[]
}

interface Profile {
  id: string
  provider: string
  kind: Credential['kind']
  /** The key as it stands in the file, else a reference to it: resolved at each use, so that a new value counts. */
  plain: string | null
  reference: unknown
  /** Epoch milliseconds; null = for ever. */
  expires: number | null
}

interface Profiles {
  profiles: readonly Profile[]
  order: Readonly<Record<string, readonly string[]>>
}

const none: Profiles = { profiles: [], order: {} }

export function openCredentials(options: CredentialsOptions): Credentials {
  const { environment, agentDir, mainAgent, configured, order, secret, now, log } = options
  const files = new Map<string, { stamp: string; profiles: Profiles }>()

  function profilesOf(agent: string): Profiles {
    const path = join(agentDir(agent), 'auth-profiles.json')
    const stat = statSync(path, { throwIfNoEntry: false })
    if (!stat) return none
    const stamp = `${stat.mtimeMs} ${stat.size} ${stat.ino}`
    const known = files.get(path)
    if (known?.stamp === stamp) return known.profiles
    const profiles = readProfiles(path)
    files.set(path, { stamp, profiles })
    return profiles
  }

  function readProfiles(path: string): Profiles {
    try {
      const { profiles, skipped, order: own } = understand(JSON.parse(readFileSync(path, 'utf8')))
      for (const why of skipped) log('warn', 'an auth profile is left out', { path, why })
      return { profiles, order: own }
    } catch (error) {
      // Its keys can't be used; the others still can. JSON.parse quotes what it stumbles over: that may be a key.
      const why = error instanceof SyntaxError ? 'it is not JSON' : (error as NodeJS.ErrnoException).code
      log('error', 'auth-profiles.json cannot be read', { path, why })
      return none
    }
  }

  function fromProfiles(agent: string, provider: string): Credential[] {
    const { profiles, order: own } = profilesOf(agent)
    const live = profiles.filter(one => one.provider === provider && (one.expires === null || one.expires > now()))
    const configuredOrder = order(provider)
    const wanted = configuredOrder.length > 0 ? configuredOrder : (own[provider] ?? [])
    const place = (id: string) => (wanted.includes(id) ? wanted.indexOf(id) : wanted.length)
    return live
      .sort((a, b) => place(a.id) - place(b.id))
      .flatMap(({ id, kind, plain, reference }) => {
        const value = plain ?? secret(reference)
        return value ? [{ id, kind, secret: value }] : []
      })
  }

  function keysFor(agent: string, provider: string): readonly Credential[] {
    const main = mainAgent()
    const own = fromProfiles(agent, provider)
    const shared = own.length > 0 || agent === main ? own : fromProfiles(main, provider)
    const found = [...shared]
    const set = configured(provider)
    if (set) found.push({ id: `config:${provider}`, kind: 'api_key', secret: set })
    for (const name of builtinProviders[provider]?.keys ?? []) {
      const value = environment[name]?.trim()
      if (value) found.push({ id: `env:${name}`, kind: 'api_key', secret: value })
    }
    return found.filter((one, at) => found.findIndex(other => other.secret === one.secret) === at)
  }

  return { keysFor }
}

type Json = Record<string, unknown>

function object(value: unknown): Json | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value.trim() ? value.trim() : null
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

function understand(file: unknown) {
  const profiles: Profile[] = []
  const skipped: string[] = []
  for (const [id, raw] of Object.entries(object(object(file)?.['profiles']) ?? {})) {
    const row = object(raw) ?? {}
    const provider = (text(row['provider']) ?? id.split(':')[0]!).toLowerCase()
    const kind = row['type']
    if (kind !== 'api_key' && kind !== 'token') {
      skipped.push(`${id}: profiles of type ${JSON.stringify(kind)} can't be used here; add an api_key profile`)
      continue
    }
    const plain = text(kind === 'api_key' ? row['key'] : row['token'])
    const reference = kind === 'api_key' ? row['keyRef'] : row['tokenRef']
    if (!plain && reference === undefined) {
      skipped.push(`${id}: it has no ${kind === 'api_key' ? 'key' : 'token'}`)
      continue
    }
    profiles.push({ id, provider, kind, plain, reference, expires: number(row['expires']) })
  }
  const order = Object.entries(object(object(file)?.['order']) ?? {}).map(([provider, ids]) => [
    provider,
    Array.isArray(ids) ? ids.filter(id => typeof id === 'string') : [],
  ])
  return { profiles, skipped, order: Object.fromEntries(order) as Profiles['order'] }
}
