/**
 * The facts that the machines decide over: runs, steps, sessions, mailboxes, grants, purses.
 *
 * Owns the shapes and nothing else; no function here decides. Every field is a plain JSON value, times are epoch
 * milliseconds, money is whole nano-US-dollars (1 USD = 1e9), so that a row and a fact are the same thing.
 * Never holds a prompt, a secret or a socket.
 */
import type { Scope } from '../protocol/scopes.ts'

export type RunState = 'queued' | 'running' | 'waiting' | 'done'

export type Outcome = 'succeeded' | 'failed' | 'cancelled' | 'timed_out' | 'interrupted' | 'budget_exhausted'

/** Where a run queues. A slot of a lane is held by `running` only (decisions.md 9). */
export type Lane = 'main' | 'subagent'

/**
 * What a waiting run waits for. `children`, `message` and `timer` lie between steps and end early on an outside row.
 * `ask` lies inside step `n`, which stays open as `asking` (decisions.md 8); `outside: false` marks an approval, which no message wakes.
 */
export type Wait =
  | { for: 'children'; mode: 'all' | 'any'; until: number | null }
  | { for: 'message'; until: number | null }
  /** `after`: the newest inbox row that the waiting call shows already; only later ones end the pause. */
  | { for: 'timer'; until: number; after: number }
  | { for: 'ask'; n: number; runs: readonly string[]; mode: 'all' | 'any'; until: number | null; outside: boolean }

/** Amounts that may run out; `null` is "no limit". `nano` is money, `tokens` counts input and output, `calls` model calls. */
export interface Purse {
  nano: number | null
  tokens: number | null
  calls: number | null
}

/** Amounts that have been used or set aside. */
export interface Spend {
  nano: number
  tokens: number
  calls: number
}

/** What a principal may do. Immutable; a child's is made by `attenuate` alone. `tools` and `agents` are closed lists. */
export interface Grant {
  readonly scopes: readonly Scope[]
  /** Names of the tools that may be called. */
  readonly tools: readonly string[]
  /** Agents that may be spawned; `'*'` is any configured agent. */
  readonly agents: readonly string[] | '*'
  /** How many more levels may be spawned below the holder; 0 makes it a leaf. */
  readonly depth: number
  readonly budget: Purse
  /** The device whose authority this is: revoking it ends the run (decisions.md 34). Absent for everybody else's. */
  readonly device?: string
}

/** Where an answer goes outside the house. A session without a route answers in its transcript only. */
export interface Route {
  channel: string
  account: string
  to: string
  thread?: string
}

/** What a spawn truly started; stored with the run and shown to the model that asked. */
export interface Receipt {
  run: string
  session: string
  sessionKey: string
  agent: string
  model: string
  tools: readonly string[]
  agents: readonly string[] | '*'
  depth: number
  budget: Purse
  deadlineAt: number | null
  /** Session that the result is posted to; null when none was asked for. */
  returnTo: string | null
  detached: boolean
}

/** What a spawn asks of its child besides the task: how it works, and what it must hand in. What is absent was not asked. */
export interface Terms {
  /** Stable handle among its siblings. */
  taskName?: string
  thinking?: string
  /** Folder of its agent's workspace that it works in, and sees nothing but. */
  cwd?: string
  /** Its session is closed at its end; run and result stay. */
  cleanup?: 'delete'
  /** Its prompt leaves out the workspace's AGENTS.md. */
  light?: true
  /** JSON Schema that its last words must fit (core/shape.ts). */
  outputSchema?: Readonly<Record<string, unknown>>
  deliverables?: Deliverables
  /** What was found wrong with its result once; the second time ends it. */
  repaired?: true
}

/** What must be there before a run counts as succeeded: files of its folder, a command that must end well in it. */
export interface Deliverables {
  files?: readonly string[]
  command?: string
}

