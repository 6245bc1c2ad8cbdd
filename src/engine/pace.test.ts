import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makePace } from './pace.ts'

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

/** A clock that goes on by the work done only, and the turns that pieces ran in. */
function watch() {
  const clock = { now: 0 }
  const pace = makePace(() => clock.now)
  const seen = { turn: 0, over: false }
  const count = () => {
    seen.turn += 1
    if (!seen.over) setImmediate(count)
  }
  setImmediate(count)
  return { clock, pace, seen }
}

test('an idle gateway waits for nothing: a piece that comes alone runs at once', async () => {
  const { pace, seen } = watch()
  let ran = 0
  for (let i = 0; i < 5; i++) {
    pace.pass([() => ran++])
    expect(ran).toBe(i + 1)
    await turn()
  }
  seen.over = true
})

test('what follows from a piece has run before the next begins', async () => {
  const { pace, seen } = watch()
  const order: string[] = []
  const done = new Promise<void>(resolve =>
    pace.pass([
      ...['a', 'b', 'c'].map(name => async () => {
        order.push(name)
        for (let i = 0; i < 20; i++) await null
        order.push(`${name} is over`)
      }),
      resolve,
    ]),
  )
  await done
  expect(order).toEqual(['a', 'a is over', 'b', 'b is over', 'c', 'c is over'])
  seen.over = true
})

test('a crowd is worked through in many turns, and none takes more than its share', async () => {
  const { clock, pace, seen } = watch()
  const turns: number[] = []
  const piece = () => {
    clock.now += 3
    turns.push(seen.turn)
  }
  await new Promise<void>(resolve => pace.pass([...Array.from({ length: 60 }, () => piece), resolve]))
  const most = Math.max(...turns.map(one => turns.filter(other => other === one).length))
  // Three pieces of 3 ms reach the share of 8; the count may come round before or after them.
  expect(most).toBeLessThanOrEqual(6)
  expect(turns.length).toBe(60)
  expect(pace.due()).toBe(false)
  seen.over = true
})

test('once the share is used up it is due, and no longer in the next turn', async () => {
  const { clock, pace, seen } = watch()
  expect(pace.due()).toBe(false)
  clock.now += 7
  expect(pace.due()).toBe(false)
  clock.now += 1
  expect(pace.due()).toBe(true)
  await pace.turn()
  expect(pace.due()).toBe(false)
  seen.over = true
})

test('pieces keep their order, whoever passes them and whenever, and none is lost', async () => {
  type Plan = { cost: number; now: Plan[]; later: Plan[] }
  const above = (below: fc.Arbitrary<Plan[]>) =>
    fc.record({ cost: fc.integer({ min: 0, max: 9 }), now: below, later: below })
  const some = (one: fc.Arbitrary<Plan>) => fc.array(one, { maxLength: 3 })
  const plan = above(some(above(some(above(fc.constant([]))))))
  await fc.assert(
    fc.asyncProperty(fc.array(plan, { minLength: 1, maxLength: 80 }), async plans => {
      const { clock, pace, seen } = watch()
      let passed = 0
      const ran: number[] = []
      let open = 0
      const pass = (some: Plan[]) => {
        open += some.length
        pace.pass(
          some.map(({ cost, now, later }) => {
            const nr = passed++
            return () => {
              ran.push(nr)
              clock.now += cost
              if (now.length > 0) pass(now)
              if (later.length > 0) {
                open += 1
                setImmediate(() => {
                  open -= 1
                  pass(later)
                })
              }
              open -= 1
            }
          }),
        )
      }
      pass(plans)
      while (open > 0) await turn()
      seen.over = true
      expect(ran).toEqual(Array.from({ length: passed }, (_, i) => i))
    }),
    { numRuns: process.env['DEPUTY_LONG'] ? 2000 : 100 },
  )
})
