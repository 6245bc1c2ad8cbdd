/**
 * Ends every live attached descendant of a run in a few set-based statements (decisions.md 7), not one step a run.
 *
 * Owns `tree.end`. Invariants: ancestors and descendants end in the same transaction; what was in flight is charged in full;
 * each ended run's limit returns to its payer, deepest first; results are `kept`, so that none starts a turn (decisions.md 6);
 * no place stays bound to what was ended.
 */
import type { Effect } from '../core/run/facts.ts'
import { resultKey } from '../core/ids.ts'
import type { Run, Terms } from '../core/types.ts'
import { type Applied, callsAmong, cancelApprovals } from './apply.ts'
import { endBindingsOf } from './bindings.ts'
import type { Tx } from './open.ts'

/** Under the bound-parameter limits of both databases, with room for the other values. */
const chunk = 400

interface Below {
  id: string
  session_key: string
  session: string
  agent: string
  task: string
  state: string
  parent: string
  payer: string | null
  return_to: string | null
  grant_json: string
  terms: string | null
  spent_nano: number
  spent_tokens: number
  spent_calls: number
}

/** Notes in `applied` which runs ended, and who waits for words of theirs. */
export async function endTree(tx: Tx, effect: Effect & { do: 'tree.end' }, applied: Applied): Promise<void> {
  const levels = await descendants(tx, effect.root)
  const all = levels.flat()
  if (all.length === 0) return
  for (const ids of chunks(all.map(run => run.id))) {
    await tx
      .updateTable('usage')
      .set(eb => ({
        state: 'unknown',
        charged_nano: eb.ref('reserved_nano'),
        charged_tokens: eb.ref('reserved_tokens'),
        charged_calls: 1,
      }))
      .where('run', 'in', ids)
      .where('state', '=', 'reserved')
      .execute()
    await tx
      .updateTable('steps')
      .set({ state: 'cancelled', ended_at: effect.at })
      .where('run', 'in', ids)
      .where('state', 'in', ['open', 'asking'])
      .execute()
    applied.cancelled.push(...(await cancelApprovals(tx, ids, effect.at)))
    await tx
      .updateTable('runs')
      .set({
        state: 'done',
        outcome: effect.outcome,
        error_code: effect.code,
        error: effect.error,
        wait: null,
        wait_until: null,
        woken: 0,
        ended_at: effect.at,
      })
      .where('id', 'in', ids)
      .execute()
    const waiting = await tx
      .updateTable('rpc_keys')
      .set({ answered_turn: 0 })
      .where('run', 'in', ids)
      .where('answered_turn', 'is', null)
      .returning(['key', 'principal', 'run'])
      .execute()
    for (const row of waiting) applied.calls.push(...callsAmong([row], row.run ?? ''))
  }
  for (const sessions of chunks([...new Set(all.map(run => run.session))])) {
    await tx
      .updateTable('inbox')
      .set({ state: 'kept' })
      .where('session', 'in', sessions)
      .where('state', '=', 'unread')
      .where('kind', '<>', 'message')
      .execute()
    await tx
      .updateTable('inbox')
      .set({ state: 'dropped' })
      .where('session', 'in', sessions)
      .where('state', '=', 'unread')
      .execute()
  }
  for (const keys of chunks([...new Set(all.map(run => run.session_key))]))
    applied.unbound += await endBindingsOf(tx, keys, 'stopped', effect.at)
  const done = all.filter(run => run.terms !== null && (JSON.parse(run.terms) as Terms).cleanup === 'delete')
  for (const sessions of chunks(done.map(run => run.session)))
    await tx
      .updateTable('sessions')
      .set({ closed_at: effect.at, updated_at: effect.at })
      .where('id', 'in', sessions)
      .execute()
  await settleUp(tx, levels)
  const kept = all.flatMap(run =>
    run.return_to === null
      ? []
      : [
          {
            session: run.return_to,
            kind: 'result',
            mode: 'steer',
            state: 'kept',
            seq: null,
            key: resultKey(run.id),
            from_run: run.id,
            at: effect.at,
            read_run: null,
            read_step: null,
          },
        ],
  )
  for (const rows of chunks(kept, 80)) await tx.insertInto('inbox').values(rows).execute()
  for (const run of all)
    applied.ended.push({
      run: run.id,
      session: run.session,
      sessionKey: run.session_key,
      parent: run.parent,
      agent: run.agent,
      task: run.task,
      was: run.state,
    })
}

