/**
 * What the other rooms ask of a Config, each answer whole: per-agent values over defaults, older forms already gone.
 *
 * Pure over the Config, except hostsOf, which asks this machine for its addresses. Never resolves a secret: those are
 * SecretInput here, and secrets.ts reads them.
 */
import { existsSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { ToolPolicy } from '../core/tool-policy.ts'
import type { Purse } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Scope } from '../protocol/scopes.ts'
import type { AgentEntry, Config, SecretInput } from './config.ts'
import { expand } from './home.ts'

export interface ModelChoice {
  /** `provider/model` or an alias; null when nothing is set and the first provider with a key is to be taken. */
  primary: string | null
  fallbacks: readonly string[]
}

export interface SubagentPolicy {
  /** `['*']` = any configured agent; null = unset = the own agent only. */
  allowAgents: readonly string[] | null
  requireAgentId: boolean
  maxSpawnDepth: number
  maxChildrenPerAgent: number
  /** Of the lane `subagent`, for the whole gateway. */
  maxConcurrent: number
  /** 0 = none. */
  runTimeoutSeconds: number
  /** Model for this agent's sub-agents; null = the target agent's, else the caller's. */
  model: ModelChoice | null
  thinking: string | null
  /** 0 = never. */
  archiveAfterMinutes: number
  /** Limit of each sub-agent. */
  budget: Purse
}

export interface Agent {
  id: string
  isDefault: boolean
  name: string
  description: string | null
  identity: { name?: string; theme?: string; emoji?: string; avatar?: string }
  /** Absolute. */
  workspace: string
  /** Absolute; holds auth-profiles.json. */
  agentDir: string
  model: ModelChoice
  thinking: string | null
  /** Replaces the built-in instructions. */
  systemPrompt: string | null
  bootstrap: { skip: boolean; maxChars: number; totalMaxChars: number }
  timezone: string | null
  params: Readonly<Record<string, string | number | boolean>>
  /** The global policy, then the agent's: core/tool-policy.ts `toolsOf` takes them as they are. */
  tools: readonly ToolPolicy[]
  exec: ExecPolicy
  subagents: SubagentPolicy
  /** 0 = none. */
  timeoutSeconds: number
  /** Runs of this agent at once; null = as many as its lane has. */
  maxConcurrent: number | null
  maxSteps: number
  /** Limit of one run; null in each field = none. */
  budget: Purse
}

export interface ExecPolicy {
  sandbox: 'bubblewrap' | 'off'
  network: boolean
  timeoutSeconds: number
  maxOutputBytes: number
  env: Readonly<Record<string, string>>
}

/** Lower-case ids in the order of the file; `['main']` when none is configured. */
export function agentIds(config: Config): string[] {
  const ids = Object.keys(config.agents.entries)
  return ids.length > 0 ? ids : ['main']
}

/** The one marked `default`, else the first. */
export function defaultAgent(config: Config): string {
  const ids = agentIds(config)
  return ids.find(id => config.agents.entries[id]?.default) ?? ids[0]!
}

/** Whether `id` is configured; case does not matter. */
export function hasAgent(config: Config, id: string): boolean {
  return agentIds(config).includes(id.toLowerCase())
}

/** Throws `UNKNOWN_AGENT`, naming those that exist. */
export function agentOf(config: Config, name: string): Agent {
  const id = name.toLowerCase()
  if (!hasAgent(config, id)) {
    const ids = agentIds(config)
    throw new DeputyError('UNKNOWN_AGENT', `There is no agent "${name.slice(0, 80)}"; there are: ${ids.join(', ')}.`, {
      details: { agent: name.slice(0, 80), agents: ids },
    })
  }
  const { defaults } = config.agents
  const entry = config.agents.entries[id] ?? noEntry
  const isDefault = id === defaultAgent(config)
  const { home } = config
  const workspace = entry.workspace ?? (isDefault ? defaults.workspace : undefined)
  const policy = { ...defaults.subagents, ...given(entry.subagents) }
  return {
    id,
    isDefault,
    name: entry.name ?? entry.identity?.name ?? id,
    description: entry.description ?? null,
    identity: { ...defaults.identity, ...entry.identity },
    workspace: workspace === undefined ? home.workspace(id, isDefault) : expand(workspace, home.user, home.dir),
    agentDir: entry.agentDir === undefined ? home.agentDir(id) : expand(entry.agentDir, home.user, home.dir),
    model: choose(entry.model) ?? choose(defaults.model) ?? { primary: null, fallbacks: [] },
    thinking: entry.thinkingDefault ?? defaults.thinkingDefault ?? null,
    systemPrompt: entry.systemPromptOverride ?? defaults.systemPromptOverride ?? null,
    bootstrap: {
      skip: defaults.skipBootstrap,
      maxChars: entry.bootstrapMaxChars ?? defaults.bootstrapMaxChars,
      totalMaxChars: entry.bootstrapTotalMaxChars ?? defaults.bootstrapTotalMaxChars,
    },
    timezone: defaults.userTimezone ?? null,
    params: { ...defaults.params, ...entry.params },
    tools: [policyOf(config.tools), policyOf(entry.tools)],
    exec: {
      ...execOf(config),
      ...given({ ...entry.tools.exec, env: undefined }),
      env: { ...config.tools.exec.env, ...entry.tools.exec.env },
    },
    subagents: {
      allowAgents: policy.allowAgents?.map(agent => agent.toLowerCase()) ?? null,
      requireAgentId: policy.requireAgentId,
      maxSpawnDepth: policy.maxSpawnDepth,
      maxChildrenPerAgent: policy.maxChildrenPerAgent,
      maxConcurrent: defaults.subagents.maxConcurrent,
      runTimeoutSeconds: policy.runTimeoutSeconds,
      model: choose(policy.model),
      thinking: policy.thinking ?? null,
      archiveAfterMinutes: policy.archiveAfterMinutes,
      budget: purse(policy.budget),
    },
    timeoutSeconds: entry.timeoutSeconds ?? defaults.timeoutSeconds,
    maxConcurrent: entry.maxConcurrent ?? null,
    maxSteps: entry.maxSteps ?? defaults.maxSteps,
    budget: purse(entry.budget ?? defaults.budget),
  }
}

