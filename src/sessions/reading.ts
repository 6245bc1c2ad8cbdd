/**
 * What the doors read: sessions, history, runs, trees. Committed rows only; decides nothing.
 */
import type { Run, Session, Step } from '../core/types.ts'
import {
  finalWords,
  liveRunOf,
  loadRun,
  loadSession,
  loadView,
  messageOf,
  openSessionByKey,
  runOf,
  sessionOf,
  stepOf,
} from '../store/facts.ts'
import { lastLines } from '../store/last-line.ts'
import type { Tx } from '../store/open.ts'
import type { House, RunView } from './types.ts'

type Reads = Pick<
  House,
  | 'sessionByKey'
  | 'session'
  | 'sessions'
  | 'history'
  | 'message'
  | 'liveRun'
  | 'view'
  | 'runs'
  | 'run'
  | 'tree'
  | 'steps'
  | 'counts'
>

/** Of so many runs whose result nobody reads the ids are told. */
const fewDead = 3

export function openReads(db: Tx): Reads {
  async function sessionByKey(key: string): Promise<Session | null> {
    return openSessionByKey(db, key.trim().toLowerCase())
  }

  async function sessions(filter: Parameters<House['sessions']>[0]) {
    let query = db.selectFrom('sessions').where('closed_at', 'is', null)
    if (filter.agent) query = query.where('agent', '=', filter.agent)
    if (!filter.includeSubagents) query = query.where('depth', '=', 0)
    // The text is JSON that rows.ts wrote: a name inside a value would have its quotes escaped.
    const archived = '%"archived":true%'
    if (filter.archived === true) query = query.where('settings', 'like', archived)
    else if (filter.archived !== 'all')
      query = query.where(eb => eb.or([eb('settings', 'is', null), eb('settings', 'not like', archived)]))
    const total = await query.select(eb => eb.fn.countAll<number>().as('n')).executeTakeFirstOrThrow()
    const rows = await query
      .selectAll()
      .orderBy('updated_at', 'desc')
      .orderBy('id')
      .limit(filter.limit)
      .offset(filter.offset)
      .execute()
    return { sessions: rows.map(sessionOf), total: Number(total.n) }
  }

  async function history(session: string, options: { limit: number; before?: number }) {
    const counted = await db
      .selectFrom('messages')
      .select(eb => eb.fn.countAll<number>().as('n'))
      .where('session', '=', session)
      .executeTakeFirstOrThrow()
    let query = db.selectFrom('messages').selectAll().where('session', '=', session)
    if (options.before !== undefined) query = query.where('seq', '<', options.before)
    const rows = await query
      .orderBy('seq', 'desc')
      .limit(options.limit + 1)
      .execute()
    const messages = rows.slice(0, options.limit).reverse().map(messageOf)
    return { messages, total: Number(counted.n), hasMore: rows.length > options.limit }
  }

  async function message(session: string, id: string) {
    const row = await db
      .selectFrom('messages')
      .selectAll()
      .where('id', '=', id)
      .where('session', '=', session)
      .executeTakeFirst()
    return row ? messageOf(row) : null
  }

  /** A few questions for all of them, however many. */
  async function view(runs: readonly Run[]): Promise<RunView[]> {
    const views: RunView[] = []
    for (let at = 0; at < runs.length; at += 400) views.push(...(await someViews(runs.slice(at, at + 400))))
    return views
  }

  async function someViews(runs: readonly Run[]): Promise<RunView[]> {
    if (runs.length === 0) return []
    const ids = runs.map(run => run.id)
    const sessions = [...new Set(runs.map(run => run.session))]
    const keys = await db.selectFrom('sessions').select(['id', 'key']).where('id', 'in', sessions).execute()
    const children = await db
      .selectFrom('runs')
      .select(['id', 'parent'])
      .where('parent', 'in', ids)
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    const steps = await db
      .selectFrom('steps')
      .select(['run', eb => eb.fn.max('n').as('n')])
      .where('run', 'in', ids)
      .groupBy('run')
      .execute()
    const lineOf = await lastLines(db, runs)
    const keyOf = new Map(keys.map(row => [row.id, row.key]))
    const stepsOf = new Map(steps.map(row => [row.run, Number(row.n)]))
    const childrenOf = Map.groupBy(children, row => row.parent)
    return runs.map(run => ({
      run,
      sessionKey: keyOf.get(run.session) ?? run.session,
      children: (childrenOf.get(run.id) ?? []).map(row => row.id),
      steps: stepsOf.get(run.id) ?? 0,
      lastLine: lineOf.get(run.id) ?? null,
    }))
  }

  async function runs(filter: Parameters<House['runs']>[0]) {
    let query = db.selectFrom('runs').selectAll()
    if (filter.session) query = query.where('session', '=', filter.session)
    if (filter.tree) query = query.where('tree', '=', filter.tree)
    if (filter.state) query = query.where('state', 'in', [...filter.state])
    const rows = await query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(filter.limit).execute()
    return view(rows.map(runOf))
  }

  async function run(id: string) {
    const found = (await loadRun(db, id)) ?? (await byAlias(id))
    return found ? ((await view([{ ...found, result: await finalWords(db, found) }]))[0] ?? null) : null
  }

  /** A wire id, or the beginning of a run id that fits one run only. */
  async function byAlias(id: string): Promise<Run | null> {
    const alias = await db
      .selectFrom('rpc_keys')
      .select('run')
      .where('key', '=', id)
      .where('run', 'is not', null)
      .orderBy('at', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (alias?.run) return loadRun(db, alias.run)
    if (id.length < 4 || /[%_]/.test(id)) return null
    const rows = await db
      .selectFrom('runs')
      .selectAll()
      .where('id', 'like', `${id}%`)
      .where('id', 'not like', `${id}%.%`)
      .limit(2)
      .execute()
    return rows.length === 1 && rows[0] ? runOf(rows[0]) : null
  }

  async function tree(id: string) {
    const start = await run(id)
    if (!start) return []
    let root = start.run
    while (root.parent !== null) {
      const parent = await loadRun(db, root.parent)
      if (!parent) break
      root = parent
    }
    const rows: Run[] = [root]
    for (let level = [root.id]; level.length > 0; ) {
      const found: Run[] = []
      for (let at = 0; at < level.length; at += 400) {
        const below = await db
          .selectFrom('runs')
          .selectAll()
          .where('parent', 'in', level.slice(at, at + 400))
          .orderBy('created_at')
          .orderBy('id')
          .execute()
        found.push(...below.map(runOf))
      }
      rows.push(...found)
      level = found.map(one => one.id)
    }
    return view(rows)
  }

  async function steps(id: string): Promise<Step[]> {
    const rows = await db.selectFrom('steps').selectAll().where('run', '=', id).orderBy('n').execute()
    return rows.map(stepOf)
  }

  async function counts() {
    const byState = await db
      .selectFrom('runs')
      .select(['state', eb => eb.fn.countAll<number>().as('n')])
      .groupBy('state')
      .execute()
    const open = await db
      .selectFrom('sessions')
      .select(eb => eb.fn.countAll<number>().as('n'))
      .where('closed_at', 'is', null)
      .executeTakeFirstOrThrow()
    const dead = await db
      .selectFrom('inbox')
      .select(eb => eb.fn.countAll<number>().as('n'))
      .where('state', '=', 'dead')
      .executeTakeFirstOrThrow()
    const lately = await db
      .selectFrom('inbox')
      .select('from_run')
      .where('state', '=', 'dead')
      .where('from_run', 'is not', null)
      .orderBy('id', 'desc')
      .limit(fewDead)
      .execute()
    const outbox = await db
      .selectFrom('outbox')
      .select(['state', eb => eb.fn.countAll<number>().as('n')])
      .groupBy('state')
      .execute()
    return {
      runs: Object.fromEntries(byState.map(row => [row.state, Number(row.n)])),
      sessions: Number(open.n),
      deadLetters: Number(dead.n),
      deadRuns: lately.flatMap(row => row.from_run ?? []),
      outbox: Object.fromEntries(outbox.map(row => [row.state, Number(row.n)])),
    }
  }

  return {
    sessionByKey,
    session: id => loadSession(db, id),
    sessions,
    history,
    message,
    liveRun: id => liveRunOf(db, id),
    async view(id) {
      const view = (await loadSession(db, id))?.view
      return view === undefined ? null : loadView(db, view)
    },
    runs,
    run,
    tree,
    steps,
    counts,
  }
}
