import { afterEach, beforeEach, expect, test } from 'vitest'
import { openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { stubModels } from '../../test/support/models.ts'
import { type Provider, type ProviderReply, startProvider } from '../../test/support/provider.ts'
import type { ModelRoom } from '../models/options.ts'

let one: Provider
let two: Provider
let house: TestHouse
let models: ModelRoom

const markKey = new Uint8Array(32).fill(7)

beforeEach(async () => {
  one = await startProvider()
  two = await startProvider()
  const providers = [
    { id: 'one', baseUrl: one.baseUrl, models: [{ id: 'm' }, { id: 'other' }] },
    { id: 'two', baseUrl: two.baseUrl, models: [{ id: 'm' }] },
  ]
  house = await openTestHouse({
    script: () => ({}),
    models: () => (models = stubModels(providers, { markKey, keys: ['sk-first-0123456789'] }).models),
    lanes: { main: 2, subagent: 2 },
  })
})
afterEach(async () => {
  await house.close()
  await one.close()
  await two.close()
})

const busy = (ms: number): ProviderReply => ({
  status: 429,
  error: { message: 'Slow down' },
  headers: { 'retry-after-ms': `${ms}` },
})

const say = (name: string, model = 'one/m') =>
  house.say(`hello ${name}`, { sessionKey: `agent:main:${name}`, model }).then(({ run }) => run)

async function held(run: string) {
  for (;;) {
    const view = await house.house.run(run)
    if (view?.run.state === 'waiting') return view.run
    if (view?.run.state === 'done') throw new Error(`run ${run} is done: ${view.run.error}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

const ledger = (run: string) => house.store.read.selectFrom('usage').selectAll().where('run', '=', run).execute()

test('runs whose call would only be told to wait are held before it: nothing asked, set aside or charged', async () => {
  one.script((_, n) => (n === 0 ? busy(1500) : { text: 'here again' }))
  two.script(() => ({ text: 'not held up' }))
  const first = await say('a')
  await held(first)
  const others = await Promise.all(['b', 'c', 'd'].map(name => say(name)))
  for (const run of others) {
    const row = await held(run)
    expect(row.wait).toMatchObject({ for: 'timer', hold: { provider: 'one', model: 'm', whose: 'key', key: 'key:0' } })
    expect(row).toMatchObject({ errorCode: 'MODEL_RATE_LIMIT', error: expect.stringContaining('asks to wait 2 s') })
    expect(row.spent).toEqual({ nano: 0, tokens: 0, calls: 0 })
    expect(await ledger(run)).toEqual([])
  }
  expect(JSON.stringify(await house.store.read.selectFrom('runs').selectAll().execute())).not.toContain('sk-first')
  expect(one.requests).toHaveLength(1)
  // Both slots of the lane are free, and another provider, or another model of this one, has nothing to do with it.
  expect(await house.done(await say('e', 'two/m'))).toMatchObject({ text: 'not held up', outcome: 'succeeded' })
  expect(await house.done(await say('f', 'one/other'))).toMatchObject({ text: 'here again', outcome: 'succeeded' })
  for (const run of [first, ...others]) expect((await house.done(run)).text).toBe('here again')
  expect(one.requests).toHaveLength(6)
  for (const run of others)
    expect((await ledger(run)).map(({ charged_calls, state }) => [charged_calls, state])).toEqual([[1, 'settled']])
})

test('a restart knows from the rows who must not be asked, and until when', async () => {
  one.script((_, n) => (n === 0 ? busy(2000) : { text: 'here again' }))
  const first = await say('a')
  const { wait } = await held(first)
  await house.crash()
  const call = { model: 'one/m', agent: 'main', cacheKey: 'x' }
  expect(models.pause(call)).toMatchObject({ hold: { whose: 'key', strikes: 1, class: 'rate_limit' } })
  expect(models.pause({ ...call, model: 'one/other' })).toBeNull()
  const second = await say('b')
  expect((await held(second)).wait).toMatchObject({
    for: 'timer',
    hold: { said: expect.stringContaining('Slow down') },
  })
  expect(one.requests).toHaveLength(1)
  expect((await house.done(first)).text).toBe('here again')
  expect((await house.done(second)).text).toBe('here again')
  expect(one.requests).toHaveLength(3)
  expect(wait).toMatchObject({ for: 'timer' })
})

test('another key is not held up by a restart that remembers the first', async () => {
  one.script((_, n) => (n === 0 ? busy(60_000) : { text: 'with the new key' }))
  await held(await say('a'))
  const renewed = stubModels([{ id: 'one', baseUrl: one.baseUrl, models: [{ id: 'm' }] }], {
    markKey,
    keys: ['sk-second-0123456789'],
  })
  const row = await house.store.read.selectFrom('runs').select('wait').executeTakeFirstOrThrow()
  const wait = JSON.parse(row.wait!) as { hold: Parameters<ModelRoom['recall']>[0][0]['hold']; until: number }
  renewed.models.recall([wait])
  expect(renewed.models.pause({ model: 'one/m', agent: 'main', cacheKey: 'x' })).toBeNull()
})

test('a message to a run that is held wakes it, and it is held on', async () => {
  one.script((_, n) => (n === 0 ? busy(1500) : { text: 'both read' }))
  await held(await say('a'))
  const run = await say('b')
  await held(run)
  expect(await say('b')).toBe(run)
  expect((await house.done(run)).text).toBe('both read')
  expect(one.requests.filter(({ turns }) => JSON.stringify(turns).includes('hello b'))).toHaveLength(1)
  expect(await ledger(run)).toHaveLength(1)
})

test('a provider that stays away ends the runs that are held for it, with its code, after a while', async () => {
  const error = 'stub answered 503: away. Try later.'
  const away = { provider: 'test', model: 'model', whose: 'provider' as const, key: null, mark: '', strikes: 9 }
  const test = await openTestHouse({
    script: () => ({ text: 'never asked' }),
    pause: () => ({
      until: Date.now() + 20,
      hold: { ...away, class: 'overloaded', said: 'away' },
      code: 'MODEL_OVERLOADED',
      error,
    }),
  })
  try {
    const { run } = await test.say('hello')
    const rows = () => test.store.read.selectFrom('inbox').select('id').where('kind', '=', 'timer').execute()
    while ((await rows()).length < 3) await new Promise(resolve => setTimeout(resolve, 5))
    expect((await test.house.run(run))!.run.state).not.toBe('done')
    // As it would be an hour later: its first pause was over then.
    await test.store.write('timer', tx =>
      tx
        .updateTable('inbox')
        .set({ at: Date.now() - 3_600_000 })
        .where('kind', '=', 'timer')
        .execute(),
    )
    expect(await test.done(run)).toMatchObject({ outcome: 'failed', error })
    expect(test.requests).toEqual([])
    expect((await test.house.run(run))!.run).toMatchObject({ errorCode: 'MODEL_OVERLOADED', spent: { calls: 0 } })
  } finally {
    await test.close()
  }
})
