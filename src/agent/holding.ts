/**
 * A model that can't be asked now, and a call that failed: the run waits in a row, shortens what it says, or ends.
 *
 * Owns both: `holdRun` before a call is written down, so that nothing is set aside for it, and `callFailed` after one. Also
 * tells the models room at a start what the rows wait for. Never asks a model, never sleeps.
 */
import type { ModelFailure, Pause } from '../core/ports.ts'
import { wasted } from '../core/run/compact.ts'
import { afterwards, type Effect, type Mailbox, nothing } from '../core/run/facts.ts'
import { hold } from '../core/run/hold.ts'
import { cooldown, fire } from '../core/run/steps.ts'
import type { ModelIntent, Run, Step } from '../core/types.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { lastStep, loadMailbox, loadRun, loadSession, loadStep, runOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { announce, carryOut } from './commit.ts'
import { failure as noSummary } from './compacting.ts'
import type { Found, Held, NextIn, WorkerState } from './desk.ts'
import { endIds, endRun } from './ending.ts'
import { chargeOf } from './paying.ts'
import type { AgentOptions, Bells } from './room.ts'

/** Tries of one model call, each with its own repeats inside and longer pauses between them. */
const maxAttempts = 12
/** So long a run is held for a provider that does not say when it is back: about what those tries take. */
const patienceMs = 45 * 60_000

/** Holds a run whose next call would only be told to wait; what it is to end with when it has waited long enough. */
export async function holdRun(
  tx: Tx,
  mine: WorkerState,
  run: Run,
  box: Mailbox,
  pause: Pause,
  now: number,
): Promise<{ found: Found } | { code: ErrorCode; error: string }> {
  const decision = hold({ run, box }, { now, epoch: mine.epoch, ...pause, patienceMs })
  if (decision.ok) return resting(tx, mine, run, decision.effects, now)
  return decision.code === pause.code
    ? { code: decision.code, error: decision.message }
    : resting(tx, mine, run, [], now)
}

/** Nothing is next for the run: what was decided about its wait becomes rows. */
export async function resting(
  tx: Tx,
  mine: WorkerState,
  run: Run,
  effects: readonly Effect[],
  now: number,
): Promise<{ found: Found }> {
  const about = { sessions: [mine.session], runs: [run], wire: { [run.id]: mine.wireId }, at: now }
  const afters = effects.length === 0 ? [] : [await carryOut(tx, effects, about)]
  return { found: { next: { do: 'rest' }, afters, run, wireId: mine.wireId } }
}

/**
 * Until when a run pauses after a failed call; null when it ends instead. A provider that says when to come again is believed
 * as often as it says so; one that is just not there is asked so many times, which takes about half an hour.
 */
function pauseAfter(step: Step, failure: ModelFailure): number | null {
  const { attempt } = step.intent as ModelIntent
  if (failure.retryAtMs === undefined || (failure.class !== 'rate_limit' && attempt >= maxAttempts)) return null
  return failure.retryAtMs
}

function wordsOf(failure: ModelFailure): string {
  const end = /[.!?]$/.test(failure.message) ? '' : '.'
  return `${failure.message}${end} ${failure.fix}`.trim()
}

