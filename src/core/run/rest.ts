/**
 * A run that rests without being done: paused by a person, or held because its model can't be asked now.
 *
 * Owns: pause, resume, the worker letting go of a paused run, and hold. A pause is a flag that nobody claims over; it stops
 * no clock and ends no wait (decisions.md 32). A hold is a timer wait before the call, so nothing is set aside for it
 * (decisions.md 36). Never breaks off a call, and never decides for other runs than the one it is asked about.
 */
import type { ErrorCode } from '../../protocol/errors.ts'
import type { Run, Wait } from '../types.ts'
import { type Decision, fenced, type Mailbox, refuse } from './facts.ts'

/** Sets or takes away the flag; no effect when it stands so already. */
export function pause(run: Run, paused: boolean): Decision {
  if (run.state === 'done') return refuse('RUN_DONE', `run ${run.id} has ended (${run.outcome})`)
  return { ok: true, effects: run.paused === paused ? [] : [{ do: 'run.set', run: run.id, to: { paused } }] }
}

/** The worker of a run that was paused meanwhile lets it go before its next model call; it goes on before new ones. */
export function standBy(run: Run, event: { now: number; epoch: number }): Decision {
  const stale = fenced(run, event.epoch)
  if (stale) return stale
  return {
    ok: true,
    effects: [{ do: 'run.set', run: run.id, to: { state: 'queued', woken: true, queuedAt: event.now } }],
  }
}

/** The model can't be asked before `until`: the run waits in its row. What lies unread is read when it goes on. */
export function hold(
  view: { run: Run; box: Mailbox },
  event: { epoch: number; until: number; code: ErrorCode; error: string },
): Decision {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const after = Math.max(0, ...view.box.unread.map(row => row.id))
  const wait: Wait = { for: 'timer', until: event.until, after }
  return {
    ok: true,
    effects: [
      {
        do: 'run.set',
        run: view.run.id,
        to: { state: 'waiting', wait, errorCode: event.code, error: event.error },
      },
    ],
  }
}
