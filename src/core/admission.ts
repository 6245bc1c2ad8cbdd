/**
 * Letting in people who write to an account: a stranger gets a code once, an operator approves it (openclaw-facts.md §E8).
 *
 * Pure. Invariants: 1. nobody is let in without an operator's decision on a code that is still good. 2. at most three wait
 * at an account; whoever comes then hears nothing. 3. a sender with a good code is not written to again.
 */

export const codeAlphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'
export const codeLength = 8
export const codeLivesMs = 3_600_000
export const mostWaiting = 3

/** A row of channel_pairings: somebody who waits, or who was let in. */
export interface Guest {
  id: string
  channel: string
  account: string
  sender: string
  label: string | null
  code: string
  state: 'pending' | 'approved'
  createdAt: number
  lastSeenAt: number
  expiresAt: number
}

/** A stranger has written. `over` are requests whose time is up. */
export type Knock = { over: string[] } & (
  | { answer: 'code' }
  /** Their code is still good. */
  | { answer: 'quiet'; seen: string }
  | { answer: 'full' }
)

/** `rows` are those of one account. */
export function knock(rows: readonly Guest[], sender: string, now: number): Knock {
  const waiting = rows.filter(row => row.state === 'pending')
  const over = waiting.filter(row => row.expiresAt <= now).map(row => row.id)
  const good = waiting.filter(row => row.expiresAt > now)
  const mine = good.find(row => row.sender === sender)
  if (mine) return { answer: 'quiet', seen: mine.id, over }
  return good.length >= mostWaiting ? { answer: 'full', over } : { answer: 'code', over }
}

/** The one who waits with this code or under this id; null when there is none, or their time is up. */
export function waitingWith(
  rows: readonly Guest[],
  asked: { code: string } | { id: string },
  now: number,
): Guest | null {
  const good = rows.filter(row => row.state === 'pending' && row.expiresAt > now)
  if ('id' in asked) return good.find(row => row.id === asked.id) ?? null
  const code = asked.code.trim().toUpperCase()
  return good.find(row => row.code === code) ?? null
}
