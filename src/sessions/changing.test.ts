import { afterEach, expect, test } from 'vitest'
import { lastText, openTestHouse, type Script, type TestHouse } from '../../test/support/house.ts'

const houses: TestHouse[] = []
afterEach(async () => {
  for (const house of houses.splice(0)) await house.close()
})

async function open(script: Script = () => ({ text: 'ok' })): Promise<TestHouse> {
  const house = await openTestHouse({ script })
  houses.push(house)
  return house
}

const key = 'agent:main:main'

test('a model and a thinking level of a session are used by its next run, a message goes before them', async () => {
  const test = await open()
  const { house, operator: principal } = test
  await house.open({ principal, sessionKey: key, settings: { model: 'test/other', thinking: 'high' } })
  await test.done((await test.say('one')).run)
  await test.done((await test.say('two', { model: 'test/third', thinking: 'low' })).run)
  await house.patch({ principal, sessionKey: key, settings: { model: null, thinking: null } })
  await test.done((await test.say('three')).run)
  expect(test.requests.map(({ model, thinking }) => [model, thinking])).toEqual([
    ['test/other', 'high'],
    ['test/third', 'low'],
    ['test/model', undefined],
  ])
})

test('settings outlive a reset, "unread" does not; the first conversation is as it was', async () => {
  const test = await open()
  const { house, operator: principal } = test
  const first = await house.open({
    principal,
    sessionKey: key,
    label: 'Mine',
    settings: { pinned: true, unread: true },
  })
  expect(first.created).toBe(true)
  expect((await house.open({ principal, sessionKey: key, label: 'Else' })).session).toMatchObject({ label: 'Mine' })
  const { session } = await house.reset({ principal, sessionKey: key, reason: 'reset' })
  expect(session).toMatchObject({ key, label: 'Mine', settings: { pinned: true } })
  expect((await house.session(first.session.id))?.settings).toEqual({ pinned: true, unread: true })
  await expect(
    house.patch({ principal, sessionKey: key, label: 'x', expected: first.session.id }),
  ).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
})

test('what can not be is refused: a model without a provider, a label of another session, a key that nobody opened', async () => {
  const { house, operator: principal } = await open()
  await house.open({ principal, sessionKey: key, label: 'taken' })
  await house.open({ principal, sessionKey: 'agent:main:other' })
  const patch = (sessionKey: string, more: object) => house.patch({ principal, sessionKey, ...more })
  await expect(patch(key, { settings: { model: 'nobody/knows' } })).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
  await expect(patch('agent:main:other', { label: 'taken' })).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  await expect(patch('agent:main:none', { label: 'a' })).rejects.toMatchObject({ code: 'UNKNOWN_SESSION' })
  await patch(key, { label: 'taken' })
})

test('archived sessions are left out of lists, and found when asked for', async () => {
  const { house, operator: principal } = await open()
  await house.open({ principal, sessionKey: key, settings: { archived: true, category: '"archived":true' } })
  await house.open({ principal, sessionKey: 'agent:main:b', settings: { category: '"archived":true' } })
  await house.open({ principal, sessionKey: 'agent:main:c' })
  const list = async (archived?: boolean | 'all') => {
    const filter = { limit: 10, offset: 0, includeSubagents: true }
    const { sessions, total } = await house.sessions(archived === undefined ? filter : { ...filter, archived })
    expect(total).toBe(sessions.length)
    return sessions.map(session => session.key).sort()
  }
  expect(await list()).toEqual(['agent:main:b', 'agent:main:c'])
  expect(await list(true)).toEqual([key])
  expect(await list('all')).toHaveLength(3)
})

test('injected words are shown to the model, and never stand between a call and its result', async () => {
  let inject = async () => undefined as unknown
  const test = await open(async request => {
    if (lastText(request) === 'go') return { text: 'looking', calls: [{ name: 'ls', args: { path: '.' } }] }
    return { text: 'done', wait: inject() }
  })
  const { house, operator: principal } = test
  const words = (text: string) => house.inject({ principal, sessionKey: key, text, label: 'Ann' })
  inject = async () => await words('while at work')
  await test.done((await test.say('go')).run)
  inject = async () => undefined
  await words('after it')
  await test.done((await test.say('and now?')).run)
  const roles = test.requests
    .at(-1)!
    .messages.map(message =>
      message.role === 'tool'
        ? 'tool'
        : `${message.role}: ${message.parts[0]?.type === 'text' ? message.parts[0].text : ''}`,
    )
  const at = (text: string) => roles.findIndex(role => role.includes(text))
  expect(roles[at('looking') + 1]).toBe('tool')
  expect(at('while at work')).toBeGreaterThan(-1)
  expect(at('after it')).toBe(roles.length - 2)
  const { messages } = await house.history((await house.sessionByKey(key))!.id, { limit: 100 })
  expect(messages.filter(message => message.meta.injected === 'Ann')).toHaveLength(2)
  expect(test.events.filter(event => event.on === 'session.message' && event.message.meta.injected)).toHaveLength(2)
})

test('glances, totals and the ledger tell what was said and what it cost', async () => {
  const test = await open(() => ({ text: 'the answer', costNano: 5 }))
  const { house } = test
  await test.done((await test.say('the question\nof life')).run)
  const session = (await house.sessionByKey(key))!
  expect((await house.glances([session.id])).get(session.id)).toEqual({
    title: 'the question of life',
    last: 'the answer',
  })
  const totals = (await house.totals([session.id, 'nobody'])).get(session.id)!
  expect(totals.costNano).toBe(5)
  expect(totals.context).toBe(totals.usage.input + totals.usage.output)
  const filter = { since: 0, until: Date.now() + 1000, offsetMs: 0 }
  const [row, ...rest] = await house.ledger(filter)
  expect(rest).toEqual([])
  expect(row).toMatchObject({ sessionKey: key, model: 'test/model', spent: { nano: 5, calls: 1 } })
  expect(Math.abs(row!.day - Date.now() / 86_400_000)).toBeLessThanOrEqual(1)
  expect(await house.ledger({ ...filter, until: 1 })).toEqual([])
  expect(await house.ledger({ ...filter, agent: 'nobody' })).toEqual([])
  expect(await house.totals([])).toEqual(new Map())
})
