/**
 * What is said in a conversation and what lies in its mailbox.
 *
 * Owns the shapes and nothing else, under the rules of types.ts, which hands them on.
 */
import type { Outcome, Spend } from './types.ts'

export type StopReason = 'stop' | 'toolUse' | 'length' | 'refusal' | 'error' | 'aborted'

export interface TokenUsage {
  input: number
  output: number
  cacheRead: number
  cacheWrite: number
}

/** Text, thinking and tool calls of an assistant; text, images and sound of anybody else. */
export type Part =
  | { type: 'text'; text: string }
  | { type: 'thinking'; thinking: string; meta?: unknown }
  | { type: 'toolCall'; id: string; name: string; arguments: unknown; meta?: unknown }
  | { type: 'image'; mimeType: string; data: string }
  | { type: 'audio'; mimeType: string; data: string }

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
  /** The model that was to say this, when another one did, and why. */
  insteadOf?: { model: string; why: string }
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
  /** Its words stand in the chat that the parent speaks in, too. */
  shown?: true
}

/** `message` is an outside row (a person, another agent); `result` a child's end; `timer` a wait that ran out; `answer` an approval's; `check` what a check of the run's own result has found; `compact` a wish for a summary, which no model sees. */
export type InboxKind = 'message' | 'result' | 'timer' | 'answer' | 'exit' | 'check' | 'compact'

/**
 * `steer` rows are read at the next model call of the live run. The others wait for a turn after it (decisions.md 3): of
 * `followup` rows each has one of its own, `collect` rows share one (openclaw-facts.md §E4).
 */
export type InboxMode = 'steer' | 'followup' | 'collect'

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
  /** What was asked for, in a row without a message. */
  note?: string
}