export interface Run {
  id: string
  session: string
  /** Root conversation; the row that is locked before anything in the tree is decided (decisions.md 25). */
  tree: string
  agent: string
  /** The run that spawned this one; null for a root run. */
  parent: string | null
  depth: number
  lane: Lane
  state: RunState
  outcome: Outcome | null
  /** Stable code of why it ended other than well, or of why it pauses (protocol/errors.ts), and the words for it. */
  errorCode: string | null
  error: string | null
  /** Raised by every claim; a worker's write with another value changes nothing (R3). */
  epoch: number
  /** Crashes since the last completed step (decisions.md 21). */
  attempts: number
  /** Stretches between claim and wait; part of the wire run id (decisions.md 4). */
  turn: number
  paused: boolean
  detached: boolean
  wait: Wait | null
  /** True once woken from a wait: goes before new runs in its lane. */
  woken: boolean
  grant: Grant
  /** Whose purse its limit came from and goes back to; null for the session's account. */
  payer: string | null
  /** Charges of its own calls, in flight included, and of its ended attached children's; frozen at its end. */
  spent: Spend
  /** What live children's limits hold of this run's budget. */
  lent: Spend
  deadlineAt: number | null
  /** Session id that the result is posted to (decisions.md 5); null when none was asked for. */
  returnTo: string | null
  route: Route | null
  task: string
  label: string | null
  model: string
  receipt: Receipt | null
  /** Absent when the spawn asked for nothing special, and for root runs. */
  terms?: Terms
  /** Final words of at most 64 k characters; longer ones stand in the message at `resultSeq` only. */
  result: string | null
  resultSeq: number | null
  createdAt: number
  queuedAt: number
  startedAt: number | null
  endedAt: number | null
}

export type StepKind = 'model' | 'tool'

/** `open` has an intent and no result yet; `asking` waits inside; `unknown` was in flight at a crash and may not be repeated. */
export type StepState = 'open' | 'asking' | 'done' | 'unknown' | 'cancelled'

/** What a tool promises about being called twice with one key. */
export type Repeat = 'safe' | 'keyed' | 'never'

export interface Step {
  run: string
  n: number
  kind: StepKind
  state: StepState
  /** Tool name, or the model reference. */
  name: string
  /** model: `{view, upto, inbox: ids}` (what it shows, decisions.md 2 and 30); tool: `{callId, args, repeat}`. */
  intent: ModelIntent | ToolIntent
  /** model: `{seq, stop, usage}`; tool: `{seq, error}`. The words are in messages. */
  result: StepResult | null
  startedAt: number | null
  endedAt: number | null
}

export interface ModelIntent {
  kind: 'model'
  /** Summary row that replaces older messages; null when the whole transcript is shown. */
  view: string | null
  /** Highest transcript position shown. */
  upto: number
  /** Inbox rows shown for the first time; its result marks exactly these read (R10). */
  inbox: readonly number[]
  attempt: number
  /** What this attempt has set aside: prompt and `max_tokens` at list price; nothing while it pauses. */
  reserved: Spend
}

export interface ToolIntent {
  kind: 'tool'
  callId: string
  /** Exactly as the model gave them, secrets replaced by name (decisions.md 19). */
  args: unknown
  repeat: Repeat
  /** Set when the call could not be understood: the answer is given without running anything. */
  refused?: string
  /** Process group and its start time, written before a command is released (decisions.md 37). */
  process?: { pgid: number; startedAt: string }
}

export interface StepResult {
  /** Transcript position of the words; null when there were none. */
  seq: number | null
  stop?: StopReason
  isError?: boolean
  usage?: TokenUsage
  /** Of a step that has no words in the transcript: what it found. */
  found?: readonly string[]
}

export type StopReason = 'stop' | 'toolUse' | 'length' | 'refusal' | 'error' | 'aborted'

export interface TokenUsage {
  input: number
  output: number
  cacheRead: number
  cacheWrite: number
}

export interface Session {
  id: string
  key: string
  agent: string
  tree: string
  parentSession: string | null
  /** The run that made it, for a sub-agent's session. */
  spawnedBy: string | null
  depth: number
  label: string | null
  route: Route | null
  /** Next transcript position is seq + 1. */
  seq: number
  createdAt: number
  updatedAt: number
  closedAt: number | null
  /** Absent when nothing was ever set. */
  settings?: SessionSettings
}

