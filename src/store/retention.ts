/**
 * Forgetting, by the rules of core/retention.ts: small transactions, each over one tree or one page of keys, none over a tree
 * that is at work.
 *
 * Owns the deleting of rows and nothing else of them. What is to go is decided on rows that the very transaction has read.
 * Files of long texts go afterwards, by bodies.ts, once no row names them. Never removes a run, a charge of the ledger, or
 * what is unread or undelivered.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../core/ports.ts'
import { type Goes, putAway, type RetentionRules, runGoes, sessionGoes, type TreeNeeds } from '../core/retention.ts'
import { apply } from './apply.ts'
import { bindingsOf } from './bindings.ts'
import { loadSession } from './facts.ts'
import type { Store, Tx } from './open.ts'

export interface Swept {
  results: number
  journals: number
  transcripts: number
  keys: number
}

export interface RetentionOptions {
  store: Pick<Store, 'read' | 'write'>
  clock: Clock
  rules(): RetentionRules
  /** How long after its end a sub-agent's conversation is put away, by the agent that spawned it; null = never. */
  archiveAfterMs(agent: string): number | null
  /** The deciders, so that a test can plant mistakes in them. */
  decide?: { runGoes: typeof runGoes; sessionGoes: typeof sessionGoes }
}

export interface Retention {
  sweep(): Promise<Swept>
  /** Puts away conversations of sub-agents that ended a while ago; returns how many. */
  archive(): Promise<number>
}

/** Rows that one transaction looks at, and deletes at most. */
const page = 200

export function openRetention(options: RetentionOptions): Retention {
  const { store, clock, decide = { runGoes, sessionGoes } } = options

  async function sweep(): Promise<Swept> {
    const rules = options.rules()
    const now = clock.now()
    const swept: Swept = { results: 0, journals: 0, transcripts: 0, keys: 0 }
    await sweepRuns(rules, now, swept)
    await sweepSessions(rules, now, swept)
    await sweepKeys(now - rules.keys, swept)
    return swept
  }

  async function sweepRuns(rules: RetentionRules, now: number, swept: Swept): Promise<void> {
    for (let after = { at: 0, id: '' }; ; ) {
      const rows = await store.read
        .selectFrom('runs')
        .select(['id', 'tree', 'created_at'])
        .where('state', '=', 'done')
        .where('created_at', '<=', now - rules.results)
        .where(eb => eb.or([eb('created_at', '>', after.at), eb('created_at', '=', after.at).and('id', '>', after.id)]))
        .orderBy('created_at')
        .orderBy('id')
        .limit(page)
        .execute()
      const last = rows.at(-1)
      if (!last) return
      after = { at: last.created_at, id: last.id }
      for (const tree of new Set(rows.map(row => row.tree))) {
        const ids = rows.filter(row => row.tree === tree).map(row => row.id)
        const gone = await store.write('sweep', tx => forgetRuns(tx, tree, ids, rules, now))
        swept.results += gone.results
        swept.journals += gone.journals
        swept.transcripts += gone.transcripts
        await nextTurn()
      }
    }
  }

  async function forgetRuns(tx: Tx, tree: string, ids: readonly string[], rules: RetentionRules, now: number) {
    const gone = { results: 0, journals: 0, transcripts: 0 }
    const needs = await needsOf(tx, tree)
    for (const { id, session, ...run } of await oldRuns(tx, ids)) {
      const goes: Goes = decide.runGoes(run, needs, rules, now)
      if (goes.result) {
        await tx.updateTable('runs').set({ result: null }).where('id', '=', id).execute()
        gone.results += 1
      }
      if (goes.journal) {
        await tx.deleteFrom('steps').where('run', '=', id).execute()
        gone.journals += 1
      }
      if (goes.messages && (await forgetMessages(tx, session))) gone.transcripts += 1
    }
    return gone
  }

  async function sweepSessions(rules: RetentionRules, now: number, swept: Swept): Promise<void> {
    if (rules.transcripts === null && rules.closed === null) return
    const oldest = now - Math.min(rules.transcripts ?? Number.MAX_SAFE_INTEGER, rules.closed ?? Number.MAX_SAFE_INTEGER)
    for (let after = ''; ; ) {
      const rows = await store.read
        .selectFrom('sessions')
        .select('id')
        .where('updated_at', '<=', oldest)
        .where('id', '>', after)
        .orderBy('id')
        .limit(page)
        .execute()
      const last = rows.at(-1)
      if (!last) return
      after = last.id
      for (const { id } of rows) {
        if (await store.write('sweep', tx => forgetSession(tx, id, rules, now))) swept.transcripts += 1
        await nextTurn()
      }
    }
  }

  async function forgetSession(tx: Tx, id: string, rules: RetentionRules, now: number): Promise<boolean> {
    const session = await loadSession(tx, id)
    if (!session) return false
    const lasting = session.key === `agent:${session.agent}:main` || session.settings?.pinned === true
    const { updatedAt, closedAt } = session
    const bound = (await bindingsOf(tx, [session.key])).length > 0
    if (!decide.sessionGoes({ updatedAt, closedAt, lasting, bound }, await needsOf(tx, session.tree), rules, now))
      return false
    if (closedAt === null) await apply(tx, [{ do: 'session.close', session: id, at: now }])
    return forgetMessages(tx, id)
  }

  async function sweepKeys(before: number, swept: Swept): Promise<void> {
    for (;;) {
      const n = await store.write('sweep', tx => forgetKeys(tx, before))
      swept.keys += n
      if (n === 0) return
      await nextTurn()
    }
  }

  async function archive(): Promise<number> {
    const now = clock.now()
    const rows = await store.read
      .selectFrom('sessions')
      .leftJoin('sessions as parents', 'parents.id', 'sessions.parent_session')
      .select(['sessions.id', 'sessions.agent', 'sessions.updated_at', 'parents.agent as caller'])
      .where('sessions.depth', '>', 0)
      .where('sessions.closed_at', 'is', null)
      // The text is JSON that rows.ts wrote: a name inside a value would have its quotes escaped.
      .where(eb =>
        eb.or([eb('sessions.settings', 'is', null), eb('sessions.settings', 'not like', '%"archived":true%')]),
      )
      .where(eb =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('runs')
              .select('runs.id')
              .whereRef('runs.session', '=', 'sessions.id')
              .where('runs.state', '<>', 'done'),
          ),
        ),
      )
      .orderBy('sessions.updated_at')
      .limit(1000)
      .execute()
    let away = 0
    for (const { id, agent, caller, updated_at } of rows) {
      const after = options.archiveAfterMs(caller ?? agent)
      // Nothing was said since its end.
      if (after === null || updated_at > now - after) continue
      if (await store.write('sweep', tx => archiveOne(tx, id, after, now))) away += 1
    }
    return away
  }

  return { sweep, archive }
}

