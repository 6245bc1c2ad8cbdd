/**
 * A run whose next call no provider would take now is held before that call: nothing is set aside, nothing is charged, no lane
 * is held (decisions.md 36).
 *
 * Owns: hold. It is the same wait as a provider's own refusal makes (steps.ts `cooldown`), only earlier; whatever ends that one
 * ends it. Never opens or closes a step.
 */
import type { ErrorCode } from '../../protocol/errors.ts'
import { timersOf } from '../ids.ts'
import type { Hold, Run, Wait } from '../types.ts'
import { type Decision, type Effect, fenced, type Mailbox, refuse } from './facts.ts'

export interface HoldEvent {
  now: number
  epoch: number
  until: number
  hold: Hold
  code: ErrorCode
  error: string
  /** A provider that is just not there is waited for so long; one that says when to come again, as long as it says so. */
  patienceMs: number
}

/** Refused with the provider's own code when the run has been without an answer for too long: its caller ends it. */
export function hold(view: { run: Run; box: Mailbox }, event: HoldEvent): Decision {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const { run, box } = view
  if (event.hold.class !== 'rate_limit' && event.now - silentSince(run, box, event.now) > event.patienceMs)
    return refuse(event.code, event.error)
  // What is there already is what the call would show: only what comes later ends the pause.
  const after = Math.max(0, ...box.unread.map(row => row.id))
  return { ok: true, effects: [waits(run.id, { for: 'timer', until: event.until, after, hold: event.hold }, event)] }
}

/** The effect by which a run begins to wait for its provider; why stands in its row until it goes on. */
export function waits(run: string, wait: Wait & { for: 'timer' }, why: { code: ErrorCode; error: string }): Effect {
  return { do: 'run.set', run, to: { state: 'waiting', wait, errorCode: why.code, error: why.error } }
}

/** Each pause that was over left a row, and the next answer reads them all: the oldest says since when there was none. */
function silentSince(run: Run, box: Mailbox, now: number): number {
  const pauses = box.unread.filter(row => row.kind === 'timer' && row.key.startsWith(timersOf(run.id)))
  return Math.min(now, ...pauses.map(row => row.at))
}
