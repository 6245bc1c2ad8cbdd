/**
 * A run's sub-agents as it is told about them: lists, targets, what a wait found.
 * Owns the reading and the words; decides nothing.
 */
import type { ChildFacts } from '../core/ports.ts'
import type { Terms } from '../core/types.ts'
import type { Tx } from '../store/open.ts'

/** Children of a run, newest last. */
export async function childFacts(db: Tx, run: string, now: number): Promise<ChildFacts[]> {
  const rows = await childRows(db).where('runs.parent', '=', run).execute()
  return rows.map((row, i) => factsOf(row, i + 1, run, now))
}

/**
 * Sub-agents of a conversation, newest last, whoever started them there and in whichever turn; `run` is whose own are marked
 * so. Numbered by birth over the life of the conversation, as a person counts them. Ended ones only when they ended within
 * `recentMinutes`.
 */
export async function conversationChildren(
  db: Tx,
  { session, run }: { session: string; run: string },
  recentMinutes: number,
  now: number,
): Promise<ChildFacts[]> {
  const rows = await childRows(db).where('sessions.parent_session', '=', session).execute()
  const since = now - recentMinutes * 60_000
  const numbers = new Map<string, number>()
  for (const { session_key: key } of rows) if (!numbers.has(key)) numbers.set(key, numbers.size + 1)
  return rows
    .filter(row => row.ended_at === null || row.ended_at >= since)
    .map(row => factsOf(row, numbers.get(row.session_key)!, run, now))
}

const childRows = (db: Tx) =>
  db
    .selectFrom('runs')
    .innerJoin('sessions', 'sessions.id', 'runs.session')
    .select([
      'runs.id',
      'sessions.key as session_key',
      'runs.parent',
      'runs.agent',
      'runs.label',
      'runs.task',
      'runs.terms',
      'runs.state',
      'runs.outcome',
      'runs.model',
      'runs.spent_tokens',
      'runs.started_at',
      'runs.ended_at',
    ])
    .orderBy('runs.created_at')
    .orderBy('runs.id')

type ChildRow = Awaited<ReturnType<ReturnType<typeof childRows>['execute']>>[number]

function factsOf(row: ChildRow, index: number, run: string, now: number): ChildFacts {
  return {
    index,
    run: row.id,
    own: row.parent === run,
    sessionKey: row.session_key,
    agent: row.agent,
    label: row.label,
    taskName: taskNameOf(row.terms),
    task: row.task,
    state: row.state,
    outcome: row.outcome,
    model: row.model,
    runtimeMs: row.started_at === null ? 0 : (row.ended_at ?? now) - row.started_at,
    totalTokens: row.spent_tokens,
    startedAt: row.started_at,
    endedAt: row.ended_at,
  }
}

/** At most so many are named one by one. */
const mostNamed = 20

/**
 * The sub-agents that are at work, for the model that started them: a line of a few words each, for this moment only. The
 * first words of all lines are the same, so that it knows them for what they are.
 */
export async function childNote(tx: Tx, run: string, now: number): Promise<string> {
  const rows = await tx.ask(oldestLive, run)
  const lines = rows.slice(0, mostNamed).map(row => {
    const name = taskNameOf(row.terms) ?? row.label ?? row.task.replace(/\s+/g, ' ').slice(0, 40)
    return `${name} (${row.agent}) ${row.state} ${Math.round((now - row.created_at) / 1000)}s`
  })
  return `[Your sub-agents at work: ${lines.join('; ')}${rows.length > mostNamed ? '; and more' : ''}]`
}

const oldestLive = (db: Tx, run: string) =>
  db
    .selectFrom('runs')
    .select(['id', 'agent', 'label', 'task', 'terms', 'state', 'created_at'])
    .where('parent', '=', run)
    .where('state', '<>', 'done')
    .orderBy('created_at')
    .orderBy('id')
    .limit(mostNamed + 1)

/** Handles of a run's live children. */
export async function liveTaskNames(tx: Tx, run: string): Promise<string[]> {
  return (await tx.ask(liveTerms, run)).flatMap(row => taskNameOf(row.terms) ?? [])
}

const liveTerms = (db: Tx, run: string) =>
  db
    .selectFrom('runs')
    .select('terms')
    .where('parent', '=', run)
    .where('state', '<>', 'done')
    .where('terms', 'is not', null)

function taskNameOf(terms: string | null): string | null {
  return terms === null ? null : ((JSON.parse(terms) as Terms).taskName ?? null)
}

/** The answer of `subagents wait`: how each stands now. Their words come as messages of their own. */
export function childAnswer(children: readonly ChildFacts[]): string {
  const open = children.filter(child => child.state !== 'done')
  return JSON.stringify({
    status: open.length === 0 ? 'done' : 'waiting',
    subagents: children.map(child => ({
      runId: child.run,
      agentId: child.agent,
      label: child.label,
      status: child.state === 'done' ? child.outcome : child.state,
      runtimeMs: child.runtimeMs,
    })),
    note:
      open.length === 0 ? 'Results follow as messages.' : 'Still at work; results come as messages when they are done.',
  })
}
