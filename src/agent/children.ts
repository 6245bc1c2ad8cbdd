/**
 * A run's sub-agents as it is told about them: lists, targets, what a wait found.
 * Owns the reading and the words; decides nothing.
 */
import type { ChildFacts } from '../core/ports.ts'
import type { Tx } from '../store/open.ts'

/** Children of a run, newest last; ended ones only when they ended within `recentMinutes` (null = all). */
export async function childFacts(
  db: Tx,
  run: string,
  recentMinutes: number | null,
  now: number,
): Promise<ChildFacts[]> {
  const rows = await db
    .selectFrom('runs')
    .innerJoin('sessions', 'sessions.id', 'runs.session')
    .select([
      'runs.id',
      'sessions.key as session_key',
      'runs.agent',
      'runs.label',
      'runs.task',
      'runs.state',
      'runs.outcome',
      'runs.model',
      'runs.spent_tokens',
      'runs.started_at',
      'runs.ended_at',
    ])
    .where('runs.parent', '=', run)
    .orderBy('runs.created_at')
    .orderBy('runs.id')
    .execute()
  const since = recentMinutes === null ? 0 : now - recentMinutes * 60_000
  return rows
    .map((row, i) => ({
      index: i + 1,
      run: row.id,
      sessionKey: row.session_key,
      agent: row.agent,
      label: row.label,
      taskName: row.label,
      task: row.task,
      state: row.state,
      outcome: row.outcome,
      model: row.model,
      runtimeMs: row.started_at === null ? 0 : (row.ended_at ?? now) - row.started_at,
      totalTokens: row.spent_tokens,
      startedAt: row.started_at,
      endedAt: row.ended_at,
    }))
    .filter(child => child.endedAt === null || child.endedAt >= since)
}

/** What `targets` name: run ids or prefixes, session keys, labels, `#2`, `last`, `all`; none = all live ones. */
export function targetsOf(children: readonly ChildFacts[], targets: readonly string[]): ChildFacts[] {
  if (targets.length === 0 || targets.includes('all')) return children.filter(child => child.state !== 'done')
  const found = new Set<ChildFacts>()
  for (const target of targets) {
    const name = target.replace(/^#/, '')
    const hits =
      target === 'last'
        ? children.slice(-1)
        : children.filter(
            child =>
              child.run === target ||
              child.sessionKey === target ||
              child.label === target ||
              String(child.index) === name,
          )
    for (const hit of hits.length > 0
      ? hits
      : children.filter(child => target.length >= 4 && child.run.startsWith(target)))
      found.add(hit)
  }
  return [...found]
}

/** The answer of `subagents wait`: how each stands now. Their words come as messages of their own. */
export function childAnswer(children: readonly ChildFacts[], unknown: readonly string[]): string {
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
    ...(unknown.length > 0 ? { unknown } : {}),
    note:
      open.length === 0 ? 'Results follow as messages.' : 'Still at work; results come as messages when they are done.',
  })
}
