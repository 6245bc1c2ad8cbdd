/**
 * A run that rests without being done: paused by a person.
 *
 * Owns: pause, resume, the worker letting go of a paused run. A pause is a flag that nobody claims over; it stops no clock
 * and ends no wait (decisions.md 32). Never breaks off a call, and never decides for other runs than the one it is asked about.
 */
import type { Run } from '../types.ts'
import { type Decision, fenced, refuse } from './facts.ts'

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