async function archiveOne(tx: Tx, id: string, after: number, now: number): Promise<boolean> {
  const session = await loadSession(tx, id)
  if (!session || session.closedAt !== null || session.settings?.archived) return false
  const runs = await tx.selectFrom('runs').select(['state', 'ended_at']).where('session', '=', id).execute()
  const live = runs.filter(run => run.state !== 'done').length
  const news = tx.selectFrom('inbox').select('id').where('session', '=', id).where('state', '=', 'unread').limit(1)
  const unread = (await news.execute()).length
  const lastEnd = runs.reduce<number | null>((last, run) => Math.max(last ?? 0, run.ended_at ?? 0), null)
  const bound = (await bindingsOf(tx, [session.key])).length > 0
  if (!putAway(lastEnd, { live, unread }, bound, after, now)) return false
  const settings = { ...session.settings, archived: true }
  await apply(tx, [{ do: 'session.set', session: id, to: { settings }, at: session.updatedAt }])
  return true
}

/** What a tree needs still, as the transaction reads it: of each one is enough. */
async function needsOf(tx: Tx, tree: string): Promise<TreeNeeds> {
  const [live, unread, open] = [await tx.ask(liveIn, tree), await tx.ask(unreadIn, tree), await tx.ask(openIn, tree)]
  return { live: live.length, unread: unread.length, undelivered: open.length }
}

const sessionsOf = (db: Tx, tree: string) => db.selectFrom('sessions').select('id').where('tree', '=', tree)

const liveIn = (db: Tx, tree: string) =>
  db.selectFrom('runs').select('id').where('session', 'in', sessionsOf(db, tree)).where('state', '<>', 'done').limit(1)