/** What a person has set for one conversation; what is absent follows the agent's configuration. */
export interface SessionSettings {
  /** `provider/model`, from the next run on. */
  model?: string
  /** Thinking level, from the next turn on. */
  thinking?: string
  /** Put aside: left out of lists. */
  archived?: boolean
  pinned?: boolean
  unread?: boolean
  /** How clients show it; the house only keeps these. */
  icon?: string
  color?: string
  category?: string
  verbose?: string
  reasoning?: string
  responseUsage?: string
}

/** Text, thinking and tool calls of an assistant; text and images of anybody else. */
export type Part =
  | { type: 'text'; text: string }
  | { type: 'thinking'; thinking: string; meta?: unknown }
  | { type: 'toolCall'; id: string; name: string; arguments: unknown; meta?: unknown }
  | { type: 'image'; mimeType: string; data: string }

export type MessageRole = 'user' | 'assistant' | 'toolResult' | 'event'

/**
 * One transcript row, the only place of content. `seq` is when it was written. `ord` is where the model sees it: its own
 * seq for what the run wrote; for what came from outside, the seq of the model reply that first saw it (null until then).
 * The model's view is ordered by (ord, seq), so a message that arrives during a call never splits a call from its result.
 */
export interface Message {
  session: string
  seq: number
  ord: number | null
  id: string
  role: MessageRole
  parts: readonly Part[]
  run: string | null
  step: number | null
  at: number
  meta: MessageMeta
}

export interface MessageMeta {
  /** Who wrote it, as shown to people: 'operator', a sender, a run id. */
  from?: string
  idempotencyKey?: string
  toolCallId?: string
  toolName?: string
  isError?: boolean
  model?: string
  provider?: string
  api?: string
  usage?: TokenUsage & { costNano: number }
  stop?: StopReason
  /** A child's end: fenced as data when shown to the model. */
  child?: ChildEnd
  /** What a check of the run's own result has found. */
  check?: true
  /** Sent by another conversation. */
  via?: Via
  /** The turn of its run that a model's reply belongs to. */
  turn?: number
  /** Put there by a person, under this name; no model said it. */
  injected?: string
  /** Thinking level asked for with this message: counts for the calls that answer it. */
  thinking?: string
  /** A slash command and the house's answer to it: for people, in no model's view. */
  command?: 'asked' | 'answered'
}

/** Where a message from another conversation comes from (openclaw-facts.md §D2). */
export interface Via {
  kind: 'inter_session'
  sessionKey: string
  agent: string
  run: string
  tool: 'sessions_send' | 'subagents'
  /** Its sender may all that the reader may: what it says may be followed. Otherwise it is data. */
  trusted: boolean
  /** Answers back and forth since a person said something. */
  hops: number
  /** What is expected of the reader: a reply by its next words, or nothing; `answer` is itself the reply to an earlier message. */
  expects: 'reply' | 'nothing' | 'answer'
}

/** How a child ended, as its parent is told. */
export interface ChildEnd {
  run: string
  sessionKey: string
  agent: string
  label: string | null
  task: string
  outcome: Outcome
  error: string | null
  runtimeMs: number
  spent: Spend
  /** What the parent calls it. */
  taskName?: string
  /** What the checks of its result have found, a line each. */
  evidence?: readonly string[]
}

/** `message` is an outside row (a person, another agent); `result` a child's end; `timer` a wait that ran out; `answer` an approval's; `check` what a check of the run's own result has found. */
export type InboxKind = 'message' | 'result' | 'timer' | 'answer' | 'exit' | 'check'

/** `steer` rows are read at the next model call of the live run; `followup` rows by a successor run (decisions.md 3). */
export type InboxMode = 'steer' | 'followup'

/** `kept` is readable and never starts a turn (decisions.md 6); `dropped` was taken back by /stop; `dead` came after its address was closed. */
export type InboxState = 'unread' | 'read' | 'kept' | 'dropped' | 'dead'

export interface InboxRow {
  id: number
  session: string
  kind: InboxKind
  mode: InboxMode
  state: InboxState
  /** Transcript position of the content; null for a timer. */
  seq: number | null
  /** Unique with the session: a repeat of the same fact is the same row. */
  key: string
  /** The run whose end this is, for results. */
  from: string | null
  at: number
}
