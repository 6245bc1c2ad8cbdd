/**
 * What the methods about the gateway itself answer with (openclaw-facts.md §C4). Types only. Times are epoch milliseconds,
 * costs US dollars where OpenClaw's clients read them so.
 */
import type { PresenceEntry } from './connect.ts'

export interface ModelRow {
  id: string
  name: string
  provider: string
  contextWindow?: number
  available: boolean
  /** True for the one that the agent uses. */
  tags?: readonly string[]
  input?: readonly string[]
  reasoning?: boolean
}

export interface ToolRow {
  id: string
  label: string
  description: string
  source: 'core'
}

export interface CommandRow {
  name: string
  textAliases: readonly string[]
  description: string
  category: string
  source: 'native'
  scope: 'both'
  acceptsArgs: boolean
}

export interface TaskRow {
  id: string
  taskId: string
  kind: 'cli' | 'subagent'
  runtime: 'cli' | 'subagent'
  status: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled' | 'timed_out'
  execution: {
    state: 'queued' | 'running' | 'waiting' | 'finished'
    wait?: { kind: 'children' | 'external' | 'agent_messages' | 'approval'; pendingCount?: number }
  }
  title: string
  agentId: string
  /** Whose conversation asked for it, and the one that it is done in. */
  sessionKey: string
  childSessionKey: string
  hasTranscript: true
  ownerKey: string
  runId: string
  sourceId: string
  parentTaskId?: string
  createdAt: number
  updatedAt: number
  startedAt?: number
  endedAt?: number
  lastActivity?: string
  terminalSummary?: string
  error?: string
  deliveryStatus: 'pending' | 'delivered' | 'not_applicable'
  /** Only from tasks.get. */
  result?: string
  prompt?: string
}

export interface UsageTotals {
  input: number
  output: number
  cacheRead: number
  cacheWrite: number
  totalTokens: number
  totalCost: number
  /** The ledger keeps the cost of a call as one sum, so these stay 0. */
  inputCost: number
  outputCost: number
  cacheReadCost: number
  cacheWriteCost: number
  missingCostEntries: number
}

export interface ModelUsage {
  provider?: string
  model?: string
  count: number
  totals: UsageTotals
}

export interface SessionsUsage {
  updatedAt: number
  startDate: string
  endDate: string
  sessions: readonly {
    key: string
    label?: string
    sessionId: string
    updatedAt: number
    agentId: string
    modelProvider?: string
    model?: string
    usage: UsageTotals & {
      sessionId: string
      activityDates: readonly string[]
      dailyBreakdown: readonly { date: string; tokens: number; cost: number }[]
      modelUsage: readonly ModelUsage[]
    }
  }[]
  totals: UsageTotals
  aggregates: {
    sessionCount: number
    messages: {
      total: number
      user: number
      assistant: number
      toolCalls: number
      toolResults: number
      errors: number
    }
    tools: { totalCalls: number; uniqueTools: number; tools: readonly { name: string; count: number }[] }
    byModel: readonly ModelUsage[]
    byProvider: readonly ModelUsage[]
    byAgent: readonly { agentId: string; totals: UsageTotals }[]
    byChannel: readonly { channel: string; totals: UsageTotals }[]
    daily: readonly {
      date: string
      tokens: number
      cost: number
      messages: number
      toolCalls: number
      errors: number
    }[]
  }
}

export interface ConfigSnapshot {
  path: string
  exists: boolean
  raw: string | null
  parsed: unknown
  sourceConfig: unknown
  resolved: unknown
  valid: boolean
  config: unknown
  runtimeConfig: unknown
  hash: string
  configRevisionHash: string
  appliedConfigHash: string
  issues: readonly { path: string; message: string }[]
  warnings: readonly { path: string; message: string }[]
  legacyIssues: readonly unknown[]
}

export interface ConfigChange {
  ok: true
  path: string
  hash: string
  config: unknown
  changedPaths: readonly string[]
  /** Those of them that count from the next start only. */
  restartRequired: readonly string[]
}

export interface ConfigHint {
  label?: string
  help: string
  sensitive?: true
}

type ReloadKind = 'restart' | 'hot'

export interface SystemResults {
  'system-presence': readonly PresenceEntry[]
  'gateway.identity.get': { deviceId: string; publicKey: string }
  'last-heartbeat': null
  'secrets.reload': { ok: true; warningCount: number; warnings: readonly { path: string; message: string }[] }
  'logs.tail': {
    file: string
    cursor: number
    size: number
    lines: readonly string[]
    truncated?: boolean
    reset?: boolean
  }
  'agent.identity.get': {
    agentId: string
    name: string
    nameSource: 'config' | 'default'
    avatar?: string
    emoji?: string
  }
  'models.list': { models: readonly ModelRow[] }
  'tools.catalog': {
    agentId: string
    profiles: readonly { id: string; label: string }[]
    groups: readonly {
      id: string
      label: string
      source: 'core'
      tools: readonly (ToolRow & { defaultProfiles: readonly string[] })[]
    }[]
  }
  'tools.effective': {
    agentId: string
    profile: string
    groups: readonly {
      id: string
      label: string
      source: 'core'
      tools: readonly (ToolRow & { rawDescription: string })[]
    }[]
  }
  'commands.list': { commands: readonly CommandRow[] }
  'node.list': { ts: number; nodes: readonly unknown[] }
  'question.list': { questions: readonly unknown[] }
  'usage.status': { updatedAt: number; providers: readonly unknown[] }
  'usage.cost': {
    updatedAt: number
    days: number
    startDate: string
    endDate: string
    daily: readonly (UsageTotals & { date: string })[]
    totals: UsageTotals
  }
  'sessions.usage': SessionsUsage
  'tasks.list': { tasks: readonly TaskRow[]; nextCursor?: string }
  'tasks.get': { task: TaskRow }
  'tasks.cancel': { found: boolean; cancelled: boolean; reason?: string; task?: TaskRow }
  'config.get': ConfigSnapshot
  'config.set': ConfigChange
  'config.patch': ConfigChange
  'config.apply': ConfigChange
  'config.schema': {
    schema: unknown
    uiHints: Readonly<Record<string, ConfigHint>>
    version: string
    generatedAt: string
  }
  'config.schema.lookup': {
    path: string
    schema: unknown
    reloadKind: ReloadKind
    hint?: ConfigHint
    hintPath?: string
    children: readonly {
      key: string
      path: string
      type?: string | readonly string[]
      required: boolean
      hasChildren: boolean
      reloadKind: ReloadKind
      hint?: ConfigHint
      hintPath?: string
    }[]
  }
}
