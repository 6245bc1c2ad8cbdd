/**
 * kill -9 at every named crash point and at random moments, with real processes and real files: nothing is lost, nothing
 * is done twice, nothing is stuck. DEPUTY_LONG=1 dies some hundred times; DEPUTY_SEED=<n> repeats a run that failed.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Provider, startProvider } from '../../bench/provider.ts'
import { type Shipped, ship } from '../support/shipped.ts'
import { type Tale, tell, type Told } from './drive.ts'
import { tales } from './kills.ts'
import { makeWorld } from './world.ts'

const long = process.env['DEPUTY_LONG'] === '1'
const seed = Number(process.env['DEPUTY_SEED'] ?? Date.now() % 1_000_000)
const lanes = 2

const shared: { provider?: Provider; shipped?: Shipped } = {}
beforeAll(async () => {
  shared.shipped = ship()
  shared.provider = await startProvider()
})
afterAll(async () => {
  await shared.provider?.stop()
  shared.shipped?.remove()
})

/** Tells tales one after the other over one home: what an earlier one left is there when the next one dies. */
async function lane(name: string, queue: { n: number; tale: Tale }[]): Promise<Told[]> {
  const world = await makeWorld(shared.shipped!.program, shared.provider!)
  const told: Told[] = []
  try {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const { n, tale } = next
      const one = await tell(world, tale, `c${n}`)
      const problems = one.problems.map(problem => `seed ${seed}, ${name}, tale ${n} (${tale.kind}): ${problem}`)
      told.push({ ...one, problems })
    }
  } finally {
    world.remove()
  }
  return told
}

test(
  'whatever moment it dies at, everything ends, once',
  async () => {
    const queue = tales(seed, long ? 12 : 1, long ? 120 : 20).map((tale, n) => ({ n, tale }))
    const count = queue.length
    const told = (await Promise.all(Array.from({ length: lanes }, (_, i) => lane(`home ${i}`, queue)))).flat()
    const died = told.flatMap(one => one.died)
    const missed = told.flatMap(one => one.missed)
    const names = new Set(died.filter(at => at.includes(':')).map(at => at.replace(/:\d+$/, '')))
    console.log(
      `seed ${seed}: ${count} delegations, ${died.length} kills at ${names.size} named points and ` +
        `${died.filter(at => !at.includes(':')).length} random moments; not reached: ${missed.join(', ') || 'none'}`,
    )
    expect(told.flatMap(one => one.problems)).toEqual([])
    expect(died.length).toBeGreaterThan(missed.length)
  },
  long ? 1_800_000 : 180_000,
)