/** Level by level: by R4 nothing live hangs under a done run, so only live runs need following. */
async function descendants(tx: Tx, root: string): Promise<Below[][]> {
  const levels: Below[][] = []
  let parents = [root]
  while (parents.length > 0) {
    const level: Below[] = []
    for (const ids of chunks(parents)) {
      const rows = await tx
        .selectFrom('runs')
        .innerJoin('sessions', 'sessions.id', 'runs.session')
        .select([
          'runs.id',
          'sessions.key as session_key',
          'runs.session',
          'runs.agent',
          'runs.task',
          'runs.state',
          'runs.parent',
          'runs.payer',
          'runs.return_to',
          'runs.grant_json',
          'runs.terms',
          'runs.spent_nano',
          'runs.spent_tokens',
          'runs.spent_calls',
        ])
        .where('runs.parent', 'in', ids)
        .where('runs.detached', '=', 0)
        .where('runs.state', '<>', 'done')
        .execute()
      level.push(...(rows as Below[]))
    }
    if (level.length > 0) levels.push(level)
    parents = level.map(run => run.id)
  }
  return levels
}

/** Money flows up, deepest level first: spent is what the ledger charged plus what ended children brought. */
async function settleUp(tx: Tx, levels: Below[][]): Promise<void> {
  const brought = new Map<
    string,
    { nano: number; tokens: number; calls: number; limit: { nano: number; tokens: number; calls: number } }
  >()
  for (const level of [...levels].reverse()) {
    for (const run of level) {
      const below = brought.get(run.id)
      const spent = {
        nano: run.spent_nano + (below?.nano ?? 0),
        tokens: run.spent_tokens + (below?.tokens ?? 0),
        calls: run.spent_calls + (below?.calls ?? 0),
      }
      if (below) {
        await tx
          .updateTable('runs')
          .set({
            spent_nano: spent.nano,
            spent_tokens: spent.tokens,
            spent_calls: spent.calls,
            lent_nano: 0,
            lent_tokens: 0,
            lent_calls: 0,
          })
          .where('id', '=', run.id)
          .execute()
      }
      if (run.payer === null) continue
      const budget = (JSON.parse(run.grant_json) as Run['grant']).budget
      const sum = brought.get(run.payer) ?? { nano: 0, tokens: 0, calls: 0, limit: { nano: 0, tokens: 0, calls: 0 } }
      brought.set(run.payer, {
        nano: sum.nano + spent.nano,
        tokens: sum.tokens + spent.tokens,
        calls: sum.calls + spent.calls,
        limit: {
          nano: sum.limit.nano + (budget.nano ?? 0),
          tokens: sum.limit.tokens + (budget.tokens ?? 0),
          calls: sum.limit.calls + (budget.calls ?? 0),
        },
      })
    }
  }
  const ended = new Set(levels.flat().map(run => run.id))
  for (const [payer, sum] of brought) {
    if (ended.has(payer)) continue
    await tx
      .updateTable('runs')
      .set(eb => ({
        spent_nano: eb('spent_nano', '+', sum.nano),
        spent_tokens: eb('spent_tokens', '+', sum.tokens),
        spent_calls: eb('spent_calls', '+', sum.calls),
        lent_nano: eb('lent_nano', '-', sum.limit.nano),
        lent_tokens: eb('lent_tokens', '-', sum.limit.tokens),
        lent_calls: eb('lent_calls', '-', sum.limit.calls),
      }))
      .where('id', '=', payer)
      .execute()
  }
}

function chunks<T>(list: readonly T[], size = chunk): T[][] {
  const out: T[][] = []
  for (let at = 0; at < list.length; at += size) out.push(list.slice(at, at + size))
  return out
}
