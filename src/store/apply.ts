/**
 * Effects of a decision → rows, in the caller's transaction. The only writer of sessions, messages, inbox, runs, steps,
 * usage and outbox rows.
 *
 * Owns: one statement (or a few set-based ones) for each effect, in the order given. Never decides: what is allowed was
 * decided by core on rows that this very transaction has read. Says which ids the rows got and which runs ended below.
 */
import type { Insertable, Updateable } from 'kysely'
import { type Effect, nothing } from '../core/run/facts.ts'
import { plus } from '../core/budget.ts'
import type { Approval } from '../core/approval.ts'
import type { Run, Spend } from '../core/types.ts'
import { approvalOf, moveApproval } from './approvals.ts'
import { bind } from './bindings.ts'
import { endTree } from './end-tree.ts'
import type { Tx } from './open.ts'
import { moveOutbox, putOutbox } from './outbox.ts'
import {
  approvalRow,
  inboxRow,
  messageRow,
  type MoneyColumns,
  moneyColumns,
  raiseRow,
  rememberedRow,
  reservedRow,
  runColumns,
  runRow,
  sessionColumns,
  sessionRow,
  settledColumns,
  stepColumns,
  stepRow,
  viewRow,
} from './rows.ts'
import type {
  ApprovalGrantsTable,
  ApprovalsTable,
  BudgetRaisesTable,
  InboxTable,
  MessagesTable,
  RunsTable,
  SessionsTable,
  StepsTable,
  UsageTable,
  ViewsTable,
} from './tables.ts'

export interface Applied {
  /** Inbox ids by key, in the session they were put. */
  inbox: Map<string, number>
  /** Runs that ended because an ancestor did. */
  ended: {
    run: string
    session: string
    sessionKey: string
    parent: string
    agent: string
    task: string
    was: string
  }[]
  /** Wire ids whose turn is over. */
  answered: string[]
  /** Messages between conversations whose turn is over: the key under which its sender waits, and the run that read it. */
  calls: { key: string; run: string }[]
  /** Places that are bound no more, because what they were bound to was stopped: a word for each is in the outbox. */
  unbound: number
  /** Questions that were not answered before their run ended. */
  cancelled: Approval[]
}

export async function apply(tx: Tx, effects: readonly Effect[]): Promise<Applied> {
  const applied: Applied = { inbox: new Map(), ended: [], answered: [], calls: [], unbound: 0, cancelled: [] }
  const held = new Map<string, Held>()
  const counters = newestMessages(effects)
  for (const effect of effects) {
    // Changes of one run become one statement, unless something in between reads its row.
    if (effect.do === 'run.set') {
      const now = held.get(effect.run)
      held.set(effect.run, {
        to: { ...now?.to, ...effect.to },
        spent: now?.spent ?? nothing,
        lent: now?.lent ?? nothing,
      })
    } else if (effect.do === 'run.money') {
      const now = held.get(effect.run) ?? { to: {}, spent: nothing, lent: nothing }
      held.set(effect.run, { to: now.to, spent: plus(now.spent, effect.spent), lent: plus(now.lent, effect.lent) })
    } else if (effect.do === 'message.put') {
      await tx.ask(putMessage, messageRow(effect.message))
    } else if (effect.do === 'session.put') {
      // What is said in a new conversation along with it is counted at once.
      const { id } = effect.session
      await tx.ask(putSession, { ...sessionRow(effect.session), ...counters.get(id) })
      counters.delete(id)
    } else {
      if (touchesRuns(effect, held)) await flush(tx, held)
      await one(tx, effect, applied)
    }
  }
  await flush(tx, held)
  for (const [session, counter] of counters) await tx.ask(setSession, counter, session)
  return applied
}

/** What becomes of the counters of the sessions that messages are put into. */
function newestMessages(effects: readonly Effect[]): Map<string, { seq: number; updated_at: number }> {
  const counters = new Map<string, { seq: number; updated_at: number }>()
  for (const effect of effects)
    if (effect.do === 'message.put')
      counters.set(effect.message.session, { seq: effect.message.seq, updated_at: effect.message.at })
  return counters
}

/** What is to become of one run row. */
interface Held {
  to: Partial<Run>
  spent: Spend
  lent: Spend
}

/** Effects that read or write run rows themselves. A new run may follow on one that must have ended in the rows. */
function touchesRuns(effect: Effect, held: ReadonlyMap<string, Held>): boolean {
  if (effect.do === 'run.put') return [...held.values()].some(({ to }) => to.state === 'done')
  return effect.do === 'tree.end' || effect.do === 'run.settle'
}

async function flush(tx: Tx, held: Map<string, Held>): Promise<void> {
  for (const [run, { to, spent, lent }] of held) {
    const columns = runColumns(to)
    const money = moneyColumns(spent, lent)
    if (Object.keys(columns).length + Object.keys(money).length > 0) await tx.ask(setRun, columns, money, run)
  }
  held.clear()
}

type Single = Exclude<Effect, { do: 'run.set' | 'run.money' | 'message.put' | 'session.put' }>

