import fc from 'fast-check'
import { expect, test } from 'vitest'
import { codeLivesMs, type Guest, knock, mostWaiting, waitingWith } from './admission.ts'

const guest = (more: Partial<Guest>): Guest => ({
  id: 'g',
  channel: 'telegram',
  account: 'default',
  sender: '7',
  label: null,
  code: 'AAAA2222',
  state: 'pending',
  createdAt: 0,
  lastSeenAt: 0,
  expiresAt: codeLivesMs,
  ...more,
})

type Event = { knock: string } | { approve: number } | { after: number }
const anyEvents = fc.array(
  fc.oneof<fc.Arbitrary<Event>[]>(
    fc.record({ knock: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f') }),
    fc.record({ approve: fc.nat(3) }),
    fc.record({ after: fc.constantFrom(60_000, codeLivesMs - 1, codeLivesMs) }),
  ),
  { maxLength: 40 },
)

/** Plays events; false when somebody got a second code while the first was good, a fourth waits, or a dead code lets in. */
function holds(events: readonly Event[], decide: typeof knock, find: typeof waitingWith): boolean {
  let rows: Guest[] = []
  let now = 0
  const codes: { sender: string; code: string; at: number }[] = []
  for (const event of events) {
    if ('after' in event) now += event.after
    else if ('knock' in event) {
      const done = decide(rows, event.knock, now)
      rows = rows.filter(row => !done.over.includes(row.id))
      if (done.answer !== 'code') continue
      const good = rows.filter(row => row.state === 'pending' && row.expiresAt > now)
      if (good.length >= mostWaiting || good.some(row => row.sender === event.knock)) return false
      const code = `CODE${codes.length}`
      codes.push({ sender: event.knock, code, at: now })
      rows.push(guest({ id: code, sender: event.knock, code, createdAt: now, expiresAt: now + codeLivesMs }))
    } else {
      const asked = codes[event.approve]
      const found = asked && find(rows, { code: asked.code }, now)
      if (!found) continue
      if (now >= asked.at + codeLivesMs || found.sender !== asked.sender || found.state !== 'pending') return false
      rows = rows.map(row => (row.id === found.id ? { ...row, state: 'approved' as const } : row))
    }
  }
  return true
}

test('property: one good code a sender, at most three waiting, and a dead code lets nobody in', () => {
  fc.assert(
    fc.property(anyEvents, events => holds(events, knock, waitingWith)),
    { numRuns: 3000 },
  )
})

const planted: Record<string, [typeof knock, typeof waitingWith]> = {
  'a second code while the first is good': [(rows, _, now) => knock(rows, 'nobody', now), waitingWith],
  'no limit': [
    (rows, sender, now) =>
      knock(
        rows.filter(row => row.sender === sender),
        sender,
        now,
      ),
    waitingWith,
  ],
  'a code lives for ever': [knock, (rows, asked) => waitingWith(rows, asked, 0)],
  'any code will do': [knock, (rows, _, now) => waitingWith(rows, { id: rows.at(-1)?.id ?? '' }, now)],
}
for (const [bug, [decide, find]] of Object.entries(planted))
  test(`a planted bug is found: ${bug}`, () => {
    const property = fc.property(anyEvents, events => holds(events, decide, find))
    expect(fc.check(property, { numRuns: 5000 }).failed).toBe(true)
  })
