/**
 * From one parsed file to a Config: older spellings, the table's check, the rules between keys.
 *
 * Pure but for the home's paths. Invariants: findings name keys as the file spells them; a Config exists only when there
 * is no issue; `agents.list` is always empty in a Config, its agents are in `agents.entries` under lower-case ids.
 */
import { check, type Finding, isRecord } from './check.ts'
import type { Home } from './home.ts'
import type { SecretInput } from './kit.ts'
import { nearest } from './nearest.ts'
import { channelAdvice, channelRules, withVariables } from './rules-channels.ts'
import { root, type Settings } from './schema.ts'

export type { SecretInput, SecretRef } from './kit.ts'

/** The checked values with every default filled in, and where the home is. Frozen; a change makes a new one. */
export type Config = Readonly<Settings> & { readonly home: Home }
export type AgentEntry = Settings['agents']['entries'][string]

export interface Read {
  config: Config | null
  issues: Finding[]
  warnings: Finding[]
}

/** `value` is the file with includes and variables put in. */
export function readConfig(
  value: Record<string, unknown>,
  home: Home,
  env: Readonly<Record<string, string | undefined>>,
): Read {
  const { value: checked, issues, warnings } = check(root, older(value))
  if (issues.length > 0) return { config: null, issues, warnings }
  const settings = checked as Settings
  const agents = { ...settings.agents, list: [], entries: entriesOf(settings, issues) }
  const gateway = { ...settings.gateway, auth: withEnv(settings.gateway.auth, env) }
  const channels = withVariables(settings.channels, env)
  const config: Config = { ...settings, agents, gateway, channels, home }
  issues.push(...rules(config))
  warnings.push(...advice(config))
  return { config: issues.length === 0 ? deepFreeze(config) : null, issues, warnings }
}

/** Spellings that moved to another object; renames within one object are `was` in the table. */
function older(value: Record<string, unknown>): Record<string, unknown> {
  const next = { ...value }
  if (isRecord(next['env'])) {
    const { vars, shellEnv, ...direct } = next['env']
    const strings = Object.fromEntries(Object.entries(direct).filter(([, item]) => typeof item === 'string'))
    const rest = Object.fromEntries(Object.entries(direct).filter(([, item]) => typeof item !== 'string'))
    next['env'] = {
      ...rest,
      ...(shellEnv !== undefined && { shellEnv }),
      vars: isRecord(vars) || vars === undefined ? { ...strings, ...vars } : vars,
    }
  }
  return next
}

function entriesOf(settings: Settings, issues: Finding[]): Record<string, AgentEntry> {
  const entries: Record<string, AgentEntry> = Object.create(null)
  const seen: Record<string, string> = Object.create(null)
  const add = (id: string, entry: AgentEntry, path: string) => {
    const lower = id.toLowerCase()
    if (seen[lower] !== undefined)
      issues.push({
        path,
        message: `found a second agent "${lower}", the first is ${seen[lower]}; allowed: one agent of a name`,
      })
    else {
      seen[lower] = path
      entries[lower] = entry
    }
  }
  settings.agents.list.forEach(({ id, ...entry }, index) => {
    if (id === undefined)
      issues.push({ path: `agents.list[${index}].id`, message: 'found nothing; allowed: the id of the agent' })
    else add(id, entry, `agents.list[${index}]`)
  })
  for (const [id, entry] of Object.entries(settings.agents.entries)) add(id, entry, `agents.entries.${id}`)
  return entries
}

type Auth = Settings['gateway']['auth']

/** A token or password that the file leaves out is looked for in the environment. */
function withEnv(auth: Auth, env: Readonly<Record<string, string | undefined>>): Auth {
  const from = (...names: string[]): SecretInput | undefined => {
    const id = names.find(name => env[name])
    return id === undefined ? undefined : { source: 'env', provider: 'default', id }
  }
  const token = auth.token ?? from('DEPUTY_GATEWAY_TOKEN', 'OPENCLAW_GATEWAY_TOKEN')
  const password = auth.password ?? from('DEPUTY_GATEWAY_PASSWORD', 'OPENCLAW_GATEWAY_PASSWORD')
  return { ...auth, ...(token !== undefined && { token }), ...(password !== undefined && { password }) }
}

