/**
 * What a run at work does between model calls: tool results, waits inside and between steps, cooldowns, and being taken up
 * again after a crash.
 *
 * Owns: result, yield, ask, answered, cooldown, recover, fire. Never repeats a completed step; a call in flight at a crash is repeated
 * only when its tool allows it (R7, decisions.md 21).
 */
import type { ErrorCode } from '../../protocol/errors.ts'
import { approvalKey, isApprovalKey, timerKey } from '../ids.ts'
import type { Hold, InboxRow, ModelIntent, Part, Run, Spend, Step, TokenUsage, ToolIntent, Wait } from '../types.ts'
import { rouse, wake } from './accept.ts'
import { type Decision, type Effect, fenced, type Mailbox, nothing, positions, refuse, satisfied } from './facts.ts'
import { undecided } from './approve.ts'
import { waits } from './hold.ts'
import { type After, park, said, toolMessage } from './reply.ts'

export interface ToolView {
  run: Run
  box: Mailbox
  step: Step
}

export interface ToolEvent {
  now: number
  epoch: number
  messageId: string
  parts: readonly Part[]
  isError: boolean
}

/** Rows that ended a wait inside this step are spent with it: a timer or an answer never ends the next wait too. What answers the question of another call stays. */
function spent(view: ToolView): Effect[] {
  const { approval } = view.step.intent as ToolIntent
  const mine = (row: InboxRow) =>
    isApprovalKey(row.key)
      ? approval !== undefined && row.key === approvalKey(approval.id)
      : view.step.state === 'asking' && (row.kind === 'timer' || row.kind === 'answer')
  const ids = view.box.unread.filter(mine).map(row => row.id)
  if (ids.length === 0) return []
  return [
    {
      do: 'inbox.mark',
      session: view.box.session.id,
      ids,
      state: 'read',
      run: view.run.id,
      step: view.step.n,
      ord: null,
    },
  ]
}

/** A tool call has its result: step and transcript row together. */
export function result(view: ToolView, event: ToolEvent): Decision {
  const stale = fenced(view.run, event.epoch) ?? openStep(view)
  if (stale) return stale
  return { ok: true, effects: [...stepDone(view, event, 'done'), ...spent(view)] }
}

/**
 * sessions_yield: the turn ends here. `parts` answers the call; the wait is compare-and-set. `words` are those of the turn that
 * nobody has been told, null when there are none, `step` the reply that called.
 */
export function yielded(
  view: ToolView,
  event: ToolEvent & {
    wait: Wait
    already: readonly Part[]
    words: { step: number; text: string } | null
    reserve?: never
  },
): Decision & { after?: After } {
  const stale = fenced(view.run, event.epoch) ?? openStep(view)
  if (stale) return stale
  const { run, box } = view
  const there = satisfied(event.wait, box.unread, box.openChildren, 0)
  const effects = stepDone(view, there ? { ...event, parts: event.already } : event, 'done')
  // What was there already belongs to this turn: it ends only when the run truly waits.
  if (there) return { ok: true, effects, after: 'again' }
  effects.push({ do: 'turn.answer', run: run.id, turn: run.turn })
  if (event.words) effects.push(...said(run, event.words.step, event.words.text, event))
  return { ok: true, ...park(run, event.wait, box.unread, box.openChildren, 0, effects) }
}

/** A wait inside a step: the step stays open as `asking`, the lane is free (decisions.md 8). */
export function ask(
  view: ToolView,
  event: { now: number; epoch: number; wait: Wait & { for: 'ask' } },
): Decision & { after?: After } {
  const stale = fenced(view.run, event.epoch) ?? openStep(view)
  if (stale) return stale
  const { run, box, step } = view
  if (satisfied(event.wait, box.unread, box.openChildren, box.askedOpen))
    return { ok: true, effects: [], after: 'again' }
  return {
    ok: true,
    effects: [
      { do: 'step.set', run: run.id, n: step.n, to: { state: 'asking', startedAt: event.now } },
      { do: 'run.set', run: run.id, to: { state: 'waiting', wait: event.wait } },
    ],
    after: 'waiting',
  }
}

/**
 * A provider asks for a pause: a timer wait in a row, no lane held (decisions.md 36). The refused call is settled with what it
 * is known to have cost; its step stays open and is asked again. Why it pauses stands in the run until it goes on.
 */
export function cooldown(
  view: { run: Run; box: Mailbox; step: Step },
  event: {
    now: number
    epoch: number
    until: number
    charged: Spend
    usage: TokenUsage
    hold?: Hold
    code: ErrorCode
    error: string
  },
): Decision & { after?: After } {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const intent = view.step.intent as ModelIntent
  const effects: Effect[] = [
    {
      do: 'usage.settle',
      run: view.run.id,
      step: view.step.n,
      attempt: intent.attempt,
      charged: event.charged,
      usage: event.usage,
    },
    {
      do: 'run.money',
      run: view.run.id,
      spent: {
        nano: event.charged.nano - intent.reserved.nano,
        tokens: event.charged.tokens - intent.reserved.tokens,
        calls: event.charged.calls - intent.reserved.calls,
      },
      lent: nothing,
    },
    { do: 'step.set', run: view.run.id, n: view.step.n, to: { intent: { ...intent, reserved: nothing } } },
  ]
  // Rows the open step already shows must not end the pause that the very same call asked for.
  const after = Math.max(0, ...view.box.unread.filter(row => intent.inbox.includes(row.id)).map(row => row.id))
  const wait = { for: 'timer' as const, until: event.until, after, ...(event.hold ? { hold: event.hold } : {}) }
  if (satisfied(wait, view.box.unread, view.box.openChildren, 0)) return { ok: true, effects, after: 'again' }
  return { ok: true, effects: [...effects, waits(view.run.id, wait, event)], after: 'waiting' }
}

