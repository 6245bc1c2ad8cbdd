/**
 * A command's own row: that it was given, and where its answer stands (decisions.md 3 and 38).
 *
 * Owns rpc_keys rows without a run. Claimed before anything is done, so that a repeat never does it twice while it runs;
 * answered in the transaction that writes the words. The words stand in the transcript as events with no place in the
 * model's view (`ord` null and no inbox row): history shows them, no model ever does.
 */
import { carryOut, type After } from '../../agent/commit.ts'
import { finalKey } from '../../core/ids.ts'
import type { Effect } from '../../core/run/facts.ts'
import type { Message, Part, Route, Session } from '../../core/types.ts'
import { apply } from '../../store/apply.ts'
import { loadSession, messageOf, openSessionByKey } from '../../store/facts.ts'
import type { Tx } from '../../store/open.ts'
import { type Meant, newSession } from '../keys.ts'
import type { Accepted, TurnResult } from '../types.ts'

/** What makes two commands the same one. */
export interface Claim {
  principal: string
  method: string
  at: Meant
  key: string
  /** sha256 of what was sent. */
  payload: string
}

/** Where an answer's words stand; JSON in rpc_keys.answer. */
interface Place {
  session: string
  seq: number
  /** Whoever gave it may not. */
  refused?: true
}

/** Whether a command was answered with no more than that its sender may not give it. */
export function wasRefused(answer: string): boolean {
  return (JSON.parse(answer) as Place).refused === true
}

/** Methods whose keys may be commands'. */
const doors = ['chat.send', 'agent', 'sessions.send', 'ingest']

/** Makes the row, and the conversation when there is none. A claim that was left behind by a crash is taken up again. */
export async function claim(
  tx: Tx,
  { principal, method, at, key, payload }: Claim,
  fresh: { session: string; route: Route | null; now: number },
): Promise<{ session: Session; opened: boolean; since: number | null }> {
  const before = await tx
    .selectFrom('rpc_keys')
    .select('at')
    .where('principal', '=', principal)
    .where('method', '=', method)
    .where('session', '=', at.key)
    .where('key', '=', key)
    .executeTakeFirst()
  const found = await openSessionByKey(tx, at.key)
  const session = found ?? newSession(fresh.session, at, fresh.now, fresh.route)
  if (!before)
    await tx
      .insertInto('rpc_keys')
      .values({
        principal,
        method,
        session: at.key,
        key,
        payload,
        run: null,
        inbox: null,
        answered_turn: null,
        answer: null,
        at: fresh.now,
      })
      .execute()
  if (!found) await apply(tx, [{ do: 'session.put', session }])
  return { session, opened: found === null, since: before?.at ?? null }
}

export interface Words {
  asked: { id: string; parts: readonly Part[]; at: number }
  answered: { id: string; text: string; at: number }
  route: Route | null
  refused: boolean
  /** Id of the session row that the command began in: holds the words if its key means nothing any more. */
  session: string
}

/** Writes the words down and says where they are. The conversation is the key's open one, which the command may have made. */
export async function answer(
  tx: Tx,
  { principal, method, at, key }: Claim,
  { asked, answered, route, refused, session: began }: Words,
): Promise<{ after: After; session: Session; seq: number } | null> {
  const session = (await openSessionByKey(tx, at.key)) ?? (await loadSession(tx, began))
  if (!session) return null
  const seq = session.seq + 2
  const base = { session: session.id, ord: null, role: 'event' as const, run: null, step: null }
  const question: Message = {
    ...base,
    seq: seq - 1,
    id: asked.id,
    parts: asked.parts,
    at: asked.at,
    meta: { from: principal, idempotencyKey: key, command: 'asked' },
  }
  const words: Message = {
    ...base,
    seq,
    id: answered.id,
    parts: [{ type: 'text', text: answered.text }],
    at: answered.at,
    meta: { command: 'answered' },
  }
  const effects: Effect[] = [
    { do: 'message.put', message: question },
    { do: 'message.put', message: words },
  ]
  if (route)
    effects.push({
      do: 'outbox.put',
      session: session.id,
      run: null,
      key: finalKey(answered.id),
      route,
      content: { text: answered.text },
      at: answered.at,
    })
  const after = await carryOut(tx, effects, { sessions: [session], runs: [], at: answered.at })
  const place: Place = { session: session.id, seq, ...(refused && { refused }) }
  await tx
    .updateTable('rpc_keys')
    .set({ answer: JSON.stringify(place), answered_turn: 0 })
    .where('principal', '=', principal)
    .where('method', '=', method)
    .where('session', '=', at.key)
    .where('key', '=', key)
    .execute()
  return { after, session: { ...session, seq }, seq }
}

/** A repeat of a command that was answered; null for one that was not. */
export async function answeredBefore(
  tx: Tx,
  row: { key: string; answer: string | null; at: number },
): Promise<Accepted | null> {
  if (row.answer === null) return null
  const place = JSON.parse(row.answer) as Place
  const session = await loadSession(tx, place.session)
  if (!session) return null
  return { wireId: row.key, run: row.key, session, seq: place.seq, status: 'answered', acceptedAt: row.at }
}

/** What a command's wire id has come to; null when there is no such command. */
export async function commandResult(db: Tx, wireId: string): Promise<TurnResult | null> {
  const row = await db
    .selectFrom('rpc_keys')
    .selectAll()
    .where('key', '=', wireId)
    .where('run', 'is', null)
    .where('method', 'in', doors)
    .orderBy('at', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!row) return null
  const place = row.answer === null ? null : (JSON.parse(row.answer) as Place)
  const session = place ? await loadSession(db, place.session) : await openSessionByKey(db, row.session)
  const words = place
    ? await db
        .selectFrom('messages')
        .selectAll()
        .where('session', '=', place.session)
        .where('seq', '=', place.seq)
        .executeTakeFirst()
    : undefined
  const message = words ? messageOf(words) : null
  return {
    wireId,
    run: wireId,
    sessionKey: row.session,
    sessionId: session?.id ?? '',
    agent: session?.agent ?? '',
    status: place ? 'ok' : 'pending',
    yielded: false,
    text: message ? message.parts.map(part => (part.type === 'text' ? part.text : '')).join('') : null,
    outcome: place ? 'succeeded' : null,
    errorCode: null,
    error: null,
    fix: null,
    // No model took part.
    model: 'deputy/command',
    usage: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, costNano: 0 },
    startedAt: row.at,
    endedAt: message?.at ?? null,
  }
}
