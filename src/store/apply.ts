/**
 * Effects of a decision → rows, in the caller's transaction. The only writer of sessions, messages, inbox, runs, steps,
 * usage and outbox rows.
 *
 * Owns: one statement (or a few set-based ones) for each effect, in the order given. Never decides: what is allowed was
 * decided by core on rows that this very transaction has read. Says which ids the rows got and which runs ended below.
 */
import { type Effect, nothing } from '../core/run/facts.ts'
import { plus } from '../core/budget.ts'
import type { Run, Spend } from '../core/types.ts'
import { endTree } from './end-tree.ts'
import type { Tx } from './open.ts'
import { messageRow, outboxRow, runColumns, runRow, sessionColumns, sessionRow } from './rows.ts'

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
}

export async function apply(tx: Tx, effects: readonly Effect[]): Promise<Applied> {
  const applied: Applied = { inbox: new Map(), ended: [], answered: [] }
  const held = new Map<string, Held>()
  const counters = new Map<string, { seq: number; at: number }>()
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
      counters.set(effect.message.session, { seq: effect.message.seq, at: effect.message.at })
      await tx.insertInto('messages').values(messageRow(effect.message)).execute()
    } else {
      if (reads.has(effect.do)) await flush(tx, held)
      await one(tx, effect, applied)
    }
  }
  await flush(tx, held)
  for (const [session, { seq, at }] of counters)
    await tx.updateTable('sessions').set({ seq, updated_at: at }).where('id', '=', session).execute()
  return applied
}

/** What is to become of one run row. */
interface Held {
  to: Partial<Run>
  spent: Spend
  lent: Spend
}

/** Effects that read or write run rows themselves. */
const reads: ReadonlySet<Effect['do']> = new Set(['tree.end', 'run.settle', 'run.put'])

async function flush(tx: Tx, held: Map<string, Held>): Promise<void> {
  for (const [run, { to, spent, lent }] of held) {
    if (Object.keys(to).length === 0 && isNothing(spent) && isNothing(lent)) continue
    await tx
      .updateTable('runs')
      .set(eb => {
        const add = (column: MoneyColumn, amount: number) => (amount === 0 ? {} : { [column]: eb(column, '+', amount) })
        return {
          ...runColumns(to),
          ...add('spent_nano', spent.nano),
          ...add('spent_tokens', spent.tokens),
          ...add('spent_calls', spent.calls),
          ...add('lent_nano', lent.nano),
          ...add('lent_tokens', lent.tokens),
          ...add('lent_calls', lent.calls),
        }
      })
      .where('id', '=', run)
      .execute()
  }
  held.clear()
}

function isNothing(spend: Spend): boolean {
  return spend.nano === 0 && spend.tokens === 0 && spend.calls === 0
}

type MoneyColumn = 'spent_nano' | 'spent_tokens' | 'spent_calls' | 'lent_nano' | 'lent_tokens' | 'lent_calls'
type Single = Exclude<Effect, { do: 'run.set' | 'run.money' | 'message.put' }>