const noEntry: AgentEntry = {
  subagents: {},
  tools: { exec: { env: {} } },
  params: {},
}

/** Only what is set, so that a spread does not take a default away. */
function given<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Partial<T>
}

type ModelSetting = AgentEntry['model']

function choose(model: ModelSetting): ModelChoice | null {
  if (model === undefined) return null
  return typeof model === 'string'
    ? { primary: model, fallbacks: [] }
    : { primary: model.primary ?? null, fallbacks: model.fallbacks }
}

export function purse(budget: AgentEntry['budget']): Purse {
  return {
    nano: budget?.usd === undefined ? null : Math.round(budget.usd * 1e9),
    tokens: budget?.tokens ?? null,
    calls: budget?.calls ?? null,
  }
}

function policyOf(tools: AgentEntry['tools']): ToolPolicy {
  const { profile, allow, alsoAllow, deny } = tools
  return given({ profile, allow, alsoAllow, deny }) as ToolPolicy
}

function execOf(config: Config): ExecPolicy {
  return config.tools.exec
}

// ------------------------------------------------------------------------------------------------------------- gateway

export interface Gateway {
  port: number
  bind: Config['gateway']['bind']
  /** Addresses to listen on; asked of this machine when read. Throws `CONFIG_INVALID` for a tailnet that is not there. */
  readonly hosts: readonly string[]
  /** Whether every host is of this machine alone. */
  readonly loopback: boolean
  auth: {
    mode: 'none' | 'token' | 'password' | 'trusted-proxy'
    token: SecretInput | null
    password: SecretInput | null
    remoteDevices: 'required' | 'optional'
    rateLimit: { maxAttempts: number; windowMs: number; lockoutMs: number; exemptLoopback: boolean }
    trustedProxy: {
      userHeader: string
      requiredHeaders: readonly string[]
      allowUsers: readonly string[] | null
      allowLoopback: boolean
    } | null
    identityScopes: Readonly<Record<string, readonly Scope[]>>
  }
  trustedProxies: readonly string[]
  allowedOrigins: readonly string[]
  publicOrigin: string | null
  controlUi: { enabled: boolean; basePath: string }
  endpoints: { chatCompletions: boolean; responses: boolean }
  hsts: string | null
  httpTools: { allow: readonly string[] | null; deny: readonly string[] }
}

/** Where it would listen beyond this machine with no one asked who they are; null when it would not. */
export function openDoor(config: Config): readonly string[] | null {
  const { auth, bind, customBindHost } = config.gateway
  if (auth.mode !== 'none') return null
  const hosts = hostsOf(bind, customBindHost)
  return hosts.every(isLoopback) ? null : hosts
}

