/**
 * Outbox rows and the machine's view of them (core/delivery.ts).
 *
 * Owns the mapping both ways, putting a row, and that the final words of a reply that has been growing in the chat take over
 * its row instead of making another: in one transaction with what made them final. Decides nothing else and sends nothing.
 */
import type { Insertable, Selectable } from 'kysely'
import type { Content } from '../core/chat.ts'
import { type Delivery, step } from '../core/delivery.ts'
import { interimKey } from '../core/ids.ts'
import { openedFor, openerKey, placeOf } from '../core/opening.ts'
import type { Effect } from '../core/run/facts.ts'
import type { Route } from '../core/types.ts'
import type { Tx } from './open.ts'
import type { OutboxTable } from './tables.ts'

export interface OutboxRow extends Delivery {
  session: string
  run: string | null
  key: string
  route: Route
  content: Content
  /** As it was cut at the first try; null before it. */
  cut: readonly Content[] | null
}

type Put = Effect & { do: 'outbox.put' }

export async function putOutbox(tx: Tx, given: Put): Promise<void> {
  const effect = given.content.opens ? given : { ...given, route: await placed(tx, given.route) }
  if (effect.grown && effect.run !== null) {
    const [growing] = await tx.ask(growingRow, growingOf(effect.run, effect.route))
    const done = growing && step(outboxOf(growing), { on: 'finish', now: effect.at })
    if (done?.ok) {
      const words = { key: effect.key, payload: JSON.stringify(effect.content) }
      await tx
        .updateTable('outbox')
        .set({ ...deliveryColumns(done.row), ...words })
        .where('id', '=', done.row.id)
        .execute()
      return
    }
  }
  await tx.ask(insert, outboxRow(effect, 'pending'))
}

/**
 * Where a route leads now: one that was read while a thread was being opened leads to the thread once it is there, or to the
 * chat that asked for it (core/opening.ts O2).
 */
export async function placed(tx: Tx, route: Route): Promise<Route> {
  const run = openedFor(route)
  if (run === null) return route
  const [row] = await tx.ask(rowOfKey, openerKey(run))
  const { thread: _, ...chat } = route
  // An opener is kept for days, and nothing that speaks of it for as long.
  const place = row ? placeOf(outboxOf(row)) : chat
  return place === null ? route : placed(tx, place)
}

const rowOfKey = (db: Tx, key: string) => db.selectFrom('outbox').selectAll().where('key', '=', key)

/** Carries out that an open row goes elsewhere. */
export async function moveOutbox(tx: Tx, effect: Effect & { do: 'outbox.move' }): Promise<void> {
  const { id, dead, at } = effect
  const route = await placed(tx, effect.route)
  await tx
    .updateTable('outbox')
    .set({
      channel: route.channel,
      account: route.account,
      chat: route.to,
      route: JSON.stringify(route),
      updated_at: at,
      ...(dead === null ? {} : { state: 'dead', error: dead }),
    })
    .where('id', '=', id)
    .where('state', 'not in', ['sent', 'dead'])
    .execute()
}

/** A row of words that go on growing: put before they are shown for the first time. */
export async function putGrowing(tx: Tx, effect: Put): Promise<number> {
  const [row] = await tx.insertInto('outbox').values(outboxRow(effect, 'streaming')).returning('id').execute()
  return row!.id
}

/** The row of the words that a run is just writing to its chat. */
export const growingRow = (db: Tx, of: { run: string; channel: string; account: string; chat: string }) =>
  db
    .selectFrom('outbox')
    .selectAll()
    .where('channel', '=', of.channel)
    .where('account', '=', of.account)
    .where('chat', '=', of.chat)
    .where('state', 'not in', ['sent', 'dead'])
    .where('state', '=', 'streaming')
    .where('run', '=', of.run)
    .limit(1)

/** Whether the words of a reply have been put, sent or not. */
export async function isSaid(db: Tx, run: string, step: number): Promise<boolean> {
  const found = await db.selectFrom('outbox').select('id').where('key', '=', interimKey(run, step)).executeTakeFirst()
  return found !== undefined
}

/** The key of a first showing: found again by it when the row has got the key of its final words. */
export function growingKey({ run, createdAt }: Pick<OutboxRow, 'run' | 'createdAt'>): string {
  return `${run}:growing:${createdAt}`
}

/** What was said at this place and has not reached it, words that grow left out. */
export async function unsaid(tx: Tx, route: Route): Promise<OutboxRow[]> {
  const rows = await tx.ask(openRows, { channel: route.channel, account: route.account, chat: route.to })
  return rows.map(outboxOf).filter(row => row.state !== 'streaming' && row.route.thread === route.thread)
}

/** Whether a thread of this chat is being opened, and may be there already without our knowing which it is. */
export async function opensIn(db: Tx, { channel, account, to }: Route): Promise<boolean> {
  const rows = await db.ask(openRows, { channel, account, chat: to })
  return rows.map(outboxOf).some(row => row.opens && row.attempt > 0)
}

const openRows = (db: Tx, of: { channel: string; account: string; chat: string }) =>
  db
    .selectFrom('outbox')
    .selectAll()
    .where('channel', '=', of.channel)
    .where('account', '=', of.account)
    .where('chat', '=', of.chat)
    .where('state', 'not in', ['sent', 'dead'])

export function growingOf(run: string, route: Route) {
  return { run, channel: route.channel, account: route.account, chat: route.to }
}

const insert = (db: Tx, row: Insertable<OutboxTable>) => db.insertInto('outbox').values(row)

function outboxRow(effect: Put, state: 'pending' | 'streaming') {
  const { channel, account, to }: Route = effect.route
  return {
    session: effect.session,
    run: effect.run,
    key: effect.key,
    channel,
    account,
    chat: to,
    route: JSON.stringify(effect.route),
    payload: JSON.stringify(effect.content),
    state,
    attempt: 0,
    remote_id: null,
    error: null,
    not_before: 0,
    doubt_since: null,
    orphan: 0,
    part: 0,
    parts: null,
    remote_ids: null,
    created_at: effect.at,
    updated_at: effect.at,
  }
}

/** What the machine may change. */
export function deliveryColumns(row: Delivery) {
  return {
    state: row.state,
    attempt: row.attempt,
    doubt_since: row.doubtSince,
    orphan: Number(row.orphan),
    remote_id: row.remoteId,
    error: row.error,
    not_before: row.notBefore,
    part: row.part,
    remote_ids: row.remoteIds.length > 0 ? JSON.stringify(row.remoteIds) : null,
    updated_at: row.updatedAt,
  }
}

export function outboxOf(row: Selectable<OutboxTable>): OutboxRow {
  const route = JSON.parse(row.route) as Route
  const cut = row.parts === null ? null : (JSON.parse(row.parts) as Content[])
  const content = JSON.parse(row.payload) as Content
  return {
    id: row.id,
    chat: [row.channel, row.account, row.chat, route.thread ?? ''].join('\n'),
    state: row.state as Delivery['state'],
    attempt: row.attempt,
    doubtSince: row.doubt_since,
    orphan: row.orphan === 1,
    remoteId: row.remote_id,
    error: row.error,
    notBefore: row.not_before,
    parts: cut?.length ?? 0,
    part: row.part,
    opens: content.opens !== undefined,
    remoteIds: row.remote_ids === null ? [] : (JSON.parse(row.remote_ids) as (string | null)[]),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    session: row.session,
    run: row.run,
    key: row.key,
    route,
    content,
    cut,
  }
}
