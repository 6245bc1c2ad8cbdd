/**
 * Rows to facts and facts to rows: reads the slices that decisions are made from.
 *
 * Owns the mapping of sessions, messages, inbox, runs and steps to core/types.ts. Reads only; apply.ts writes. A function here
 * takes the transaction (or the read connection) it works in and waits for nothing else (decisions.md 10).
 */
import type { Selectable } from 'kysely'
import type { Mailbox } from '../core/run/facts.ts'
import { textOf } from '../core/run/reply.ts'
import type {
  Hold,
  InboxRow,
  Lane,
  Message,
  Outcome,
  Run,
  RunState,
  Session,
  Step,
  StepState,
  View,
} from '../core/types.ts'
import type { Tx } from './open.ts'
import type { InboxTable, MessagesTable, RunsTable, SessionsTable, StepsTable, ViewsTable } from './tables.ts'

export function sessionOf(row: Selectable<SessionsTable>): Session {
  return {
    id: row.id,
    key: row.key,
    agent: row.agent,
    tree: row.tree,
    parentSession: row.parent_session,
    spawnedBy: row.spawned_by,
    depth: row.depth,
    label: row.label,
    route: row.route === null ? null : JSON.parse(row.route),
    seq: row.seq,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    closedAt: row.closed_at,
    ...(row.settings === null ? {} : { settings: JSON.parse(row.settings) }),
    ...(row.view === null ? {} : { view: row.view }),
  }
}

export function runOf(row: Selectable<RunsTable>): Run {
  return {
    id: row.id,
    session: row.session,
    tree: row.tree,
    agent: row.agent,
    parent: row.parent,
    depth: row.depth,
    lane: row.lane as Lane,
    state: row.state as RunState,
    outcome: row.outcome as Outcome | null,
    errorCode: row.error_code,
    error: row.error,
    epoch: row.epoch,
    attempts: row.attempts,
    turn: row.turn,
    paused: row.paused === 1,
    detached: row.detached === 1,
    wait: row.wait === null ? null : JSON.parse(row.wait),
    woken: row.woken === 1,
    grant: JSON.parse(row.grant_json),
    payer: row.payer,
    spent: { nano: row.spent_nano, tokens: row.spent_tokens, calls: row.spent_calls },
    lent: { nano: row.lent_nano, tokens: row.lent_tokens, calls: row.lent_calls },
    deadlineAt: row.deadline_at,
    returnTo: row.return_to,
    route: row.route === null ? null : JSON.parse(row.route),
    task: row.task,
    label: row.label,
    model: row.model,
    receipt: row.receipt === null ? null : JSON.parse(row.receipt),
    ...(row.terms === null ? {} : { terms: JSON.parse(row.terms) }),
    result: row.result,
    resultSeq: row.result_seq,
    createdAt: row.created_at,
    queuedAt: row.queued_at,
    startedAt: row.started_at,
    endedAt: row.ended_at,
  }
}

export function stepOf(row: Selectable<StepsTable>): Step {
  return {
    run: row.run,
    n: row.n,
    kind: row.kind as Step['kind'],
    state: row.state as StepState,
    name: row.name,
    intent: JSON.parse(row.intent),
    result: row.result === null ? null : JSON.parse(row.result),
    startedAt: row.started_at,
    endedAt: row.ended_at,
  }
}

export function messageOf(row: Selectable<MessagesTable>): Message {
  return {
    session: row.session,
    seq: row.seq,
    ord: row.ord,
    id: row.id,
    role: row.role as Message['role'],
    parts: JSON.parse(row.parts),
    run: row.run,
    step: row.step,
    at: row.at,
    meta: JSON.parse(row.meta),
  }
}

/** The final words of a run that succeeded. Long ones are not in its own row. */
export async function finalWords(db: Tx, run: Run): Promise<string | null> {
  if (run.result !== null || run.resultSeq === null) return run.result
  const [row] = await db.ask(messageAt, run.session, run.resultSeq)
  return (row && textOf(messageOf(row).parts)) || null
}

const messageAt = (db: Tx, session: string, seq: number) =>
  db.selectFrom('messages').selectAll().where('session', '=', session).where('seq', '=', seq)