async function one(tx: Tx, effect: Single, applied: Applied): Promise<void> {
  switch (effect.do) {
    case 'session.close':
      await tx.ask(setSession, { closed_at: effect.at, updated_at: effect.at }, effect.session)
      return
    case 'session.set':
      await tx.ask(setSession, { ...sessionColumns(effect.to), updated_at: effect.at }, effect.session)
      return
    case 'view.put':
      await tx.ask(putView, viewRow(effect.view))
      return
    case 'messages.copy':
      await tx.ask(copyMessages, effect.to, effect.from, effect.upto, effect.place)
      return
    case 'inbox.put': {
      const [put] = await tx.ask(putInbox, inboxRow(effect.row))
      applied.inbox.set(effect.row.key, put!.id)
      return
    }
    case 'inbox.mark':
      await tx.ask(setInbox, { state: effect.state, read_run: effect.run, read_step: effect.step }, effect.ids)
      if (effect.ord !== null) await tx.ask(placeMessages, effect.ord, effect.session, effect.ids)
      return
    case 'run.put':
      await tx.ask(putRun, runRow(effect.run))
      return
    case 'run.settle':
      return settle(tx, effect.run)
    case 'steps.cancel':
      await tx.ask(cancelSteps, effect.at, effect.run)
      return
    case 'step.put':
      await tx.ask(putStep, stepRow(effect.step))
      return
    case 'step.set':
      await tx.ask(setStep, stepColumns(effect.to), effect.run, effect.n)
      return
    case 'usage.reserve':
      await tx.ask(putUsage, reservedRow(effect.row))
      return
    case 'usage.settle':
      await tx.ask(setUsage, settledColumns(effect), effect.run, effect.step, effect.attempt)
      return
    case 'usage.unknown':
      await tx.ask(chargeReserved, effect.run)
      return
    case 'tree.end':
      await endTree(tx, effect, applied)
      return
    case 'outbox.put':
      await putOutbox(tx, effect)
      return
    case 'outbox.move':
      await moveOutbox(tx, effect)
      return
    case 'binding.put':
      await bind(tx, effect)
      return
    case 'approval.put':
      await tx.ask(putApproval, approvalRow(effect.approval))
      return
    case 'approval.set': {
      const { id, state, decided_by, decided_at } = approvalRow(effect.approval)
      await tx.ask(setApproval, { state, decided_by, decided_at }, id)
      return
    }
    case 'approval.move':
      await moveApproval(tx, effect)
      return
    case 'approvals.cancel':
      applied.cancelled.push(...(await cancelApprovals(tx, [effect.run], effect.at)))
      return
    case 'remembered.put':
      await tx.ask(putGrant, rememberedRow(effect.remembered))
      return
    case 'cap.raise':
      await tx.ask(putRaise, raiseRow(effect))
      return
    case 'turn.answer': {
      const rows = await tx.ask(answerKeys, effect.turn, effect.run)
      applied.answered.push(...rows.map(row => row.key))
      applied.calls.push(...callsAmong(rows, effect.run))
      return
    }
    case 'turn.hand':
      await tx.ask(handKeys, effect.to, effect.from)
      return
  }
}

/** Those that a run waits for, not a client. */
export function callsAmong(rows: readonly { key: string; principal: string }[], run: string): Applied['calls'] {
  return rows.filter(row => row.principal.startsWith('run:')).map(row => ({ key: row.key, run }))
}

async function settle(tx: Tx, id: string): Promise<void> {
  const [run] = await tx.ask(purseOf, id)
  if (run!.payer === null) return
  const limit = (JSON.parse(run!.grant_json) as Run['grant']).budget
  const spent = { nano: run!.spent_nano, tokens: run!.spent_tokens, calls: run!.spent_calls }
  const lent = { nano: -(limit.nano ?? 0), tokens: -(limit.tokens ?? 0), calls: -(limit.calls ?? 0) }
  const money = moneyColumns(spent, lent)
  // Without a limit and without a call there is nothing to give back.
  if (Object.keys(money).length > 0) await tx.ask(setRun, {}, money, run!.payer)
}

const putSession = (db: Tx, row: Insertable<SessionsTable>) => db.insertInto('sessions').values(row)

const setSession = (db: Tx, to: Updateable<SessionsTable>, id: string) =>
  db.updateTable('sessions').set(to).where('id', '=', id)

const putView = (db: Tx, row: Insertable<ViewsTable>) => db.insertInto('views').values(row)

const putMessage = (db: Tx, row: Insertable<MessagesTable>) => db.insertInto('messages').values(row)

/** What a session's model has seen, at the same places of another session; whose run wrote it stays behind. */
const copyMessages = (db: Tx, to: string, from: string, upto: number, place: number) =>
  db
    .insertInto('messages')
    .columns(['session', 'seq', 'ord', 'id', 'role', 'parts', 'run', 'step', 'at', 'meta'])
    .expression(eb =>
      eb
        .selectFrom('messages')
        .select(({ val, cast }) => [
          cast<string>(val(to), 'text').as('session'),
          'seq',
          'ord',
          'id',
          'role',
          'parts',
          cast<string | null>(val(null), 'text').as('run'),
          cast<number | null>(val(null), 'bigint').as('step'),
          'at',
          'meta',
        ])
        .where('session', '=', from)
        .where('seq', '<=', upto)
        .where('ord', '<=', place),
    )

