import { describe, expect, test } from 'vitest'
import {
  backoffMs,
  type Delivery,
  type DeliveryEvent,
  type DeliveryStep,
  doubtBlocksMs,
  maxAttempts,
  next,
  type Service,
  serviceOf,
  step,
} from './delivery.ts'
import type { LookedUp, SendOutcome } from './ports.ts'

function delivery(over: Partial<Delivery> = {}): Delivery {
  const none = { attempt: 0, doubtSince: null, orphan: false, remoteId: null, error: null, notBefore: 0 }
  const parts = { parts: 0, part: 0, remoteIds: [] }
  return { id: 1, chat: 'c', state: 'pending', ...none, ...parts, opens: false, createdAt: 0, updatedAt: 0, ...over }
}
function go(row: Delivery, ...events: DeliveryEvent[]): Extract<DeliveryStep, { ok: true }> {
  let done: DeliveryStep = { ok: true, row, act: null }
  for (const event of events) {
    done = step((done as { row: Delivery }).row, event)
    if (!done.ok) throw new Error(`${event.on}: ${done.reason}`)
  }
  return done as Extract<DeliveryStep, { ok: true }>
}
const plain: Service = { keyed: false, lookup: false }
const attempt = (service = plain, now = 1000): DeliveryEvent => ({ on: 'try', service, parts: 1, now })
const outcome = (nth: number, outcome: SendOutcome, now = 2000, part = 0): DeliveryEvent => ({
  on: 'outcome',
  part,
  attempt: nth,
  showing: 'final',
  outcome,
  now,
})
const sent: SendOutcome = { sent: true, remoteId: 'm1' }
const lost: SendOutcome = { sent: false, certain: false, retryable: true, code: 'network', message: 'reset' }
const refused: SendOutcome = { ...lost, certain: true }
const hopeless: SendOutcome = { ...refused, retryable: false, code: 'blocked' }