/** What values mean together. */
function rules(config: Config): Finding[] {
  const findings: Finding[] = []
  const ids = Object.keys(config.agents.entries)
  const known = ids.length > 0 ? ids : ['main']
  const defaults = ids.filter(id => config.agents.entries[id]!.default)
  if (defaults.length > 1)
    findings.push({
      path: `agents.entries.${defaults[1]}.default`,
      message: `found true for ${defaults.join(' and ')}; allowed: true for one agent`,
    })
  config.bindings.forEach((binding, index) => {
    if (binding.agentId === undefined || !known.includes(binding.agentId.toLowerCase()))
      findings.push({
        path: `bindings[${index}].agentId`,
        message: `found ${JSON.stringify(binding.agentId ?? null)}; allowed: ${known.map(id => `"${id}"`).join(', ')}`,
      })
  })
  const { auth, bind, customBindHost, trustedProxies } = config.gateway
  if (bind === 'custom' && !customBindHost)
    findings.push({
      path: 'gateway.customBindHost',
      message: 'found nothing; allowed: an address, since gateway.bind is "custom"',
    })
  if (auth.mode === 'password' && auth.password === undefined)
    findings.push({
      path: 'gateway.auth.password',
      message: 'found nothing; allowed: a password, since gateway.auth.mode is "password"',
    })
  if (auth.mode === 'trusted-proxy' && (!auth.trustedProxy?.userHeader || trustedProxies.length === 0))
    findings.push({
      path: auth.trustedProxy?.userHeader ? 'gateway.trustedProxies' : 'gateway.auth.trustedProxy.userHeader',
      message:
        'found nothing; allowed: both gateway.trustedProxies and trustedProxy.userHeader, since gateway.auth.mode is "trusted-proxy"',
    })
  config.logging.redactPatterns.forEach((pattern, index) => {
    if (!isPattern(pattern))
      findings.push({
        path: `logging.redactPatterns[${index}]`,
        message: `found ${JSON.stringify(pattern)}; allowed: a regular expression`,
      })
  })
  for (const [path, secret] of [
    ['gateway.auth.token', auth.token],
    ['gateway.auth.password', auth.password],
  ] as const) {
    if (secret === '')
      findings.push({ path, message: 'found an empty string; allowed: a secret, or leave the key out' })
  }
  return [...findings, ...channelRules(config, known)]
}

function isPattern(text: string): boolean {
  try {
    return Boolean(new RegExp(text))
  } catch {
    return false
  }
}

/** What is allowed and probably not meant. */
function advice(config: Config): Finding[] {
  const ids = Object.keys(config.agents.entries)
  const strangers = (path: string, allowed: readonly string[] | undefined): Finding[] =>
    (allowed ?? [])
      .filter(id => id !== '*' && id.toLowerCase() !== 'main' && !ids.includes(id.toLowerCase()))
      .map(id => {
        const meant = nearest(id, ids)
        return { path, message: `there is no agent "${id}"${meant === null ? '' : `; did you mean "${meant}"?`}` }
      })
  const short = (['token', 'password'] as const).flatMap(name => {
    const secret = config.gateway.auth[name]
    if (typeof secret !== 'string' || secret.length >= 16) return []
    return [{ path: `gateway.auth.${name}`, message: 'has fewer than 16 characters and may be guessed' }]
  })
  return [
    ...channelAdvice(config),
    ...short,
    ...strangers('agents.defaults.subagents.allowAgents', config.agents.defaults.subagents.allowAgents),
    ...ids.flatMap(id =>
      strangers(`agents.entries.${id}.subagents.allowAgents`, config.agents.entries[id]!.subagents.allowAgents),
    ),
  ]
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(deepFreeze)
  }
  return value
}
