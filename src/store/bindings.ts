/**
 * Rows of thread_bindings: which place of a chat service belongs to which conversation (core/binding.ts decides).
 *
 * Owns the statements. A row is live until it has an end, and is never changed after it. Every function runs in the caller's
 * transaction; those that change something are told by their answer whether they did.
 */
import type { Selectable } from 'kysely'
import {
  type Binding,
  type BindingEnd,
  type BindingRules,
  type BoundWork,
  farewell,
  limitsOf,
  released,
} from '../core/binding.ts'
import type { Route } from '../core/types.ts'
import { apply } from './apply.ts'
import { liveRunOf, openSessionByKey } from './facts.ts'
import type { Tx } from './open.ts'
import type { ThreadBindingsTable } from './tables.ts'

/** Binds a place; what it was bound to before ends as `replaced`. */
export async function bind(
  tx: Tx,
  what: { place: Route; session: { agent: string; key: string }; run: string | null; by: string; at: number },
): Promise<Binding> {
  const { place, session, run, by, at } = what
  const before = await boundAt(tx, place)
  if (before) await endBinding(tx, before, 'replaced', at)
  const row = await tx
    .insertInto('thread_bindings')
    .values({
      ...columnsOf(place),
      agent: session.agent,
      session_key: session.key,
      run,
      bound_by: by,
      created_at: at,
      active_at: at,
      idle_ms: null,
      max_age_ms: null,
      ended_at: null,
      ended_why: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  return bindingOf(row)
}

/** The live binding of exactly this place. */
export async function boundAt(db: Tx, place: Route): Promise<Binding | null> {
  const [row] = await db.ask(atPlace, columnsOf(place))
  return row ? bindingOf(row) : null
}

const atPlace = (db: Tx, at: ReturnType<typeof columnsOf>) =>
  db
    .selectFrom('thread_bindings')
    .selectAll()
    .where('channel', '=', at.channel)
    .where('account', '=', at.account)
    .where('chat', '=', at.chat)
    .where('thread', '=', at.thread)
    .where('ended_at', 'is', null)

/** Something was written there. False when the binding is over. */
export async function touchBinding(tx: Tx, id: number, at: number): Promise<boolean> {
  const done = await tx
    .updateTable('thread_bindings')
    .set({ active_at: at })
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows > 0n
}

/** Null takes a limit of its own away; what is left out stays. False when the binding is over. */
export async function limitBinding(
  tx: Tx,
  id: number,
  to: { idleMs?: number | null; maxAgeMs?: number | null },
): Promise<boolean> {
  const done = await tx
    .updateTable('thread_bindings')
    .set({
      ...(to.idleMs === undefined ? {} : { idle_ms: to.idleMs }),
      ...(to.maxAgeMs === undefined ? {} : { max_age_ms: to.maxAgeMs }),
    })
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows > 0n
}

/** Ends it: a sub-agent that was bound there has its words told there no more. False when it was over before. */
export async function endBinding(
  tx: Tx,
  { id, place, sessionKey }: Pick<Binding, 'id' | 'place' | 'sessionKey'>,
  why: BindingEnd,
  at: number,
): Promise<boolean> {
  const done = await tx
    .updateTable('thread_bindings')
    .set({ ended_at: at, ended_why: why })
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  if (done.numUpdatedRows === 0n) return false
  const session = await openSessionByKey(tx, sessionKey)
  if (session && session.depth > 0) await apply(tx, released(session, await liveRunOf(tx, session.id), place))
  return true
}

/** Ends it, and says so at the place. False when it was over before. */
export async function endWithWord(
  tx: Tx,
  binding: Binding,
  end: { why: BindingEnd; rules: BindingRules; at: number },
): Promise<boolean> {
  const { why, rules, at } = end
  if (!(await endBinding(tx, binding, why, at))) return false
  const text = farewell(why, binding.place, await nameOfBound(tx, binding), limitsOf(binding, rules))
  // Of the house, not of the conversation: that may be gone.
  const key = `unbound:${binding.id}`
  await apply(tx, [{ do: 'outbox.put', session: '', run: null, key, route: binding.place, content: { text }, at }])
  return true
}

/** Ends the live ones of these conversations, with a word at each place; returns how many. */
export async function endBindingsOf(
  tx: Tx,
  sessionKeys: readonly string[],
  why: Exclude<BindingEnd, 'idle' | 'max-age'>,
  at: number,
): Promise<number> {
  const bindings = await bindingsOf(tx, sessionKeys)
  for (const binding of bindings) await endWithWord(tx, binding, { why, rules: { idleMs: 0, maxAgeMs: 0 }, at })
  return bindings.length
}

/** What people call the conversation of a binding: its label, else whose it is. One line. */
export async function nameOfBound(db: Tx, { sessionKey, agent }: Binding): Promise<string> {
  const session = await db
    .selectFrom('sessions')
    .select(['label', 'depth'])
    .where('key', '=', sessionKey)
    .orderBy('created_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  const name = (session?.label ?? '').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
  if (name === '') return session && session.depth > 0 ? `the sub-agent ${agent}` : agent
  return `“${name.slice(0, 60)}”`
}

/** Live ones of these conversations. */
export async function bindingsOf(db: Tx, sessionKeys: readonly string[]): Promise<Binding[]> {
  if (sessionKeys.length === 0) return []
  const rows = await db
    .selectFrom('thread_bindings')
    .selectAll()
    .where('session_key', 'in', [...sessionKeys])
    .where('ended_at', 'is', null)
    .orderBy('id')
    .execute()
  return rows.map(bindingOf)
}

/** Every live one, oldest first. */
export async function liveBindings(db: Tx): Promise<Binding[]> {
  const rows = await db.selectFrom('thread_bindings').selectAll().where('ended_at', 'is', null).orderBy('id').execute()
  return rows.map(bindingOf)
}

export async function bindingById(db: Tx, id: number): Promise<Binding | null> {
  const row = await db.selectFrom('thread_bindings').selectAll().where('id', '=', id).executeTakeFirst()
  return row ? bindingOf(row) : null
}

/** How the conversation of a binding stands. */
export async function workOf(db: Tx, sessionKey: string): Promise<BoundWork> {
  const session = await openSessionByKey(db, sessionKey)
  if (!session) return { open: false, live: false, lastEnd: null }
  const live = (await liveRunOf(db, session.id)) !== null
  const { last } = await db
    .selectFrom('runs')
    .select(eb => eb.fn.max('ended_at').as('last'))
    .where('session', '=', session.id)
    .executeTakeFirstOrThrow()
  return { open: true, live, lastEnd: live ? null : last }
}

function columnsOf({ channel, account, to, thread }: Route) {
  return { channel, account, chat: to, thread: thread ?? '' }
}

function bindingOf(row: Selectable<ThreadBindingsTable>): Binding {
  const thread = row.thread === '' ? {} : { thread: row.thread }
  return {
    id: row.id,
    place: { channel: row.channel, account: row.account, to: row.chat, ...thread },
    agent: row.agent,
    sessionKey: row.session_key,
    run: row.run,
    by: row.bound_by,
    createdAt: row.created_at,
    activeAt: row.active_at,
    idleMs: row.idle_ms,
    maxAgeMs: row.max_age_ms,
    endedAt: row.ended_at,
    why: row.ended_why as BindingEnd | null,
  }
}