/** The newest words of a run, whether they were its result or not. Looks at its last few replies only. */
export async function lastWords(db: Tx, run: Run): Promise<{ text: string; seq: number; step: number } | null> {
  const rows = await db
    .selectFrom('messages')
    .selectAll()
    .where('session', '=', run.session)
    .where('role', '=', 'assistant')
    .orderBy('seq', 'desc')
    .limit(20)
    .execute()
  for (const message of rows.map(messageOf)) {
    const text = textOf(message.parts)
    if (message.run === run.id && text.trim()) return { text, seq: message.seq, step: message.step ?? 0 }
  }
  return null
}

/** The last words of one turn of a run; null when it said nothing in it. */
export async function wordsOfTurn(db: Tx, run: Run, turn: number): Promise<string | null> {
  const rows = await db
    .selectFrom('messages')
    .selectAll()
    .where('session', '=', run.session)
    .where('run', '=', run.id)
    .where('role', '=', 'assistant')
    .orderBy('seq', 'desc')
    .execute()
  for (const message of rows.map(messageOf)) {
    if ((message.meta.turn ?? 0) > turn) continue
    const text = textOf(message.parts)
    if ((message.meta.turn ?? 0) < turn) return null
    if (text) return text
  }
  return null
}

export function inboxOf(row: Selectable<InboxTable>): InboxRow {
  return {
    id: row.id,
    session: row.session,
    kind: row.kind as InboxRow['kind'],
    mode: row.mode as InboxRow['mode'],
    state: row.state as InboxRow['state'],
    seq: row.seq,
    key: row.key,
    from: row.from_run,
    at: row.at,
    ...(row.note === null ? {} : { note: row.note }),
  }
}

export function viewOf(row: Selectable<ViewsTable>): View {
  return {
    id: row.id,
    session: row.session,
    run: row.run,
    step: row.step,
    after: row.after,
    summary: row.summary,
    pinned: JSON.parse(row.pinned),
    base: row.base,
    why: row.why as View['why'],
    messages: row.messages,
    tokensBefore: row.tokens_before,
    tokensAfter: row.tokens_after,
    at: row.at,
  }
}

export async function loadView(tx: Tx, id: string): Promise<View | null> {
  const [row] = await tx.ask(viewById, id)
  return row ? viewOf(row) : null
}

const viewById = (db: Tx, id: string) => db.selectFrom('views').selectAll().where('id', '=', id)

export async function loadRun(tx: Tx, id: string): Promise<Run | null> {
  const [row] = await tx.ask(runById, id)
  return row ? runOf(row) : null
}

const runById = (db: Tx, id: string) => db.selectFrom('runs').selectAll().where('id', '=', id)

export async function loadSession(tx: Tx, id: string): Promise<Session | null> {
  const [row] = await tx.ask(sessionById, id)
  return row ? sessionOf(row) : null
}

const sessionById = (db: Tx, id: string) => db.selectFrom('sessions').selectAll().where('id', '=', id)

export async function openSessionByKey(tx: Tx, key: string): Promise<Session | null> {
  const [row] = await tx.ask(sessionByKey, key)
  return row ? sessionOf(row) : null
}

const sessionByKey = (db: Tx, key: string) =>
  db.selectFrom('sessions').selectAll().where('key', '=', key).where('closed_at', 'is', null)

export async function liveRunOf(tx: Tx, session: string): Promise<Run | null> {
  const [row] = await tx.ask(liveRun, session)
  return row ? runOf(row) : null
}

const liveRun = (db: Tx, session: string) =>
  db.selectFrom('runs').selectAll().where('session', '=', session).where('state', '<>', 'done')

/** Every unread row of a session, in row order. */
export async function unreadOf(tx: Tx, session: string): Promise<InboxRow[]> {
  return (await tx.ask(unread, session)).map(inboxOf)
}

const unread = (db: Tx, session: string) =>
  db.selectFrom('inbox').selectAll().where('session', '=', session).where('state', '=', 'unread').orderBy('id')

/** 0, 1 or 2 for "several". */
async function openChildrenOf(tx: Tx, run: string): Promise<number> {
  return (await tx.ask(openChildren, run)).length
}

const openChildren = (db: Tx, run: string) =>
  db
    .selectFrom('runs')
    .select('id')
    .where('parent', '=', run)
    .where('detached', '=', 0)
    .where('state', '<>', 'done')
    .limit(2)

/** How many live runs a session's run has as direct children, detached ones too: what maxChildrenPerAgent counts. */
export async function countChildren(tx: Tx, run: string): Promise<number> {
  const [row] = await tx.ask(liveChildren, run)
  return Number(row!.n)
}

