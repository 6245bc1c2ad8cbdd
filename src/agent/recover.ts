/**
 * Taking up again what a stopped process left, and whatever is due by the clock.
 *
 * Owns: start-up recovery (with the home lock held every running row is ours, decisions.md 21), deadlines and timed waits.
 * On start deadlines expire before anything is claimed (decisions.md 32). Recovery requeues or ends a run; it never deletes one (R7).
 */
import { fire, recover } from '../core/run/steps.ts'
import type { Step } from '../core/types.ts'
import { DeputyError, type ErrorCode } from '../protocol/errors.ts'
import { lastStep, loadMailbox, loadRun, loadSession, stepOf } from '../store/facts.ts'
import { expireApproval } from './approving.ts'
import { processOf } from './cancel.ts'
import { announce, carryOut } from './commit.ts'
import { endIds, endRun, failRun } from './ending.ts'
import { callAll, recallHolds } from './holding.ts'
import type { AgentOptions, Bells } from './room.ts'

/** Crashes in one step before a run is given up. */
const maxAttempts = 5
/** setTimeout fires at once beyond 24.8 days, and wall clocks are set: never sleep longer. */
const longestMs = 3_600_000
const againMs = 5000
/** These concern every run, not the one that met them. */
const storeWide: readonly ErrorCode[] = ['DISK_FULL', 'STORE_LOST_GROUP', 'STORE_CLOSED']

export interface Recovered {
  requeued: number
  ended: number
}

export async function recoverAll(options: AgentOptions, bells: Bells): Promise<Recovered> {
  const now = options.clock.now()
  const recovered: Recovered = { requeued: 0, ended: 0 }
  await recallHolds(options)
  await expire(options, bells, now)
  const running = await options.store.read
    .selectFrom('runs')
    .select('id')
    .where('state', '=', 'running')
    .orderBy('queued_at')
    .execute()
  for (const { id } of running) {
    await alone(options, bells, id, async () => {
      const kind = await takeUp(options, bells, id, now)
      if (kind) recovered[kind] += 1
    })
  }
  await callAll(options, bells)
  return recovered
}

/** A run that can't be handled is ended, and the others go on. False when that was so; throws what concerns them all. */
async function alone(options: AgentOptions, bells: Bells, run: string, work: () => Promise<void>): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (error instanceof DeputyError && storeWide.includes(error.code)) throw error
    await failRun(options, bells, run, error)
    return false
  }
}

async function takeUp(
  options: AgentOptions,
  bells: Bells,
  id: string,
  now: number,
): Promise<'requeued' | 'ended' | null> {
  const rows = await options.store.read
    .selectFrom('steps')
    .selectAll()
    .where('run', '=', id)
    .where('state', '=', 'open')
    .orderBy('n')
    .execute()
  const steps = rows.map(stepOf)
  for (const process of steps.map(processOf)) if (process) await options.endProcess(process)
  const ids = endIds(options.uuid)
  const messages = steps.map(() => options.uuid())
  const after = await options.store.write('recover', async (tx, is) => {
    const run = await loadRun(tx, id)
    const session = run && (await loadSession(tx, run.session))
    if (!run || !session) return null
    const open = (
      await tx.selectFrom('steps').selectAll().where('run', '=', id).where('state', '=', 'open').orderBy('n').execute()
    ).map(stepOf)
    const decision = recover(
      { run, box: await loadMailbox(tx, session, run), open },
      { now, maxAttempts, ids: messages, unknown: unknownWords },
    )
    if (decision.ok)
      return {
        kind: 'requeued' as const,
        after: await carryOut(tx, decision.effects, { sessions: [session], runs: [run], at: now }),
      }
    if (decision.code !== 'RUN_CRASHED') return null
    is('finish')
    const ended = await endRun(
      tx,
      options,
      run,
      { outcome: 'interrupted', code: 'RUN_CRASHED', error: decision.message, followups: 'keep' },
      ids,
      now,
    )
    return ended && { kind: 'ended' as const, after: ended }
  })
  if (!after) return null
  announce(after.after, bells, options.tell)
  return after.kind
}

function unknownWords(step: Step): string {
  return `The gateway stopped while ${step.name} was at work. Whether it took effect is not known: look at the state of things before doing it again.`
}

