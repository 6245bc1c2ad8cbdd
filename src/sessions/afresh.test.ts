import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { isStale } from './afresh.ts'

const minute = 60_000
const at = (day: number, hour: number) => new Date(2026, 0, day, hour, 0, 0).getTime()

describe('a conversation is over', () => {
  test.each([
    ['touched last evening, a message in the morning', at(1, 22), at(2, 9), true],
    ['touched after four, a message in the evening', at(2, 5), at(2, 23), false],
    ['touched at night before four, a message before four', at(2, 1), at(2, 3), false],
    ['touched at night before four, a message after it', at(2, 1), at(2, 5), true],
    ['touched days ago', at(1, 12), at(9, 3), true],
  ])('daily at four: %s', (_, last, now, over) => {
    expect(isStale(last, { mode: 'daily', atHour: 4 }, now)).toBe(over)
  })

  test('after a silence, alone or beside the day', () => {
    const idle = { mode: 'idle' as const, atHour: 4, idleMinutes: 30 }
    expect(isStale(at(1, 10), idle, at(1, 10) + 29 * minute)).toBe(false)
    expect(isStale(at(1, 10), idle, at(1, 10) + 30 * minute)).toBe(true)
    expect(isStale(at(1, 10), { ...idle, mode: 'daily' }, at(1, 11))).toBe(true)
    expect(isStale(at(1, 3), { ...idle, mode: 'idle', idleMinutes: 600 }, at(1, 5))).toBe(false)
  })
})

let open: TestHouse | null = null
afterEach(async () => {
  await open?.close()
  open = null
})

async function grownOld(test: TestHouse, session: string): Promise<void> {
  await test.store.write('session', async tx => {
    await tx
      .updateTable('sessions')
      .set({ updated_at: Date.now() - 60 * minute })
      .where('id', '=', session)
      .execute()
  })
}

const rule = { mode: 'idle' as const, atHour: 4, idleMinutes: 30 }

test('the first message after a silence opens a new conversation under the same key, once, and the old one is kept', async () => {
  open = await openTestHouse({ reset: rule, script: request => ({ text: `${request.messages.length} messages` }) })
  const first = await open.say('hello')
  await open.done(first.run)
  const second = await open.say('at once')
  expect((await open.done(second.run)).text).toBe('3 messages')
  await grownOld(open, first.session.id)
  const [one, two] = await Promise.all([open.say('much later'), open.say('and this')])
  expect(one!.session.id).not.toBe(first.session.id)
  expect(two!.session.id).toBe(one!.session.id)
  expect(one!.session.key).toBe(first.session.key)
  expect((await open.done(one!.run)).text).toMatch(/^[123] messages$/)
  expect((await open.house.history(first.session.id, { limit: 10 })).total).toBe(4)
})

test('a message that is sent again is answered from where it was, and work under way is not interrupted', async () => {
  let end: (value: unknown) => void = () => undefined
  const slow = new Promise(resolve => (end = resolve))
  let calls = 0
  open = await openTestHouse({
    reset: rule,
    script: () => (++calls === 2 ? { text: 'done', wait: slow } : { text: 'hi' }),
  })
  const key = randomUUID()
  const first = await open.say('hello', { idempotencyKey: key })
  await open.done(first.run)
  await grownOld(open, first.session.id)
  expect((await open.say('hello', { idempotencyKey: key })).session.id).toBe(first.session.id)
  const other = { sessionKey: 'agent:main:other' }
  const work = await open.say('work', other)
  await grownOld(open, work.session.id)
  expect((await open.say('still there?', other)).session.id).toBe(work.session.id)
  end(null)
  await open.done(work.run)
})
