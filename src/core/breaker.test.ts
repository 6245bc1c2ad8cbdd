import fc from 'fast-check'
import { expect, test } from 'vitest'
import { failing, storming, timesSame } from './breaker.ts'

const now = 1_000_000_000

test('never more than so many are started in any minute, and the time that is named is right', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.array(fc.integer({ min: 0, max: 15_000 }), { maxLength: 60 }),
      (most, gaps) => {
        const started: number[] = []
        let at = now
        for (const gap of gaps) {
          at += gap
          const tripped = storming(started, most, at)
          if (!tripped) started.push(at)
          else {
            expect(storming(started, most, tripped.retryAt)).toBeNull()
            expect(storming(started, most, tripped.retryAt - 1)).not.toBeNull()
          }
          expect(started.filter(one => one > at - 60_000).length).toBeLessThanOrEqual(most)
        }
      },
    ),
  )
})

const end = (outcome: 'failed' | 'succeeded' | 'cancelled' | 'timed_out', ago: number) => ({
  outcome,
  endedAt: now - ago,
})

test('only failures in a row count; after ten minutes it may be tried once more', () => {
  const three = [end('failed', 1), end('timed_out', 2), end('failed', 3)]
  expect(failing(three, 3, now)).toMatchObject({ code: 'SPAWN_FAILING', retryAt: now - 1 + 600_000 })
  expect(failing(three, 3, now + 599_999)).toBeNull()
  expect(failing(three, 4, now)).toBeNull()
  expect(failing(three, 0, now)).toBeNull()
  expect(failing([end('failed', 1), end('succeeded', 2), end('failed', 3)], 3, now)).toBeNull()
  expect(failing([end('cancelled', 1), ...three], 3, now)).toBeNull()
})

test('calls of one reply count once; arguments and result both matter', () => {
  const call = { name: 'ls', args: { path: '.' }, result: 'a' }
  const past = [
    { ...call, reply: 1 },
    { ...call, reply: 1 },
    { ...call, reply: 3 },
    { ...call, reply: 5, result: 'b' },
    { ...call, reply: 7, args: {} },
  ]
  expect(timesSame(past, call)).toBe(2)
})
