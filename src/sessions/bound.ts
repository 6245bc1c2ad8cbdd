/**
 * Places that are bound to a conversation, as the house keeps them: which one a message is for, and the end of those whose time
 * is up (core/binding.ts decides, store/bindings.ts has the rows).
 *
 * Owns when that is looked at: at the start, every minute, when a message comes, and when a sub-agent's run or a conversation
 * ends. Each is only a reason to look: what is over is so by the rows, whoever looks, and is said at its place once. A message
 * in a thread that may be the one which is just being opened is for whoever gets it: that is waited for, a moment.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentOptions } from '../agent/room.ts'
import { type Binding, overdue } from '../core/binding.ts'
import type { HouseEvent } from '../core/ports.ts'
import type { Route } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { bindingsOf, boundAt, endWithWord, liveBindings, touchBinding, workOf } from '../store/bindings.ts'
import type { Tx } from '../store/open.ts'
import { opensIn } from '../store/outbox.ts'
import { goRound } from '../store/sweep.ts'
import type { AcceptInput } from './types.ts'

export interface Bound {
  /** The binding of exactly this place; null when there is none, or none any more. */
  at(place: Route): Promise<Binding | null>
  /** Ends what is over; returns how many. */
  sweep(): Promise<number>
  hear(event: HouseEvent): void
  stop(): void
}

const minute = 60_000
/** Longer than an opener that is repeated after a crash takes; a service that is away holds up nobody for more. */
const openingPatienceMs = 10_000
const rounds = { name: 'the round of the bindings', firstMs: 1_000, everyMs: minute }

export function openBound(
  options: Pick<AgentOptions, 'store' | 'policies' | 'clock' | 'log'>,
  outbox: () => void,
): Bound {
  const { store, policies, clock, log } = options
  const stopping = new AbortController()

  async function at(place: Route): Promise<Binding | null> {
    if (!policies.bindings(place).enabled) return null
    const binding = (await boundAt(store.read, place)) ?? (await opened(place))
    return binding === null || (await over(binding)) ? null : binding
  }

  /** The service may show a thread before we have heard its name, and after a crash long before. */
  async function opened(place: Route): Promise<Binding | null> {
    if (place.thread === undefined || !(await opensIn(store.read, place))) return null
    const end = clock.now() + openingPatienceMs
    while (!stopping.signal.aborted && clock.now() < end && (await opensIn(store.read, place)))
      await sleep(20, undefined, { signal: stopping.signal }).catch(() => undefined)
    return boundAt(store.read, place)
  }

  async function sweep(): Promise<number> {
    return endAll(await liveBindings(store.read))
  }

  async function endAll(bindings: readonly Binding[]): Promise<number> {
    let ended = 0
    for (const binding of bindings) if (await over(binding)) ended += 1
    return ended
  }

  /** Ends it when it is over, on rows of the transaction that says so. */
  async function over(binding: Binding): Promise<boolean> {
    const rules = policies.bindings(binding.place)
    const now = clock.now()
    if (overdue(binding, rules, await workOf(store.read, binding.sessionKey), now) === null) return false
    const done = await store.write('bind', async tx => {
      const still = await boundAt(tx, binding.place)
      if (still?.id !== binding.id) return true
      const why = overdue(still, rules, await workOf(tx, still.sessionKey), now)
      return why === null ? false : endWithWord(tx, still, { why, rules, at: now })
    })
    if (done) outbox()
    return done
  }

  function hear(event: HouseEvent): void {
    const gone = event.on === 'session.changed' && event.reason === 'delete'
    const ended = event.on === 'run.state' && event.change === 'done' && event.sessionKey.includes(':subagent:')
    if (!gone && !ended) return
    bindingsOf(store.read, [event.sessionKey])
      .then(endAll)
      .catch((error: Error) => log(`the bindings of ${event.sessionKey}: ${error.message}`))
  }

  const endRounds = goRound(
    {
      ...rounds,
      async work() {
        const ended = await sweep()
        return ended === 0 ? null : `ended ${ended}`
      },
    },
    log,
  )
  return {
    at,
    sweep,
    hear,
    stop() {
      stopping.abort()
      endRounds()
    },
  }
}

/** What is accepted at a bound place counts as life there. Throws SESSION_CLOSED when it is bound no more. */
export async function touchBound(
  tx: Tx,
  { bound }: Pick<AcceptInput, 'bound'>,
  open: boolean,
  now: number,
): Promise<void> {
  if (!bound || (open && (await touchBinding(tx, bound.binding, now)))) return
  throw new DeputyError('SESSION_CLOSED', 'The place where this was written is bound no more.')
}
