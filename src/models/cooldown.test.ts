import { expect, test } from 'vitest'
import { makeCooldown } from './cooldown.ts'
import { trouble } from './failure.ts'

function bench() {
  const clock = { at: 1_000_000 }
  return {
    clock,
    cooldown: makeCooldown(
      () => clock.at,
      () => 0,
    ),
  }
}

const limit = trouble('rate_limit', 'slow down')
const strike = (startedAt: number, retryAfterMs?: number) => ({
  trouble: retryAfterMs === undefined ? limit : { ...limit, retryAfterMs },
  startedAt,
  baseMs: 250,
})

test('the wait doubles with each strike in a row, to five minutes at most', () => {
  const { clock, cooldown } = bench()
  const waits: number[] = []
  for (let n = 0; n < 14; n += 1) {
    cooldown.strike('k', 'm', strike(clock.at))
    const ms = cooldown.of('k', 'm')?.ms ?? 0
    waits.push(ms)
    clock.at += ms
  }
  expect(waits.slice(0, 5)).toEqual([250, 500, 1_000, 2_000, 4_000])
  expect(waits.at(-1)).toBe(300_000)
})

test('calls that were in flight together count as one strike', () => {
  const { clock, cooldown } = bench()
  const startedAt = clock.at
  clock.at += 50
  for (let n = 0; n < 20; n += 1) cooldown.strike('k', 'm', strike(startedAt))
  expect(cooldown.of('k', 'm')?.ms).toBe(250)
})

test("the provider's own wish goes before the doubling, and a later, longer one of the same wave counts", () => {
  const { clock, cooldown } = bench()
  const startedAt = clock.at
  clock.at += 10
  cooldown.strike('k', 'm', strike(startedAt, 5_000))
  expect(cooldown.of('k', 'm')?.ms).toBe(5_000)
  cooldown.strike('k', 'm', strike(startedAt, 9_000))
  cooldown.strike('k', 'm', strike(startedAt, 1_000))
  expect(cooldown.of('k', 'm')?.ms).toBe(9_000)
})

test('a success forgets the strikes before it, not one that came after it began', () => {
  const { clock, cooldown } = bench()
  const early = clock.at
  clock.at += 10
  cooldown.strike('k', 'm', strike(early))
  cooldown.clear('k', 'm', early)
  expect(cooldown.of('k', 'm')).not.toBeNull()
  cooldown.clear('k', 'm', clock.at)
  expect(cooldown.of('k', 'm')).toBeNull()
})

test('what is over long since is forgotten, so that it does not add up', () => {
  const { clock, cooldown } = bench()
  // Each fifth key is struck again and again: its waits grow for as long as it is remembered.
  for (let n = 0; n < 2_000; n += 1) {
    clock.at += 1_000
    cooldown.strike(n % 5 === 0 ? 'often' : `conversation ${n}`, 'm', strike(clock.at))
  }
  expect(cooldown.of('often', 'm')?.ms).toBeGreaterThan(290_000)
  expect(cooldown.size()).toBeLessThan(1_000)
})

test('keys and models cool down apart', () => {
  const { clock, cooldown } = bench()
  cooldown.strike('k', 'm', strike(clock.at))
  expect(cooldown.of('k', 'other')).toBeNull()
  expect(cooldown.of('other', 'm')).toBeNull()
  expect(cooldown.of('k', 'm')?.trouble.class).toBe('rate_limit')
})
