/**
 * The facts that the machines decide over: runs, steps, sessions, mailboxes, grants, purses.
 *
 * Owns the shapes and nothing else; no function here decides. Every field is a plain JSON value, times are epoch
 * milliseconds, money is whole nano-US-dollars (1 USD = 1e9), so that a row and a fact are the same thing.
 * Never holds a prompt, a secret or a socket.
 */
import type { Scope } from '../protocol/scopes.ts'
import type { ApprovalState } from './approval.ts'
import type { StopReason, TokenUsage } from './messages.ts'

export type * from './messages.ts'

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
  /**
   * `after`: the newest inbox row that the waiting call shows already; only later ones end the pause. `hold`: what it waits for
   * at its provider; absent in rows of older versions.
   */
  | { for: 'timer'; until: number; after: number; hold?: Hold }
  | { for: 'ask'; n: number; runs: readonly string[]; mode: 'all' | 'any'; until: number | null; outside: boolean }

export type FailureClass =
  | 'auth'
  | 'quota'
  | 'rate_limit'
  | 'context_length'
  | 'refusal'
  | 'network'
  | 'overloaded'
  | 'bad_answer'
  | 'bad_request'
  | 'aborted'

/**
 * Why a model can't be asked now. From such rows the cooldowns are known again after a restart. Never holds a key: `key` is
 * its name (`anthropic:default`), `mark` is the same for the same key and leads back to none.
 */
export interface Hold {
  provider: string
  model: string
  /**
   * Whom it concerns: who uses this key, whoever asks this model, or this conversation alone. `line`: as many calls as are
   * allowed are out, and it has its turn when one comes back.
   */
  whose: 'key' | 'provider' | 'conversation' | 'line'
  key: string | null
  mark: string
  class: FailureClass
  /** What the provider said. */
  said: string
  /** How often in a row. */
  strikes: number
}

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
  /** Who asked for the work, as nameOf gives it: what is spent counts towards their daily limit. */
  readonly sender?: string
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
  /**
   * It began with a copy of its caller's conversation, and so with the same prompt: tools that its caller was shown. What it may
   * call is in its grant alone.
   */
  forked?: readonly string[]
  /** JSON Schema that its last words must fit (core/shape.ts). */
  outputSchema?: Readonly<Record<string, unknown>>
  deliverables?: Deliverables
  /** It has a place of its own in a chat, a thread or the chat that asked: its words go there, besides its result. */
  thread?: 'thread' | 'here'
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

/** `compact`: older messages of the conversation become a summary (decisions.md 31). */
export type StepKind = 'model' | 'tool' | 'compact'

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
  intent: ModelIntent | ToolIntent | CompactIntent
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

/** What of the conversation becomes a summary, and why. Asked again from here after a crash. */
export interface CompactIntent {
  kind: 'compact'
  /** The view that is replaced; null when the whole transcript was shown. */
  view: string | null
  /** Messages that stand at this place or before it are summarised. */
  after: number
  why: View['why']
  /** What a person asked the summary to keep. */
  note?: string
  /** Mailbox rows that asked for it; its result marks exactly these read (R10). */
  inbox: readonly number[]
  attempt: number
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
  /** The question that the call waits for, and once there is one its answer (core/approval.ts). */
  approval?: { id: string; decision?: Exclude<ApprovalState, 'pending'>; by?: string }
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
  /** The view that a compaction has made. */
  view?: string
}

/**
 * What a model is shown instead of the older part of a conversation. Never changed: another compaction makes another view, and
 * taking one back points the session at its `base`. The messages themselves stay.
 */
export interface View {
  id: string
  session: string
  run: string
  step: number
  /** Messages whose place (`ord`) is after this follow as they are. */
  after: number
  summary: string
  /** What is still open, as it was at that moment: stands beside the summary word for word. */
  pinned: readonly string[]
  /** The view before; null when the whole transcript was shown. */
  base: string | null
  /** A person asked; the window was nearly full; the provider refused the prompt as too long. */
  why: 'asked' | 'window' | 'provider'
  /** How many messages it stands for, and about how many tokens they and what replaces them are. */
  messages: number
  tokensBefore: number
  tokensAfter: number
  at: number
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
  /** The view that its model is shown; absent when that is the whole transcript. */
  view?: string
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
