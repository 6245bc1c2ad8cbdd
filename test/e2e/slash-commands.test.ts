/**
 * Slash commands through the doors of the real program: what a client hears of one over chat.send and agent, that it is
 * answered again after a restart, and what a person sees in the terminal.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Client } from '../../src/client/connect.ts'
import { type GatewayProcess, openGateways } from '../support/gateway.ts'

interface Chat {
  runId: string
  sessionKey: string
  state: string
  message?: { content: { text: string }[] }
}

const config = {
  gateway: { port: 0 },
  agents: {
    defaults: { model: 'rehearsal/rehearsal', subagents: { allowAgents: ['extractor'] } },
    entries: { main: {}, extractor: {}, hidden: {} },
  },
}

const gateways = openGateways()
let home: string
let gateway: GatewayProcess
let client: Client
const chats: Chat[] = []

async function connected(): Promise<void> {
  client = await gateway.client()
  client.on('chat', (event: Chat) => chats.push(event))
}

beforeAll(async () => {
  home = gateways.home(config)
  gateway = await gateways.start(home)
  await connected()
})
afterAll(async () => void (await gateway.stop()))

/** What a command is answered with, over chat.send. */
async function ask(message: string, sessionKey = 'agent:main:main', idempotencyKey = `k${Math.random()}`) {
  const sent = await client.request('chat.send', { sessionKey, message, idempotencyKey })
  expect(sent.runId).toBe(idempotencyKey)
  for (let tries = 0; tries < 500; tries++) {
    const final = chats.find(event => event.runId === idempotencyKey && event.state === 'final')
    if (final) return { sent, final, text: final.message?.content.map(part => part.text).join('') ?? '' }
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`no final for ${message}`)
}

test('chat.send: started, then one final under its key; the history has both sides, each with the right speaker', async () => {
  const { sent, text } = await ask('/status', 'agent:main:one', 'one')
  expect(sent).toEqual({ runId: 'one', status: 'started' })
  expect(text).toContain('Model: rehearsal/rehearsal')
  expect(chats.filter(event => event.runId === 'one' && event.state === 'final')).toHaveLength(1)
  expect(chats.find(event => event.runId === 'one')?.sessionKey).toBe('agent:main:one')
  // A client that has heard the answer asks for it by key, or reads it again.
  expect(await client.request('agent.wait', { runId: 'one', timeoutMs: 0 })).toMatchObject({ status: 'ok', text })
  const { messages } = await client.request('chat.history', { sessionKey: 'agent:main:one' })
  expect(messages.map(({ role, idempotencyKey }) => [role, idempotencyKey])).toEqual([
    ['user', 'one'],
    ['assistant', undefined],
  ])
  expect((await client.request('runs.list', { sessionKey: 'agent:main:one' })).runs).toEqual([])
})

test('agent: accepted, then the answer as its second', async () => {
  const firsts: unknown[] = []
  const params = { message: '/whoami', sessionKey: 'agent:main:two', idempotencyKey: 'two' }
  const done = await client.request('agent', params, { onProgress: first => firsts.push(first) })
  expect(firsts).toMatchObject([{ runId: 'two', status: 'accepted', sessionKey: 'agent:main:two' }])
  expect(done).toMatchObject({ runId: 'two', status: 'ok', summary: 'completed' })
  expect(done.result?.payloads[0]?.text).toContain('You: operator')
})

test('sub-agents by hand: started, listed, told of, stopped; the result comes to the conversation', async () => {
  const key = 'agent:main:three'
  expect((await ask('/subagents spawn extractor say found it', key)).text).toBe(
    'Started #1: extractor, rehearsal/rehearsal.\nIts result comes here.',
  )
  for (let tries = 0; ; tries++) {
    const { messages } = await client.request('chat.history', { sessionKey: key })
    if (JSON.stringify(messages).includes('found it')) break
    expect(tries).toBeLessThan(500)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  await ask('/subagents spawn extractor sleep 600000', key)
  expect((await ask('/subagents list', key)).text).toMatch(
    /^2 sub-agents, 1 at work:\n#1 extractor: succeeded after \d+s\n {2}say found it\n#2 extractor: (working|queued) \d+s\n {2}sleep 600000$/,
  )
  expect((await ask('/subagents log 1', key)).text).toContain('it: found it')
  expect((await ask('/kill 2', key)).text).toBe('Stopped 1 run:\n- extractor: sleep 600000')
  const refused = await ask('/subagents spawn hidden x', key)
  expect(refused.text).toContain('Rule: allowAgents (agents.entries.main.subagents.allowAgents)')
})

test('the answer is known after a restart', async () => {
  const before = await ask('/agents', 'agent:main:four', 'four')
  await gateway.kill()
  gateway = await gateways.start(home)
  await connected()
  const params = { sessionKey: 'agent:main:four', message: '/agents', idempotencyKey: 'four' }
  expect(await client.request('chat.send', params)).toEqual({ runId: 'four', status: 'ok' })
  expect(await client.request('agent.wait', { runId: 'four', timeoutMs: 0 })).toMatchObject({ text: before.text })
})

test('commands.list has what /commands has', async () => {
  const { commands } = await client.request('commands.list', { scope: 'text' })
  const { text } = await ask('/commands')
  expect(commands.map(({ name, description }) => `/${name}: ${description}`).join('\n')).toBe(text)
  expect(commands.find(({ name }) => name === 'steer')).toMatchObject({
    textAliases: ['/steer', '/tell'],
    acceptsArgs: true,
    category: 'management',
  })
})

test('the terminal: a piped conversation with commands in it keeps its order', async () => {
  const lines = ['say before', '/new', 'say hello', '/subagents spawn hidden x', '/help kill', '']
  const { code, out } = await gateways.run(home, ['chat', '--session', 'agent:main:five'], lines.join('\n'))
  expect(code).toBe(0)
  expect(out).toContain('A new conversation.')
  expect(out).toContain('Rule: allowAgents')
  expect(out).toContain('/kill <id|#|all>')
  const { messages } = await client.request('chat.history', { sessionKey: 'agent:main:five' })
  const said = messages.filter(({ role, __openclaw }) => role === 'user' && __openclaw.kind === undefined)
  expect(said.map(({ content }) => content)).toEqual([[{ type: 'text', text: 'say hello' }]])
})
