/**
 * Effects of a decision → rows, in the caller's transaction. The only writer of sessions, messages, inbox, runs, steps,
 * usage and outbox rows.
 *
 * Owns: one statement (or a few set-based ones) for each effect, in the order given. Never decides: what is allowed was
 * decided by core on rows that this very transaction has read. Says which ids the rows got and which runs ended below.
 */
import type { Effect } from '../core/run/facts.ts'
import type { Message, Route, Run, Session } from '../core/types.ts'
import { endTree } from './end-tree.ts'
import type { Tx } from './open.ts'
import type { RunsTable } from './tables.ts'

export interface Applied {
  /** Inbox ids by key, in the session they were put. */
  inbox: Map<string, number>
  /** Runs that ended because an ancestor did. */
  ended: { run: string; session: string; agent: string; task: string; was: string }[]
  /** Wire ids whose turn is over. */
  answered: string[]
}

export async function apply(tx: Tx, effects: readonly Effect[]): Promise<Applied> {
  const applied: Applied = { inbox: new Map(), ended: [], answered: [] }
  for (const effect of effects) await one(tx, effect, applied)
  return applied
}

async function one(tx: Tx, effect: Effect, applied: Applied): Promise<void> {
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
    case 'message.put':
      await tx.insertInto('messages').values(messageRow(effect.message)).execute()
      await tx
        .updateTable('sessions')
        .set({ seq: effect.message.seq, updated_at: effect.message.at })
        .where('id', '=', effect.message.session)
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
    case 'run.set':
      await tx.updateTable('runs').set(runColumns(effect.to)).where('id', '=', effect.run).execute()
      return
    case 'run.money':
      await tx
        .updateTable('runs')
        .set(eb => ({
          spent_nano: eb('spent_nano', '+', effect.spent.nano),
          spent_tokens: eb('spent_tokens', '+', effect.spent.tokens),
          spent_calls: eb('spent_calls', '+', effect.spent.calls),
          lent_nano: eb('lent_nano', '+', effect.lent.nano),
          lent_tokens: eb('lent_tokens', '+', effect.lent.tokens),
          lent_calls: eb('lent_calls', '+', effect.lent.calls),
        }))
        .where('id', '=', effect.run)
        .execute()
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

function sessionRow(session: Session) {
  return {
    id: session.id,
    key: session.key,
    agent: session.agent,
    tree: session.tree,
    parent_session: session.parentSession,
    spawned_by: session.spawnedBy,
    depth: session.depth,
    label: session.label,
    route: session.route === null ? null : JSON.stringify(session.route),
    seq: session.seq,
    created_at: session.createdAt,
    updated_at: session.updatedAt,
    closed_at: session.closedAt,
  }
}

function messageRow(message: Message) {
  return {
    session: message.session,
    seq: message.seq,
    ord: message.ord,
    id: message.id,
    role: message.role,
    parts: { long: JSON.stringify(message.parts) },
    run: message.run,
    step: message.step,
    at: message.at,
    meta: JSON.stringify(message.meta),
  }
}

function outboxRow(effect: Effect & { do: 'outbox.put' }) {
  const { channel, account, to }: Route = effect.route
  return {
    session: effect.session,
    run: effect.run,
    key: effect.key,
    channel,
    account,
    chat: to,
    route: JSON.stringify(effect.route),
    payload: JSON.stringify({ text: effect.text }),
    state: 'pending',
    attempt: 0,
    remote_id: null,
    error: null,
    not_before: 0,
    doubt_since: null,
    orphan: 0,
    created_at: effect.at,
    updated_at: effect.at,
  }
}

function runRow(run: Run) {
  return {
    id: run.id,
    session: run.session,
    tree: run.tree,
    ...(runColumns(run) as Omit<RunsTable, 'id' | 'session' | 'tree'>),
  }
}

/** Only the columns that the facts name. */
function runColumns(to: Partial<Run>): Partial<RunsTable> {
  const row: Partial<RunsTable> = {}
  for (const [name, column] of plain) {
    const value = to[name]
    if (value !== undefined)
      (row as Record<string, unknown>)[column] = typeof value === 'boolean' ? Number(value) : value
  }
  if (to.wait !== undefined) {
    row.wait = to.wait === null ? null : JSON.stringify(to.wait)
    row.wait_until = to.wait !== null && 'until' in to.wait ? to.wait.until : null
  }
  if (to.grant !== undefined) row.grant_json = JSON.stringify(to.grant)
  if (to.route !== undefined) row.route = to.route === null ? null : JSON.stringify(to.route)
  if (to.receipt !== undefined) row.receipt = to.receipt === null ? null : JSON.stringify(to.receipt)
  if (to.spent !== undefined)
    Object.assign(row, { spent_nano: to.spent.nano, spent_tokens: to.spent.tokens, spent_calls: to.spent.calls })
  if (to.lent !== undefined)
    Object.assign(row, { lent_nano: to.lent.nano, lent_tokens: to.lent.tokens, lent_calls: to.lent.calls })
  return row
}

const plain = [
  ['agent', 'agent'],
  ['parent', 'parent'],
  ['depth', 'depth'],
  ['lane', 'lane'],
  ['state', 'state'],
  ['outcome', 'outcome'],
  ['errorCode', 'error_code'],
  ['error', 'error'],
  ['epoch', 'epoch'],
  ['attempts', 'attempts'],
  ['turn', 'turn'],
  ['paused', 'paused'],
  ['detached', 'detached'],
  ['woken', 'woken'],
  ['payer', 'payer'],
  ['deadlineAt', 'deadline_at'],
  ['returnTo', 'return_to'],
  ['task', 'task'],
  ['label', 'label'],
  ['model', 'model'],
  ['result', 'result'],
  ['resultSeq', 'result_seq'],
  ['createdAt', 'created_at'],
  ['queuedAt', 'queued_at'],
  ['startedAt', 'started_at'],
  ['endedAt', 'ended_at'],
] as const satisfies readonly (readonly [keyof Run, keyof RunsTable])[]
