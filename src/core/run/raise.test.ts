import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Cap, reserve } from '../budget.ts'
import type { Purse, Run } from '../types.ts'
import { raiseOf, subjectOf } from './raise.ts'

const run = { id: 'r1' } as Run
const amount = fc.nat(5000)
const purse = fc.record({
  nano: fc.option(amount),
  tokens: fc.option(amount),
  calls: fc.option(fc.nat(3)),
}) satisfies fc.Arbitrary<Purse>
const spend = fc.record({ nano: amount, tokens: amount, calls: fc.nat(4) })
const price = fc.record({ input: fc.nat(9), output: fc.nat(20), cacheRead: fc.nat(3), cacheWrite: fc.nat(12) })
const call = fc.record({ promptTokens: fc.nat(900), maxTokens: fc.integer({ min: 1, max: 500 }), price })

const capWith = (limit: Purse, used: Cap['used']): Cap => ({
  of: 'all agents today',
  key: 'agents.dailyBudget',
  whose: 'all',
  since: 7,
  limit,
  used,
  until: 9,
})
const more = (limit: Purse, field: keyof Purse, by: number): Purse => ({ ...limit, [field]: (limit[field] ?? 0) + by })

test('what is asked for is at least as much again, and lets the call pass that limit', () => {
  fc.assert(
    fc.property(purse, purse, spend, spend, call, (limit, shared, spent, used, call) => {
      const lent = { nano: 0, tokens: 0, calls: 0 }
      const first = reserve({ limit, spent, lent }, call, [capWith(shared, used)])
      if (first.ok) return
      const raise = raiseOf(run, first)
      if (raise === null) {
        expect(first.limit).toBe(0)
        return
      }
      const field = raise.field as keyof Purse
      expect(raise.amount).toBeGreaterThanOrEqual(raise.limit)
      expect(raise.amount % raise.limit).toBe(0)
      const own = raise.whose === 'run:r1'
      expect(own).toBe(first.cap === null)
      // The others are made wide, so that this one alone decides.
      const wide = more({ nano: 1e9, tokens: 1e9, calls: 99 }, field, 0)
      const then = reserve(
        { limit: own ? { ...wide, [field]: limit[field]! + raise.amount } : wide, spent, lent },
        call,
        [capWith(own ? wide : { ...wide, [field]: shared[field]! + raise.amount }, used)],
      )
      expect(then).toMatchObject({ ok: true })
    }),
    { numRuns: process.env['DEPUTY_LONG'] ? 50_000 : 2000 },
  )
})

test('the subject is the same for all who meet the same limit, and another once it was raised', () => {
  const one = { whose: 'all', since: 7, until: 9, field: 'calls', limit: 3, amount: 3, code: 'RUN_CAP' } as const
  expect(subjectOf({ ...one, message: 'a' })).toBe(subjectOf({ ...one, message: 'b', amount: 6 }))
  for (const other of [{ whose: 'agent:a' }, { since: 8 }, { field: 'nano' }, { limit: 6 }] as const)
    expect(subjectOf({ ...one, ...other, message: 'a' })).not.toBe(subjectOf({ ...one, message: 'a' }))
})
