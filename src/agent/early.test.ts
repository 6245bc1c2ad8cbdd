import { afterEach, expect, test } from 'vitest'
import { firstText, type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { subagentKey } from '../core/ids.ts'

let house: TestHouse | null = null
afterEach(async () => {
  await house?.close()
  house = null
})

/** The names of the writes since, in order. */
async function opened(setup: HouseSetup): Promise<{ house: TestHouse; writes: string[] }> {
  house = await openTestHouse(setup)
  const { store } = house
  const write = store.write
  const writes: string[] = []
  store.write = (name, body) => {
    writes.push(name)
    return write(name, body)
  }
  return { house, writes }
}

/** One that is opened and closed by the test: a door to wait behind. */
function door(): { opens: Promise<void>; open(): void } {
  const { promise: opens, resolve: open } = Promise.withResolvers<void>()
  return { opens, open }
}

test('a message, its claim and the first call share one transaction; the answer is the other', async () => {
  const { house, writes } = await opened({ script: () => ({ text: 'yes' }) })
  const { commits } = house.store.health()
  const { run } = await house.say('hello')
  expect(await house.done(run)).toMatchObject({ text: 'yes', outcome: 'succeeded' })
  expect([writes, house.store.health().commits - commits]).toEqual([['accept', 'reply'], 2])
  const told = house.events.flatMap(event => (event.on === 'run.state' && event.run === run ? [event.change] : []))
  expect(told).toEqual(['queued', 'started', 'done'])
})

test('the only child of a reply is claimed along with it, and of a crowd each by itself', async () => {
  const waits = door()
  const { house, writes } = await opened({
    script(request) {
      if (firstText(request).startsWith('do')) return { text: 'done', wait: waits.opens }
      const asked = Number(firstText(request))
      const made = request.messages.filter(message => message.role === 'assistant').length
      if (made > 0) {
        waits.open()
        return { text: lastText(request) }
      }
      const spawn = (_: unknown, i: number) => ({ name: 'sessions_spawn', args: { task: `do ${i}` } })
      return { calls: Array.from({ length: asked }, spawn) }
    },
  })
  const claims = async (children: string) => {
    writes.length = 0
    const { run } = await house.say(children, { sessionKey: subagentKey('main', children).replace('subagent:', '') })
    expect(await house.done(run)).toMatchObject({ outcome: 'succeeded' })
    return writes.slice(0, writes.lastIndexOf('reply')).filter(name => name === 'claim').length
  }
  // What may come besides is the claim of the parent when it has waited.
  expect(await claims('1')).toBeLessThanOrEqual(1)
  expect(await claims('3')).toBeGreaterThanOrEqual(3)
})

test('who waits for a slot is not passed by who comes later', async () => {
  const first = door()
  const { house, writes } = await opened({
    lanes: { main: 1, subagent: 1 },
    script: request => ({ text: 'ok', ...(firstText(request) === 'a' && { wait: first.opens }) }),
  })
  const say = (text: string) => house.say(text, { sessionKey: `agent:main:${text}` })
  const a = await say('a')
  const b = await say('b')
  const c = await say('c')
  expect(house.engine.counts().main).toEqual({ running: 1, queued: 2 })
  first.open()
  for (const { run } of [a, b, c]) expect(await house.done(run)).toMatchObject({ outcome: 'succeeded' })
  expect(house.requests.map(firstText)).toEqual(['a', 'b', 'c'])
  expect(writes.filter(name => name === 'claim')).toHaveLength(2)
})

test('a claim that fails keeps no message from being accepted: the run ends with the fault, as ever', async () => {
  let faults = 0
  const { house } = await opened({
    script: () => ({ text: 'yes' }),
    pause() {
      if (faults-- > 0) throw new Error('nobody thought of this')
      return null
    },
  })
  faults = 1
  const once = await house.say('hello')
  expect(await house.done(once.run)).toMatchObject({ text: 'yes', outcome: 'succeeded' })
  faults = 2
  const twice = await house.say('hello again')
  expect(twice.status).toBe('started')
  expect(await house.done(twice.run)).toMatchObject({
    outcome: 'failed',
    error: expect.stringContaining('nobody thought of this'),
  })
  // A slot that was not given back would be missing for ever.
  while (house.engine.counts().main.running > 0) await new Promise(resolve => setImmediate(resolve))
})

test('a child whose claim fails once is spawned all the same, and claimed by itself', async () => {
  let faults = 1
  const { house, writes } = await opened({
    script(request) {
      if (firstText(request) === 'do it') return { text: 'done' }
      const made = request.messages.filter(message => message.role === 'assistant').length
      return made > 0 ? { text: lastText(request) } : { calls: [{ name: 'sessions_spawn', args: { task: 'do it' } }] }
    },
    pause({ cacheKey }) {
      // Sessions of sub-agents have such ids.
      if (cacheKey.startsWith('s-') && faults-- > 0) throw new Error('nobody thought of this')
      return null
    },
  })
  const { run } = await house.say('go')
  expect(await house.done(run)).toMatchObject({ outcome: 'succeeded', text: expect.stringContaining('done') })
  expect(faults).toBeLessThan(1)
  expect(writes.filter(name => name === 'reply').length).toBeGreaterThan(3)
})

test('who is cancelled at once never begins, and its slot is free again', async () => {
  for (let i = 0; i < 5; i++) {
    const { house } = await opened({ lanes: { main: 1, subagent: 1 }, script: () => ({ text: 'yes' }) })
    const { run } = await house.say('hello')
    await house.house.cancel({ principal: house.operator, target: { run }, reason: 'no' })
    const { outcome } = await house.done(run)
    expect(['cancelled', 'succeeded']).toContain(outcome)
    const next = await house.say('and now?', { sessionKey: 'agent:main:next' })
    expect(await house.done(next.run)).toMatchObject({ text: 'yes' })
    const told = house.events.flatMap(event => (event.on === 'run.state' && event.run === run ? [event.change] : []))
    expect(told.indexOf('done')).toBe(told.length - 1)
    await house.close()
  }
  house = null
})

test('what was claimed as it was accepted goes on after a death right then', async () => {
  const { house } = await opened({ script: () => ({ text: 'yes' }) })
  const { run } = await house.say('hello')
  await house.crash()
  expect(await house.done(run)).toMatchObject({ text: 'yes', outcome: 'succeeded' })
})

test('messages that come at one moment have one reader, and all are read', async () => {
  const { house } = await opened({
    script: request => ({ text: `${request.messages.filter(({ role }) => role === 'user').length}` }),
  })
  const said = await Promise.all(['a', 'b', 'c', 'd'].map(text => house.say(text)))
  expect(new Set(said.map(({ run }) => run)).size).toBe(1)
  expect(await house.done(said[0]!.run)).toMatchObject({ text: '4', outcome: 'succeeded' })
})
