/**
 * What one room may be handed of another: the model, the tools, the world outside and the clock, as interfaces.
 *
 * Owns shapes only. A port never carries authority that its caller does not have: whatever is allowed was decided before.
 */
import type { ErrorCode } from '../protocol/errors.ts'
import type { Approval } from './approval.ts'
import type { Most } from './budget.ts'
import type { Capabilities, Content } from './chat.ts'
import type { Asked, Line, Pause } from './model-pauses.ts'
import type { Outreach } from './outreach.ts'
import type { ToolFacts } from './tool-facts.ts'
import type {
  Deliverables,
  FailureClass,
  Hold,
  Message,
  Part,
  Purse,
  Repeat,
  Route,
  StopReason,
  TokenUsage,
  Wait,
} from './types.ts'

export type * from './model-pauses.ts'
export type * from './tool-facts.ts'
export type { FailureClass } from './types.ts'

export interface Clock {
  /** Epoch milliseconds. */
  now(): number
}

// ---------------------------------------------------------------------------------------------------------- models

/** A tool as a model sees it. `schema` is a JSON Schema (draft 2020-12) object. */
export interface ToolSpec {
  name: string
  description: string
  schema: Record<string, unknown>
}

export interface ModelRequest {
  /** Whose place in line counts for it; absent: it takes its own turn. */
  run?: string
  /** `provider/model`. */
  model: string
  /** Whose keys: the agent's own, else main's. */
  agent: string
  system: string
  messages: readonly ModelMessage[]
  tools: readonly ToolSpec[]
  maxTokens: number
  /** What is set aside for it: what does not fit is not asked. Absent: nothing limits it. */
  most?: Most
  thinking?: string
  /** What is so at this moment only: shown last, after everything that a prompt cache may keep. */
  note?: string
  /** One per conversation: providers with prompt caches keep them apart by it. */
  cacheKey: string
  /** The same for conversations that begin alike, at most 64 characters: where a cache is found by a key, it is this one. */
  cacheGroup?: string
  signal: AbortSignal
}

export type ModelMessage =
  | { role: 'user'; parts: readonly Part[] }
  | { role: 'assistant'; parts: readonly Part[] }
  | { role: 'tool'; callId: string; name: string; parts: readonly Part[]; isError: boolean }

/**
 * A model call as it comes in. Exactly one `end` or `fail` closes it; nothing follows. `replace` takes back every delta so
 * far (a repeated attempt, another model). A `call` is whole: `args` is the text the model wrote, parsed by nobody yet.
 */
export type ModelEvent =
  | { type: 'start'; provider: string; model: string; api: string }
  | { type: 'text'; delta: string }
  | { type: 'thinking'; delta: string }
  | { type: 'replace' }
  | { type: 'call'; id: string; name: string; args: string; meta?: unknown }
  | {
      type: 'end'
      stop: StopReason
      usage: TokenUsage
      costNano: number
      parts: readonly Part[]
      /** The model that was asked for, when another one has answered, and why. */
      insteadOf?: { model: string; why: string }
    }
  | { type: 'fail'; failure: ModelFailure }

export interface ModelFailure {
  class: FailureClass
  code: ErrorCode
  /** What happened, with no secret in it. */
  message: string
  /** What to do about it, as a sentence or a command. */
  fix: string
  /** Set when waiting may help: the runner turns it into a timer wait in a row (decisions.md 36). */
  retryAtMs?: number
  /** What is waited for until then. */
  hold?: Hold
  /** No request went out: there is nothing to pay. */
  unasked?: true
  provider: string
  model: string
  /** Charged although it failed; absent when unknown. */
  usage?: TokenUsage
  costNano?: number
}

/** A model reference that exists and has a key, with what budgets need. Prices are nano-USD per token. */
export interface ResolvedModel {
  ref: string
  provider: string
  model: string
  contextWindow: number
  maxTokens: number
  price: { input: number; output: number; cacheRead: number; cacheWrite: number }
  /** False for the rehearsal model and for local models without a price. */
  priced: boolean
}

