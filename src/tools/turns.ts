/**
 * One after the other: changes of the same file, whichever run makes them. Owns the queues; a failure of one call is no
 * matter of the next one.
 */

/** Runs `work` when every earlier call with the same key is over. */
export type Turns = <T>(key: string, work: () => Promise<T>) => Promise<T>

export function makeTurns(): Turns {
  const last = new Map<string, Promise<unknown>>()
  return async (key, work) => {
    const before = last.get(key)
    const mine = Promise.allSettled([before]).then(work)
    last.set(key, mine)
    try {
      return await mine
    } finally {
      if (last.get(key) === mine) last.delete(key)
    }
  }
}
