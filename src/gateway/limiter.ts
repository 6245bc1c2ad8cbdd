/**
 * Failed attempts to get in, counted by who makes them (openclaw-facts.md §A7).
 *
 * Owns the counts. From elsewhere and from pages: after `maxAttempts` failures in the window nobody of that address (or
 * page) is let in until the lockout ends, also with the right secret. On this machine a lockout would let any local program
 * lock its owner out, so there each failure is answered later than the one before, up to 5 s, and the right secret at once.
 * Memory is bounded: the oldest of 10,000 is forgotten first.
 */
import type { Peer } from './peer.ts'
import type { Settings } from './types.ts'

interface Entry {
  failures: number
  since: number
  lockedUntil: number
}

export interface Limiter {
  /** How long this peer is locked out, ms; 0 when it may try. */
  lockedFor(peer: Peer, now: number): number
  /** Records a failure; the answer is to be held back this many ms. */
  failed(peer: Peer, now: number): number
  /** A success clears the count. */
  passed(peer: Peer): void
}

const most = 10_000
const firstDelay = 250
const lastDelay = 5_000

export function makeLimiter(settings: Settings): Limiter {
  const entries = new Map<string, Entry>()
  const keyOf = (peer: Peer) => (peer.origin === null ? (peer.address ?? '') : `${peer.address} ${peer.origin}`)
  const delayed = (peer: Peer) => peer.direct && peer.origin === null

  return {
    lockedFor(peer, now) {
      return Math.max(0, (entries.get(keyOf(peer))?.lockedUntil ?? 0) - now)
    },
    failed(peer, now) {
      const { maxAttempts, windowMs, lockoutMs, exemptLoopback } = settings.rateLimit()
      if (exemptLoopback && delayed(peer)) return 0
      const key = keyOf(peer)
      let entry = entries.get(key)
      if (!entry || now - entry.since > windowMs)
        entry = { failures: 0, since: now, lockedUntil: entry?.lockedUntil ?? 0 }
      entries.delete(key)
      entries.set(key, entry)
      if (entries.size > most) entries.delete(entries.keys().next().value!)
      entry.failures += 1
      if (delayed(peer)) return Math.min(lastDelay, firstDelay * 2 ** (entry.failures - 1))
      if (entry.failures >= maxAttempts) entry.lockedUntil = now + lockoutMs
      return 0
    },
    passed(peer) {
      entries.delete(keyOf(peer))
    },
  }
}
