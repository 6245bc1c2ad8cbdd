/**
 * How many calls may be out at a time with one key for one model, and who is next when all places are taken.
 *
 * Owns the places and the line before them. Who asks stands in line from its first try until it has a place: parked, too,
 * while it waits in a row and no worker does. Never asks a model, never writes a row; its timers hold no process up.
 *
 * Invariants: nobody holds two places; nobody who holds one waits for another; a free place goes to the first in line who can
 * use it; one who was called and does not come within `graceMs` loses the place and not its turn.
 */

/** A run's id, or what stands for a call that belongs to none. */
export type Who = string | object

export interface Wanted {
  id: string
  /** Calls at a time. */
  limit: number
}

export interface Places {
  /** Where `who` may call now; null when nowhere. */
  at(who: Who): string | null
  /** Waits at most `ms` for one of these places; the one it holds already is kept when it is among them. Null: none came free. */
  take(who: Who, wanted: readonly Wanted[], ms: number, signal: AbortSignal): Promise<string | null>
  /** It goes on waiting without a worker: called when a place is free for it. */
  park(who: Who): void
  /** A worker is there for it again. */
  arrive(who: Who): void
  /** Its worker leaves: what is not parked is given up. */
  rest(who: Who): void
  /** It wants nothing any more. */
  leave(who: Who): void
  onCall(call: (who: Who) => void): void
}

interface Waiting {
  who: Who
  /** Its turn: lower ones come first. */
  turn: number
  wanted: readonly Wanted[]
  /** Null while it is parked. */
  come: ((id: string) => void) | null
}

/** So long a place is kept for one who was called. */
const graceMs = 5_000

export function makePlaces(): Places {
  const taken = new Map<string, Set<Who>>()
  const holds = new Map<Who, { id: string; called: NodeJS.Timeout | null }>()
  const turns = new Map<Who, { turn: number; wanted: readonly Wanted[] }>()
  let line: Waiting[] = []
  let next = 0
  let ring: (who: Who) => void = () => undefined

  function free(wanted: readonly Wanted[]): string | null {
    return wanted.find(({ id, limit }) => (taken.get(id)?.size ?? 0) < limit)?.id ?? null
  }

  function give(who: Who, id: string, called: NodeJS.Timeout | null): void {
    const all = taken.get(id) ?? new Set()
    taken.set(id, all.add(who))
    holds.set(who, { id, called })
  }

  function release(who: Who): void {
    const held = holds.get(who)
    if (!held) return
    if (held.called) clearTimeout(held.called)
    holds.delete(who)
    const all = taken.get(held.id)
    all?.delete(who)
    if (all?.size === 0) taken.delete(held.id)
    serve()
  }

  /** Gives what is free to those who are next. */
  function serve(): void {
    for (const one of [...line]) {
      const id = free(one.wanted)
      if (id === null) continue
      line = line.filter(each => each !== one)
      if (one.come) {
        turns.delete(one.who)
        give(one.who, id, null)
        one.come(id)
      } else {
        const late = setTimeout(() => release(one.who), graceMs)
        late.unref()
        give(one.who, id, late)
        ring(one.who)
      }
    }
  }

  function stand(one: Waiting): void {
    const at = line.findIndex(each => each.turn > one.turn)
    line = at < 0 ? [...line, one] : line.toSpliced(at, 0, one)
    serve()
  }

  function stepOut(who: Who): void {
    line = line.filter(each => each.who !== who)
  }

  return {
    at: who => holds.get(who)?.id ?? null,

    take(who, wanted, ms, signal) {
      const held = holds.get(who)
      if (held && wanted.some(({ id }) => id === held.id)) return Promise.resolve(held.id)
      release(who)
      if (signal.aborted) return Promise.resolve(null)
      const turn = turns.get(who)?.turn ?? next++
      turns.set(who, { turn, wanted })
      return new Promise(resolve => {
        const end = (id: string | null) => {
          clearTimeout(timer)
          signal.removeEventListener('abort', stop)
          resolve(id)
        }
        const stop = () => {
          stepOut(who)
          end(null)
        }
        // Behind others who have gone to wait elsewhere there is nothing to wait for here.
        const crowd = line.some(one => one.turn < turn && one.come === null && overlap(one.wanted, wanted))
        const timer = setTimeout(stop, crowd ? 0 : ms)
        signal.addEventListener('abort', stop, { once: true })
        stand({ who, turn, wanted, come: end })
      })
    },

    park(who) {
      const turn = turns.get(who)
      if (turn) stand({ who, ...turn, come: null })
    },

    arrive(who) {
      stepOut(who)
      const held = holds.get(who)
      if (!held?.called) return
      clearTimeout(held.called)
      held.called = null
      turns.delete(who)
    },

    rest(who) {
      if (holds.get(who)?.called || line.some(each => each.who === who)) return
      turns.delete(who)
      release(who)
    },

    leave(who) {
      stepOut(who)
      turns.delete(who)
      release(who)
    },

    onCall(call) {
      ring = call
    },
  }
}

function overlap(one: readonly Wanted[], other: readonly Wanted[]): boolean {
  return one.some(({ id }) => other.some(each => each.id === id))
}
