/**
 * Which conversations a run may look at and write to (openclaw-facts.md §D5: `tools.sessions.visibility`, `tools.agentToAgent`).
 *
 * Owns the rule. Invariants: its own and those of its own sub-agents are always in reach, unless only its own is; a sub-agent
 * reaches nothing else, unless "all" is set by name; conversations of two agents meet only where that is allowed. What is out
 * of reach is refused in the same words as what does not exist.
 */
import type { Sharing } from '../config/sharing.ts'
import { grantCovers } from '../core/grant.ts'
import type { Grant, Session } from '../core/types.ts'
import { loadSession, openSessionByKey, sessionOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { Policies } from './room.ts'

type Reach = 'self' | 'tree' | 'agent' | 'all'

export function reachOf(sharing: Sharing, self: Session): Reach {
  const { visibility } = sharing
  if (self.depth === 0) return visibility ?? 'all'
  return visibility === 'all' || visibility === 'self' ? visibility : 'tree'
}

const words: Record<Reach, string> = {
  self: 'your own conversation only',
  tree: 'your own conversation and those of your sub-agents',
  agent: 'conversations of your own agent',
  all: 'conversations of your own agent, and of others where tools.agentToAgent allows it',
}

/** The words of a refusal; the same whether it is out of reach or not there. */
export function outOfReach(sharing: Sharing, self: Session, wanted: string): string {
  return `There is no conversation ${JSON.stringify(wanted.slice(0, 200))} that you may reach. You reach ${words[reachOf(sharing, self)]}.`
}

export async function reaches(db: Tx, sharing: Sharing, self: Session, target: Session): Promise<boolean> {
  if (target.id === self.id) return true
  const reach = reachOf(sharing, self)
  if (reach === 'self') return false
  if (await descends(db, target, self)) return true
  if (reach === 'tree') return false
  if (reach === 'agent') return target.agent === self.agent
  return sharing.agentsMeet(self.agent, target.agent)
}

/** Whether a conversation is one of a sub-agent of another, however deep. */
export async function descends(db: Tx, target: Session, self: Session): Promise<boolean> {
  if (target.tree !== self.tree) return false
  let above = target.parentSession
  for (let depth = target.depth; above !== null && depth > self.depth; depth--) {
    if (above === self.id) return true
    const row = await db.selectFrom('sessions').select('parent_session').where('id', '=', above).executeTakeFirst()
    above = row?.parent_session ?? null
  }
  return false
}

/**
 * Whether what one conversation says to another may be followed there: it is that of who gave the other its task, or of one
 * that may all that the other's agent ever may. Anything else is data, also for those who read it later.
 */
export async function trusted(
  db: Tx,
  policies: Policies,
  from: { session: Session; grant: Grant },
  to: Session,
): Promise<boolean> {
  if (await descends(db, to, from.session)) return true
  return from.session.depth === 0 && grantCovers(from.grant, policies.rootGrant(to.agent, from.grant.scopes))
}

/** Newest conversations that are in reach. At most `most` rows are looked through. */
export async function inReach(db: Tx, sharing: Sharing, self: Session, most: number): Promise<Session[]> {
  const reach = reachOf(sharing, self)
  if (reach === 'self') return [self]
  let query = db.selectFrom('sessions').selectAll().where('closed_at', 'is', null)
  if (reach === 'tree') query = query.where('tree', '=', self.tree)
  if (reach === 'agent') query = query.where(eb => eb.or([eb('agent', '=', self.agent), eb('tree', '=', self.tree)]))
  const rows = (await query.orderBy('updated_at', 'desc').orderBy('id').limit(most).execute()).map(sessionOf)
  const found: Session[] = []
  for (const row of rows) if (await reaches(db, sharing, self, row)) found.push(row)
  return found
}

/** By key: the open one, else the newest that was closed; else by id. `main` is the caller's own agent's. */
export async function sessionByKey(db: Tx, agent: string, given: string): Promise<Session | null> {
  const key = given.trim().toLowerCase() === 'main' ? `agent:${agent}:main` : given.trim().toLowerCase()
  const open = await openSessionByKey(db, key)
  if (open) return open
  const row = await db
    .selectFrom('sessions')
    .selectAll()
    .where('key', '=', key)
    .orderBy('closed_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? sessionOf(row) : loadSession(db, given.trim())
}