/** Ends what is past its deadline and wakes whose wait has run out. False when one of them could not be handled. */
async function expire(options: AgentOptions, bells: Bells, now: number): Promise<boolean> {
  let all = true
  const late = await options.store.read
    .selectFrom('runs')
    .select('id')
    .where('state', '<>', 'done')
    .where('deadline_at', '<=', now)
    .orderBy('depth')
    .execute()
  for (const { id } of late) all = (await alone(options, bells, id, () => end(id))) && all
  const due = await options.store.read
    .selectFrom('runs')
    .select('id')
    .where('state', '=', 'waiting')
    .where('wait_until', '<=', now)
    .orderBy('wait_until')
    .execute()
  for (const { id } of due) all = (await alone(options, bells, id, () => wake(id))) && all
  const silent = await options.store.read
    .selectFrom('approvals')
    .select(['id', 'run'])
    .where('state', '=', 'pending')
    .where('deadline_at', '<=', now)
    .orderBy('deadline_at')
    .execute()
  for (const { id, run } of silent)
    all = (await alone(options, bells, run, () => expireApproval(options, bells, id, now))) && all
  return all

  async function end(id: string): Promise<void> {
    const ids = endIds(options.uuid)
    const after = await options.store.write('timer', async (tx, is) => {
      const run = await loadRun(tx, id)
      if (!run || run.state === 'done' || run.deadlineAt === null || run.deadlineAt > now) return null
      is('finish')
      const seconds = Math.round((run.deadlineAt - run.createdAt) / 1000)
      return endRun(
        tx,
        options,
        run,
        {
          outcome: 'timed_out',
          code: 'RUN_TIMED_OUT',
          error: `the run reached its deadline of ${seconds} s`,
          followups: 'keep',
        },
        ids,
        now,
      )
    })
    if (after) announce(after, bells, options.tell)
  }

  async function wake(id: string): Promise<void> {
    const after = await options.store.write('timer', async tx => {
      const run = await loadRun(tx, id)
      const session = run && (await loadSession(tx, run.session))
      if (!run || !session) return null
      const decision = fire({ run, box: await loadMailbox(tx, session, run), last: await lastStep(tx, id) }, { now })
      return decision.ok ? carryOut(tx, decision.effects, { sessions: [session], runs: [run], at: now }) : null
    })
    if (after) announce(after, bells, options.tell)
  }
}

export interface Timers {
  /** A row says that something is due at `at`. */
  arm(at: number): void
  /** Reads the nearest due time from the rows and sleeps until then. */
  start(): Promise<void>
  stop(): void
}

/** One timer for the nearest due row; nothing ticks while nothing is due. */
export function openTimers(options: AgentOptions, bells: Bells): Timers {
  let timer: NodeJS.Timeout | null = null
  let next = Number.POSITIVE_INFINITY
  let stopped = false

  function sleep(): void {
    if (timer) clearTimeout(timer)
    timer = null
    if (stopped || next === Number.POSITIVE_INFINITY) return
    timer = setTimeout(() => void due(), Math.min(longestMs, Math.max(0, next - options.clock.now())))
    timer.unref()
  }

  async function due(): Promise<void> {
    try {
      if (next <= options.clock.now()) {
        next = Number.POSITIVE_INFINITY
        if (!(await expire(options, bells, options.clock.now()))) {
          // What could not be handled is due still: asked at once it would be asked for ever.
          next = options.clock.now() + againMs
          return sleep()
        }
      }
      await start()
    } catch (error) {
      if (stopped) return
      options.log(
        `timers: ${error instanceof Error ? error.message : String(error)}; tried again in ${againMs / 1000} s`,
      )
      next = options.clock.now() + againMs
      sleep()
    }
  }

  async function start(): Promise<void> {
    const { read } = options.store
    const wait = await read
      .selectFrom('runs')
      .select(eb => eb.fn.min('wait_until').as('at'))
      .where('state', '=', 'waiting')
      .executeTakeFirst()
    const deadline = await read
      .selectFrom('runs')
      .select(eb => eb.fn.min('deadline_at').as('at'))
      .where('state', '<>', 'done')
      .executeTakeFirst()
    const silence = await read
      .selectFrom('approvals')
      .select(eb => eb.fn.min('deadline_at').as('at'))
      .where('state', '=', 'pending')
      .executeTakeFirst()
    for (const at of [wait?.at, deadline?.at, silence?.at])
      if (at !== null && at !== undefined) next = Math.min(next, Number(at))
    sleep()
  }

  return {
    arm(at) {
      if (at >= next) return
      next = at
      sleep()
    },
    start,
    stop() {
      stopped = true
      if (timer) clearTimeout(timer)
    },
  }
}