/** The model could not answer: what follows becomes rows. Null when the run is another worker's by now, or nobody's. */
export function callFailed(
  options: AgentOptions,
  mine: WorkerState,
  step: Step,
  failure: ModelFailure,
  { held, nextIn }: { held: Held; nextIn: NextIn },
): Promise<Found | null> {
  const now = options.clock.now()
  const ids = endIds(options.uuid)
  const usage = failure.usage ?? { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }
  const charged = failure.unasked ? nothing : chargeOf(usage, failure.costNano ?? 0)
  // What is too long becomes shorter, and is asked again.
  const shorten =
    failure.class === 'context_length' && step.kind === 'model' && options.policies.compaction(mine.run.agent).enabled
  const until = pauseAfter(step, failure)
  return options.store.write(until === null ? 'finish' : 'wait', async (tx, is) => {
    const run = await held(tx, mine)
    const session = run && (await loadSession(tx, run.session))
    const now_ = await loadStep(tx, step.run, step.n)
    if (!run || !session || !now_) return null
    if (until !== null) {
      const box = await loadMailbox(tx, session, run)
      const why = { code: failure.code, error: wordsOf(failure), ...(failure.hold ? { hold: failure.hold } : {}) }
      const decision = cooldown({ run, box, step: now_ }, { now, epoch: mine.epoch, until, charged, usage, ...why })
      if (!decision.ok) return null
      const after = await carryOut(tx, decision.effects, {
        sessions: [session],
        runs: [run],
        wire: { [run.id]: mine.wireId },
        at: now,
      })
      if (decision.after === 'waiting')
        return { next: { do: 'rest' as const }, afters: [after], run, wireId: mine.wireId }
      const found = await nextIn(tx, is, mine, afterwards(run, decision.effects), now)
      return { ...found, afters: [after, ...found.afters] }
    }
    if (shorten) {
      const found = wordsOf(failure)
      const decision = wasted({ run, step: now_ }, { now, epoch: mine.epoch, charged, usage, found })
      if (!decision.ok) return null
      const after = await carryOut(tx, decision.effects, { sessions: [session], runs: [run], at: now })
      const next = await nextIn(tx, is, mine, afterwards(run, decision.effects), now, found)
      return { ...next, afters: [after, ...next.afters] }
    }
    const verdict =
      step.kind === 'compact'
        ? noSummary(wordsOf(failure))
        : ({ outcome: 'failed', code: failure.code, error: wordsOf(failure), followups: 'keep' } as const)
    const ended = await endRun(tx, options, run, verdict, ids, now)
    return { next: { do: 'rest' as const }, afters: ended ? [ended] : [], run, wireId: mine.wireId }
  })
}

/** The turn of a run that is in line has come: it goes on now and not when its wait is over. Never rejects. */
export async function callRun(options: AgentOptions, bells: Bells, id: string): Promise<void> {
  const now = options.clock.now()
  try {
    const after = await options.store.write('timer', async tx => {
      const run = await loadRun(tx, id)
      const session = run && (await loadSession(tx, run.session))
      if (!run || !session) return null
      const view = { run, box: await loadMailbox(tx, session, run), last: await lastStep(tx, id) }
      const decision = fire(view, { now, called: true })
      return decision.ok ? carryOut(tx, decision.effects, { sessions: [session], runs: [run], at: now }) : null
    })
    if (after) announce(after, bells, options.tell)
  } catch (error) {
    // Its wait in the row ends by itself a little later.
    const why = error instanceof Error ? error.message : String(error)
    options.log(`run ${id} could not be called: ${why}; it looks for itself`)
  }
}

/** Nobody has a place after a start: who was in line asks anew. */
export async function callAll(options: AgentOptions, bells: Bells): Promise<void> {
  for (const { id, wait } of await waitingFor(options))
    if (wait.hold.whose === 'line') await callRun(options, bells, id)
}

/** What runs wait for at their providers holds for the others too: called once, before anything is claimed. */
export async function recallHolds(options: AgentOptions): Promise<void> {
  options.models.recall((await waitingFor(options)).map(({ wait: { hold, until } }) => ({ hold, until })))
}

async function waitingFor({ store, clock }: AgentOptions) {
  const rows = await store.read
    .selectFrom('runs')
    .selectAll()
    .where('state', '=', 'waiting')
    .where('wait_until', '>', clock.now())
    .orderBy('queued_at')
    .execute()
  return rows.map(runOf).flatMap(({ id, wait }) => {
    if (wait?.for !== 'timer' || !wait.hold) return []
    return [{ id, wait: { until: wait.until, hold: wait.hold } }]
  })
}
