/**
 * Which key may not be used for which model until when, and why; shared by every run of this process.
 *
 * Owns the strikes. A strike counts once for all the calls that were in flight when it happened, so twenty children that
 * hit one limit together double the wait once, not twenty times. Never sleeps and never calls anybody.
 */
import type { Trouble } from './failure.ts'

export interface Strike {
  trouble: Trouble
  /** When the failed call was begun. */
  startedAt: number
  /** First wait; doubles with each strike in a row, up to five minutes. A `retryAfterMs` of the trouble goes before it. */
  baseMs: number
}

/** How long something may not be used, what happened last, and for the how manieth time in a row. */
export interface Cooling {
  ms: number
  trouble: Trouble
  strikes: number
}

export interface Cooldown {
  /** Null = it may be used. */
  of(key: string, model: string): Cooling | null
  strike(key: string, model: string, strike: Strike): void
  /** What an earlier process knew; nothing that this one has learnt is changed by it. */
  recall(key: string, model: string, known: { until: number; trouble: Trouble; strikes: number }): void
  /** A success of a call begun at `startedAt` forgets the strikes before it. */
  clear(key: string, model: string, startedAt: number): void
  /** How many it remembers. */
  size(): number
}

const longest = 5 * 60_000
/** More entries than this are looked through for those that are over long since. */
const kept = 500

export function makeCooldown(now: () => number, random: () => number): Cooldown {
  const entries = new Map<string, { strikes: number; struckAt: number; until: number; trouble: Trouble }>()
  const id = (key: string, model: string) => `${key}\n${model}`

  function forget(before: number): void {
    for (const [key, { until }] of entries) if (until < before) entries.delete(key)
  }

  return {
    of(key, model) {
      const entry = entries.get(id(key, model))
      const ms = entry ? entry.until - now() : 0
      return entry && ms > 0 ? { ms, trouble: entry.trouble, strikes: entry.strikes } : null
    },

    strike(key, model, { trouble, startedAt, baseMs }) {
      const at = now()
      const known = entries.get(id(key, model))
      const wish = trouble.retryAfterMs
      if (known && startedAt < known.struckAt) {
        if (wish !== undefined) known.until = Math.max(known.until, at + wish)
        return
      }
      const strikes = (known?.strikes ?? 0) + 1
      const backoff = Math.min(longest, baseMs * 2 ** (strikes - 1)) * (1 + random() / 4)
      entries.set(id(key, model), { strikes, struckAt: at, until: at + (wish ?? backoff), trouble })
      if (entries.size > kept) forget(at - longest)
    },

    recall(key, model, { until, trouble, strikes }) {
      const known = entries.get(id(key, model))
      // Who waited for it came back at different moments after its end: the earliest is nearest to that.
      if (known && (known.struckAt > 0 || known.until <= until)) return
      entries.set(id(key, model), { strikes, struckAt: 0, until, trouble })
    },

    clear(key, model, startedAt) {
      const entry = entries.get(id(key, model))
      if (entry && startedAt >= entry.struckAt) entries.delete(id(key, model))
    },

    size: () => entries.size,
  }
}