export function gatewayOf(config: Config): Gateway {
  const { gateway } = config
  const { auth } = gateway
  const hosts = () => hostsOf(gateway.bind, gateway.customBindHost)
  const mode = auth.mode ?? (auth.password !== undefined && auth.token === undefined ? 'password' : 'token')
  return {
    port: gateway.port,
    bind: gateway.bind,
    get hosts() {
      return hosts()
    },
    get loopback() {
      return hosts().every(isLoopback)
    },
    auth: {
      mode,
      token: auth.token ?? null,
      password: auth.password ?? null,
      remoteDevices: auth.remoteDevices,
      rateLimit: auth.rateLimit,
      trustedProxy:
        auth.trustedProxy?.userHeader === undefined
          ? null
          : {
              userHeader: auth.trustedProxy.userHeader.toLowerCase(),
              requiredHeaders: auth.trustedProxy.requiredHeaders.map(name => name.toLowerCase()),
              allowUsers: auth.trustedProxy.allowUsers ?? null,
              allowLoopback: auth.trustedProxy.allowLoopback,
            },
      identityScopes: auth.identityScopes,
    },
    trustedProxies: gateway.trustedProxies,
    allowedOrigins: gateway.controlUi.allowedOrigins,
    publicOrigin: gateway.publicOrigin?.replace(/\/$/, '') ?? null,
    controlUi: { enabled: gateway.controlUi.enabled, basePath: pathOf(gateway.controlUi.basePath ?? '') },
    endpoints: {
      chatCompletions: gateway.http.endpoints.chatCompletions.enabled,
      responses: gateway.http.endpoints.responses.enabled,
    },
    hsts: gateway.http.securityHeaders.strictTransportSecurity ?? null,
    httpTools: { allow: gateway.tools.allow ?? null, deny: gateway.tools.deny ?? [] },
  }
}

/** `deputy`, `/deputy` and `/deputy/` are `/deputy`. */
function pathOf(text: string): string {
  const path = text.split('/').filter(Boolean).join('/')
  return path === '' ? '' : `/${path}`
}

function hostsOf(bind: Config['gateway']['bind'], custom: string | undefined): string[] {
  if (bind === 'lan') return ['0.0.0.0']
  if (bind === 'custom') return [custom!]
  if (bind === 'auto' && (existsSync('/.dockerenv') || existsSync('/run/.containerenv'))) return ['0.0.0.0']
  if (bind === 'tailnet') return ['127.0.0.1', ...tailnet()]
  return ['127.0.0.1']
}

/** The carrier-grade range that Tailscale takes its addresses from. */
function tailnet(): string[] {
  const all = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  const ours = all.filter(
    ({ family, address }) => family === 'IPv4' && /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./.test(address),
  )
  if (ours.length === 0)
    throw new DeputyError('CONFIG_INVALID', 'gateway.bind is "tailnet", and this machine has no tailnet address.', {
      fix: 'Start Tailscale, or set gateway.bind to loopback.',
      details: { key: 'gateway.bind' },
    })
  return ours.map(({ address }) => address)
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

// ------------------------------------------------------------------------------------------------ models, tools, lanes

export interface ModelsSetting {
  mode: 'merge' | 'replace'
  providers: Config['models']['providers']
  /** Alias (lower case) → provider/model. */
  aliases: Readonly<Record<string, string>>
  /** Parameters by provider/model. */
  params: Readonly<Record<string, Readonly<Record<string, string | number | boolean>>>>
  /** Which may be chosen: provider/model or provider/*; null = any. */
  allow: readonly string[] | null
  /** Auth profile ids by provider in the order to try. */
  order: Readonly<Record<string, readonly string[]>>
}

export function modelsOf(config: Config): ModelsSetting {
  const { models, modelPolicy } = config.agents.defaults
  const entries = Object.entries(models)
  return {
    mode: config.models.mode,
    providers: config.models.providers,
    aliases: Object.fromEntries(entries.flatMap(([ref, { alias }]) => (alias ? [[alias.toLowerCase(), ref]] : []))),
    params: Object.fromEntries(entries.map(([ref, { params }]) => [ref, params])),
    allow: modelPolicy.allow ?? null,
    order: config.auth.order,
  }
}

export interface ToolsSetting {
  exec: ExecPolicy
  /** `tools.subagents.tools`: what any sub-agent may use at most (core/tool-policy.ts `toolsOfSubagent`). */
  subagents: ToolPolicy
}

export function toolsOf(config: Config): ToolsSetting {
  const { allow, alsoAllow, deny } = config.tools.subagents.tools
  return { exec: execOf(config), subagents: given({ allow, alsoAllow, deny }) as ToolPolicy }
}

/** Slots per lane. `main` holds runs that people start, `subagent` those that agents spawn (decisions.md 9). */
export function lanesOf(config: Config): { main: number; subagent: number } {
  const { maxConcurrent, subagents } = config.agents.defaults
  return { main: maxConcurrent, subagent: subagents.maxConcurrent }
}

export interface Logging {
  level: Config['logging']['level']
  consoleLevel: Config['logging']['level']
  consoleStyle: 'pretty' | 'json'
  /** Absolute. */
  file: string
  maxFileBytes: number
  redactPatterns: readonly string[]
}

export function loggingOf(config: Config): Logging {
  const { level, consoleLevel, consoleStyle, file, maxFileBytes, redactPatterns } = config.logging
  const { home } = config
  return {
    level,
    consoleLevel: consoleLevel ?? level,
    consoleStyle: consoleStyle === 'json' ? 'json' : 'pretty',
    file: file === undefined ? join(home.logs, 'deputy.log') : expand(file, home.user, home.dir),
    maxFileBytes,
    redactPatterns,
  }
}
