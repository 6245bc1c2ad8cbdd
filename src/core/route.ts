/**
 * Session keys: the names under which conversations are known on the wire (openclaw-facts.md §D4).
 *
 * Owns the grammar: what a key means, and how one is written. Never looks anything up: whether there is such an agent or
 * session is not known here. A return address is a session's id, never its key (decisions.md 5).
 * Invariants: a built key is its own normal form; parsing what was built gives back what it was built from; a channel is
 * never named like one of the fixed forms, so that no two forms share a key.
 */

export type DmScope = 'main' | 'per-peer' | 'per-channel-peer' | 'per-account-channel-peer'

export type SessionKey =
  | { kind: 'main'; agent: string }
  /** One id; several in a key that 2026.4.12 made, which nested them. */
  | { kind: 'subagent'; agent: string; ids: readonly string[] }
  /** `channel` and `account` are null where the scope leaves them out. */
  | { kind: 'direct'; agent: string; channel: string | null; account: string | null; peer: string }
  | {
      kind: 'group' | 'channel'
      agent: string
      channel: string
      peer: string
      topic: string | null
      thread: string | null
    }
  | { kind: 'cron'; agent: string; job: string; run: string | null }
  | { kind: NamedKind; agent: string; id: string }
  /** Well-formed, but none of the above: kept as it is. */
  | { kind: 'other'; agent: string; rest: string }
  /** Sentinels of clients; they belong to no agent. */
  | { kind: 'global' | 'unknown' }

export type NamedKind = (typeof namedKinds)[number]
const namedKinds = ['dashboard', 'hook', 'openai', 'openresponses', 'acp', 'explicit'] as const
const fixedWords: readonly string[] = [...namedKinds, 'main', 'subagent', 'direct', 'group', 'channel', 'cron']

const agentForm = /^[a-z0-9][a-z0-9_-]{0,63}$/
const maxKeyLength = 512

/** An agent id as it is stored: lower case, other characters as `-`; null when nothing is left of it. */
export function agentId(raw: string): string | null {
  const id = raw
    .trim()
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, 64)
    .replace(/-+$/, '')
  return agentForm.test(id) ? id : null
}

/**
 * What a key means, as a caller may write it: any case, the alias `main`, `hook:<x>`, or a bare name, which is an explicit
 * session of the default agent. Null when it is no key.
 */
export function parseKey(raw: string, defaultAgent: string): SessionKey | null {
  const key = raw.trim().toLowerCase()
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a key must not contain
  if (key === '' || key.length > maxKeyLength || /[\s\u0000-\u001f\u007f]/.test(key)) return null
  if (key === 'global' || key === 'unknown') return { kind: key }
  if (key === 'main') return { kind: 'main', agent: defaultAgent }
  if (!key.startsWith('agent:')) {
    const hook = /^hook:(.+)$/.exec(key)?.[1]
    return hook ? { kind: 'hook', agent: defaultAgent, id: hook } : { kind: 'explicit', agent: defaultAgent, id: key }
  }
  const parts = /^agent:([^:]+):(.+)$/.exec(key)
  const [, agent = '', rest = ''] = parts ?? []
  return agentForm.test(agent) ? (fixed(agent, rest) ?? ofChannel(agent, rest) ?? { kind: 'other', agent, rest }) : null
}

export function buildKey(key: SessionKey): string {
  if (!('agent' in key)) return key.kind
  return `agent:${key.agent}:${restOf(key)}`.toLowerCase()
}

/** The session of a direct message, by how far `session.dmScope` tells them apart. */
export function directKey(
  scope: DmScope,
  from: { agent: string; channel: string; account: string; peer: string },
): SessionKey {
  const { agent, peer } = from
  if (scope === 'main') return { kind: 'main', agent }
  const channel = scope === 'per-peer' ? null : from.channel
  const account = scope === 'per-account-channel-peer' ? from.account : null
  return { kind: 'direct', agent, channel, account, peer }
}

function fixed(agent: string, rest: string): SessionKey | null {
  if (rest === 'main') return { kind: 'main', agent }
  const nested = /^subagent:([^:]+(?::subagent:[^:]+)*)$/.exec(rest)?.[1]
  if (nested) return { kind: 'subagent', agent, ids: nested.split(':subagent:') }
  const [, job, run] = /^cron:(.+?)(?::run:([^:]+))?$/.exec(rest) ?? []
  if (job) return { kind: 'cron', agent, job, run: run ?? null }
  const peer = /^direct:(.+)$/.exec(rest)?.[1]
  if (peer) return { kind: 'direct', agent, channel: null, account: null, peer }
  const [, kind, id] = /^([a-z]+):(.+)$/.exec(rest) ?? []
  return id && isNamedKind(kind) ? { kind, agent, id } : null
}

function ofChannel(agent: string, rest: string): SessionKey | null {
  const [, channel = '', after = ''] = /^([a-z0-9][a-z0-9_-]*):(.+)$/.exec(rest) ?? []
  if (after === '' || fixedWords.includes(channel)) return null
  const [, kind, peer, what, id] = /^(group|channel):(.+?)(?::(topic|thread):(.+))?$/.exec(after) ?? []
  if (peer) {
    const topic = what === 'topic' ? (id ?? null) : null
    const thread = what === 'thread' ? (id ?? null) : null
    return { kind: kind === 'group' ? 'group' : 'channel', agent, channel, peer, topic, thread }
  }
  const [, account, whom] = /^(?:([^:]+):)?direct:(.+)$/.exec(after) ?? []
  return whom ? { kind: 'direct', agent, channel, account: account ?? null, peer: whom } : null
}

function restOf(key: Exclude<SessionKey, { kind: 'global' | 'unknown' }>): string {
  switch (key.kind) {
    case 'main':
      return 'main'
    case 'subagent':
      return key.ids.map(id => `subagent:${id}`).join(':')
    case 'direct':
      return [key.channel, key.channel === null ? null : key.account, 'direct', key.peer].filter(Boolean).join(':')
    case 'group':
    case 'channel': {
      const within = key.topic !== null ? `:topic:${key.topic}` : key.thread !== null ? `:thread:${key.thread}` : ''
      return `${key.channel}:${key.kind}:${key.peer}${within}`
    }
    case 'cron':
      return key.run === null ? `cron:${key.job}` : `cron:${key.job}:run:${key.run}`
    case 'other':
      return key.rest
    default:
      return `${key.kind}:${key.id}`
  }
}

function isNamedKind(word: string | undefined): word is NamedKind {
  return (namedKinds as readonly (string | undefined)[]).includes(word)
}
