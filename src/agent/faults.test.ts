import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { firstText, lastText, openTestHouse, type Script, type TestHouse } from '../../test/support/house.ts'
import { DeputyError } from '../protocol/errors.ts'

async function inHouse(script: Script, body: (house: TestHouse) => Promise<void>): Promise<void> {
  const house = await openTestHouse({ script })
  try {
    await body(house)
  } finally {
    await house.close()
  }
}

/** The next write of that name fails as it would on a disk without room. */
function failOnce(house: TestHouse, name: string, error: Error): () => boolean {
  const { store } = house
  let hit = false
  const write = store.write
  store.write = (asked, body) => {
    if (asked !== name) return write(asked, body)
    store.write = write
    hit = true
    return Promise.reject(error)
  }
  return () => hit
}

const full = new DeputyError('DISK_FULL', 'The disk is full.')

test('a run that could not be claimed for want of room stays queued, and goes on', async () => {
  const { promise: opens, resolve: open } = Promise.withResolvers<void>()
  const house = await openTestHouse({
    lanes: { main: 1, subagent: 1 },
    script: request => (firstText(request) === 'wait' ? { text: 'waited', wait: opens } : { text: 'here' }),
  })
  // The one slot is taken, so the second is claimed in a transaction of its own.
  await house.say('wait', { sessionKey: 'agent:main:other' })
  const { run } = await house.say('hello')
  const hit = failOnce(house, 'claim', full)
  open()
  expect(await house.done(run)).toEqual({ text: 'here', outcome: 'succeeded', error: null })
  expect(hit()).toBe(true)
  await house.close()
})

test('children that could not be cancelled for want of room are an answer to the model, not the end of its run', async () => {
  await inHouse(
    request => {
      if (firstText(request) === 'be it') return { wait: new Promise(() => undefined) }
      const made = request.messages.filter(message => message.role === 'assistant').length
      if (made === 0) return { calls: [{ name: 'sessions_spawn', args: { task: 'be it' } }] }
      if (made === 1) return { calls: [{ name: 'subagents', args: { action: 'cancel', target: 'all' } }] }
      return { text: lastText(request) }
    },
    async house => {
      failOnce(house, 'cancel', full)
      const { wireId } = await house.say('go')
      const end = await house.house.wait(wireId, { until: 'turn', timeoutMs: 10_000 })
      expect(end?.text ?? '').toContain('DISK_FULL')
    },
  )
})

test('a fault of ours ends the run that it happened in, with a code, and no other', async () => {
  await inHouse(
    request => {
      if (JSON.stringify(request.messages).includes('poison')) throw new Error('nobody thought of this')
      return { text: 'fine' }
    },
    async house => {
      const { run } = await house.say('poison')
      const end = await house.done(run)
      expect(end).toMatchObject({ outcome: 'failed', error: expect.stringContaining('nobody thought of this') })
      expect((await house.house.run(run))!.run.errorCode).toBe('INTERNAL')
      const other = await house.say('hello', { sessionKey: 'agent:main:other' })
      expect(await house.done(other.run)).toMatchObject({ text: 'fine' })
    },
  )
})

test('a row that cannot be read stops neither the start, nor the others, nor the clock', async () => {
  const never = new Promise(() => undefined)
  let first = true
  await inHouse(
    () => (first ? { wait: never } : { text: 'here again' }),
    async house => {
      const bad = await house.say('one', { sessionKey: 'agent:main:one' })
      const good = await house.say('two', { sessionKey: 'agent:main:two' })
      while (house.requests.length < 2) await new Promise(resolve => setTimeout(resolve, 5))
      await house.store.write('config', tx =>
        sql`update runs set grant_json = 'not JSON', deadline_at = 1 where id = ${bad.run}`.execute(tx),
      )
      first = false
      await house.crash()
      expect(await house.done(good.run)).toMatchObject({ text: 'here again', outcome: 'succeeded' })
      const next = await house.say('three', { sessionKey: 'agent:main:three', timeoutSeconds: 1 })
      expect(await house.done(next.run)).toMatchObject({ text: 'here again' })
    },
  )
})

test('a stop does not wait for a worker that does not let go', async () => {
  let asked = 0
  await inHouse(
    () => {
      asked += 1
      return { text: 'kept back' }
    },
    async house => {
      const { store } = house
      const write = store.write
      store.write = (name, body) => (name === 'reply' ? new Promise(() => undefined) : write(name, body))
      await house.say('hello')
      while (asked === 0) await new Promise(resolve => setTimeout(resolve, 5))
      expect(await house.runner.stop().then(() => 'stopped')).toBe('stopped')
    },
  )
})

test('a conversation that is closed ends its work in the same transaction: a crash right after it leaves nothing', async () => {
  const never = new Promise(() => undefined)
  await inHouse(
    request =>
      firstText(request) === 'go' && request.messages.length === 1
        ? { calls: [{ name: 'sessions_spawn', args: { task: 'be it' } }] }
        : { wait: never },
    async house => {
      const { run } = await house.say('go')
      const detached = await house.house.spawn({
        principal: house.operator,
        agent: 'main',
        task: 'by hand',
        idempotencyKey: 'k',
      })
      while (house.requests.length < 4) await new Promise(resolve => setTimeout(resolve, 5))
      // The process dies at the next write after the one that closes.
      const { store } = house
      const write = store.write
      let closed = false
      store.write = (name, body) => {
        if (closed) return new Promise(() => undefined)
        closed = name === 'session'
        return write(name, body)
      }
      await house.house.reset({ principal: house.operator, sessionKey: 'main', reason: 'reset' })
      store.write = write
      await house.crash()
      const { children } = (await house.house.run(run))!
      for (const id of [run, ...children, detached.run])
        expect((await house.house.run(id))!.run).toMatchObject({ state: 'done', outcome: 'cancelled' })
      expect(children).toHaveLength(1)
    },
  )
})
