/**
 * Random work, random people, random deaths, over one home after the other. DEPUTY_LONG=1 dies some thousand times;
 * DEPUTY_SEED=<n> lives through that scenario alone. Seeds that once failed are lived through every time.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Provider, startProvider } from '../../bench/provider.ts'
import { type Shipped, ship } from '../support/shipped.ts'
import { scenario } from './chaos.ts'
import { chaos, configure, type Lived } from './chaos-drive.ts'
import { makeWorld } from './world.ts'

const long = process.env['DEPUTY_LONG'] === '1'
const only = process.env['DEPUTY_SEED']
const first = Date.now() % 1_000_000_000
const lanes = 2
/** Scenarios that broke a promise once. */
const kept: readonly number[] = []

const shared: { provider?: Provider; shipped?: Shipped } = {}
beforeAll(async () => {
  shared.shipped = ship()
  shared.provider = await startProvider()
})
afterAll(async () => {
  await shared.provider?.stop()
  shared.shipped?.remove()
})

async function lane(seeds: number[]): Promise<Lived[]> {
  const world = await makeWorld(shared.shipped!.program, shared.provider!, { children: 10, concurrent: 20 })
  configure(world.home.path)
  const lived: Lived[] = []
  try {
    for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
      const one = await chaos(world, scenario(seed)).catch((error: Error) => ({
        problems: [error.message],
        kills: 0,
        runs: 0,
      }))
      lived.push({ ...one, problems: one.problems.map(problem => `seed ${seed}: ${problem}`) })
    }
  } finally {
    world.remove()
  }
  return lived
}

test(
  'random work, random people, random deaths',
  async () => {
    const fresh = Array.from({ length: long ? 300 : 6 }, (_, i) => first + i)
    const seeds = only ? [Number(only)] : [...kept, ...fresh]
    const count = seeds.length
    const lived = (await Promise.all(Array.from({ length: lanes }, () => lane(seeds)))).flat()
    const sum = (of: (one: Lived) => number) => lived.reduce((total, one) => total + of(one), 0)
    console.log(
      `${count} scenarios from seed ${first}: ${sum(one => one.kills)} kills, ${sum(one => one.runs)} runs, ` +
        `${sum(one => one.problems.length)} broken promises`,
    )
    expect(lived.flatMap(one => one.problems)).toEqual([])
    expect(sum(one => one.kills)).toBeGreaterThan(count)
  },
  long ? 5_400_000 : 180_000,
)
