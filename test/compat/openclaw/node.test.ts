/**
 * openclaw-node 0.14.0 as it is on npm, against the real program: everything that it offers.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parrot, token, until, useLab } from './lab.ts'
import { peer } from './peers.ts'

// biome-ignore lint/suspicious/noExplicitAny: what npm has, without types of ours
type Any = any

const lab = useLab()
let make: (options?: Record<string, unknown>) => Any
const clients: Any[] = []

beforeAll(async () => {
  const { OpenClawClient } = createRequire(import.meta.url)(await peer('node'))
  make = (options = {}) => {
    const made = new OpenClawClient({
      url: lab.url,
      token,
      deviceIdentityPath: join(lab.folder('node'), 'device.json'),
      autoReconnect: false,
      ...options,
    })
    // Without a listener an error of the client ends the process.
    made.on('error', () => undefined)
    clients.push(made)
    return made
  }
  return async () => {
    for (const one of clients) await one.disconnect()
  }
})

beforeEach(() => lab.provider.script(parrot))

const all = ['operator.admin', 'operator.read', 'operator.write', 'operator.pairing']

async function chunks(client: Any, message: string, options: Record<string, unknown> = {}) {
  const seen: { type: string; text: string; runId: string }[] = []
  for await (const chunk of client.chat(message, { sessionKey: 'agent:main:main', agentId: 'main', ...options }))
    seen.push(chunk)
  return seen
}

describe('connecting', () => {
  test('with the token, and later with the device token that it was given', async () => {
    const path = join(lab.folder('node'), 'device.json')
    const first = make({ deviceIdentityPath: path })
    const hello = await first.connect()
    expect(hello).toMatchObject({ type: 'hello-ok', protocol: 4, policy: { tickIntervalMs: 30_000 } })
    expect(first.hasMethod('chat.send')).toBe(true)
    expect(first.availableMethods).toEqual(hello.features.methods)
    await first.disconnect()
    // The token alone is enough on this machine, and no device is made of it.
    expect(JSON.parse(readFileSync(path, 'utf8')).deviceToken).toBeUndefined()
  })

  test('every advertised method exists, and what is not advertised is unknown', async () => {
    const client = make({ scopes: all })
    await client.connect()
    for (const method of client.availableMethods) {
      const answer = await client.request(method, { no: 'such thing' }).catch((error: Error) => error.message)
      expect(String(answer), method).not.toMatch(/unknown method/)
    }
    await expect(client.request('no.such.method')).rejects.toThrow(/unknown method: no\.such\.method/)
    await expect(client.pairing.list('telegram')).rejects.toThrow(/unknown method: pairing\.list/)
  })
})

describe('chat', () => {
  test('streams text between start and end, under the id of the request', async () => {
    const client = make()
    await client.connect()
    const seen = await chunks(client, 'hello there', { clientMessageId: 'm1' })
    const types = seen.map(chunk => chunk.type)
    const inner = types.slice(2, -2)
    expect([types[0], types[1], types.at(-2), types.at(-1)]).toEqual([
      'userMessagePersisted',
      'agent_start',
      'agent_end',
      'done',
    ])
    expect(new Set(inner)).toEqual(new Set(['text']))
    expect(seen.map(chunk => chunk.text).join('')).toBe('You said: hello there')
    expect(new Set(seen.map(chunk => chunk.runId)).size).toBe(1)
    expect(await client.chatSync('complete', { sessionKey: 'agent:main:main' })).toBe('You said: complete')
  })

  test('a failing model ends it with an error', async () => {
    const client = make()
    await client.connect()
    const seen = await chunks(client, 'x', { model: 'nobody/knows' })
    expect(seen.map(chunk => chunk.type)).toEqual(['error', 'done'])
    expect(seen[0]!.text).toMatch(/nobody\/knows cannot be used/)
  })

  test('abort ends a run, and what it had said stays said', async () => {
    const client = make()
    await client.connect()
    const events: Any[] = []
    client.on('event', (event: Any) => event.event === 'chat' && events.push(event.payload))
    const streaming = chunks(client, 'hang on')
    await until(
      () => events.length,
      count => count > 0,
    )
    const answer = await client.chatAbort('agent:main:main')
    expect(answer).toMatchObject({ ok: true, aborted: true })
    await streaming
    await until(
      () => events.at(-1)?.state,
      state => state === 'aborted',
    )
    expect(events.at(-1)).toMatchObject({ runId: answer.runIds[0], stopReason: 'rpc' })
    expect(await client.agentWait(answer.runIds[0])).toMatchObject({ status: 'error', outcome: 'cancelled' })
  })

  test('history has what was said, in order, with the keys of the senders', async () => {
    const client = make({ scopes: all })
    await client.connect()
    await client.chatSync('remember this', { sessionKey: 'agent:main:other' })
    const { messages, sessionKey } = await client.sessions.history('agent:main:other', { limit: 5 })
    expect(sessionKey).toBe('agent:main:other')
    expect(messages.map((message: Any) => message.role)).toEqual(['user', 'assistant'])
    expect(messages[0].idempotencyKey).toBeTruthy()
    expect(messages[1]).toMatchObject({
      stopReason: 'stop',
      provider: 'stub',
      model: 'm',
      __openclaw: { runId: messages[0].idempotencyKey },
    })
    expect(messages[1].content.at(-1)).toEqual({ type: 'text', text: 'You said: remember this' })
  })

  test('a delegation shows the child and comes back', async () => {
    const client = make({ scopes: all })
    await client.connect()
    lab.provider.script(request => {
      if (request.system.includes('You are a sub-agent')) return { text: '42' }
      if (request.user === 'delegate it' && request.results.length === 0)
        return { toolCalls: [{ name: 'sessions_spawn', args: { task: 'find the answer', agentId: 'extractor' } }] }
      return { text: request.user.includes('42') ? 'It is 42.' : 'I have asked.' }
    })
    const finals: Any[] = []
    client.on(
      'event',
      (event: Any) => event.event === 'chat' && event.payload.state === 'final' && finals.push(event.payload),
    )
    await chunks(client, 'delegate it', { sessionKey: 'agent:main:boss' })
    await until(
      () => finals.map(final => final.message?.content[0].text),
      texts => texts.includes('It is 42.'),
    )
    expect(finals.find(final => final.sessionKey.startsWith('agent:extractor:subagent:'))).toMatchObject({
      spawnedBy: 'agent:main:boss',
      message: { content: [{ text: '42' }] },
    })
  })
})

describe('sessions', () => {
  test('list (with kinds), send without a key, describe, reset, delete, compact', async () => {
    const client = make({ scopes: all })
    await client.connect()
    const key = 'agent:main:mine'
    const sent = await client.sessions.send(key, 'no key')
    expect(sent).toMatchObject({ status: 'started', runId: expect.any(String) })
    expect(await client.agentWait(sent.runId)).toMatchObject({ status: 'ok', endedAt: expect.any(Number) })
    const { sessions, count } = await client.sessions.list({ limit: 50, kinds: ['main'] })
    expect(count).toBe(sessions.length)
    expect(sessions.find((row: Any) => row.key === key)).toMatchObject({
      kind: 'direct',
      agentId: 'main',
      status: 'done',
    })
    expect(await client.sessions.describe(key)).toMatchObject({ exists: true, activeRunId: null, session: { key } })
    expect(await client.sessions.compact(key)).toMatchObject({ ok: true, compacted: false })
    const before = (await client.sessions.describe(key)).session.sessionId
    const reset = await client.sessions.reset(key)
    expect(reset).toMatchObject({ ok: true, key })
    expect(reset.entry.sessionId).not.toBe(before)
    expect((await client.sessions.history(key)).messages).toEqual([])
    expect(await client.sessions.delete(key)).toMatchObject({ ok: true, deleted: true })
    expect(await client.sessions.describe(key)).toMatchObject({ exists: false, session: null })
    await expect(client.sessions.delete('agent:main:main')).rejects.toThrow('Cannot delete the main session')
  })

  test('a subscription hears a run that somebody else started, tools and transcript too', async () => {
    const watcher = make()
    const speaker = make()
    await watcher.connect()
    await speaker.connect()
    lab.provider.script(request =>
      request.user === 'use it' && request.results.length === 0
        ? { toolCalls: [{ name: 'ls', args: { path: '.' } }] }
        : { text: 'done' },
    )
    const seen: Any[] = []
    const { unsubscribe } = await watcher.sessions.subscribeMessages('agent:main:watched', (event: Any) =>
      seen.push(event),
    )
    await speaker.chatSync('use it', { sessionKey: 'agent:main:watched' })
    await until(
      () => seen.filter(event => event.event === 'session.message').length,
      count => count === 4,
    )
    const messages = seen.filter(event => event.event === 'session.message').map(event => event.payload)
    expect(messages.map(payload => payload.message.role)).toEqual(['user', 'assistant', 'toolResult', 'assistant'])
    expect(messages[3]).toMatchObject({ messageSeq: 4, session: { key: 'agent:main:watched' } })
    const tools = seen.filter(event => event.event === 'session.tool').map(event => event.payload.data.phase)
    expect(tools).toEqual(['start', 'result'])
    await unsubscribe()
    const count = seen.filter(event => event.event.startsWith('session.')).length
    await speaker.chatSync('again', { sessionKey: 'agent:main:watched' })
    expect(seen.filter(event => event.event.startsWith('session.')).length).toBe(count)
  })
})

describe('the gateway', () => {
  test('health, agents, channels', async () => {
    const client = make()
    await client.connect()
    expect(await client.health()).toMatchObject({ ok: true, defaultAgentId: 'main' })
    expect((await client.agents.list()).agents.map((agent: Any) => agent.id)).toEqual(['main', 'extractor'])
    expect(await client.channels.status()).toMatchObject({ channelOrder: [], channelAccounts: {} })
  })

  test('config: get hides secrets, patch takes effect, a stale hash is refused, apply puts it back', async () => {
    const client = make({ scopes: all })
    await client.connect()
    const before = await client.config.get()
    expect(JSON.stringify(before)).not.toContain(token)
    expect(before.config.gateway.auth.token).toBe('__OPENCLAW_REDACTED__')
    const patch = '{ agents: { entries: { extractor: { name: "Pulls things out" } } } }'
    const patched = await client.config.patch(patch, before.hash)
    expect(patched).toMatchObject({ ok: true, changedPaths: ['agents.entries.extractor.name'] })
    expect((await client.agents.list()).agents[1]).toMatchObject({ name: 'Pulls things out' })
    await expect(client.config.patch(patch, before.hash)).rejects.toThrow(/config changed since last load/)
    await expect(client.config.apply(before.raw)).rejects.toThrow(/config base hash required/)
    // The text has the redaction word where the token is; it stays what it was.
    await client.config.apply(before.raw, patched.hash)
    const other = make()
    await other.connect()
    expect((await other.agents.list()).agents[1]).toMatchObject({ id: 'extractor', name: 'extractor' })
  })

  test('reading alone may not write, and the refusal says so', async () => {
    const client = make({ scopes: ['operator.read'] })
    await client.connect()
    await expect(client.sessions.send('agent:main:main', 'x')).rejects.toThrow('missing scope: operator.write')
  })
})

describe('pairing', () => {
  test('a device without the secret: asked for, approved, connected, widened without a reconnect', async () => {
    const operator = make({ scopes: all })
    await operator.connect()
    const path = join(lab.folder('node'), 'device.json')
    const options = { token: undefined, deviceIdentityPath: path, scopes: ['operator.read'] }
    const refused = make(options)
    const asked = new Promise<Any>(resolve => refused.on('pairingRequired', resolve))
    await expect(refused.connect()).rejects.toThrow(/closed before handshake/)
    const { requestId, reason } = await asked
    expect(reason).toBe('not-paired')
    const { payload: list } = await operator.request('device.pair.list')
    expect(list.pending).toMatchObject([{ requestId, role: 'operator', scopes: ['operator.read'] }])
    await operator.request('device.pair.approve', { requestId })

    const paired = make(options)
    const hello = await paired.connect()
    expect(hello.auth).toMatchObject({ role: 'operator', scopes: ['operator.read'], deviceToken: expect.any(String) })
    const { deviceId, deviceToken } = JSON.parse(readFileSync(path, 'utf8'))
    expect(deviceToken).toBe(hello.auth.deviceToken)
    await paired.disconnect()

    // The stored token instead of any other, and more than was approved: let in with what is held.
    const wider = make({ ...options, scopes: ['operator.read', 'operator.write'] })
    const limited = await wider.connect()
    expect(limited.auth.scopes).toEqual(['operator.read'])
    await expect(wider.chatAbort('agent:main:main')).rejects.toThrow('missing scope: operator.write')
    const { payload: asking } = await operator.request('device.pair.list')
    expect(asking.pending).toMatchObject([
      { deviceId, isRepair: true, scopes: expect.arrayContaining(['operator.write']) },
    ])
    await operator.request('device.pair.approve', { requestId: asking.pending[0].requestId })
    expect(await wider.chatAbort('agent:main:main')).toMatchObject({ ok: true })

    // Taken away, it is closed at once, and its token is worth nothing.
    const closed = new Promise(resolve => wider.on('disconnected', resolve))
    await operator.request('device.pair.remove', { deviceId })
    await closed
    await expect(make(options).connect()).rejects.toThrow()
    // It forgets a token that was refused, as openclaw-node does, and would pair anew.
    expect(JSON.parse(readFileSync(path, 'utf8')).deviceToken).toBeUndefined()
  })

  test('a wrong token in the file of a device falls back to the secret', async () => {
    const path = join(lab.folder('node'), 'device.json')
    await make({ deviceIdentityPath: path }).connect()
    const identity = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({ ...identity, deviceToken: 'x'.repeat(43) }))
    const client = make({ deviceIdentityPath: path })
    await expect(client.connect()).rejects.toThrow()
    await client.connect()
    expect(client.isConnected).toBe(true)
  })
})

test('after a restart of the gateway it reconnects by itself, and the history is there', async () => {
  const client = make({ autoReconnect: true, reconnectIntervalMs: 200, scopes: all })
  await client.connect()
  lab.provider.script(() => ({ text: 'before the restart' }))
  await client.chatSync('hello', { sessionKey: 'agent:main:lasting' })
  lab.provider.script(request => (request.user === 'hang' ? parrot(request) : { text: 'before the restart' }))
  const { runId } = await client.sessions.send('agent:main:hanging', 'hang')
  const again = new Promise(resolve => client.once('connected', resolve))
  const pending = client.agentWait(runId, { timeoutMs: 20_000 })
  pending.catch(() => undefined)
  await lab.restart()
  await again
  await expect(pending).rejects.toThrow(/Not connected to OpenClaw Gateway/)
  const { messages } = await client.sessions.history('agent:main:lasting')
  expect(messages.at(-1).content.at(-1).text).toBe('before the restart')
  expect(await client.chatSync('and now', { sessionKey: 'agent:main:lasting' })).toBe('before the restart')
})