export interface Models {
  stream(request: ModelRequest): AsyncIterable<ModelEvent>
  /** The models that may answer a call to `ref` in its place. */
  inPlaceOf(ref: string, agent: string): readonly ResolvedModel[]
  /**
   * Whether such a call would only be told to wait: the same keys and fallbacks in the same order as `stream`. Null when one of
   * them may be asked, or when waiting is not what helps. Synchronous, changes nothing.
   */
  pause(call: Asked): Pause | null
  /** Who may call where only so many calls may be out at a time. */
  line: Line
  /** What the rows of an earlier process wait for. What concerns one conversation alone is left to that. */
  recall(holds: readonly { hold: Hold; until: number }[]): void
  /** Resolves an alias or reference for an agent; a reason when it can't be used. Synchronous: no network. */
  resolve(
    ref: string,
    agent: string,
  ): { ok: true; model: ResolvedModel } | { ok: false; code?: ErrorCode; reason: string; fix: string }
}

// ----------------------------------------------------------------------------------------------------------- tools

/** What a tool call asks of the gateway: decided and committed by the runner, never carried out by the tool. */
export type Intent =
  | { do: 'spawn'; request: SpawnRequest }
  /** Ends the turn and waits (sessions_yield); `message` is said to the user. */
  | { do: 'yield'; wait: 'all' | 'any' | 'message'; message: string | null }
  /** Waits inside the step (subagents wait) for these children, by run. */
  | { do: 'wait'; targets: readonly string[]; mode: 'all' | 'any'; timeoutMs: number }
  /** Cancels children of the caller, by run. */
  | { do: 'cancel'; targets: readonly string[] }
  | { do: 'send'; request: SendRequest }
  /** Sets the model of the caller's own conversation from its next run on; null takes the setting away. */
  | { do: 'model'; model: string | null }
  /** Something for a chat, besides the reply. */
  | { do: 'say'; outreach: Outreach; content: Content }

/** A message to another conversation. */
export interface SendRequest {
  /** A key; else a label; else an agent, whose main conversation is meant. */
  to: { key: string } | { label: string; agent: string | null } | { agent: string }
  message: string
  /** `notify` starts and wakes nothing, and is never answered. */
  mode: 'steer' | 'followup' | 'notify'
  /** How long to wait for the reply inside the call; 0 = the reply, if there is one, comes as a message. */
  timeoutMs: number
  /** The tool it came by. */
  tool: 'sessions_send' | 'subagents'
}

export interface Attachment {
  name: string
  content: string
  encoding: 'utf8' | 'base64'
}

export interface SpawnRequest {
  task: string
  taskName: string | null
  label: string | null
  agent: string | null
  model: string | null
  thinking: string | null
  runTimeoutSeconds: number | null
  /** Folder of the target's workspace. */
  cwd: string | null
  cleanup: 'keep' | 'delete'
  /** A place of its own in the chat; `mode` null = `session` then, and `run` without one. */
  thread: boolean
  mode: 'run' | 'session' | null
  /** Null: as the configuration has it for those with a thread, and nothing for the others. */
  context: 'isolated' | 'fork' | null
  lightContext: boolean
  /** `require`: no child whose commands would run without a sandbox. */
  sandbox: 'inherit' | 'require'
  attachments: readonly Attachment[]
  expectsCompletionMessage: boolean
  outputSchema: Readonly<Record<string, unknown>> | null
  deliverables: Deliverables | null
  /** Narrowing only; null = whatever policy and parent leave. */
  tools: readonly string[] | null
  budget: Purse | null
}

export interface ToolReply {
  parts: readonly Part[]
  isError: boolean
  /** For people and events; never shown to the model. */
  details?: Record<string, unknown>
}

export type ToolAnswer = { reply: ToolReply } | { intent: Intent }

export interface ToolContext {
  run: string
  session: string
  agent: string
  /** Unique to this call for ever: `(run, n)`. A `keyed` tool passes it on. */
  key: string
  workspace: string
  /** The part of it that the run is kept to; absent: all of it. */
  folder?: string
  signal: AbortSignal
  facts: ToolFacts
  /** Partial output, for people who watch; may be lost. */
  progress(text: string): void
  /** Records a process group in the step before its command is released (decisions.md 37). Resolves when it is a row. */
  started(process: { pgid: number; startedAt: string }): Promise<void>
}

/** The spawn tool's schema depends on who may be spawned now; every other tool ignores this. */
export interface ToolView {
  agents: readonly string[]
  canSpawn: boolean
  /** Whether a task may bring files along. */
  attachments?: boolean
  /** Whether there is a chat service to write to. */
  chats?: boolean
}

