/**
 * The sub-agents of a conversation as a person counts them, and which of them are meant.
 *
 * Owns the numbering: by birth, over the whole life of the conversation, ended ones included, so that `#2` means the same
 * when it is killed as when it was listed. One entry a sub-agent, however often its conversation has started afresh; its newest
 * run speaks for it. Committed rows only.
 */
import type { Run, Session } from '../../core/types.ts'
import { runOf } from '../../store/facts.ts'
import type { Tx } from '../../store/open.ts'
import { line } from './words.ts'

export interface Child {
  /** From 1. */
  index: number
  sessionKey: string
  run: Run
  /** What it used over all its runs. */
  tokens: number
  nano: number
}

/** So many ids go into one question. */
const atOnce = 400

export async function childrenOf(db: Tx, session: string): Promise<Child[]> {
  const sessions = await db
    .selectFrom('sessions')
    .select(['id', 'key'])
    .where('parent_session', '=', session)
    .orderBy('created_at')
    .orderBy('id')
    .execute()
  const runs = new Map<string, Run[]>()
  for (let at = 0; at < sessions.length; at += atOnce) {
    const ids = sessions.slice(at, at + atOnce).map(row => row.id)
    const rows = await db
      .selectFrom('runs')
      .selectAll()
      .where('session', 'in', ids)
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    for (const row of rows) runs.set(row.session, [...(runs.get(row.session) ?? []), runOf(row)])
  }
  const children: Child[] = []
  for (const [key, of] of Map.groupBy(sessions, session => session.key)) {
    const mine = of.flatMap(({ id }) => runs.get(id) ?? [])
    const run = mine.find(one => one.state !== 'done') ?? mine.at(-1)
    if (!run) continue
    children.push({
      index: children.length + 1,
      sessionKey: key,
      run,
      tokens: mine.reduce((sum, one) => sum + one.spent.tokens, 0),
      nano: mine.reduce((sum, one) => sum + one.spent.nano, 0),
    })
  }
  return children
}

export type Found = { ok: true; child: Child } | { ok: false; problem: string }

/** `2`, `#2`, `last`, a label, a session key, a run id or the beginning of one (openclaw-facts.md §D3). */
export function childNamed(children: readonly Child[], target: string): Found {
  if (children.length === 0) return no('This conversation has no sub-agents.')
  if (target === '') return no(`Say which: 1 to ${children.length}, a label, a run id, or last.`)
  if (target.toLowerCase() === 'last') return one(children.slice(-1), target)
  const number = /^#?(\d{1,9})$/.exec(target)?.[1]
  if (number !== undefined) {
    const byIndex = children.filter(child => child.index === Number(number))
    // A run id may begin with figures only.
    if (byIndex.length > 0 || target.startsWith('#')) return one(byIndex, target, children.length)
  }
  const exact = children.filter(
    ({ run, sessionKey }) => run.id === target || sessionKey === target.toLowerCase() || run.label === target,
  )
  if (exact.length > 0) return one(exact, target)
  const lower = target.toLowerCase()
  const near = children.filter(
    ({ run }) => (target.length >= 4 && run.id.startsWith(lower)) || run.label?.toLowerCase() === lower,
  )
  return one(near, target, children.length)
}

function one(found: readonly Child[], target: string, all = found.length): Found {
  const [first] = found
  if (!first) return no(`There is no sub-agent ${line(target, 40)}; there are 1 to ${all}. /subagents list`)
  if (found.length === 1) return { ok: true, child: first }
  return no(`${line(target, 40)} fits ${found.map(child => `#${child.index}`).join(', ')}. Say which.`)
}

function no(problem: string): Found {
  return { ok: false, problem }
}

export function nameOfChild({ index, run }: Pick<Child, 'index' | 'run'>): string {
  return `#${index} ${line(run.label ?? run.agent, 40)}`
}

/** Everything below a conversation that is at work: its sub-agents, and theirs. Oldest first. */
export async function atWorkBelow(db: Tx, session: Session): Promise<Run[]> {
  const rows = await db
    .selectFrom('runs')
    .selectAll()
    .where('tree', '=', session.tree)
    .where('state', '<>', 'done')
    .orderBy('created_at')
    .orderBy('id')
    .execute()
  const live = rows.map(runOf).filter(run => run.session !== session.id)
  if (session.tree === session.id || live.length === 0) return live
  const tree = await db
    .selectFrom('sessions')
    .select(['id', 'parent_session'])
    .where('tree', '=', session.tree)
    .orderBy('depth')
    .execute()
  const below = new Set([session.id])
  for (const row of tree) if (row.parent_session !== null && below.has(row.parent_session)) below.add(row.id)
  return live.filter(run => below.has(run.session))
}
