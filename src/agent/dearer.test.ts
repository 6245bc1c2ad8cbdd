/** A fallback that costs more than the model of the run: what it may cost is set aside before, and never passed. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { stubModels } from '../../test/support/models.ts'
import { type Provider, type ProviderRequest, startProvider } from '../../test/support/provider.ts'

let cheap: Provider
let dear: Provider
let house: TestHouse | null = null

beforeEach(async () => {
  cheap = await startProvider()
  dear = await startProvider({ script: request => ({ text: 'dear words', usage: everything(request) }) })
})
afterEach(async () => {
  await house?.close()
  await cheap.close()
  await dear.close()
})

/** Says as much as it may. */
function everything({ body, bytes }: ProviderRequest) {
  return { input: Math.floor(bytes / 5), output: Number(body['max_tokens']) }
}

async function open(budget: { nano?: number; tokens?: number }): Promise<TestHouse> {
  const provider = (id: string, { baseUrl }: Provider, input: number, output: number) => ({
    id,
    baseUrl,
    models: [{ id: 'm', maxTokens: 8000, cost: { input, output } }],
  })
  const providers = [provider('cheap', cheap, 1, 2), provider('dear', dear, 30, 150)]
  house = await openTestHouse({
    script: () => ({}),
    models: () => stubModels(providers, { fallbacks: ['dear/m'] }).models,
    agents: { main: { budget: { nano: null, tokens: null, calls: null, ...budget } } },
  })
  return house
}

const say = async (it: TestHouse) => (await it.say('hello', { model: 'cheap/m' })).run
const run = async (it: TestHouse, id: string) => (await it.house.run(id))!.run

test('it answers within the budget, with as many tokens as that leaves', async () => {
  cheap.script(() => ({ status: 429, headers: { 'retry-after': '60' } }))
  const it = await open({ nano: 150_000_000 })
  const id = await say(it)
  expect(await it.done(id)).toMatchObject({ text: 'dear words', outcome: 'succeeded' })
  const asked = Number(dear.requests[0]!.body['max_tokens'])
  expect(asked).toBeGreaterThan(0)
  expect(asked).toBeLessThan(1000)
  const { spent } = await run(it, id)
  expect(spent.nano).toBeGreaterThan(75_000_000)
  expect(spent.nano).toBeLessThanOrEqual(150_000_000)
})

test('without a limit it says what it likes, and all of that was set aside', async () => {
  cheap.script(() => ({ status: 429, headers: { 'retry-after': '60' } }))
  const it = await open({})
  const id = await say(it)
  await it.done(id)
  expect(dear.requests[0]!.body['max_tokens']).toBe(8000)
  const row = await it.store.read.selectFrom('usage').selectAll().where('run', '=', id).executeTakeFirstOrThrow()
  expect(row.charged_nano).toBeGreaterThan(8000 * 150_000)
  expect(row.charged_nano).toBeLessThanOrEqual(row.reserved_nano)
})

test('what does not reach for it is not spent on it: the run waits for its own model', async () => {
  cheap.script((_, n) =>
    n === 0
      ? { status: 429, headers: { 'retry-after-ms': '600' } }
      : { text: 'my own words', usage: { input: 9, output: 2 } },
  )
  const it = await open({ nano: 20_000_000 })
  const id = await say(it)
  expect(await it.done(id)).toMatchObject({ text: 'my own words', outcome: 'succeeded' })
  expect(dear.requests).toEqual([])
  expect((await run(it, id)).spent.nano).toBe(13_000)
})

test('an answer that was paid for and came to nothing counts with the one that replaced it', async () => {
  const broken = { finish: 'stop' as const, text: 'half an answer', cut: 'middle' as const }
  cheap.script((request, n) => (n === 0 ? broken : { text: 'whole', usage: everything(request) }))
  const it = await open({ tokens: 30_000 })
  const id = await say(it)
  expect((await it.done(id)).text).toBe('whole')
  const [first, second] = cheap.requests.map(({ body }) => Number(body['max_tokens']))
  expect(second!).toBeLessThan(first!)
  expect((await run(it, id)).spent.tokens).toBeLessThanOrEqual(30_000)
})