const liveChildren = (db: Tx, run: string) =>
  db
    .selectFrom('runs')
    .select(eb => eb.fn.countAll<number>().as('n'))
    .where('parent', '=', run)
    .where('state', '<>', 'done')

async function askedOpenOf(tx: Tx, live: Run | null): Promise<number> {
  if (live?.wait?.for !== 'ask' || live.wait.runs.length === 0) return 0
  const rows = await tx
    .selectFrom('runs')
    .select('id')
    .where('id', 'in', [...live.wait.runs])
    .where('state', '<>', 'done')
    .execute()
  return rows.length
}

/** The mailbox of the session that `run` is at work in, with every unread row. */
export async function loadMailbox(tx: Tx, session: Session, run: Run): Promise<Mailbox> {
  const unread = await unreadOf(tx, session.id)
  return {
    session,
    live: run,
    unread,
    openChildren: await openChildrenOf(tx, run.id),
    askedOpen: await askedOpenOf(tx, run),
  }
}

/** A mailbox that a row is about to be posted to. What lies in it unread ends no wait (R9), so it is not read. */
export async function loadPostbox(tx: Tx, session: Session): Promise<Mailbox> {
  const live = await liveRunOf(tx, session.id)
  const waits = live !== null && live.state === 'waiting'
  return {
    session,
    live,
    unread: [],
    openChildren: waits ? await openChildrenOf(tx, live.id) : 0,
    askedOpen: waits ? await askedOpenOf(tx, live) : 0,
  }
}

export async function loadStep(tx: Tx, run: string, n: number): Promise<Step | null> {
  const [row] = await tx.ask(stepAt, run, n)
  return row ? stepOf(row) : null
}

const stepAt = (db: Tx, run: string, n: number) =>
  db.selectFrom('steps').selectAll().where('run', '=', run).where('n', '=', n)

/** Steps of the latest model call and of the calls it made, in order; empty for a run that has none. */
export async function lastReply(tx: Tx, run: string): Promise<Step[]> {
  return (await newestSteps(tx, run)).filter(step => step.kind !== 'compact')
}

/** As `lastReply`, with the compactions after it, or before the first call. */
export async function newestSteps(tx: Tx, run: string): Promise<Step[]> {
  return (await tx.ask(stepsOfReply, run)).map(stepOf)
}

const stepsOfReply = (db: Tx, run: string) =>
  db
    .selectFrom('steps')
    .selectAll()
    .where('run', '=', run)
    .where('n', '>=', eb =>
      eb
        .selectFrom('steps')
        .select(one => one.fn.coalesce(one.fn.max('n'), one.lit(0)).as('n'))
        .where('run', '=', run)
        .where('kind', '=', 'model'),
    )
    .orderBy('n')

/** How often a run has asked its model. */
export async function countReplies(tx: Tx, run: string): Promise<number> {
  const row = await tx
    .selectFrom('steps')
    .select(eb => eb.fn.countAll<number>().as('n'))
    .where('run', '=', run)
    .where('kind', '=', 'model')
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

/** True when a run's attached ancestor has ended. By R4 its parent alone decides. */
export async function orphaned(tx: Tx, run: Run): Promise<boolean> {
  if (run.parent === null || run.detached) return false
  const [row] = await tx.ask(stateOf, run.parent)
  return row === undefined || row.state === 'done'
}

const stateOf = (db: Tx, run: string) => db.selectFrom('runs').select('state').where('id', '=', run)

/** The newest step of a run; 0 without one. */
export async function lastStep(tx: Tx, run: string): Promise<number> {
  const row = await tx
    .selectFrom('steps')
    .select(eb => eb.fn.max('n').as('n'))
    .where('run', '=', run)
    .executeTakeFirst()
  return Number(row?.n ?? 0)
}

/** Which model a run is held for, and why, in one line; null when it is not. */
export function heldLine({ wait, state }: Pick<Run, 'wait' | 'state'>): string | null {
  if (state !== 'waiting' || wait?.for !== 'timer' || !wait.hold) return null
  return `held for ${heldFor(wait.hold)}: ${wait.hold.said}`
}

/** `anthropic/claude-sonnet-5-5, key anthropic:default` */
export function heldFor({ provider, model, key, whose }: Hold): string {
  const more = { key: '', provider: '', conversation: ', in this conversation', line: ', in line for its turn' }[whose]
  const also = key !== null ? `, key ${key}` : more
  return `${provider}/${model}${also}`
}
