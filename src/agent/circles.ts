/**
 * What the rows say about a run that may go round in circles: its calls since it last heard something new, how a task ended
 * before, how many sub-agents its conversation has just started. Owns the reading; core/breaker.ts has the rules.
 */
import {
  failing,
  loopMark,
  type LoopRules,
  type PastCall,
  type SpawnLimits,
  storming,
  timesSame,
  type Tripped,
} from '../core/breaker.ts'
import type { Message, ModelIntent, Outcome, Run, Step, ToolIntent } from '../core/types.ts'
import { messageOf, stepOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'

/** Steps that are looked back over. */
const window = 80

/** What a call gave, without what the house added to it. */
export function givenBy(parts: Message['parts']): string {
  return parts.flatMap(part => (part.type === 'text' && !part.text.startsWith(loopMark) ? [part.text] : [])).join('\n')
}

/** The calls of a run that have a result, since the newest step that showed it something from outside. */
async function pastCalls(tx: Tx, run: Run, names: ReadonlySet<string>): Promise<{ calls: PastCall[]; reply: number }> {
  const steps = (await tx.ask(newest, run.id)).map(stepOf)
  const news = steps.findIndex(step => step.kind === 'model' && (step.intent as ModelIntent).inbox.length > 0)
  const since = (news < 0 ? steps : steps.slice(0, news + 1)).reverse()
  const calls: { reply: number; step: Step; seq: number }[] = []
  let reply = 0
  for (const step of since) {
    if (step.kind === 'model') reply = step.n
    if (step.kind === 'tool' && names.has(step.name) && step.result?.seq != null)
      calls.push({ reply, step, seq: step.result.seq })
  }
  if (calls.length === 0) return { calls: [], reply }
  const rows = await tx.ask(
    saidAt,
    run.session,
    calls.map(call => call.seq),
  )
  const said = new Map(rows.map(messageOf).map(message => [message.seq, givenBy(message.parts)]))
  const past = calls.map(({ reply: at, step, seq }) => ({
    reply: at,
    name: step.name,
    args: (step.intent as ToolIntent).args,
    result: said.get(seq) ?? '',
  }))
  return { calls: past, reply }
}

/** How often this call has given this by now, with this time; 0 while it is too early to ask. */
export async function timesGiven(
  tx: Tx,
  rules: LoopRules | null,
  run: Run,
  step: Step,
  parts: Message['parts'],
): Promise<number> {
  if (rules === null || step.n < rules.warnAt * 2) return 0
  const { calls, reply } = await pastCalls(tx, run, new Set([step.name]))
  // Calls side by side with this one count with it.
  const before = calls.filter(one => one.reply !== reply)
  return timesSame(before, { name: step.name, args: (step.intent as ToolIntent).args, result: givenBy(parts) }) + 1
}

/** The call of the newest reply that has been made too often; null when there is none. */
export async function circleOf(
  tx: Tx,
  rules: LoopRules | null,
  run: Run,
  reply: readonly Step[],
): Promise<{ name: string; times: number } | null> {
  const calls = reply.filter(step => step.kind === 'tool')
  if (rules === null || (calls.at(-1)?.n ?? 0) < rules.endAt * 2) return null
  const past = await pastCalls(tx, run, new Set(calls.map(step => step.name)))
  for (const call of past.calls.filter(one => one.reply === past.reply)) {
    const times = timesSame(past.calls, call)
    if (times >= rules.endAt) return { name: call.name, times }
  }
  return null
}

export interface SpawnWatch {
  /** Why this may not be started now; null when it may. */
  trips(agent: string, task: string): Tripped | null
  /** One more was started in this transaction. */
  began(): void
}

/** What a conversation and all below it have started and how it ended, read once for all spawns of a reply. */
export async function watchSpawns(tx: Tx, limits: SpawnLimits, tree: string, now: number): Promise<SpawnWatch> {
  const { maxFailuresInRow, maxSpawnsPerMinute } = limits
  const ends = maxFailuresInRow === 0 ? [] : await tx.ask(newestEnds, tree)
  const started =
    maxSpawnsPerMinute === 0 ? [] : (await tx.ask(newestSpawns, tree, now - 60_000)).map(row => row.created_at)
  return {
    trips(agent, task) {
      const same = ends
        .filter(row => row.agent === agent && row.task === task)
        .map(row => ({ outcome: row.outcome as Outcome | null, endedAt: row.ended_at }))
      return failing(same, maxFailuresInRow, now) ?? storming(started, maxSpawnsPerMinute, now)
    },
    began: () => void started.push(now),
  }
}

const newestEnds = (db: Tx, tree: string) =>
  db
    .selectFrom('runs')
    .select(['agent', 'task', 'outcome', 'ended_at'])
    .where('tree', '=', tree)
    .where('parent', 'is not', null)
    .where('state', '=', 'done')
    .orderBy('created_at', 'desc')
    .limit(100)

const newestSpawns = (db: Tx, tree: string, since: number) =>
  db
    .selectFrom('runs')
    .select('created_at')
    .where('tree', '=', tree)
    .where('created_at', '>', since)
    .where('parent', 'is not', null)
    .orderBy('created_at', 'desc')
    .limit(10_000)

const newest = (db: Tx, run: string) =>
  db.selectFrom('steps').selectAll().where('run', '=', run).orderBy('n', 'desc').limit(window)

const saidAt = (db: Tx, session: string, seqs: readonly number[]) =>
  db.selectFrom('messages').selectAll().where('session', '=', session).where('seq', 'in', seqs)
