/** A provider that takes only so many calls at a time with one key for one model (models.providers.<id>.maxConcurrent). */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type HouseSetup, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { stubModels } from '../../test/support/models.ts'
import { type Provider, startProvider } from '../../test/support/provider.ts'

let narrow: Provider
let wide: Provider
let house: TestHouse
/** Calls that are out at the narrow provider, and the most there were at once. */
let out: number
let most: number
let hold: Promise<void>
let letGo: () => void

const open = async (setup: Partial<HouseSetup> = {}) => {
  const providers = [
    { id: 'narrow', baseUrl: narrow.baseUrl, maxConcurrent: 1, models: [{ id: 'm' }, { id: 'other' }] },
    { id: 'wide', baseUrl: wide.baseUrl, models: [{ id: 'm' }] },
  ]
  house = await openTestHouse({
    script: () => ({}),
    models: () => stubModels(providers, { limits: { sleepMs: 20 } }).models,
    lanes: { main: 2, subagent: 2 },
    ...setup,
  })
}

beforeEach(async () => {
  out = 0
  most = 0
  ;({ promise: hold, resolve: letGo } = Promise.withResolvers<void>())
  narrow = await startProvider({
    async script({ user, model }) {
      if (model === 'other') return { text: 'other model' }
      out += 1
      most = Math.max(most, out)
      await hold
      out -= 1
      return { text: `heard ${user}` }
    },
  })
  wide = await startProvider({ script: () => ({ text: 'wide open' }) })
})
afterEach(async () => {
  letGo()
  await house.close()
  await narrow.close()
  await wide.close()
})

const say = (name: string, model = 'narrow/m') =>
  house.say(name, { sessionKey: `agent:main:${name}`, model }).then(({ run }) => run)
const row = async (id: string) => (await house.house.run(id))!.run

async function parked(run: string) {
  for (;;) {
    const now = await row(run)
    if (now.state === 'waiting') return now
    if (now.state === 'done') throw new Error(`run ${run} is done: ${now.error}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

test('one call at a time; who has no place waits in a row, holds no slot and pays nothing; each has its turn in order', async () => {
  await open()
  const runs = [await say('r0')]
  await narrow.request(0)
  for (const name of ['r1', 'r2', 'r3', 'r4']) {
    const run = await say(name)
    const { wait, error, spent } = await parked(run)
    expect(wait).toMatchObject({ for: 'timer', hold: { provider: 'narrow', model: 'm', whose: 'line' } })
    expect(error).toContain('narrow/m has its limit of 1 call at a time out')
    expect(spent.calls).toBe(0)
    runs.push(run)
  }
  expect(await house.store.read.selectFrom('usage').select('run').execute()).toHaveLength(1)
  expect((await house.done(await say('w', 'wide/m'))).text).toBe('wide open')
  expect((await house.done(await say('o', 'narrow/other'))).text).toBe('other model')
  letGo()
  for (const [n, run] of runs.entries()) expect((await house.done(run)).text).toBe(`heard r${n}`)
  expect(most).toBe(1)
  const asked = narrow.requests.filter(({ model }) => model === 'm').map(({ user }) => user)
  expect(asked).toEqual(['r0', 'r1', 'r2', 'r3', 'r4'])
})

test('who is cancelled, in line or with a place, stands in nobody’s way', async () => {
  await open()
  const first = await say('r0')
  await narrow.request(0)
  const [second, third, fourth] = [await say('r1'), await say('r2'), await say('r3')]
  for (const run of [second, third, fourth]) await parked(run)
  for (const run of [second, first])
    await house.house.cancel({ principal: house.operator, target: { run }, reason: 'no' })
  expect(await house.done(first)).toMatchObject({ outcome: 'cancelled' })
  // The script counts what it has answered; a call that was broken off is out no more.
  out = 0
  await narrow.request(1)
  expect(narrow.requests[1]!.user).toBe('r2')
  letGo()
  expect((await house.done(third)).text).toBe('heard r2')
  expect((await house.done(fourth)).text).toBe('heard r3')
  expect((await house.done(second)).outcome).toBe('cancelled')
})

test('a paused run keeps its turn and holds up nobody behind it', async () => {
  await open()
  const first = await say('r0')
  await narrow.request(0)
  const second = await say('r1')
  await parked(second)
  await house.house.pause({ principal: house.operator, run: second, tree: false, paused: true })
  letGo()
  expect((await house.done(first)).text).toBe('heard r0')
  expect((await house.done(await say('r2'))).text).toBe('heard r2')
  await house.house.pause({ principal: house.operator, run: second, tree: false, paused: false })
  expect((await house.done(second)).text).toBe('heard r1')
}, 30_000)

test('after a crash nobody has a place, and all that stood in line go on, each once', async () => {
  await open()
  const first = await say('r0')
  await narrow.request(0)
  const others = [await say('r1'), await say('r2')]
  for (const run of others) await parked(run)
  await house.crash()
  await narrow.request(1)
  letGo()
  for (const [n, run] of [first, ...others].entries()) expect((await house.done(run)).text).toBe(`heard r${n}`)
  const charged = await house.store.read.selectFrom('usage').selectAll().where('run', 'in', others).execute()
  expect(charged.map(({ charged_calls }) => charged_calls)).toEqual([1, 1])
})

test('two dozen runs with one place: all end, none is passed over', async () => {
  letGo()
  await open({ lanes: { main: 2, subagent: 3 } })
  const names = Array.from({ length: 24 }, (_, n) => `r${n}`)
  const runs = await Promise.all(names.map(name => say(name)))
  for (const run of runs) expect((await house.done(run)).outcome).toBe('succeeded')
  expect(most).toBe(1)
  expect(narrow.requests).toHaveLength(24)
}, 30_000)
