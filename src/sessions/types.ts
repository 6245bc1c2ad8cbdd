/**
 * What the doors (gateway, channels, schedules) may ask of the house, and what they get back.
 * Owns the shapes; sessions/*.ts carries them out. Every call names its principal; nothing is inferred.
 */
import type { Principal } from '../core/principal.ts'
import type { Message, Outcome, Part, Purse, Receipt, Route, Run, Session, Step, TokenUsage } from '../core/types.ts'

/** What happens when the session is at work (decisions.md 3); `collect` merges with other waiting rows of a successor run. */
export type QueueMode = 'steer' | 'followup' | 'collect' | 'interrupt'

export interface AcceptInput {
  principal: Principal
  /** The method that accepted it: part of the idempotency key. */
  method: 'chat.send' | 'agent' | 'sessions.send' | 'ingest'
  /** Agent id; default: the session key's, else the default agent. */
  agent?: string
  /** `main`, or a full key; default `agent:<agent>:main`. A key that has no open session opens one. */
  sessionKey?: string
  parts: readonly Part[]
  idempotencyKey: string
  mode?: QueueMode
  route?: Route
  model?: string
  thinking?: string
  timeoutSeconds?: number
  from?: string
}

export interface Accepted {
  /** As clients know it: the idempotency key of the first acceptance (openclaw-facts.md §A9). */
  wireId: string
  run: string
  session: Session
  /** Transcript position of the message. */
  seq: number
  status: 'started' | 'absorbed' | 'in_flight' | 'answered'
  acceptedAt: number
}

export interface SpawnInput {
  principal: Principal
  /** Session that the result returns to; default `agent:<default>:main`. */
  sessionKey?: string
  agent: string
  task: string
  label?: string
  model?: string
  timeoutSeconds?: number
  budget?: Purse
  idempotencyKey: string
}

export interface CancelInput {
  principal: Principal
  /** `device`: what works under its authority and was there at `before` (decisions.md 34). */
  target: { run: string } | { session: string } | { device: string; before: number } | { all: true }
  reason: string
}

/** What was stopped and what was not (C7). */
export interface CancelReport {
  runs: readonly { run: string; agent: string; task: string; was: string }[]
  /** Runs that had already ended. */
  alreadyDone: readonly string[]
  /** Follow-ups taken back by /stop. */
  dropped: readonly string[]
  processes: { ended: number; stillAlive: readonly number[] }
}

export interface TurnResult {
  wireId: string
  run: string
  sessionKey: string
  sessionId: string
  agent: string
  status: 'ok' | 'error' | 'timeout' | 'pending'
  /** True when the run went on to wait for its sub-agents. */
  yielded: boolean
  text: string | null
  outcome: Outcome | null
  errorCode: string | null
  error: string | null
  fix: string | null
  model: string
  usage: TokenUsage & { costNano: number }
  startedAt: number | null
  endedAt: number | null
}

export interface RunView {
  run: Run
  sessionKey: string
  /** Live and ended children, by row order. */
  children: readonly string[]
  steps: number
  lastLine: string | null
}

export interface House {
  accept(input: AcceptInput): Promise<Accepted>
  spawn(input: SpawnInput): Promise<Receipt>
  cancel(input: CancelInput): Promise<CancelReport>
  /** `id` is a run id or a wire id. `turn`: the stretch that answers it; `done`: the run itself. `pending` after the timeout. */
  wait(
    id: string,
    options: { until: 'turn' | 'done'; timeoutMs: number; principal?: Principal },
  ): Promise<TurnResult | null>
  /** Closes the session row, cancels its runs and points the key at a new row (decisions.md 5). */
  reset(input: {
    principal: Principal
    sessionKey: string
    reason: 'new' | 'reset' | 'delete'
  }): Promise<{ session: Session | null; report: CancelReport }>
  /** Reads; committed rows only. */
  sessionByKey(key: string): Promise<Session | null>
  session(id: string): Promise<Session | null>
  sessions(filter: {
    agent?: string
    limit: number
    offset: number
    includeSubagents: boolean
  }): Promise<{ sessions: readonly Session[]; total: number }>
  /** Newest `limit` messages before `before` (exclusive), oldest first. */
  history(
    session: string,
    options: { limit: number; before?: number },
  ): Promise<{ messages: readonly Message[]; total: number; hasMore: boolean }>
  liveRun(session: string): Promise<Run | null>
  runs(filter: {
    session?: string
    tree?: string
    state?: readonly string[]
    limit: number
  }): Promise<readonly RunView[]>
  run(id: string): Promise<RunView | null>
  /** The whole tree that a run belongs to, root first. */
  tree(id: string): Promise<readonly RunView[]>
  steps(run: string): Promise<readonly Step[]>
  /** Counts for status: by state, queued per lane, dead letters, undelivered. O(1) or one grouped query. */
  counts(): Promise<{
    runs: Record<string, number>
    sessions: number
    deadLetters: number
    outbox: Record<string, number>
  }>
}
