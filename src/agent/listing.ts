/**
 * Conversations in a list, as another one may have it: which of them, and a row of each (`sessions_list`, openclaw-facts.md §D2).
 *
 * Owns the filters and what a conversation is called. Who may see which is decided before (reach.ts). Committed rows only.
 */
import type { SessionFacts, SessionFilter, SessionKind } from '../core/ports.ts'
import type { Session } from '../core/types.ts'
import { messageOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { Policies } from './room.ts'

const titleLength = 120

/** By the form of its key (openclaw-facts.md §D4). */
export function kindOf({ key, agent, depth }: Pick<Session, 'key' | 'agent' | 'depth'>): SessionKind {
  if (depth > 0) return 'subagent'
  if (key === `agent:${agent}:main`) return 'main'
  const kind = /:(group|channel|cron|hook):/.exec(key)?.[1]
  if (kind === 'group' || kind === 'channel') return 'group'
  return kind === 'cron' || kind === 'hook' ? kind : 'other'
}

/** The page that is asked for, and how many there are in all. */
export async function listSessions(
  db: Tx,
  sessions: readonly Session[],
  filter: SessionFilter,
  now: number,
): Promise<{ listed: readonly Session[]; total: number }> {
  const { agent, label, activeMinutes, activeOnly, kinds, excludeSubagents, pinned, group, archived = false } = filter
  const since = activeMinutes === undefined ? 0 : now - activeMinutes * 60_000
  const wanted = filter.search?.toLowerCase()
  const found = sessions.filter(one => {
    const { settings = {} } = one
    const kind = kindOf(one)
    return (
      one.updatedAt >= since &&
      (agent === undefined || one.agent === agent.toLowerCase()) &&
      (label === undefined || one.label === label) &&
      (wanted === undefined || one.key.includes(wanted) || one.label?.toLowerCase().includes(wanted)) &&
      (kinds === undefined || kinds.includes(kind) || (kind === 'subagent' && kinds.includes('other'))) &&
      !(excludeSubagents && kind === 'subagent') &&
      (pinned === undefined || (settings.pinned ?? false) === pinned) &&
      (group === undefined || settings.category === group) &&
      (settings.archived ?? false) === archived
    )
  })
  const live = activeOnly ? await liveAmong(db, found) : null
  const left = live ? found.filter(one => live.has(one.id)) : found
  return { listed: left.slice(filter.offset, filter.offset + filter.limit), total: left.length }
}

async function liveAmong(db: Tx, sessions: readonly Session[]): Promise<Set<string>> {
  const rows = await db.selectFrom('runs').select('session').where('state', '<>', 'done').execute()
  const known = new Set(sessions.map(one => one.id))
  return new Set(rows.flatMap(row => (known.has(row.session) ? [row.session] : [])))
}

export async function sessionViews(db: Tx, policies: Policies, sessions: readonly Session[]): Promise<SessionFacts[]> {
  if (sessions.length === 0) return []
  const runs = await db
    .selectFrom('runs')
    .select(['session', 'state', 'model'])
    .where(
      'session',
      'in',
      sessions.map(one => one.id),
    )
    .where('state', '<>', 'done')
    .execute()
  const above = sessions.flatMap(one => one.parentSession ?? [])
  const parents =
    above.length === 0 ? [] : await db.selectFrom('sessions').select(['id', 'key']).where('id', 'in', above).execute()
  return sessions.map(session => {
    const live = runs.find(one => one.session === session.id)
    return {
      key: session.key,
      agent: session.agent,
      label: session.label,
      kind: kindOf(session),
      parent: parents.find(one => one.id === session.parentSession)?.key ?? null,
      state: live ? (live.state as SessionFacts['state']) : 'idle',
      model: live?.model ?? session.settings?.model ?? policies.model(session.agent),
      updatedAt: session.updatedAt,
    }
  })
}

/** What it began with, in one line. */
export async function firstWords(db: Tx, session: string): Promise<string> {
  const row = await db
    .selectFrom('messages')
    .selectAll()
    .where('session', '=', session)
    .where('role', '=', 'user')
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst()
  const parts = row ? messageOf(row).parts : []
  const text = parts.map(part => (part.type === 'text' ? part.text : '')).join(' ')
  return text
    .slice(0, titleLength * 4)
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, titleLength)
}
