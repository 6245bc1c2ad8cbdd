/**
 * Rows of channel_pairings: who waits to be let in to write, and who was let in (core/admission.ts decides).
 *
 * Owns the statements. A row is `pending` until it is decided, expired or taken back; one that was approved stays as the
 * sender's admission, until somebody removes it.
 */
import type { Selectable } from 'kysely'
import { codeLivesMs, type Guest, knock, mostWaiting, waitingWith } from '../core/admission.ts'
import type { Route } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { SenderDecision, SenderList } from '../protocol/results.ts'
import { apply } from './apply.ts'
import type { Tx } from './open.ts'
import type { ChannelPairingsTable } from './tables-pairing.ts'

export interface Stranger {
  channel: string
  account: string
  sender: string
  label: string | null
}

/** What somebody is told who was let in. */
export const welcome = 'You have been let in. Write to me as you like; /help shows the commands.'

/** What is to be said to a stranger: their new code, or null for silence. In the caller's transaction. */
export async function knocked(
  tx: Tx,
  who: Stranger,
  fresh: { id: string; code: string; now: number; expiresAt: number },
): Promise<string | null> {
  const decided = knock(await guestsOf(tx, who), who.sender, fresh.now)
  if (decided.over.length > 0) await tx.deleteFrom('channel_pairings').where('id', 'in', decided.over).execute()
  if (decided.answer === 'quiet')
    await tx
      .updateTable('channel_pairings')
      .set({ last_seen_at: fresh.now, label: who.label })
      .where('id', '=', decided.seen)
      .execute()
  if (decided.answer !== 'code') return null
  const { now, ...made } = fresh
  await tx
    .insertInto('channel_pairings')
    .values({
      ...who,
      id: made.id,
      code: made.code,
      state: 'pending',
      created_at: now,
      last_seen_at: now,
      expires_at: made.expiresAt,
    })
    .execute()
  return made.code
}

export async function isAdmitted(
  db: Tx,
  at: { channel: string; account: string; senders: readonly string[] },
): Promise<boolean> {
  const row = await db
    .selectFrom('channel_pairings')
    .select('id')
    .where('channel', '=', at.channel)
    .where('account', '=', at.account)
    .where('state', '=', 'approved')
    .where('sender', 'in', [...at.senders])
    .executeTakeFirst()
  return row !== undefined
}

/** Everybody, newest first; those whose time is up left out. */
export async function listGuests(db: Tx, now: number): Promise<Guest[]> {
  const rows = await db.selectFrom('channel_pairings').selectAll().orderBy('created_at', 'desc').execute()
  return rows.map(guestOf).filter(guest => guest.state === 'approved' || guest.expiresAt > now)
}

export interface Named {
  channel: string
  account?: string | undefined
}

/** Lets the one who waits in. Throws SENDER_CODE_UNKNOWN. */
export async function admit(
  tx: Tx,
  at: Named,
  asked: { code: string } | { id: string },
  by: { who: string; now: number; notice?: string | undefined },
): Promise<Guest> {
  const guest = await waiting(tx, at, asked, by.now)
  const { channel, account, sender } = guest
  await tx
    .deleteFrom('channel_pairings')
    .where('channel', '=', channel)
    .where('account', '=', account)
    .where('sender', '=', sender)
    .where('state', '=', 'approved')
    .execute()
  await tx.updateTable('channel_pairings').set({ state: 'approved' }).where('id', '=', guest.id).execute()
  await audit(tx, by, 'sender.approve', guest)
  if (by.notice !== undefined) await tell(tx, guest, by.notice, by.now)
  return { ...guest, state: 'approved' }
}

/** Turns the one who waits down; they may ask again. Throws SENDER_CODE_UNKNOWN. */
export async function dismiss(
  tx: Tx,
  at: Named,
  asked: { code: string } | { id: string },
  by: { who: string; now: number },
): Promise<Guest> {
  const guest = await waiting(tx, at, asked, by.now)
  await tx.deleteFrom('channel_pairings').where('id', '=', guest.id).execute()
  await audit(tx, by, 'sender.reject', guest)
  return guest
}

/** To where they wrote from: the message with the code knows. */
async function tell(tx: Tx, guest: Guest, text: string, at: number): Promise<void> {
  const asked = await tx.selectFrom('outbox').select('route').where('key', '=', knockKey(guest.id)).executeTakeFirst()
  if (!asked) return
  const route = JSON.parse(asked.route) as Route
  await apply(tx, [
    { do: 'outbox.put', session: '', run: null, key: `let-in:${guest.id}`, route, content: { text }, at },
  ])
}

/** Of the outbox row that tells a stranger their code. */
export function knockKey(request: string): string {
  return `knock:${request}`
}

async function waiting(tx: Tx, at: Named, asked: { code: string } | { id: string }, now: number): Promise<Guest> {
  const found = waitingWith(await guestsOf(tx, at), asked, now)
  if (found) return found
  const by = 'id' in asked ? asked.id : asked.code
  throw new DeputyError('SENDER_CODE_UNKNOWN', `Nobody waits at ${at.channel} with ${JSON.stringify(by.slice(0, 40))}.`)
}

async function guestsOf(db: Tx, at: Named): Promise<Guest[]> {
  const every = db.selectFrom('channel_pairings').selectAll().where('channel', '=', at.channel)
  const rows = await (at.account === undefined ? every : every.where('account', '=', at.account)).execute()
  return rows.map(guestOf)
}

async function audit(tx: Tx, { who, now }: { who: string; now: number }, what: string, guest: Guest): Promise<void> {
  const { channel, account, sender } = guest
  await tx
    .insertInto('audit')
    .values({ at: now, who, what, details: JSON.stringify({ channel, account, sender }) })
    .execute()
}

function guestOf(row: Selectable<ChannelPairingsTable>): Guest {
  return {
    id: row.id,
    channel: row.channel,
    account: row.account,
    sender: row.sender,
    label: row.label,
    code: row.code,
    state: row.state as Guest['state'],
    createdAt: row.created_at,
    lastSeenAt: row.last_seen_at,
    expiresAt: row.expires_at,
  }
}

/** As the wire has it (openclaw-facts.md §C4). */
export function senderList(
  all: readonly Guest[],
  about: { accounts: SenderList['accounts']; ownerKnown: boolean },
): SenderList {
  const of = ({ channel, account, sender, label }: Guest) => ({
    channel,
    accountId: account,
    senderId: sender,
    senderLabel: label,
  })
  return {
    accounts: about.accounts,
    requests: all
      .filter(({ state }) => state === 'pending')
      .map(guest => ({
        requestId: guest.id,
        ...of(guest),
        code: guest.code,
        createdAt: guest.createdAt,
        lastSeenAt: guest.lastSeenAt,
        expiresAt: guest.expiresAt,
      })),
    approved: all.filter(({ state }) => state === 'approved').map(guest => ({ ...of(guest), since: guest.createdAt })),
    commandOwnerConfigured: about.ownerKnown,
    limits: { pendingPerAccount: mostWaiting, ttlMs: codeLivesMs },
  }
}

export function decided({ id, channel, account, sender }: Guest): SenderDecision {
  return { ok: true, requestId: id, channel, accountId: account, senderId: sender }
}