const putInbox = (db: Tx, row: Insertable<InboxTable>) => db.insertInto('inbox').values(row).returning('id')

const setInbox = (db: Tx, to: Updateable<InboxTable>, ids: readonly number[]) =>
  db.updateTable('inbox').set(to).where('id', 'in', ids)

/** Gives the messages of mailbox rows their place in the model's view. */
const placeMessages = (db: Tx, ord: number, session: string, ids: readonly number[]) =>
  db
    .updateTable('messages')
    .set({ ord })
    .where('session', '=', session)
    .where('seq', 'in', eb =>
      eb
        .selectFrom('inbox')
        .select('inbox.seq')
        .where('inbox.id', 'in', ids)
        .where('inbox.seq', 'is not', null)
        .$castTo<{ seq: number }>(),
    )

const putRun = (db: Tx, row: Insertable<RunsTable>) => db.insertInto('runs').values(row)

/** `add` is added to what the row has. */
const setRun = (db: Tx, to: Updateable<RunsTable>, add: Partial<MoneyColumns>, id: string) =>
  db
    .updateTable('runs')
    .set(eb => ({
      ...to,
      ...Object.fromEntries(
        Object.entries(add).map(([column, amount]) => [column, eb(column as keyof MoneyColumns, '+', amount)]),
      ),
    }))
    .where('id', '=', id)

const purseOf = (db: Tx, run: string) =>
  db
    .selectFrom('runs')
    .select(['payer', 'grant_json', 'spent_nano', 'spent_tokens', 'spent_calls'])
    .where('id', '=', run)

const putStep = (db: Tx, row: Insertable<StepsTable>) => db.insertInto('steps').values(row)

const setStep = (db: Tx, to: Updateable<StepsTable>, run: string, n: number) =>
  db.updateTable('steps').set(to).where('run', '=', run).where('n', '=', n)

const cancelSteps = (db: Tx, at: number, run: string) =>
  db
    .updateTable('steps')
    .set({ state: 'cancelled', ended_at: at })
    .where('run', '=', run)
    .where('state', 'in', ['open', 'asking'])

const putUsage = (db: Tx, row: Insertable<UsageTable>) => db.insertInto('usage').values(row)

const setUsage = (db: Tx, to: Updateable<UsageTable>, run: string, step: number, attempt: number) =>
  db.updateTable('usage').set(to).where('run', '=', run).where('step', '=', step).where('attempt', '=', attempt)

const chargeReserved = (db: Tx, run: string) =>
  db
    .updateTable('usage')
    .set(eb => ({
      state: 'unknown',
      charged_nano: eb.ref('reserved_nano'),
      charged_tokens: eb.ref('reserved_tokens'),
      charged_calls: 1,
    }))
    .where('run', '=', run)
    .where('state', '=', 'reserved')

const putApproval = (db: Tx, row: Insertable<ApprovalsTable>) => db.insertInto('approvals').values(row)

const setApproval = (db: Tx, to: Updateable<ApprovalsTable>, id: string) =>
  db.updateTable('approvals').set(to).where('id', '=', id)

const putGrant = (db: Tx, row: Insertable<ApprovalGrantsTable>) => db.insertInto('approval_grants').values(row)

const putRaise = (db: Tx, row: Insertable<BudgetRaisesTable>) => db.insertInto('budget_raises').values(row)

/** Of runs that end: nobody needs to answer any more. */
export async function cancelApprovals(tx: Tx, runs: readonly string[], at: number): Promise<Approval[]> {
  const rows = await tx.ask(cancelPending, at, runs)
  return rows.map(approvalOf)
}

const cancelPending = (db: Tx, at: number, runs: readonly string[]) =>
  db
    .updateTable('approvals')
    .set({ state: 'cancelled', decided_at: at })
    .where('run', 'in', runs)
    .where('state', '=', 'pending')
    .returningAll()

/** Wire ids whose mailbox row has been read. */
const answerKeys = (db: Tx, turn: number, run: string) =>
  db
    .updateTable('rpc_keys')
    .set({ answered_turn: turn })
    .where('run', '=', run)
    .where('answered_turn', 'is', null)
    .where(eb =>
      eb.or([
        eb('inbox', 'is', null),
        eb.exists(
          eb
            .selectFrom('inbox')
            .select('inbox.id')
            .whereRef('inbox.id', '=', 'rpc_keys.inbox')
            .where('inbox.state', '<>', 'unread'),
        ),
      ]),
    )
    .returning(['key', 'principal'])

const handKeys = (db: Tx, to: string, from: string) =>
  db.updateTable('rpc_keys').set({ run: to }).where('run', '=', from).where('answered_turn', 'is', null)
