import { randomUUID } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { firstText, lastText, openTestHouse, type Script, type TestHouse } from '../../test/support/house.ts'

let open: TestHouse | null = null
afterEach(async () => {
  await open?.close()
  open = null
})

/** Looks twice, then answers. */
const script: Script = request => {
  const looked = request.messages.filter(message => message.role === 'tool').length
  const user = request.messages.filter(message => message.role === 'user').length
  if (looked < 2 && user < 2) return { text: `look ${looked + 1}`, calls: [{ name: 'ls', args: { path: '.' } }] }
  return { text: `answer after ${looked} looks by ${request.model}` }
}

async function ran(): Promise<{ house: TestHouse; run: string; session: string }> {
  open = await openTestHouse({ script })
  const { run, session } = await open.say('what is here?')
  expect((await open.done(run)).text).toContain('answer after 2 looks')
  return { house: open, run, session: session.id }
}

const fork = (house: TestHouse, run: string, step: number, more: { model?: string; message?: string } = {}) =>
  house.house.fork({ principal: house.operator, run, step, idempotencyKey: randomUUID(), ...more })

const everything = async (house: TestHouse, session: string) => {
  const { read } = house.store
  return {
    messages: await read.selectFrom('messages').selectAll().where('session', '=', session).execute(),
    runs: await read.selectFrom('runs').selectAll().where('session', '=', session).execute(),
    inbox: await read.selectFrom('inbox').selectAll().where('session', '=', session).execute(),
  }
}

test('at a model call the copy has what that call was shown, and asks another model instead', async () => {
  const { house, run, session } = await ran()
  const before = await everything(house, session)
  // Steps: 1 model, 2 ls, 3 model, 4 ls, 5 model.
  const forked = await fork(house, run, 3, { model: 'test/other', message: 'in one word' })
  expect(forked).toMatchObject({ of: run, step: 3, model: 'test/other', messages: 3 })
  expect(await house.done(forked.run)).toMatchObject({ text: 'answer after 1 looks by test/other' })
  const asked = house.requests.at(-1)!
  expect(asked.messages.slice(0, -1)).toEqual(house.requests[1]!.messages)
  expect(lastText(asked)).toBe('in one word')
  // The first one stays as it was, and hears nothing of it.
  expect(await everything(house, session)).toEqual(before)
  const row = (await house.house.run(forked.run))!.run
  expect(row).toMatchObject({ parent: null, payer: null, returnTo: null, route: null })
  expect(row.session).not.toBe(session)
})

test('after a tool call the copy ends with its result, and says that files are as they are', async () => {
  const { house, run } = await ran()
  const forked = await fork(house, run, 2)
  await house.done(forked.run)
  const asked = house.requests.at(-1)!
  expect(asked.messages.map(message => message.role)).toEqual(['user', 'assistant', 'tool', 'user'])
  expect(lastText(asked)).toMatch(/copy.*stay as they are now/)
})

test('a copy of a conversation that was shortened begins with the summary that the call was shown', async () => {
  const { house, run } = await ran()
  open = house
  const long = 'word '.repeat(2000)
  for (let i = 0; i < 4; i++) await house.done((await house.say(`question ${i} ${long}`)).run)
  await house.say('/compact')
  const later = await house.say('and now?')
  await house.done(later.run)
  const asked = house.requests.at(-1)!
  expect(firstText(asked)).toContain('a summary stands for its first')
  const forked = await fork(house, later.run, 1, { message: 'go on' })
  await house.done(forked.run)
  expect(house.requests.at(-1)!.messages.slice(0, -1)).toEqual(asked.messages)
  // From before the summary, the whole words.
  const early = await fork(house, run, 5, { message: 'go on' })
  await house.done(early.run)
  expect(firstText(house.requests.at(-1)!)).toBe('what is here?')
})

test('the same key is the same copy; another step under it is refused', async () => {
  const { house, run } = await ran()
  const input = { principal: house.operator, run, step: 3, idempotencyKey: 'k' }
  const one = await house.house.fork(input)
  expect(await house.house.fork(input)).toMatchObject({ run: one.run, sessionKey: one.sessionKey })
  await expect(house.house.fork({ ...input, step: 5 })).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
})

test('what cannot be copied says why', async () => {
  const { house, run } = await ran()
  await expect(fork(house, 'none', 1)).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
  await expect(fork(house, run, 99)).rejects.toThrow(/has no step 99/)
  await expect(fork(house, run, 1, { model: 'nowhere/x' })).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
})
