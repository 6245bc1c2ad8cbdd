/**
 * What a tool may be told of the house: sub-agents, other conversations, how things stand.
 *
 * Owns shapes only. The agent room answers, from committed rows and within reach of the run that asks.
 */
import type { Purse } from './types.ts'

export interface ChildFacts {
  index: number
  run: string
  /** The calling run started it: it may wait for it, steer and end it. Others of its conversation it may read only. */
  own: boolean
  sessionKey: string
  agent: string
  label: string | null
  taskName: string | null
  task: string
  state: string
  outcome: string | null
  model: string
  runtimeMs: number
  totalTokens: number
  startedAt: number | null
  endedAt: number | null
}

/** A conversation as another one may see it. */
export interface SessionFacts {
  key: string
  agent: string
  label: string | null
  kind: SessionKind
  /** Key of the one that spawned it. */
  parent: string | null
  state: 'idle' | 'queued' | 'running' | 'waiting'
  model: string
  updatedAt: number
  /** Where asked for: its first words, its newest ones, its newest messages. */
  title?: string
  last?: string
  messages?: readonly HistoryLine[]
}

export type SessionKind = 'main' | 'group' | 'cron' | 'hook' | 'subagent' | 'other'

/** Which conversations are to be listed (openclaw-facts.md §D2); what is left out narrows nothing. */
export interface SessionFilter {
  agent?: string | undefined
  /** In key or label. */
  search?: string | undefined
  label?: string | undefined
  activeMinutes?: number | undefined
  /** With a run that has not ended. */
  activeOnly?: boolean | undefined
  /** `other` takes sub-agents in. */
  kinds?: readonly string[] | undefined
  excludeSubagents?: boolean | undefined
  pinned?: boolean | undefined
  group?: string | undefined
  /** Only those that were put away; else only the others. */
  archived?: boolean | undefined
  offset: number
  limit: number
  /** What each is shown with. */
  titles?: boolean | undefined
  last?: boolean | undefined
  messages?: number | undefined
}

/** One message of a conversation, its secrets and thinking taken out. */
export interface HistoryLine {
  seq: number
  role: 'user' | 'assistant' | 'tool' | 'event'
  at: number
  text: string
  /** Who wrote it, when it was not a person or the agent itself. */
  from?: string
  tool?: string
}

export interface StatusFacts extends SessionFacts {
  run: string | null
  thinking: string | null
  depth: number
  tools: readonly string[]
  startedAt: number | null
  deadlineAt: number | null
  tokens: number
  costNano: number
  /** What the run's budget has left. */
  left: Purse | null
}

export interface ResultFacts {
  outcome: string | null
  error: string | null
  evidence: readonly string[]
  /** Null when it has said nothing. Of a run that did not succeed: the last that it said. */
  text: string | null
}

/** What is asked for, or a sentence why it is not to be had. */
export type Maybe<T> = { ok: true; found: T } | { ok: false; problem: string }

/** What a tool may know of the house, handed to it by the agent room. Reads only committed facts. */
export interface ToolFacts {
  /** Key of the caller's own conversation. */
  self: string
  /** Sub-agents of the caller's conversation. */
  children(recentMinutes: number): Promise<readonly ChildFacts[]>
  /** What a sub-agent of the caller's conversation has handed in so far. */
  result(run: string): Promise<ResultFacts | null>
  /** Conversations that the caller may see, newest first. */
  sessions(filter: SessionFilter): Promise<{ sessions: readonly SessionFacts[]; total: number }>
  /** The newest `limit` messages before `before`, oldest first; `skip` of the newest are passed over. By key or id. */
  history(
    key: string,
    options: { limit: number; before?: number | undefined; skip?: number | undefined; tools: boolean },
  ): Promise<Maybe<{ key: string; lines: readonly HistoryLine[]; more: boolean }>>
  /** `null` is the caller's own. */
  status(key: string | null): Promise<Maybe<StatusFacts>>
  agents(): { requester: string; allowAny: boolean; agents: readonly { id: string; name?: string; model?: string }[] }
}
