/**
 * What the doors (gateway, channels, schedules) may ask of the house, and what they get back.
 * Owns the shapes; sessions/*.ts carries them out. Every call names its principal; nothing is inferred.
 */
import type { Approval, ApprovalDecision, Remembered } from '../core/approval.ts'
import type { Principal } from '../core/principal.ts'
import type {
  Message,
  Outcome,
  Part,
  Purse,
  Receipt,
  Route,
  Run,
  Session,
  SessionSettings,
  Spend,
  Step,
  TokenUsage,
  View,
} from '../core/types.ts'

/** What happens when the session is at work (decisions.md 3): core/types.ts `InboxMode`; `interrupt` breaks the call off. */
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
  /**
   * It was written at a place that is bound to this conversation: the binding, and the key of the conversation that the place
   * has by itself. SESSION_CLOSED when that is over.
   */
  bound?: { binding: number; home: string }
  /** Is handed the doorbell of the run that this message starts, to be rung a little later: more may follow. */
  begin?(ring: () => void): void
}

export interface Accepted {
  /** As clients know it: the idempotency key of the first acceptance (openclaw-facts.md §A9). */
  wireId: string
  /** A command has no run: its wire id. */
  run: string
  session: Session
  /** Transcript position of the message. */
  seq: number
  /** `command`: answered without a run; its end is told right after. */
  status: 'started' | 'absorbed' | 'in_flight' | 'answered' | 'command'
  /** A command that its sender may not give. */
  refused?: true
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
  thinking?: string
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

/** Questions that work waits for (C8). Whoever answers or revokes has been checked for `operator.approvals`. */
export interface Approvals {
  /** Oldest first; of one run or of all. */
  pending(run?: string): Promise<readonly Approval[]>
  /** Newest first, those behind `after`. */
  decided(limit: number, after?: { at: number; id: string } | null): Promise<readonly Approval[]>
  /** By the whole id or its beginning, what waits before what was decided. Throws UNKNOWN_APPROVAL. */
  find(id: string): Promise<Approval>
  /** Throws what `giveAnswer` throws. `at`: the chat in which it was given. */
  answer(input: { principal: Principal; id: string; decision: ApprovalDecision; at?: Route | null }): Promise<Approval>
  remembered(agent: string | null): Promise<readonly Remembered[]>
  revoke(input: { principal: Principal; id: string }): Promise<Remembered>
}

export interface PauseInput {
  principal: Principal
  run: string
  /** With everything below it that is at work. */
  tree: boolean
  /** False lets it go on. */
  paused: boolean
}

export interface PauseReport {
  paused: boolean
  /** Those that it made a difference to. */
  runs: readonly { run: string; agent: string; state: string; task: string }[]
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

export interface OpenInput {
  principal: Principal
  agent?: string
  /** As in AcceptInput. */
  sessionKey: string
  label?: string
  settings?: SessionSettings
}

/** A value of null takes a setting away. */
export type SettingsPatch = { [K in keyof SessionSettings]?: SessionSettings[K] | null }

export interface PatchInput {
  principal: Principal
  sessionKey: string
  label?: string | null
  settings?: SettingsPatch
  /** Session id that the caller saw; SESSION_CLOSED when the key means another one by now. */
  expected?: string
}

/** First words of a person and newest words of anybody, one line each; null when there are none. */
export interface Glance {
  title: string | null
  last: string | null
}

/** What a session's model calls took, all in all, and how much of the context the last one filled. */
export interface SessionTotals {
  usage: TokenUsage
  costNano: number
  /** Tokens of the newest call: prompt and answer. */
  context: number
}

/** The ledger, summed by day, agent, session and model. */
export interface LedgerRow {
  /** Days since 1970-01-01, shifted by the offset that was asked for. */
  day: number
  agent: string
  session: string
  sessionKey: string
  model: string
  usage: TokenUsage
  spent: Spend
}

export interface CompactInput {
  principal: Principal
  sessionKey: string
  /** What the summary is asked to keep. */
  note?: string
  /** The same key is the same wish. */
  idempotencyKey: string
}

/** Which run does it. `begun` is false when one is at work already, which does it before its next model call. */
export interface Wished {
  run: string
  begun: boolean
  /** The view shown until then. */
  view: string | null
}

export interface ForkInput {
  principal: Principal
  run: string
  /** A model call is made anew; after a tool's result it goes on with the next one. */
  step: number
  model?: string
  /** What it is told; default: that it is a copy. */
  message?: string
  idempotencyKey: string
}

export interface Forked {
  run: string
  of: string
  step: number
  sessionKey: string
  agent: string
  model: string
  /** How many messages it begins with. */
  messages: number
}

export interface House {
  approvals: Approvals
  accept(input: AcceptInput): Promise<Accepted>
  spawn(input: SpawnInput): Promise<Receipt>
  /** A copy of a run's conversation as it was at a step goes on with a new run. */
  fork(input: ForkInput): Promise<Forked>
  cancel(input: CancelInput): Promise<CancelReport>
  /** RUN_DONE when it has ended. */
  pause(input: PauseInput): Promise<PauseReport>
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
    /** The conversation that is meant, by id: SESSION_CLOSED when another is open by now. */
    expected?: string
  }): Promise<{ session: Session | null; report: CancelReport }>
  /** Opens a conversation without a message; the open one of that key stays as it is. */
  open(input: OpenInput): Promise<{ session: Session; created: boolean }>
  patch(input: PatchInput): Promise<Session>
  /** Shortens what the model reads; a run does it. */
  compact(input: CompactInput): Promise<Wished>
  undoCompaction(
    input: Pick<CompactInput, 'principal' | 'sessionKey'>,
  ): Promise<{ undone: View; now: View | null } | null>
  /** What stands for the older messages of a conversation now; null when all are shown. */
  view(session: string): Promise<View | null>
  /** Puts words into a transcript as the agent's. Starts nothing; the model sees them from its next turn on. */
  inject(input: { principal: Principal; sessionKey: string; text: string; label: string }): Promise<Message>
  /** Reads; committed rows only. */
  sessionByKey(key: string): Promise<Session | null>
  session(id: string): Promise<Session | null>
  sessions(filter: {
    agent?: string
    limit: number
    offset: number
    includeSubagents: boolean
    /** Those that were put aside: only, too, or (default) not. */
    archived?: boolean | 'all'
  }): Promise<{ sessions: readonly Session[]; total: number }>
  /** Newest `limit` messages before `before` (exclusive), oldest first. */
  history(
    session: string,
    options: { limit: number; before?: number },
  ): Promise<{ messages: readonly Message[]; total: number; hasMore: boolean }>
  message(session: string, id: string): Promise<Message | null>
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
  /** How clients know the stretches of these runs (decisions.md 4): wire id of a run's turn. */
  wires(runs: readonly string[]): Promise<(run: string, turn: number) => string>
  glances(sessions: readonly string[]): Promise<ReadonlyMap<string, Glance>>
  /** The live run of each, else the one that was made last. */
  newestRuns(sessions: readonly string[]): Promise<ReadonlyMap<string, Run>>
  totals(sessions: readonly string[]): Promise<ReadonlyMap<string, SessionTotals>>
  /** From `since` to before `until`, epoch ms. `offsetMs` east of UTC decides where a day begins. */
  ledger(filter: {
    since: number
    until: number
    offsetMs: number
    agent?: string
    session?: string
  }): Promise<readonly LedgerRow[]>
  /** Counts for status: by state, queued per lane, dead letters, undelivered. O(1) or one grouped query. */
  counts(): Promise<{
    runs: Record<string, number>
    sessions: number
    deadLetters: number
    /** The newest runs among them. */
    deadRuns: readonly string[]
    outbox: Record<string, number>
  }>
}