describe('one message', () => {
  test('is sent', () => {
    const sending = go(delivery(), attempt())
    expect(sending).toMatchObject({ row: { state: 'sending', attempt: 1 } })
    expect(sending.act).toEqual({ do: 'send', part: 0, attempt: 1, showing: 'final', maybeRepeat: false, edit: null })
    expect(go(sending.row, outcome(1, sent)).row).toMatchObject({ state: 'sent', remoteId: 'm1', error: null })
  })

  test('that surely failed is tried again later, unmarked; one that can never arrive is dead', () => {
    const again = go(delivery(), attempt(), outcome(1, refused)).row
    expect(again).toMatchObject({ state: 'pending', notBefore: 3000, error: 'network: reset', doubtSince: null })
    expect(go(again, attempt()).act).toMatchObject({ attempt: 2, maybeRepeat: false })
    expect(go(delivery(), attempt(), outcome(1, hopeless)).row).toMatchObject({
      state: 'dead',
      error: 'blocked: reset',
    })
    const late = go(delivery(), attempt(), outcome(1, { ...refused, code: 'rate_limit', retryAtMs: 99_000 })).row
    expect(late.notBefore).toBe(99_000)
  })

  test('regression: a service that names too short a pause again and again does not use the message up in seconds', () => {
    let row = delivery()
    let now = 0
    for (let n = 1; n <= maxAttempts; n++) {
      row = go(row, attempt(plain, now)).row
      const slow = { ...refused, code: 'rate_limit', retryAtMs: now + 1000 }
      row = go(row, outcome(n, slow, now)).row
      if (row.state === 'pending') now = row.notBefore
    }
    expect(row.state).toBe('dead')
    expect(now).toBeGreaterThan(5 * 60_000)
  })

  test.each<[string, Service, object]>([
    ['a key', { keyed: true, lookup: false }, { do: 'send', maybeRepeat: false }],
    ['a key and a look-up', { keyed: true, lookup: true }, { do: 'send', maybeRepeat: false }],
    ['a look-up', { keyed: false, lookup: true }, { do: 'lookUp' }],
    ['neither', plain, { do: 'send', maybeRepeat: true }],
  ])('that may have been seen, where the service has %s', (_, service, act) => {
    for (const doubt of [outcome(1, lost), { on: 'recover', now: 2000 } as const]) {
      const uncertain = go(delivery(), attempt(service), doubt).row
      expect(uncertain).toMatchObject({ state: 'uncertain', doubtSince: 2000 })
      expect(go(uncertain, attempt(service)).act).toMatchObject({ attempt: 2, ...act })
    }
  })

  test('a mark stays, also when the marked repeat surely failed', () => {
    const row = go(delivery(), attempt(), outcome(1, lost), attempt(), outcome(2, refused)).row
    expect(row).toMatchObject({ state: 'uncertain', doubtSince: 2000 })
    expect(go(row, attempt()).act).toMatchObject({ maybeRepeat: true })
  })

  test('looked up: there, not there, nobody can tell', () => {
    const asked = go(delivery(), attempt(), outcome(1, lost), attempt({ keyed: false, lookup: true })).row
    const found = (found: LookedUp) =>
      go(asked, { on: 'lookedUp', part: 0, attempt: 2, showing: 'final', found, now: 9000 }).row
    expect(found({ is: 'sent', remoteId: 'm1' })).toMatchObject({ state: 'sent', doubtSince: null, remoteId: 'm1' })
    expect(found({ is: 'absent' })).toMatchObject({ state: 'pending', doubtSince: null, notBefore: 9000 })
    expect(found({ is: 'unknown' })).toMatchObject({ state: 'uncertain', doubtSince: 2000, notBefore: 13_000 })
  })

  test('an answer to an attempt that is over changes nothing; a late yes to the last one counts', () => {
    const second = go(delivery(), attempt(), outcome(1, lost), attempt()).row
    expect(step(second, outcome(1, sent))).toMatchObject({ ok: false })
    const recovered = go(delivery(), attempt(), { on: 'recover', now: 2000 }).row
    expect(step(recovered, outcome(1, refused))).toMatchObject({ ok: false })
    expect(go(recovered, outcome(1, sent)).row).toMatchObject({ state: 'sent' })
    expect(step(go(recovered, outcome(1, sent)).row, attempt())).toMatchObject({ ok: false })
  })

  test('is dead after the last attempt, and an operator may try again', () => {
    const last = delivery({ attempt: maxAttempts - 1 })
    expect(go(last, attempt(), outcome(maxAttempts, refused)).row.state).toBe('dead')
    const dead = go(last, attempt(), outcome(maxAttempts, lost)).row
    expect(dead.state).toBe('dead')
    expect(go(dead, { on: 'retry', now: 5000 }).row).toMatchObject({ state: 'uncertain', attempt: 0, notBefore: 5000 })
    expect(step(delivery(), { on: 'retry', now: 5000 })).toMatchObject({ ok: false })
  })

  test('waits twice as long each time, within bounds', () => {
    expect([1, 2, 3, 20, 99].map(n => backoffMs('network', n))).toEqual([1000, 2000, 4000, 300_000, 300_000])
    expect(backoffMs('auth', 1)).toBe(60_000)
    expect(backoffMs('never heard of', 1)).toBe(1000)
  })
})

