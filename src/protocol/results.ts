/**
 * What each method answers with (openclaw-facts.md §C4; the runs.* family is Deputy's own). Types only.
 * Times are epoch milliseconds, spans milliseconds, money nano-US-dollars.
 */
import type { ChannelResults } from './results-channels.ts'
import type { ApprovalResults } from './results-approvals.ts'
import type { DeviceResults } from './results-devices.ts'
import type { OutboxResults } from './results-outbox.ts'
import type { SessionResults } from './results-sessions.ts'
import type { SystemResults } from './results-system.ts'

export type * from './results-channels.ts'
export type * from './results-approvals.ts'
export type * from './results-devices.ts'
export type * from './results-outbox.ts'
export type * from './results-sessions.ts'
export type * from './results-system.ts'

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
  plugins: { loaded: readonly string[]; errors: readonly unknown[]; unavailable: readonly unknown[] }
  configReload: { hotReloadStatus: 'active' | 'failing' }
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
  /** Results whose conversation was closed; and the newest runs that have one. */
  deadLetters: number
  deadLetterRuns: readonly string[]
  outbox: Record<string, number>
  problems: readonly { code: string; message: string }[]
}

export interface AgentRow {
  id: string
  name?: string
  identity?: { name?: string; theme?: string; emoji?: string; avatar?: string }
  thinkingLevels?: readonly { id: string; label: string }[]
  thinkingDefault?: string
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
      stopReason?: 'stop' | 'aborted' | 'timeout'
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
  stopReason?: 'stop' | 'aborted' | 'timeout'
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
  /** When that is over by itself; absent when it is not. */
  waitUntil?: number
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
  kind: 'model' | 'tool' | 'compact'
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

/** Those that it made a difference to. */
export interface PauseResult {
  paused: boolean
  runs: readonly { run: string; agent: string; state: string; task: string }[]
}

export interface CancelResult {
  runs: readonly { run: string; agent: string; task: string; was: string }[]
  alreadyDone: readonly string[]
  dropped: readonly string[]
  processes: { ended: number; stillAlive: readonly number[] }
}

export interface RunSteered {
  /** Who reads it: the run that was named, or its successor when that one ended in the same moment. */
  run: string
  /** Wire id of the message. */
  runId: string
  /** `command`: the message was a slash command, answered without a model. */
  status: 'absorbed' | 'started' | 'in_flight' | 'answered' | 'command'
  messageSeq: number
}

export interface RunRetried {
  run: string
  /** The run whose task it has. */
  of: string
  sessionKey: string
  agent: string
  /** Where its result goes; the run's own conversation when it answers there. */
  returnTo: string
  /** What the first run was asked besides its task and the new one is not: names of terms such as `outputSchema`. */
  left: readonly string[]
}

export interface RunForked {
  run: string
  of: string
  step: number
  sessionKey: string
  agent: string
  model: string
  /** How many messages the copy begins with. */
  messages: number
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
export interface Results
  extends ApprovalResults,
    ChannelResults,
    DeviceResults,
    OutboxResults,
    SessionResults,
    SystemResults {
  health: Health
  status: Status
  'agents.list': AgentsList
  agent: AgentDone
  'agent.wait': AgentWait
  'runs.list': { runs: readonly RunRow[] }
  'runs.get': { run: RunRow }
  'runs.tree': { runs: readonly RunRow[] }
  'runs.log': { run: RunRow; steps: readonly RunStep[] }
  'runs.cancel': CancelResult
  'runs.pause': PauseResult
  'runs.resume': PauseResult
  'runs.steer': RunSteered
  'runs.retry': RunRetried
  'runs.fork': RunForked
  'runs.spawn': SpawnReceipt
}
