import { expect, test } from 'vitest'
import { firstText, lastText, openTestHouse, type Script, type TestHouse } from '../../test/support/house.ts'

async function inHouse(script: Script, body: (house: TestHouse) => Promise<void>, maxSpawnsPerMinute = 0) {
  const house = await openTestHouse({ script, maxSpawnsPerMinute, loops: { warnAt: 3, endAt: 5 } })
  try {
    await body(house)
  } finally {
    await house.close()
  }
}

const codeOf = async (house: TestHouse, run: string) => (await house.house.run(run))!.run.errorCode

test('the same call with the same result again and again: the model is told, then the run ends', async () => {
  await inHouse(
    () => ({ calls: [{ name: 'read', args: { path: 'none.txt' } }] }),
    async house => {
      const { run } = await house.say('look')
      expect(await house.done(run)).toMatchObject({
        outcome: 'failed',
        error: 'read was called 5 times with the same arguments and gave the same result each time',
      })
      expect(await codeOf(house, run)).toBe('RUN_LOOP')
      expect(house.requests).toHaveLength(5)
      const told = house.requests.map(request => lastText(request).includes('[Loop] read has given this very result'))
      expect(told).toEqual([false, false, false, true, true])
      // Something new to read: it counts from the beginning.
      const again = await house.say('look again')
      expect(await house.done(again.run)).toMatchObject({ outcome: 'failed' })
      expect(house.requests).toHaveLength(10)
    },
  )
})

test('other arguments, another result or something new to read is no loop', async () => {
  await inHouse(
    (_, n) => (n < 12 ? { calls: [{ name: 'write', args: { path: 'a.txt', content: `${n}` } }] } : { text: 'end' }),
    async house => {
      const { run } = await house.say('write')
      expect(await house.done(run)).toMatchObject({ outcome: 'succeeded' })
      expect(house.requests.some(request => lastText(request).includes('[Loop]'))).toBe(false)
    },
  )
})

/** Spawns one task after the other, whatever came of the last; a child refuses. */
const stubborn: (task: (n: number) => string, times: number) => Script = (task, times) => request => {
  if (firstText(request).startsWith('do')) return { text: 'I can not.', stop: 'refusal' }
  const spawned = request.messages.filter(message => message.role === 'assistant').length
  return spawned < times
    ? { calls: [{ name: 'sessions_spawn', args: { task: task(spawned) } }, yields] }
    : { text: 'end' }
}
const yields = { name: 'sessions_yield', args: {} }

const receipts = async (house: TestHouse, run: string) => {
  const { session } = (await house.house.run(run))!.run
  const { messages } = await house.house.history(session, { limit: 100 })
  return messages
    .filter(message => message.meta.toolName === 'sessions_spawn')
    .map(message => JSON.parse(message.parts.map(part => (part.type === 'text' ? part.text : '')).join('')))
}

test('a task that has failed three times in a row is refused for a while, with its code; another is not', async () => {
  await inHouse(
    stubborn(n => (n < 5 ? 'do it' : 'do something else'), 6),
    async house => {
      const { run } = await house.say('delegate')
      await house.done(run)
      const said = await receipts(house, run)
      expect(said.map(one => one.status)).toEqual([
        'accepted',
        'accepted',
        'accepted',
        'forbidden',
        'forbidden',
        'accepted',
      ])
      expect(said[3]).toMatchObject({
        code: 'SPAWN_FAILING',
        rule: 'maxFailuresInRow',
        allowed: 3,
        error: expect.stringContaining('has failed 3 times in a row (failed, failed, failed)'),
      })
      expect(said[3].retryInSeconds).toBeGreaterThan(500)
    },
  )
})

test('a conversation that starts sub-agents too fast is held to so many a minute', async () => {
  await inHouse(
    request => {
      if (firstText(request).startsWith('do')) return { text: 'done' }
      if (request.messages.length > 1) return { text: 'end' }
      return { calls: [0, 1, 2, 3].map(n => ({ name: 'sessions_spawn', args: { task: `do ${n}` } })) }
    },
    async house => {
      const { run } = await house.say('delegate')
      await house.done(run)
      const said = await receipts(house, run)
      expect(said.map(one => one.status)).toEqual(['accepted', 'accepted', 'forbidden', 'forbidden'])
      expect(said[2]).toMatchObject({ code: 'SPAWN_RATE', rule: 'maxSpawnsPerMinute', allowed: 2 })
    },
    2,
  )
})
