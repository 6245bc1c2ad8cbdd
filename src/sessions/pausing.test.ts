import { expect, test } from 'vitest'
import { openTestHouse, type Script, type TestHouse } from '../../test/support/house.ts'

async function inHouse(script: Script, body: (house: TestHouse) => Promise<void>): Promise<void> {
  const house = await openTestHouse({ script, lanes: { main: 1, subagent: 8 } })
  try {
    await body(house)
  } finally {
    await house.close()
  }
}

const row = async (house: TestHouse, run: string) => (await house.house.run(run))!.run
const ls = { name: 'ls', args: {} }

test('a paused run hears its call out, then lets its lane go and asks no more until it is resumed', async () => {
  const gate = Promise.withResolvers<void>()
  await inHouse(
    (request, n) =>
      n === 1 ? { calls: [ls], wait: gate.promise } : { text: request.messages.length > 1 ? 'end' : 'other' },
    async house => {
      const { run } = await house.say('one')
      await expect.poll(() => house.requests.length).toBe(1)
      const pause = { principal: house.operator, run, tree: false }
      expect(await house.house.pause({ ...pause, paused: true })).toMatchObject({ runs: [{ run, state: 'running' }] })
      expect(await house.house.pause({ ...pause, paused: true })).toMatchObject({ runs: [] })
      gate.resolve()
      await expect.poll(async () => (await row(house, run)).state).toBe('queued')
      // The only slot of the lane is free again.
      const other = await house.say('two', { sessionKey: 'agent:main:other' })
      expect(await house.done(other.run)).toMatchObject({ text: 'other' })
      expect(house.requests).toHaveLength(2)
      await house.crash()
      expect(await row(house, run)).toMatchObject({ state: 'queued', paused: true })
      await house.house.pause({ ...pause, paused: false })
      expect(await house.done(run)).toMatchObject({ text: 'end', outcome: 'succeeded' })
      expect(
        house.events.filter(one => one.on === 'run.state' && ['paused', 'resumed'].includes(one.change)),
      ).toMatchObject([
        { change: 'paused', run },
        { change: 'resumed', run },
      ])
      await expect(house.house.pause({ ...pause, paused: true })).rejects.toMatchObject({ code: 'RUN_DONE' })
    },
  )
})

test('sub-agents of a paused run go on; with the tree they pause, too, and what came meanwhile is read afterwards', async () => {
  const gate = Promise.withResolvers<void>()
  const script: Script = async request => {
    const first = request.messages[0]?.parts.map(part => (part.type === 'text' ? part.text : '')).join('') ?? ''
    if (first.startsWith('child')) {
      if (request.messages.length === 1) return { calls: [ls], wait: gate.promise }
      return { text: 'from the child' }
    }
    if (request.messages.length === 1) return { calls: [{ name: 'sessions_spawn', args: { task: 'child' } }] }
    return { text: 'said' }
  }
  await inHouse(script, async house => {
    const { run } = await house.say('delegate')
    await expect.poll(async () => (await row(house, run)).state).toBe('waiting')
    const child = (await house.house.run(run))!.children[0]!
    await expect.poll(async () => (await row(house, child)).state).toBe('running')
    const all = { principal: house.operator, run, tree: true }
    expect((await house.house.pause({ ...all, paused: true })).runs.map(one => one.run)).toEqual([run, child])
    gate.resolve()
    await expect.poll(async () => (await row(house, child)).state).toBe('queued')
    // The child alone goes on: its parent is woken and stays where it is.
    await house.house.pause({ ...all, run: child, paused: false })
    expect(await house.done(child)).toMatchObject({ outcome: 'succeeded' })
    await expect.poll(async () => (await row(house, run)).state).toBe('queued')
    expect(await row(house, run)).toMatchObject({ paused: true })
    await house.house.pause({ ...all, paused: false })
    expect(await house.done(run)).toMatchObject({ outcome: 'succeeded' })
  })
})
