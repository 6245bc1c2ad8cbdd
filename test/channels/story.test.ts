/** A person writes in a chat and gets their answers there: over a real store, a real engine and a service of our own. */
import { afterEach, expect, test } from 'vitest'
import { until } from '../support/app.ts'
import { type ChatWorld, openChatWorld } from './support.ts'

let world: ChatWorld
afterEach(() => world.close())

const texts = () => world.service.shown.map(({ text }) => text)
const code = (text: string | undefined) => /Pairing code: ([A-HJ-NP-Z2-9]{8})/.exec(text ?? '')?.[1]

test('a person who is let in gets an answer where they wrote, and sees that work goes on', async () => {
  world = await openChatWorld({ dmPolicy: 'allowlist', allowFrom: [7] })
  const id = world.service.direct('7', 'say good morning')
  await until(texts, seen => seen.includes('good morning'))
  expect(world.service.acknowledged(id)).toBe(true)
  expect(world.service.shown).toHaveLength(1)
  await until(
    () => world.service.typing,
    seen => seen.length >= 2,
  )
  expect(world.service.typing[0]).toEqual({ chat: '7', on: true })
  expect(world.service.typing.at(-1)).toEqual({ chat: '7', on: false })
  const { sessions } = await world.owner.request('sessions.list', {})
  expect(sessions.map(({ key }) => key)).toEqual(['agent:main:telegram:direct:7'])
})

test('an agent delegates from a chat: interim words, then the results', async () => {
  world = await openChatWorld({ dmPolicy: 'open', allowFrom: ['*'] })
  world.service.direct('7', 'say I ask two others\ndelegate to main: say one\ndelegate to main: say two')
  const shown = await until(texts, seen => seen.some(text => text.includes('I ask two others')))
  expect(shown[0]).toContain('Waiting for 2 sub-agents')
  expect(shown.at(-1)).toMatch(/one[\s\S]*two/)
})

test('a command is answered in the chat and reaches no model', async () => {
  world = await openChatWorld({ dmPolicy: 'open', allowFrom: ['*'] })
  world.service.direct('7', '/help')
  const [answer] = await until(texts, seen => seen.length > 0)
  expect(answer).toContain('/subagents')
})

test('an unknown sender gets a code once, and nothing else happens', async () => {
  world = await openChatWorld({})
  for (const text of ['hello?', 'anybody there', '/status']) world.service.direct('13', text)
  await until(texts, seen => seen.length > 0)
  const last = world.service.direct('13', 'please')
  await until(() => world.service.acknowledged(last), Boolean)
  expect(texts()).toHaveLength(1)
  expect(code(texts()[0])).toBeDefined()
  expect((await world.owner.request('sessions.list', {})).sessions).toEqual([])
  expect((await world.owner.request('runs.list', {})).runs).toEqual([])
})

test('an allowlist never touches pairing of devices nor of senders', async () => {
  world = await openChatWorld({ dmPolicy: 'allowlist', allowFrom: [7] })
  const refused = world.service.direct('13', 'let me in')
  world.service.direct('7', 'say hello')
  await until(texts, seen => seen.includes('hello'))
  await until(() => world.service.acknowledged(refused), Boolean)
  world.service.direct('7', 'delegate to main: say from below')
  await until(texts, seen => seen.some(text => text.includes('from below')))
  const devices = await world.owner.request('device.pair.list', {})
  expect([devices.pending, devices.paired]).toEqual([[], []])
  expect(world.service.seen('13')).toEqual([])
})

test('a sub-agent that a person starts by hand from a chat works, and its result comes to that chat', async () => {
  world = await openChatWorld(
    { dmPolicy: 'allowlist', allowFrom: [7] },
    {
      agents: {
        defaults: { model: 'rehearsal/rehearsal' },
        entries: { main: { subagents: { allowAgents: ['extractor'] } }, extractor: {} },
      },
    },
  )
  world.service.direct('7', '/subagents spawn extractor say extracted')
  // The agent is told of the result and says something about it: this model knows nothing better than its help.
  await until(texts, seen => seen.length > 1)
  expect(texts()[0]).toContain('Started #1: extractor')
  const { messages } = await world.owner.request('chat.history', { sessionKey: 'agent:main:telegram:direct:7' })
  expect(JSON.stringify(messages)).toContain('extracted')
  const { runs } = await world.owner.request('runs.list', {})
  expect(runs.map(run => [run.agent, run.state])).toContainEqual(['extractor', 'done'])
  expect((await world.owner.request('device.pair.list', {})).pending).toEqual([])
})

test('words that are to wait are read by the next run, in their order', async () => {
  world = await openChatWorld({ dmPolicy: 'allowlist', allowFrom: [7] }, { messages: { queue: { mode: 'followup' } } })
  world.service.direct('7', 'sleep 600\nsay one')
  await until(
    () => world.service.typing,
    seen => seen.some(({ on }) => on),
  )
  for (const text of ['say two', 'say three']) world.service.direct('7', text)
  await until(texts, seen => seen.some(text => text.includes('three')))
  expect(texts()[0]).toBe('one')
  expect(texts().join(' ')).toMatch(/one[\s\S]*two[\s\S]*three/)
})

test('an account that is to go through a proxy never goes past it', async () => {
  world = await openChatWorld({ proxy: 'socks5://127.0.0.1:1', allowFrom: [7] })
  world.service.direct('7', 'say hello')
  const status = await until(
    async () => (await world.owner.request('channels.status', {})).channelAccounts['telegram']![0]!,
    seen => seen.problem !== null,
  )
  expect(status).toMatchObject({ state: 'failed', problem: { code: 'CHANNEL_SETTINGS' } })
  expect(status.problem!.fix).toContain('NODE_USE_ENV_PROXY')
  expect(texts()).toEqual([])
})
