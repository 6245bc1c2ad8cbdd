/**
 * What each method answers with (openclaw-facts.md §C4; the runs.* family is Deputy's own). Types only.
 * Times are epoch milliseconds, spans milliseconds, money nano-US-dollars.
 */
import type { DeviceResults } from './results-devices.ts'

export type * from './results-devices.ts'

/** `ok: true` and more, open to additions: clients need nothing but `ok` (openclaw-clients.md §3). */
export interface Health {
  ok: boolean
  ts: number
  durationMs: number
  channels: Record<string, unknown>
  channelOrder: readonly string[]
  channelLabels: Record<string, string>
  heartbeatSeconds: number
  defaultAgentId: string
  agents: readonly {
    agentId: string
    name?: string
    isDefault: boolean
    heartbeat: { enabled: boolean; every: string; everyMs: number | null }
    sessions: SessionCount
  }[]
  sessions: SessionCount
  /** What is wrong now, by stable code; empty when nothing is. */
  problems: readonly { code: string; message: string }[]
}

export interface SessionCount {
  path: string
  count: number
  recent: readonly { key: string; updatedAt: number; age: number }[]
}

export interface Status {
  runtimeVersion: string
  pid: number
  uptimeMs: number
  heartbeat: { defaultAgentId: string; agents: readonly unknown[] }
  channelSummary: readonly string[]
  queuedSystemEvents: readonly string[]
  tasks: { total: number; active: number; queued: number; running: number; waiting: number }
  sessions: {
    paths: readonly string[]
    count: number
    defaults: { model: string | null; contextTokens: number | null }
    recent: readonly { key: string; updatedAt: number; age: number }[]
    byAgent: readonly { agentId: string; count: number }[]
  }
  processMemory: { rss: number; heapUsed: number }
  connections: number
  deadLetters: number
  outbox: Record<string, number>
  problems: readonly { code: string; message: string }[]
}

export interface AgentRow {
  id: string
  name?: string
  workspace?: string
  model?: { primary: string; fallbacks?: readonly string[] }
  /** Deputy's own: whom it may spawn. */
  allowAgents?: readonly string[]
}

export interface AgentsList {
  defaultId: string
  mainKey: string
  scope: string
  agents: readonly AgentRow[]
}

export interface SessionRow {
  key: string
  sessionId: string
  kind: 'direct' | 'group' | 'global' | 'unknown'
  label?: string
  agentId: string
  isMain: boolean
  chatType: 'direct' | 'group'
  channel?: string
  updatedAt: number
  lastActivityAt: number
  status: 'queued' | 'running' | 'done'
  spawnedBy?: string
  spawnDepth: number
  modelProvider?: string
  model?: string
  contextTokens?: number
  hasActiveRun: boolean
  activeRunIds: readonly string[]
  snapshotAt: number
}

export interface SessionsList {
  ts: number
  path: string
  count: number
  totalCount: number
  limitApplied: number
  offset: number
  nextOffset: number | null
  hasMore: boolean
  defaults: { modelProvider: string | null; model: string | null; contextTokens: number | null }
  sessions: readonly SessionRow[]
}

export interface ChatMessage {
  role: 'user' | 'assistant' | 'toolResult'
  content: readonly unknown[]
  timestamp: number
  idempotencyKey?: string
  toolCallId?: string
  toolName?: string
  isError?: boolean
  api?: string
  provider?: string
  model?: string
  usage?: Record<string, unknown>
  stopReason?: string
  __openclaw: { id: string; seq: number; kind?: string }
}

export interface ChatHistory {
  sessionKey: string
  sessionId?: string
  messages: readonly ChatMessage[]
  hasMore: boolean
  totalMessages: number
  /** Pass as `cursor` for the messages before these. */
  nextCursor?: string
  pendingInputs: { items: readonly unknown[]; total: number }
  thinkingLevel: string
}

export interface AgentAccepted {
  runId: string
  sessionKey: string
  agentId: string
  status: 'accepted'
  acceptedAt: number
}

/** The second answer of `agent`. A repeat of a key at work is `in_flight`, and that is its only answer. */
export interface AgentDone {
  runId: string
  status: 'ok' | 'error' | 'timeout' | 'in_flight'
  summary?: string
  result?: {
    payloads: readonly { text: string; mediaUrl: null }[]
    meta: {
      durationMs: number
      agentMeta: {
        sessionId: string
        provider: string
        model: string
        usage: { input: number; output: number; cacheRead: number; cacheWrite: number; total: number; costNano: number }
      }
      aborted: boolean
      /** True when the run went on to wait for its sub-agents: `agent.wait {until: 'done'}` has the end. */
      yielded: boolean
      run: string
      sessionKey: string
    }
  }
}

export interface AgentWait {
  runId: string
  /** `timeout` without `endedAt`: the run is still at work. */
  status: 'ok' | 'error' | 'timeout'
  startedAt?: number
  endedAt?: number
  error?: string
  errorCode?: string
  fix?: string
  yielded?: boolean
  outcome?: string
  run?: string
  sessionKey?: string
  sessionId?: string
  agentId?: string
  model?: string
  text?: string
  usage?: Record<string, number>
}

export interface RunRow {
  run: string
  sessionKey: string
  session: string
  tree: string
  parent: string | null
  agent: string
  task: string
  label: string | null
  model: string
  state: 'queued' | 'running' | 'waiting' | 'done'
  paused: boolean
  outcome: string | null
  errorCode: string | null
  error: string | null
  waitsFor: string | null
  depth: number
  detached: boolean
  children: readonly string[]
  steps: number
  lastLine: string | null
  spent: { nano: number; tokens: number; calls: number }
  budget: { nano: number | null; tokens: number | null; calls: number | null }
  createdAt: number
  startedAt: number | null
  endedAt: number | null
  deadlineAt: number | null
  result: string | null
}

export interface RunStep {
  n: number
  kind: 'model' | 'tool'
  state: string
  name: string
  args?: unknown
  text?: string
  isError?: boolean
  stop?: string
  usage?: Record<string, number>
  startedAt: number | null
  endedAt: number | null
}

export interface CancelResult {
  runs: readonly { run: string; agent: string; task: string; was: string }[]
  alreadyDone: readonly string[]
  dropped: readonly string[]
  processes: { ended: number; stillAlive: readonly number[] }
}

export interface SpawnReceipt {
  run: string
  session: string
  sessionKey: string
  agent: string
  model: string
  tools: readonly string[]
  agents: readonly string[] | '*'
  depth: number
  budget: { nano: number | null; tokens: number | null; calls: number | null }
  deadlineAt: number | null
  returnTo: string | null
  detached: boolean
}

/** One entry a method; `methods.ts` refers to it, so a method without a result does not compile. */
export interface Results extends DeviceResults {
  health: Health
  status: Status
  'agents.list': AgentsList
  'chat.send': { runId: string; status: 'started' | 'in_flight' | 'ok' }
  'chat.history': ChatHistory
  'chat.abort': { ok: true; aborted: boolean; runIds: readonly string[] }
  agent: AgentDone
  'agent.wait': AgentWait
  'sessions.list': SessionsList
  'runs.list': { runs: readonly RunRow[] }
  'runs.get': { run: RunRow }
  'runs.tree': { runs: readonly RunRow[] }
  'runs.log': { run: RunRow; steps: readonly RunStep[] }
  'runs.cancel': CancelResult
  'runs.spawn': SpawnReceipt
}