describe('a message in parts', () => {
  const cut: DeliveryEvent = { on: 'try', service: plain, parts: 3, now: 1000 }

  test('sends one after the other, each with its own attempts, and remembers what the service calls them', () => {
    const second = go(delivery(), cut, outcome(1, lost), cut, outcome(2, sent)).row
    expect(second).toMatchObject({ state: 'pending', parts: 3, part: 1, attempt: 0, doubtSince: null, remoteId: null })
    const last = go(second, cut, outcome(1, { sent: true, remoteId: null }, 2000, 1)).row
    expect(last).toMatchObject({ state: 'pending', part: 2, remoteIds: ['m1', null] })
    const done = go(last, cut, outcome(1, { sent: true, remoteId: 'm3' }, 2000, 2)).row
    expect(done).toMatchObject({ state: 'sent', remoteIds: ['m1', null, 'm3'] })
  })

  test('is cut once: later counts change nothing; an answer about the part before is not about this one', () => {
    const second = go(delivery(), cut, outcome(1, sent)).row
    const trying = go(second, { ...cut, parts: 9 })
    expect(trying).toMatchObject({ row: { parts: 3 }, act: { part: 1, attempt: 1, maybeRepeat: false } })
    expect(step(trying.row, outcome(1, sent))).toMatchObject({ ok: false })
  })

  test('goes on where it died, and is over at once when there is nothing to show', () => {
    const dead = go(delivery(), cut, outcome(1, sent), cut, outcome(1, hopeless, 2000, 1)).row
    expect(dead).toMatchObject({ state: 'dead', part: 1 })
    expect(go(dead, { on: 'retry', now: 5000 }, cut).act).toMatchObject({ do: 'send', part: 1 })
    expect(go(delivery(), { ...cut, parts: 0 })).toMatchObject({ row: { state: 'sent' }, act: null })
  })
})

describe('a reply that streams', () => {
  const open = go(delivery({ state: 'streaming' }), attempt())
  const finish: DeliveryEvent = { on: 'finish', now: 3000 }
  const shown = (answer: SendOutcome) => ({ ...outcome(1, answer), showing: 'first' }) as DeliveryEvent

  test('is shown first, then edited; an edit may be repeated unmarked', () => {
    expect(open.act).toMatchObject({ do: 'send', showing: 'first', edit: null })
    const done = go(open.row, shown(sent), finish, attempt())
    expect(done.act).toMatchObject({ do: 'send', showing: 'final', edit: 'm1', maybeRepeat: false })
    expect(go(done.row, { on: 'recover', now: 4000 }, attempt()).act).toMatchObject({ edit: 'm1', maybeRepeat: false })
    expect(step(open.row, attempt())).toMatchObject({ ok: false })
  })

  test('whose words become final while it is shown is edited, once the answer is there', () => {
    expect(go(open.row, finish, shown(sent), attempt()).act).toMatchObject({ edit: 'm1', maybeRepeat: false })
    expect(go(open.row, finish, shown(refused), attempt()).act).toMatchObject({ edit: null, maybeRepeat: false })
    expect(step(go(open.row, finish, attempt()).row, shown(sent))).toMatchObject({ ok: false })
  })

  test('whose words become final just before it is shown is not taken for one with nothing to show', () => {
    const first: DeliveryEvent = { on: 'try', service: plain, parts: null, now: 1000 }
    const begun = delivery({ state: 'streaming' })
    expect(go(begun, first).act).toMatchObject({ do: 'send', showing: 'first' })
    const final = go(begun, { on: 'finish', now: 900 }).row
    expect(step(final, first)).toEqual({ ok: false, reason: 'pending is not streaming' })
    expect(go(final, attempt()).act).toMatchObject({ do: 'send', showing: 'final' })
  })

  test('without final words stays as it is shown', () => {
    expect(go(open.row, { on: 'leave', now: 3000 }).row.state).toBe('sent')
    expect(step(delivery(), { on: 'leave', now: 3000 })).toMatchObject({ ok: false })
  })

  test('whose first showing is lost is marked, one that surely failed is not', () => {
    const row = open.row
    expect(go(row, shown(lost), finish, attempt()).act).toMatchObject({ edit: null, maybeRepeat: true })
    expect(go(row, { on: 'recover', now: 2000 }, finish, attempt()).act).toMatchObject({ maybeRepeat: true })
    expect(go(row, finish, attempt()).act).toMatchObject({ maybeRepeat: true })
    expect(go(row, shown(refused), finish, attempt()).act).toMatchObject({ maybeRepeat: false })
    expect(go(delivery({ state: 'streaming' }), finish, attempt()).act).toMatchObject({ maybeRepeat: false })
  })
})