async function one(tx: Tx, effect: Single, applied: Applied): Promise<void> {
  switch (effect.do) {
    case 'session.put':
      await tx.insertInto('sessions').values(sessionRow(effect.session)).execute()
      return
    case 'session.close':
      await tx
        .updateTable('sessions')
        .set({ closed_at: effect.at, updated_at: effect.at })
        .where('id', '=', effect.session)
        .execute()
      return
    case 'session.set':
      await tx
        .updateTable('sessions')
        .set({ ...sessionColumns(effect.to), updated_at: effect.at })
        .where('id', '=', effect.session)
        .execute()
      return
    case 'inbox.put': {
      const { row } = effect
      const put = await tx
        .insertInto('inbox')
        .values({
          session: row.session,
          kind: row.kind,
          mode: row.mode,
          state: row.state,
          seq: row.seq,
          key: row.key,
          from_run: row.from,
          at: row.at,
          read_run: null,
          read_step: null,
        })
        .returning('id')
        .executeTakeFirstOrThrow()
      applied.inbox.set(row.key, put.id)
      return
    }
    case 'inbox.mark': {
      const ids = [...effect.ids]
      await tx
        .updateTable('inbox')
        .set({ state: effect.state, read_run: effect.run, read_step: effect.step })
        .where('id', 'in', ids)
        .execute()
      if (effect.ord === null) return
      await tx
        .updateTable('messages')
        .set({ ord: effect.ord })
        .where('session', '=', effect.session)
        .where('seq', 'in', eb =>
          eb
            .selectFrom('inbox')
            .select('inbox.seq')
            .where('inbox.id', 'in', ids)
            .where('inbox.seq', 'is not', null)
            .$castTo<{ seq: number }>(),
        )
        .execute()
      return
    }
    case 'run.put':
      await tx.insertInto('runs').values(runRow(effect.run)).execute()
      return
    case 'run.settle':
      return settle(tx, effect.run)
    case 'steps.cancel':
      await tx
        .updateTable('steps')
        .set({ state: 'cancelled', ended_at: effect.at })
        .where('run', '=', effect.run)
        .where('state', 'in', ['open', 'asking'])
        .execute()
      return
    case 'step.put': {
      const { step } = effect
      await tx
        .insertInto('steps')
        .values({
          run: step.run,
          n: step.n,
          kind: step.kind,
          state: step.state,
          name: step.name,
          intent: JSON.stringify(step.intent),
          result: step.result === null ? null : JSON.stringify(step.result),
          started_at: step.startedAt,
          ended_at: step.endedAt,
        })
        .execute()
      return
    }
    case 'step.set': {
      const { to } = effect
      await tx
        .updateTable('steps')
        .set({
          ...(to.state === undefined ? {} : { state: to.state }),
          ...(to.result === undefined ? {} : { result: JSON.stringify(to.result) }),
          ...(to.intent === undefined ? {} : { intent: JSON.stringify(to.intent) }),
          ...(to.startedAt === undefined ? {} : { started_at: to.startedAt }),
          ...(to.endedAt === undefined ? {} : { ended_at: to.endedAt }),
        })
        .where('run', '=', effect.run)
        .where('n', '=', effect.n)
        .execute()
      return
    }
    case 'usage.reserve': {
      const { row } = effect
      await tx
        .insertInto('usage')
        .values({
          run: row.run,
          step: row.step,
          attempt: row.attempt,
          session: row.session,
          agent: row.agent,
          model: row.model,
          state: 'reserved',
          reserved_nano: row.reserved.nano,
          reserved_tokens: row.reserved.tokens,
          charged_nano: 0,
          charged_tokens: 0,
          charged_calls: 0,
          input: 0,
          output: 0,
          cache_read: 0,
          cache_write: 0,
          at: row.at,
        })
        .execute()
      return
    }
    case 'usage.settle':
      await tx
        .updateTable('usage')
        .set({
          state: 'settled',
          charged_nano: effect.charged.nano,
          charged_tokens: effect.charged.tokens,
          charged_calls: effect.charged.calls,
          input: effect.usage.input,
          output: effect.usage.output,
          cache_read: effect.usage.cacheRead,
          cache_write: effect.usage.cacheWrite,
        })
        .where('run', '=', effect.run)
        .where('step', '=', effect.step)
        .where('attempt', '=', effect.attempt)
        .execute()
      return
    case 'usage.unknown':
      await tx
        .updateTable('usage')
        .set(eb => ({
          state: 'unknown',
          charged_nano: eb.ref('reserved_nano'),
          charged_tokens: eb.ref('reserved_tokens'),
          charged_calls: 1,
        }))
        .where('run', '=', effect.run)
        .where('state', '=', 'reserved')
        .execute()
      return
    case 'tree.end':
      applied.ended.push(...(await endTree(tx, effect)))
      return
    case 'outbox.put':
      await tx.insertInto('outbox').values(outboxRow(effect)).execute()
      return
    case 'turn.answer': {
      const rows = await tx
        .updateTable('rpc_keys')
        .set({ answered_turn: effect.turn })
        .where('run', '=', effect.run)
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
        .returning('key')
        .execute()
      applied.answered.push(...rows.map(row => row.key))
      return
    }
    case 'turn.hand':
      await tx
        .updateTable('rpc_keys')
        .set({ run: effect.to })
        .where('run', '=', effect.from)
        .where('answered_turn', 'is', null)
        .execute()
      return
  }
}

async function settle(tx: Tx, id: string): Promise<void> {
  const run = await tx
    .selectFrom('runs')
    .select(['payer', 'grant_json', 'spent_nano', 'spent_tokens', 'spent_calls'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  if (run.payer === null) return
  const limit = (JSON.parse(run.grant_json) as Run['grant']).budget
  await tx
    .updateTable('runs')
    .set(eb => ({
      spent_nano: eb('spent_nano', '+', run.spent_nano),
      spent_tokens: eb('spent_tokens', '+', run.spent_tokens),
      spent_calls: eb('spent_calls', '+', run.spent_calls),
      lent_nano: eb('lent_nano', '-', limit.nano ?? 0),
      lent_tokens: eb('lent_tokens', '-', limit.tokens ?? 0),
      lent_calls: eb('lent_calls', '-', limit.calls ?? 0),
    }))
    .where('id', '=', run.payer)
    .execute()
}