const unreadIn = (db: Tx, tree: string) =>
  db
    .selectFrom('inbox')
    .select('id')
    .where('session', 'in', sessionsOf(db, tree))
    .where('state', '=', 'unread')
    .limit(1)

const openIn = (db: Tx, tree: string) =>
  db
    .selectFrom('outbox')
    .select('id')
    .where('state', 'not in', ['sent', 'dead'])
    .where('session', 'in', sessionsOf(db, tree))
    .limit(1)

async function oldRuns(tx: Tx, ids: readonly string[]) {
  const rows = await tx
    .selectFrom('runs')
    .innerJoin('sessions', 'sessions.id', 'runs.session')
    .select(eb => [
      'runs.id',
      'runs.session',
      'runs.state',
      'runs.ended_at',
      'runs.result',
      'runs.terms',
      'sessions.closed_at',
      eb
        .selectFrom('outbox')
        .select(one => one.fn.max('outbox.updated_at').as('at'))
        .whereRef('outbox.run', '=', 'runs.id')
        .as('delivered_at'),
      eb.selectFrom('steps').select('steps.n').whereRef('steps.run', '=', 'runs.id').limit(1).as('step'),
    ])
    .where('runs.id', 'in', [...ids])
    .execute()
  return rows.map(row => ({
    id: row.id,
    session: row.session,
    endedAt: row.state === 'done' ? row.ended_at : null,
    deliveredAt: row.delivered_at,
    hasResult: row.result !== null,
    hasSteps: row.step !== null,
    passing: row.closed_at !== null && row.terms !== null && JSON.parse(row.terms).cleanup === 'delete',
  }))
}

/** All messages of a conversation, and what stands for them. False when there were none. */
async function forgetMessages(tx: Tx, session: string): Promise<boolean> {
  const gone = await tx.deleteFrom('messages').where('session', '=', session).executeTakeFirst()
  if (gone.numDeletedRows === 0n) return false
  // A copy of the conversation may show its views still.
  await tx
    .deleteFrom('views')
    .where('session', '=', session)
    .where('id', 'not in', eb =>
      eb
        .selectFrom('sessions')
        .select('view')
        .where('view', 'is not', null)
        .where('id', '<>', session)
        .$castTo<{ view: string }>(),
    )
    .execute()
  await tx.updateTable('sessions').set({ view: null }).where('id', '=', session).execute()
  return true
}

/** Keys, drops, sent messages and bindings that are over: nobody will ask for them again. A page of each. */
async function forgetKeys(tx: Tx, before: number): Promise<number> {
  const keys = await tx
    .selectFrom('rpc_keys')
    .leftJoin('runs', 'runs.id', 'rpc_keys.run')
    .select(['rpc_keys.principal', 'rpc_keys.method', 'rpc_keys.session', 'rpc_keys.key'])
    .where('rpc_keys.at', '<', before)
    .where(eb => eb.or([eb('runs.id', 'is', null), eb('runs.state', '=', 'done')]))
    .limit(page)
    .execute()
  for (const key of keys)
    await tx
      .deleteFrom('rpc_keys')
      .where('principal', '=', key.principal)
      .where('method', '=', key.method)
      .where('session', '=', key.session)
      .where('key', '=', key.key)
      .execute()
  const sent = await tx
    .selectFrom('outbox')
    .select('id')
    .where('state', 'in', ['sent', 'dead'])
    .where('updated_at', '<', before)
    .limit(page)
    .execute()
  if (sent.length > 0)
    await tx
      .deleteFrom('outbox')
      .where(
        'id',
        'in',
        sent.map(row => row.id),
      )
      .execute()
  const drops = await tx.selectFrom('drops').selectAll().where('at', '<', before).limit(page).execute()
  for (const drop of drops)
    await tx
      .deleteFrom('drops')
      .where('channel', '=', drop.channel)
      .where('account', '=', drop.account)
      .where('chat', '=', drop.chat)
      .where('message', '=', drop.message)
      .where('edit', '=', drop.edit)
      .execute()
  const over = await tx.selectFrom('thread_bindings').select('id').where('ended_at', '<', before).limit(page).execute()
  for (const { id } of over) await tx.deleteFrom('thread_bindings').where('id', '=', id).execute()
  return keys.length + sent.length + drops.length + over.length
}