/** What somebody waits for inside a step is there: a row says so, and the row wakes. */
export function answered(box: Mailbox, event: { now: number; key: string }): Decision {
  const { live, session } = box
  if (live === null) return refuse('RUN_DONE', `nobody is at work in ${session.key}`)
  const row = { kind: 'answer' as const, mode: 'steer' as const, state: 'unread' as const, seq: null, from: null }
  return {
    ok: true,
    effects: [
      { do: 'inbox.put', row: { ...row, session: session.id, key: event.key, at: event.now } },
      ...rouse(box, { kind: 'answer', key: event.key }, event.now, () => live),
    ],
  }
}

/** A timed wait has run out, or the turn that it was in line for has come (`called`): a row says so, and the row wakes. */
export function fire(view: { run: Run; box: Mailbox; last: number }, event: { now: number; called?: true }): Decision {
  const { run, box } = view
  const until = run.wait === null || !('until' in run.wait) ? null : run.wait.until
  const called = event.called && run.wait?.for === 'timer' && run.wait.hold?.whose === 'line'
  if (run.state !== 'waiting' || until === null || (until > event.now && !called))
    return refuse('RUN_STALE', `run ${run.id} has no timer that is due`)
  return {
    ok: true,
    effects: [
      {
        do: 'inbox.put',
        row: {
          session: box.session.id,
          kind: 'timer',
          mode: 'steer',
          state: 'unread',
          seq: null,
          key: `${timerKey(run.id, view.last)}:${until}`,
          from: null,
          at: event.now,
        },
      },
      wake(run, event.now),
    ],
  }
}

export interface RecoverView {
  run: Run
  box: Mailbox
  /** Steps that have no result yet. */
  open: readonly Step[]
}

/**
 * The gateway was gone while this run was running: it goes on from its rows. A `never` tool that had begun ends `unknown`,
 * and the model is told. Ends nothing itself: too many crashes in one step is refused with RUN_CRASHED, for the caller to end.
 */
export function recover(
  view: RecoverView,
  event: { now: number; maxAttempts: number; ids: readonly string[]; unknown: (step: Step) => string },
): Decision {
  const { run, box } = view
  if (run.state !== 'running') return refuse('RUN_STALE', `run ${run.id} is ${run.state}`)
  if (run.attempts + 1 > event.maxAttempts)
    return refuse('RUN_CRASHED', `the gateway stopped ${run.attempts + 1} times in the same step of run ${run.id}`)
  const next = positions(box.session)
  const effects: Effect[] = [
    {
      do: 'run.set',
      run: run.id,
      to: { state: 'queued', woken: true, attempts: run.attempts + 1, queuedAt: event.now },
    },
  ]
  view.open.forEach((step, i) => {
    const intent = step.intent as ToolIntent
    if (step.kind !== 'tool' || intent.repeat !== 'never' || step.startedAt === null || step.state !== 'open') return
    const seq = next()
    effects.push({
      do: 'message.put',
      message: toolMessage(
        run,
        step.n,
        seq,
        event.ids[i] ?? `${run.id}/${step.n}`,
        { callId: intent.callId, name: step.name },
        [{ type: 'text', text: event.unknown(step) }],
        true,
        event.now,
      ),
    })
    effects.push({
      do: 'step.set',
      run: run.id,
      n: step.n,
      to: { state: 'unknown', result: { seq, isError: true }, endedAt: event.now },
    })
    // The answer that allowed it is spent: it must not end the wait for another.
    effects.push(...spent({ run, box, step }))
  })
  return { ok: true, effects }
}

function openStep(view: ToolView): Decision | null {
  const { step } = view
  if (undecided(step)) return refuse('RUN_STALE', `step ${step.n} of run ${step.run} waits for an approval`)
  return step.state === 'open' || step.state === 'asking'
    ? null
    : refuse('RUN_STALE', `step ${step.n} of run ${step.run} is ${step.state}`)
}

function stepDone(view: ToolView, event: ToolEvent, state: 'done'): Effect[] {
  const { run, box, step } = view
  const seq = box.session.seq + 1
  const intent = step.intent as ToolIntent
  return [
    {
      do: 'message.put',
      message: toolMessage(
        run,
        step.n,
        seq,
        event.messageId,
        { callId: intent.callId, name: step.name },
        event.parts,
        event.isError,
        event.now,
      ),
    },
    {
      do: 'step.set',
      run: run.id,
      n: step.n,
      to: { state, result: { seq, isError: event.isError }, endedAt: event.now },
    },
    { do: 'run.set', run: run.id, to: { attempts: 0 } },
  ]
}