export interface Tool {
  name: string
  /** Short, for lists. */
  label: string
  group: string
  repeat: Repeat
  spec(view: ToolView): ToolSpec
  /** Checks the arguments; a sentence that says what was wrong and what is allowed when they don't fit. */
  parse(args: unknown, view: ToolView): { ok: true; args: unknown } | { ok: false; problem: string }
  run(args: unknown, context: ToolContext): Promise<ToolAnswer>
}

// -------------------------------------------------------------------------------------------------------- outbound

/** How words of a reply are shown while they are written: not at all, as they come, or a whole block at a time. */
export type Growth = 'off' | 'partial' | 'block'

/** One message of a service: a whole outbox row, or one part of it as `Outbound.parts` cut it. */
export interface OutboundMessage {
  id: string
  route: Route
  content: Content
  /** The service's idempotency key where it has one; another one for each part. */
  key: string
  /** The service's id of our own message that grows by edits: change it instead of sending. */
  edit: string | null
  /** True when an earlier attempt may have been seen: the text says so where the service can't tell. */
  maybeRepeat: boolean
}

export type SendOutcome =
  | { sent: true; remoteId: string | null }
  /** `certain: false` = it may have been seen. `remoteId`: of what stands there already, and the rest can go on from. */
  | {
      sent: false
      certain: boolean
      retryable: boolean
      code: string
      message: string
      retryAtMs?: number
      remoteId?: string
    }

/** What the accounts of chat services can do that are set up here; null for one that is not. */
export interface Chats {
  /** Whether there are any. */
  any(): boolean
  capabilities(place: Pick<Route, 'channel' | 'account'>): Capabilities | null
}

/** A channel's way out. `lookup` and `keyed` decide what happens to an uncertain send (decisions.md 22). */
export interface Outbound {
  channel: string
  keyed: boolean
  /** How long after the first try the service still knows its key; absent: always. */
  keyedForMs?: number
  /** Cuts what is to be said into what fits into one message of the service each. Pure: the same content, the same parts. */
  parts(content: Content): readonly Content[]
  send(message: OutboundMessage, signal: AbortSignal): Promise<SendOutcome>
  lookup?(message: OutboundMessage, signal: AbortSignal): Promise<LookedUp>
}

/** What a service says of a message that may have been sent, and under which id it stands there. */
export type LookedUp = { is: 'sent'; remoteId: string | null } | { is: 'absent' | 'unknown' }

// ---------------------------------------------------------------------------------------------------------- events

/**
 * What the house tells whoever watches. `delta` events may be shown before anything is a row and carry no promise
 * (decisions.md 23); every other event is told after its transaction, in commit order.
 */
export type HouseEvent =
  | {
      on: 'run.delta'
      run: string
      /** The reply that is being written. */
      step: number
      session: string
      sessionKey: string
      agent: string
      wireId: string
      text: string
      delta: string
      replace: boolean
    }
  | {
      on: 'run.thinking'
      run: string
      session: string
      sessionKey: string
      agent: string
      wireId: string
      text: string
      delta: string
    }
  | {
      on: 'run.tool'
      run: string
      session: string
      sessionKey: string
      agent: string
      wireId: string
      phase: 'start' | 'update' | 'result'
      callId: string
      name: string
      args?: unknown
      partial?: string
      isError?: boolean
      parts?: readonly Part[]
    }
  | {
      on: 'run.state'
      run: string
      session: string
      sessionKey: string
      agent: string
      wireId: string
      change: 'queued' | 'started' | 'waiting' | 'woken' | 'paused' | 'resumed' | 'done'
      parent: string | null
      wait?: Wait
      outcome?: string
      error?: string
      at: number
    }
  /** One stretch of a run is over for those who wait on `aliases` (decisions.md 4): the words, and whether the run goes on. */
  | {
      on: 'run.turn'
      run: string
      session: string
      sessionKey: string
      agent: string
      wireId: string
      aliases: readonly string[]
      text: string
      yielded: boolean
      stop: StopReason
      outcome: string | null
      errorCode?: string
      error?: string
      usage?: TokenUsage
      at: number
    }
  | { on: 'session.message'; session: string; sessionKey: string; agent: string; message: Message }
  /** A question to a person came up, or needs no answer any more: `approval.state` says why. */
  | { on: 'approval'; phase: 'requested' | 'resolved'; approval: Approval; at: number }
  | { on: 'session.changed'; session: string; sessionKey: string; agent: string; reason: string; at: number }

export type Tell = (event: HouseEvent) => void
