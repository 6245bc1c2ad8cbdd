/**
 * What must be true of a delegation, however often the gateway was killed in it. Pure: facts in, broken promises out.
 */
import { planIn } from '../../bench/plan.ts'
import type { Seen } from '../../bench/stub.ts'
import type { Facts, RunRow, StepRow } from './rows.ts'

/** What was on the disk when the gateway had been killed. */
export interface Death {
  at: string
  /** When the next life began, µs by the wall clock: requests from then on are its own. */
  againAt: number
  facts: Facts | null
}

export interface Story {
  id: string
  children: number
  deaths: readonly Death[]
  end: Facts
  /** Requests for plans of this story. */
  requests: readonly Seen[]
  /** Lines that side effects left, by plan. */
  effects: readonly string[]
}

/** Plan of a run: the root's is named by its session, a child's stands in its task. */
export function planOf(run: RunRow): string {
  return run.parent === null ? run.key.replace('agent:main:', '') : (planIn(run.task)?.id ?? run.id)
}

const finished = (step: StepRow) => step.state === 'done' || step.state === 'unknown'

/** Completed model calls by plan. */
function modelCalls(facts: Facts): Map<string, number> {
  const plans = new Map(facts.runs.map(run => [run.id, planOf(run)]))
  const counts = new Map<string, number>()
  for (const step of facts.steps.filter(step => step.kind === 'model' && step.state === 'done')) {
    const plan = plans.get(step.run)!
    counts.set(plan, (counts.get(plan) ?? 0) + 1)
  }
  return counts
}

/** Nothing that was on the disk at a death may be done again or be different at the end. */
export function repeated(story: Story): string[] {
  const problems: string[] = []
  const now = new Map(story.end.steps.map(step => [`${step.run} ${step.n}`, step]))
  for (const { at, againAt, facts } of story.deaths) {
    if (!facts) continue
    for (const step of facts.steps.filter(finished)) {
      const same = JSON.stringify(now.get(`${step.run} ${step.n}`)) === JSON.stringify(step)
      if (!same) problems.push(`after ${at}: completed step ${step.run} ${step.n} (${step.name}) changed`)
    }
    const done = modelCalls(facts)
    for (const seen of story.requests.filter(seen => seen.inAt >= againAt && seen.n < (done.get(seen.plan!) ?? 0)))
      problems.push(`after ${at}: model call ${seen.n} of ${seen.plan} was made again`)
    const held = new Set(facts.messages.map(row => `${row.session} ${row.seq} ${row.parts}`))
    for (const row of story.end.messages) held.delete(`${row.session} ${row.seq} ${row.parts}`)
    if (held.size > 0) problems.push(`after ${at}: ${held.size} messages were lost or changed`)
  }
  return problems
}

/** Every run has ended, everything open is closed. */
export function stuck(end: Facts): string[] {
  const open = end.steps.filter(step => step.state === 'open' || step.state === 'asking')
  return [
    ...end.runs.filter(run => run.state !== 'done').map(run => `${run.id} is ${run.state}`),
    ...open.map(step => `step ${step.run} ${step.n} (${step.name}) is ${step.state}`),
    ...end.inbox.filter(row => row.state === 'unread').map(row => `inbox row ${row.key} is unread`),
    ...(end.reserved > 0 ? [`${end.reserved} reservations are open`] : []),
  ]
}

function once(what: string, found: number, expected = 1): string[] {
  return found === expected ? [] : [`${what}: ${found}, not ${expected}`]
}

/** Side effects: a finished call left its line, no call left two, and only a call in doubt may have left none. */
export function sideEffects(story: Story): string[] {
  const plans = new Map(story.end.runs.map(run => [run.id, planOf(run)]))
  const calls = story.end.steps.filter(step => step.kind === 'tool' && step.name === 'exec')
  return calls.flatMap(step => {
    const plan = plans.get(step.run)!
    const lines = story.effects.filter(line => line === plan).length
    if (step.state === 'done') return once(`side effects of ${plan}`, lines)
    return lines > 1 ? [`side effects of ${plan}: ${lines}, at most 1`] : []
  })
}

const ends = (facts: Facts, run: RunRow) => facts.inbox.filter(row => row.kind === 'result' && row.from_run === run.id)

/** A delegation that was let be: every child came back once, and the answer says so once. */
export function checkWork(story: Story): string[] {
  const { end, id, children } = story
  const root = end.runs.filter(run => run.parent === null)
  const kids = end.runs.filter(run => run.parent !== null)
  const own = end.messages.filter(row => row.session === root[0]?.session)
  const said = (words: string) => own.filter(row => row.role === 'assistant' && row.parts.includes(words)).length
  return [
    ...stuck(end),
    ...repeated(story),
    ...sideEffects(story),
    ...once('runs of the message', root.length),
    ...once('children', kids.length, children),
    ...end.runs.filter(run => run.outcome !== 'succeeded').map(run => `${run.id} ${run.outcome}: ${run.error}`),
    ...kids.flatMap(run =>
      once(`results of ${planOf(run)}`, ends(end, run).filter(row => row.state === 'read').length),
    ),
    ...kids.flatMap(run =>
      once(
        `${planOf(run)} in the transcript`,
        own.filter(row => row.role !== 'assistant' && row.parts.includes(`RESULT(${planOf(run)})`)).length,
      ),
    ),
    ...once('final answers', said(`done ${id} ${children}/${children}`)),
    ...once('messages taken in', own.filter(row => row.meta.includes(`"idempotencyKey":"${id}"`)).length),
    ...once('requests taken in', end.keys.length),
    ...once('requests answered', end.keys.filter(row => row.answered === 1).length),
  ]
}

/** A delegation that was cancelled: the whole tree ended as one, and nothing started because of it. */
export function checkCancel(story: Story): string[] {
  const { end } = story
  const alive = end.inbox.filter(row => row.state === 'unread').length
  return [
    ...stuck(end),
    ...repeated(story),
    ...once('runs of the message', end.runs.filter(run => run.parent === null).length),
    ...end.runs.filter(run => run.outcome !== 'cancelled').map(run => `${run.id} ended as ${run.outcome}`),
    ...once('unread rows', alive, 0),
    ...once('requests taken in', end.keys.length),
    ...once('requests answered', end.keys.filter(row => row.answered === 1).length),
  ]
}