describe('a first showing whose id was never learnt', () => {
  const lostShowing = go(
    delivery({ state: 'streaming' }),
    attempt(),
    { on: 'recover', now: 2000 },
    { on: 'finish', now: 3000 },
  )
  const lookup: Service = { keyed: false, lookup: true }
  const found = (nth: number, found: LookedUp): DeliveryEvent => {
    return { on: 'lookedUp', part: 0, attempt: nth, showing: 'recall', found, now: 4000 }
  }

  test('is looked up, and changed into the final words', () => {
    const asked = go(lostShowing.row, attempt(lookup))
    expect(asked).toMatchObject({ row: { state: 'pending' }, act: { do: 'lookUp', showing: 'recall', attempt: 2 } })
    const there = go(asked.row, found(2, { is: 'sent', remoteId: 'm7' }), attempt(lookup))
    expect(there.act).toMatchObject({ do: 'send', showing: 'final', edit: 'm7', maybeRepeat: false })
    const absent = go(asked.row, found(2, { is: 'absent' }), attempt(lookup))
    expect(absent.act).toMatchObject({ do: 'send', showing: 'final', edit: null, maybeRepeat: false })
  })

  test('is shown once more under its own key, and changed into the final words', () => {
    const keyed = { keyed: true, lookup: false }
    const again = go(lostShowing.row, attempt(keyed))
    expect(again.act).toMatchObject({ do: 'send', showing: 'recall', edit: null, maybeRepeat: false })
    const recalled: DeliveryEvent = { ...(outcome(2, sent) as object), showing: 'recall' } as DeliveryEvent
    expect(go(again.row, recalled, attempt(keyed)).act).toMatchObject({ showing: 'final', edit: 'm1' })
    const late = serviceOf({ keyed: true, keyedForMs: 1000 }, lostShowing.row, 9000)
    expect(go(lostShowing.row, attempt(late)).act).toMatchObject({ showing: 'final', maybeRepeat: true })
  })

  test('that was asked for in vain by processes that died is asked for again, however many they were', () => {
    let row = delivery({ attempt: 1, orphan: true })
    for (let death = 0; death < 20; death++) {
      const asked = go(row, attempt({ keyed: false, lookup: true }))
      expect(asked.act).toMatchObject({ do: 'lookUp', showing: 'recall' })
      row = go(asked.row, { on: 'recover', now: 3000 }).row
    }
  })

  test('is asked for three times, then the final words come beside it, marked', () => {
    let { row } = lostShowing
    for (let nth = 2; nth <= 4; nth++) row = go(row, attempt(lookup), found(nth, { is: 'unknown' })).row
    expect(go(row, attempt(lookup)).act).toMatchObject({ showing: 'final', edit: null, maybeRepeat: true })
  })
})

describe('whose turn it is', () => {
  const row = (id: number, over: Partial<Delivery> = {}) => delivery({ id, ...over })
  const ids = (rows: Delivery[], now: number) => {
    const { due, wakeAt } = next(rows, now)
    return [due.map(each => each.id), wakeAt]
  }
  test('the oldest of each chat', () => {
    expect(ids([row(1), row(2), row(3, { chat: 'd' })], 0)).toEqual([[1, 3], null])
    expect(ids([row(1, { notBefore: 50 }), row(2)], 0)).toEqual([[], 50])
    expect(ids([row(1, { state: 'sending' }), row(2)], 0)).toEqual([[], null])
    expect(ids([row(1, { state: 'streaming' }), row(2)], 0)).toEqual([[2], null])
  })

  test('one that is in doubt holds up the others for five minutes, then goes on by itself', () => {
    const doubtful = row(1, { state: 'uncertain', doubtSince: 100, notBefore: 900_000 })
    expect(ids([doubtful, row(2)], 200)).toEqual([[], 100 + doubtBlocksMs])
    expect(ids([doubtful, row(2), row(3)], 100 + doubtBlocksMs)).toEqual([[2], 900_000])
    expect(ids([doubtful, row(2)], 900_000)).toEqual([[1, 2], null])
  })
})
