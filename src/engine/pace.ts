/**
 * How long one turn of the event loop may work (core/pace.ts), by the clock.
 *
 * Owns the queue of what waits for a later turn. Never drops or reorders a piece; a piece must not throw.
 *
 * Invariants: while pieces wait, one step of them is on its way; a turn begins with the first look at the clock after the
 * loop came round, so that an idle gateway never waits for a turn.
 */
import type { Pace } from '../core/pace.ts'

/** Share of one turn; with a group of commits, its statements and a collection of garbage, a turn takes about twice as long. */
const shareMs = 8
/** Pieces that one turn takes at most: each is a callback of its own, so that what follows from it has run before the next. */
const stride = 64

export function makePace(now: () => number = () => performance.now()): Pace {
  let waiting: (() => void)[] = []
  let next = 0
  /** Steps of this stride that have not run. */
  let steps = 0
  let began: number | null = null

  function due(): boolean {
    const at = now()
    if (began !== null) return at - began >= shareMs
    began = at
    setImmediate(() => {
      began = null
    })
    return false
  }

  function step(): void {
    if (next < waiting.length && !due()) {
      const piece = waiting[next]!
      next += 1
      piece()
    }
    steps -= 1
    if (steps === 0) stepOn()
  }

  function stepOn(): void {
    waiting = waiting.slice(next)
    next = 0
    if (waiting.length === 0) return
    steps = Math.min(stride, waiting.length)
    for (let i = 0; i < steps; i++) setImmediate(step)
  }

  return {
    due,
    turn: () => new Promise(resolve => setImmediate(resolve)),
    pass(pieces) {
      const atOnce = waiting.length === 0 && !due()
      for (const piece of atOnce ? pieces.slice(1) : pieces) waiting.push(piece)
      if (steps === 0) stepOn()
      if (atOnce) pieces[0]?.()
    },
  }
}
