/**
 * Which rows of the outbox a pass has to look at. Owns the two questions; decides nothing.
 *
 * Accounts are asked one by one, and of each chat only its oldest rows: neither an account that is away nor a chat that is
 * stuck with thousands of messages hides the others.
 */
import { sql } from 'kysely'
import type { Route } from '../core/types.ts'
import type { Tx } from '../store/open.ts'
import { outboxOf, type OutboxRow } from '../store/outbox.ts'

/** Rows of one chat in one look: more than one, since those in doubt for long let others pass. */
const deep = 8
const atOnce = 500

export async function accountsWith(db: Tx): Promise<Pick<Route, 'channel' | 'account'>[]> {
  return db
    .selectFrom('outbox')
    .select(['channel', 'account'])
    .distinct()
    .where('state', 'not in', ['sent', 'dead'])
    .execute()
}

export async function headRows(db: Tx, place: Pick<Route, 'channel' | 'account'>): Promise<OutboxRow[]> {
  const rows = await db
    .with('open', from =>
      from
        .selectFrom('outbox')
        .select(['id', sql<number>`row_number() over (partition by chat, route order by id)`.as('nth')])
        .where('channel', '=', place.channel)
        .where('account', '=', place.account)
        .where('state', 'not in', ['sent', 'dead', 'streaming']),
    )
    .selectFrom('open')
    .innerJoin('outbox', 'outbox.id', 'open.id')
    .selectAll('outbox')
    .where('open.nth', '<=', deep)
    .orderBy('outbox.id')
    .limit(atOnce)
    .execute()
  return rows.map(outboxOf)
}
