/** What the methods about sessions and their transcripts answer with (openclaw-facts.md §C4). Types only; times are epoch ms. */

export interface SessionRow {
  key: string
  sessionId: string
  kind: 'direct' | 'group' | 'global' | 'unknown'
  label?: string
  displayName?: string
  /** Of its first message; only when it was asked for. */
  derivedTitle?: string
  lastMessagePreview?: string
  agentId: string
  isMain: boolean
  chatType: 'direct' | 'group'
  channel?: string
  updatedAt: number
  lastActivityAt: number
  lastInteractionAt: number
  status: 'queued' | 'running' | 'done' | 'failed' | 'killed' | 'timeout'
  /** Of its newest run. */
  startedAt?: number
  endedAt?: number
  runtimeMs?: number
  spawnedBy?: string
  parentSessionKey?: string
  spawnDepth: number
  subagentRole?: 'orchestrator' | 'leaf'
  subagentControlScope?: 'children' | 'none'
  createdVia: 'operator' | 'spawn' | 'channel'
  systemSent: boolean
  abortedLastRun: boolean
  archived?: boolean
  pinned?: boolean
  unread?: boolean
  icon?: string
  color?: string
  category?: string
  thinkingLevel?: string
  verboseLevel?: string
  reasoningLevel?: string
  responseUsage?: string
  inputTokens: number
  outputTokens: number
  /** What fills the context: prompt and answer of the newest model call. */
  totalTokens: number
  totalTokensFresh: boolean
  contextTokens?: number
  estimatedCostUsd?: number
  modelProvider?: string
  model?: string
  /** Set when the session names its model itself. */
  modelOverrideSource?: 'user'
  hasActiveRun: boolean
  activeRunIds: readonly string[]
  snapshotAt: number
}

export interface SessionDefaults {
  modelProvider: string | null
  model: string | null
  contextTokens: number | null
  thinkingDefault?: string
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
  owners: readonly unknown[]
  defaults: SessionDefaults
  sessions: readonly SessionRow[]
}

/** A session as the methods that change one return it. */
export interface SessionEntry {
  sessionId: string
  updatedAt: number
  label?: string
  [setting: string]: unknown
}

export interface ResolvedNames {
  modelProvider: string
  model: string
}

export interface ChatMessage {
  /** `system`: what the house tells the model, such as a sub-agent's end; `__openclaw.kind` says what. */
  role: 'user' | 'assistant' | 'toolResult' | 'system'
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
  /** Of a message from another conversation (openclaw-facts.md §D2). */
  provenance?: { kind: 'inter_session'; sourceSessionKey: string; sourceTool: string }
  /** `runId`: wire id of the turn that wrote it. */
  __openclaw: { id: string; seq: number; kind?: string; runId?: string }
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
  defaults: SessionDefaults
  /** Null before the first message. */
  sessionInfo: SessionRow | null
  thinkingLevel: string
  verboseLevel?: string
}

export interface SessionResults {
  'chat.send': {
    runId: string
    status: 'started' | 'in_flight' | 'ok'
    /** Set when the message was a command that stopped something. */
    aborted?: boolean
    runIds?: readonly string[]
  }
  'chat.history': ChatHistory
  'chat.startup': ChatHistory
  'chat.message.get': { ok: boolean; message?: ChatMessage; unavailableReason?: string }
  'chat.inject': { ok: true; messageId: string }
  'chat.abort': { ok: true; aborted: boolean; runIds: readonly string[] }
  'sessions.list': SessionsList
  'sessions.describe': {
    session: SessionRow | null
    /** These four as openclaw-node reads them. */
    key: string
    exists: boolean
    status?: string
    activeRunId?: string | null
    lastActivityAt?: number
  }
  'sessions.resolve': { ok: true; key: string; agentId: string } | { ok: false }
  'sessions.preview': {
    ts: number
    previews: readonly {
      key: string
      status: 'ok' | 'empty' | 'missing'
      items: readonly { role: string; text: string }[]
    }[]
  }
  'sessions.get': { messages: readonly ChatMessage[] }
  'sessions.create': {
    ok: true
    key: string
    sessionId: string
    entry: SessionEntry
    resolved?: ResolvedNames
    runStarted: boolean
    runId?: string
    messageSeq?: number
  }
  'sessions.send': SentMessage
  'sessions.steer': SentMessage
  'sessions.abort': { ok: true; abortedRunId: string | null; status: 'aborted' | 'no-active-run' }
  'sessions.patch': { ok: true; path: string; key: string; entry: SessionEntry; resolved?: ResolvedNames }
  'sessions.reset': { ok: true; key: string; entry: SessionEntry; resolved?: ResolvedNames }
  'sessions.delete': { ok: true; key: string; deleted: boolean; archived: readonly string[] }
  'sessions.compact': {
    ok: true
    key: string
    compacted: boolean
    undone?: boolean
    reason?: string
    kept?: number
    runId?: string
    tokensBefore?: number
    tokensAfter?: number
  }
  'sessions.subscribe': { subscribed: true; list?: SessionsList }
  'sessions.unsubscribe': { subscribed: false }
  'sessions.messages.subscribe': { subscribed: true; key: string }
  'sessions.messages.unsubscribe': { subscribed: false; key: string }
}

export interface SentMessage {
  runId: string
  status: 'started' | 'in_flight' | 'ok'
  messageSeq?: number
}
