/**
 * Secret values: where they come from, and how they stay out of everything that is kept (decisions.md 19).
 *
 * Owns the resolved values, in a closure: no property, row, log or error has one. Never writes. Invariants:
 * reveal(hide(x)) is x; text that merely looks like a placeholder never becomes a value; hide leaves no known value of at
 * least 8 characters in a text.
 */
import { DeputyError } from '../protocol/errors.ts'
import type { Finding } from './check.ts'
import type { Config, SecretInput, SecretRef } from './config.ts'
import type { Env } from './env.ts'
import { makePlaceholders, type Placeholders } from './placeholders.ts'
import { isSecretName, secretsIn } from './redact.ts'
import { activeRefs } from './secret-refs.ts'
import { askPrograms, fromEnv, fromFile, keyOf, unresolved } from './secret-sources.ts'

export interface Secrets {
  /**
   * Resolves every reference in use; to be awaited once before the start and again on `secrets.reload`. What can't be
   * resolved of a provider is a finding, and using it fails later. Throws `CONFIG_SECRET_UNRESOLVED` for the door's and
   * the store's own; the values before stay in force then.
   */
  load(): Promise<Finding[]>
  /** The value. Throws `CONFIG_SECRET_UNRESOLVED` naming what is missing. A reference to a program needs `load` first. */
  read(input: SecretInput): string
  /** Makes a value known that came from elsewhere (an auth profile), so that it is hidden too. */
  add(name: string, value: string): void
  /** Every known secret. For the journal's replacement only: never to be stored or shown. */
  known(): readonly { name: string; value: string }[]
  /** A copy in which known values are `${secret:NAME}`: for everything that is stored. Strings and JSON values. */
  hide<T>(value: T): T
  /** The inverse. Throws `CONFIG_SECRET_UNRESOLVED` when a name has no value any more. */
  reveal<T>(value: T): T
  /** Told when a load has put other values in force. The function returned ends it. */
  onLoad(listener: () => void): () => void
}

export function openSecrets(source: { current(): Config; readonly env: Env }): Secrets {
  let resolved = new Map<string, string>()
  const added = new Map<string, string>()
  const listeners = new Set<() => void>()
  let table: { config: Config; placeholders: Placeholders } | null = null

  const resolve = (ref: SecretRef): string => {
    const before = resolved.get(keyOf(ref))
    if (before !== undefined) return before
    if (ref.source === 'exec') throw unresolved(ref, 'its program has not been asked yet')
    const value = ref.source === 'env' ? fromEnv(ref, source.current(), source.env) : fromFile(ref, source.current())
    resolved.set(keyOf(ref), value)
    table = null
    return value
  }

  /** Made again only when the configuration or a value is another. */
  const placeholders = (): Placeholders => {
    const config = source.current()
    if (table?.config !== config)
      table = { config, placeholders: makePlaceholders(everySecret(config, source.env, resolved, added)) }
    return table.placeholders
  }

  return {
    async load() {
      const config = source.current()
      const next = new Map<string, string>()
      const findings: Finding[] = []
      const refs = activeRefs(config)
      const programs = await askPrograms(
        refs.map(({ ref }) => ref).filter(ref => ref.source === 'exec'),
        config,
        source.env,
      )
      for (const { path, ref, needed } of refs) {
        try {
          const asked = programs.get(keyOf(ref))
          if (asked instanceof DeputyError) throw asked
          next.set(
            keyOf(ref),
            asked ?? (ref.source === 'env' ? fromEnv(ref, config, source.env) : fromFile(ref, config)),
          )
        } catch (error) {
          if (!(error instanceof DeputyError) || needed) throw error
          findings.push({ path, message: error.message })
        }
      }
      resolved = next
      table = null
      for (const listener of listeners) listener()
      return findings
    },
    read: input => (typeof input === 'string' ? input : resolve(input)),
    add(name, value) {
      if (added.get(name) === value) return
      added.set(name, value)
      table = null
    },
    known: () => placeholders().known,
    hide: value => placeholders().hide(value),
    reveal: value => placeholders().reveal(value),
    onLoad(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

function everySecret(
  config: Config,
  env: Env,
  resolved: ReadonlyMap<string, string>,
  added: ReadonlyMap<string, string>,
): { name: string; value: string }[] {
  const { home: _, ...settings } = config
  const inline = secretsIn(settings).filter(({ sure }) => sure)
  const referred = activeRefs(config).map(({ path, ref }) => ({ name: path, value: resolved.get(keyOf(ref)) }))
  const variables = Object.entries(env).flatMap(([name, value]) => (isSecretName(name) ? [{ name, value }] : []))
  const all = [
    ...inline.map(({ path, value }) => ({ name: path, value })),
    ...referred,
    ...variables,
    ...[...added].map(([name, value]) => ({ name, value })),
  ]
  return all.flatMap(({ name, value }) => (value === undefined ? [] : [{ name, value }, ...passwordIn(name, value)]))
}

/** The password of an address is a secret by itself too. */
function passwordIn(name: string, value: string): { name: string; value: string }[] {
  const password = /^[a-z][a-z0-9+.-]*:\/\/[^/\s:@]*:([^/\s@]+)@/i.exec(value)?.[1]
  return password === undefined ? [] : [{ name: `${name}#password`, value: password }]
}
