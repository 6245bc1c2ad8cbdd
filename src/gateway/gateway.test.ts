import { statSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { type Door, openDoor, openRaw, secret } from '../../test/support/door.ts'
import { connect } from '../client/connect.ts'
import { methodNames } from '../protocol/methods.ts'
import { scopes } from '../protocol/scopes.ts'

let door: Door
afterEach(() => door.close())

describe('hello', () => {
  test('is complete over the WebSocket, and the highest common protocol is answered', async () => {
    door = await openDoor()
    const client = await connect({ url: door.url, token: secret })
    const { hello } = client
    expect(hello).toMatchObject({
      type: 'hello-ok',
      protocol: 4,
      server: { version: '1.2.3' },
      snapshot: {
        health: { ok: true, defaultAgentId: 'main' },
        sessionDefaults: { defaultAgentId: 'main', mainKey: 'main', mainSessionKey: 'agent:main:main' },
        stateDir: '/home/x',
        authMode: 'token',
      },
      auth: { method: 'token', role: 'operator', scopes },
      policy: { maxPayload: 26_214_400, maxBufferedBytes: 52_428_800, tickIntervalMs: 30_000 },
    })
    expect(hello.features.methods).toEqual(methodNames)
    expect(hello.snapshot.presence[0]).toMatchObject({ mode: 'gateway', reason: 'self' })
    client.close()
    await client.closed
  })

  test('a v3 client gets v3; without admin it is not told where the files are', async () => {
    door = await openDoor()
    const client = await connect({
      url: door.url,
      token: secret,
      protocol: { min: 3, max: 3 },
      scopes: ['operator.read'],
    })
    expect(client.hello.protocol).toBe(3)
    expect(client.hello.snapshot).not.toHaveProperty('stateDir')
    expect(client.hello.features).not.toHaveProperty('capabilities')
    client.close()
  })

  test('the unix socket is 0600 and lets its opener in as operator with every scope', async () => {
    door = await openDoor({ tcp: false })
    expect(statSync(door.socketPath).mode & 0o777).toBe(0o600)
    const client = await connect({ socketPath: door.socketPath })
    expect(client.auth?.scopes).toEqual(scopes)
    expect(await client.request('agents.list', {})).toMatchObject({ defaultId: 'main' })
    client.close()
  })
})

describe('methods', () => {
  test('the same request is answered over TCP, the unix socket and with no socket at all', async () => {
    door = await openDoor()
    const params = { runId: 'nobody', timeoutMs: 1 }
    const answers = []
    for (const way of [{ url: door.url, token: secret }, { socketPath: door.socketPath }]) {
      const client = await connect(way)
      answers.push(await client.request('agent.wait', params))
      client.close()
    }
    const [injected] = await door.gateway.inject(
      { type: 'req', id: '1', method: 'agent.wait', params },
      { kind: 'run', run: 'r', scopes: ['operator.write'] },
    )
    expect(answers).toEqual([
      { runId: 'nobody', status: 'timeout' },
      { runId: 'nobody', status: 'timeout' },
    ])
    expect(injected).toEqual({ type: 'res', id: '1', ok: true, payload: answers[0] })
  })

  test('agent answers twice with one id, and the run id is the idempotency key', async () => {
    door = await openDoor()
    const client = await connect({ url: door.url, token: secret })
    const progress: unknown[] = []
    const answer = client.request(
      'agent',
      { message: 'hi', idempotencyKey: 'k1', agentId: 'main', deliver: false, timeout: 600 },
      {
        onProgress: payload => {
          progress.push(payload)
          door.house.finish('k1', { text: 'hello', yielded: true })
        },
      },
    )
    expect(await answer).toMatchObject({
      runId: 'k1',
      status: 'ok',
      summary: 'completed',
      result: { payloads: [{ text: 'hello', mediaUrl: null }], meta: { yielded: true, aborted: false } },
    })
    expect(progress).toEqual([
      { runId: 'k1', sessionKey: 'agent:main:main', agentId: 'main', status: 'accepted', acceptedAt: 7 },
    ])
    expect(door.house.accepted[0]).toMatchObject({ method: 'agent', timeoutSeconds: 600, agent: 'main' })
    // A repeat after the end is answered at once, with the same words and without a second acceptance.
    expect(await client.request('agent', { message: 'hi', idempotencyKey: 'k1' })).toMatchObject({ status: 'ok' })
    client.close()
  })

  test('a repeat while the run is at work is in_flight; a failed run is an error with its payload', async () => {
    door = await openDoor()
    const raw = await openRaw(door.url)
    const client = await connect({ socketPath: door.socketPath })
    const first = client.request('agent', { message: 'hi', idempotencyKey: 'k2' })
    await expect.poll(() => door.house.accepted.length).toBe(1)
    expect(await client.request('agent', { message: 'hi', idempotencyKey: 'k2' })).toEqual({
      runId: 'k2',
      status: 'in_flight',
    })
    door.house.finish('k2', {
      status: 'error',
      outcome: 'failed',
      errorCode: 'MODEL_AUTH',
      error: 'key refused',
      text: null,
    })
    await expect(first).rejects.toMatchObject({ code: 'MODEL_AUTH', message: 'key refused', details: { runId: 'k2' } })
    raw.ws.close()
    client.close()
  })

  test('chat.send, chat.history and chat.abort', async () => {
    door = await openDoor()
    const client = await connect({ socketPath: door.socketPath })
    const sessionKey = 'agent:main:tui-1'
    expect(await client.request('chat.history', { sessionKey })).toMatchObject({ sessionKey, messages: [] })
    expect(await client.request('chat.send', { sessionKey, message: 'hi', idempotencyKey: 'k3' })).toEqual({
      runId: 'k3',
      status: 'started',
    })
    const generated = await client.request('chat.send', { sessionKey: 'main', message: 'hi' })
    expect(generated.runId).toMatch(/^[0-9a-f-]{36}$/)
    expect(door.house.accepted[1]!.sessionKey).toBe('agent:main:main')
    for (let seq = 1; seq <= 3; seq++) {
      door.house.messages.push({
        session: `s-${sessionKey}`,
        seq,
        ord: seq,
        id: `m${seq}`,
        role: seq === 3 ? 'event' : 'user',
        parts: [{ type: 'text', text: 'x'.repeat(100) }],
        run: null,
        step: null,
        at: seq,
        meta: { idempotencyKey: `k${seq}` },
      })
    }
    const page = await client.request('chat.history', { sessionKey, limit: 2, maxChars: 50 })
    expect(page).toMatchObject({ hasMore: true, totalMessages: 3, nextCursor: '2' })
    expect(page.messages.map(message => message.__openclaw.seq)).toEqual([2, 3])
    expect(page.messages[0]).toMatchObject({ role: 'user', idempotencyKey: 'k2', timestamp: 2 })
    expect((page.messages[0]!.content[0] as { text: string }).text).toHaveLength(50)
    expect(page.messages[1]!.__openclaw.kind).toBe('event')
    const before = await client.request('chat.history', { sessionKey, cursor: page.nextCursor! })
    expect(before.messages.map(message => message.__openclaw.seq)).toEqual([1])
    const fitting = await client.request('chat.history', { sessionKey, maxBytes: 250 })
    expect(fitting.messages.map(message => message.__openclaw.seq)).toEqual([3])
    expect(fitting.hasMore).toBe(true)

    expect(await client.request('chat.abort', { sessionKey: 'agent:main:none' })).toEqual({
      ok: true,
      aborted: false,
      runIds: [],
    })
    expect(await client.request('chat.abort', { sessionKey, runId: 'k3' })).toEqual({
      ok: true,
      aborted: true,
      runIds: ['k3'],
    })
    expect(door.house.cancelled[0]!.target).toEqual({ run: 'run-k3' })
    expect(await client.request('chat.abort', { sessionKey, preserveSideRuns: true })).toMatchObject({ aborted: true })
    expect(door.house.cancelled[1]!.target).toEqual({ session: `s-${sessionKey}` })
    client.close()
  })

  test('health, status, sessions.list and runs.*', async () => {
    door = await openDoor()
    const client = await connect({ socketPath: door.socketPath })
    await client.request('chat.send', { sessionKey: 'main', message: 'hi', idempotencyKey: 'k4' })
    const status = await client.request('status', {})
    expect(status).toMatchObject({ runtimeVersion: '1.2.3', tasks: { running: 1, total: 3 }, connections: 1 })
    expect(await client.request('sessions.list', { kinds: ['x'] })).toMatchObject({
      count: 1,
      defaults: { modelProvider: 'stub', model: 'model', contextTokens: 1000 },
      sessions: [{ key: 'agent:main:main', isMain: true, hasActiveRun: true, status: 'running' }],
    })
    expect(await client.request('sessions.list', { search: 'nothing' })).toMatchObject({ count: 0, totalCount: 0 })
    const { runs } = await client.request('runs.list', {})
    expect(runs[0]).toMatchObject({ run: 'run-k4', sessionKey: 'agent:main:main', state: 'running' })
    expect((await client.request('runs.get', { run: 'run-k4' })).run.lastLine).toBe('at work')
    expect((await client.request('runs.tree', { run: 'run-k4' })).runs).toHaveLength(1)
    expect((await client.request('runs.log', { run: 'run-k4' })).steps[0]).toMatchObject({
      n: 1,
      name: 'read',
      args: { path: 'a' },
    })
    expect(await client.request('runs.spawn', { agent: 'extractor', task: 'count' })).toMatchObject({ run: 'child-1' })
    await expect(client.request('runs.spawn', { agent: 'nobody', task: 'count' })).rejects.toMatchObject({
      code: 'SPAWN_AGENT_NOT_ALLOWED',
    })
    await expect(client.request('runs.get', { run: 'none' })).rejects.toMatchObject({ code: 'UNKNOWN_RUN' })
    await expect(client.request('runs.cancel', {})).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    expect((await client.request('runs.cancel', { all: true })).runs).toHaveLength(2)
    client.close()
  })
})

describe('authority', () => {
  test('a call needs its scope, by rule too; an unknown method needs admin', async () => {
    door = await openDoor()
    const reader = await connect({ url: door.url, token: secret, scopes: ['operator.read'] })
    const writer = await connect({ url: door.url, token: secret, scopes: ['operator.write'] })
    const admin = await connect({ url: door.url, token: secret, scopes: ['operator.admin'] })
    const bare = await connect({ url: door.url, token: secret, scopes: [] })
    const missing = (scope: string) => ({
      code: 'MISSING_SCOPE',
      message: `missing scope: ${scope}`,
      details: { missingScope: scope, requiredScopes: [scope] },
    })
    const message = { sessionKey: 'main', message: 'hi' }
    await expect(reader.request('chat.send', message)).rejects.toMatchObject(missing('operator.write'))
    await expect(bare.request('status', {})).rejects.toMatchObject(missing('operator.read'))
    expect(await bare.request('health', {})).toMatchObject({ ok: true })
    expect(await writer.request('status', {})).toMatchObject({ runtimeVersion: '1.2.3' })
    const reset = { message: ' /reset now', idempotencyKey: 'k5' }
    await expect(writer.request('agent', reset)).rejects.toMatchObject(missing('operator.admin'))
    await expect(writer.call('no.such')).rejects.toMatchObject(missing('operator.admin'))
    await expect(admin.call('no.such')).rejects.toMatchObject({
      code: 'UNKNOWN_METHOD',
      message: 'unknown method: no.such',
    })
    await expect(admin.call('connect', {})).rejects.toMatchObject({ code: 'UNKNOWN_METHOD' })
    expect(door.house.accepted).toEqual([])
    for (const client of [reader, writer, admin, bare]) client.close()
  })

  test('a missing scope is FORBIDDEN in v4 and INVALID_REQUEST in v3', async () => {
    door = await openDoor()
    const codes: string[] = []
    for (const version of [3, 4]) {
      const raw = await openRaw(door.url)
      const params = { minProtocol: version, maxProtocol: version, scopes: ['operator.read'] }
      const client = { id: 'x', version: '1', platform: 'p', mode: 'cli' }
      raw.send({ type: 'req', id: '1', method: 'connect', params: { ...params, client, auth: { password: secret } } })
      raw.send({ type: 'req', id: '2', method: 'chat.send', params: { sessionKey: 'main', message: 'x' } })
      codes.push((await raw.wait(frame => frame.id === '2')).error!.code)
      raw.ws.close()
    }
    expect(codes).toEqual(['INVALID_REQUEST', 'FORBIDDEN'])
  })

  test('params are closed, and said where they do not fit', async () => {
    door = await openDoor()
    const client = await connect({ socketPath: door.socketPath })
    const refused = (method: string, params: unknown) =>
      client.call(method, params).then(
        () => 'answered',
        error => error.message,
      )
    expect(await refused('agents.list', { x: 1 })).toBe(`invalid agents.list params: at root: unexpected property 'x'`)
    expect(await refused('agent', { message: 'x' })).toBe(
      `invalid agent params: must have required property 'idempotencyKey'`,
    )
    expect(await refused('chat.history', { sessionKey: 'x', limit: 5000 })).toMatch(
      /^invalid chat.history params: at \/limit: /,
    )
    expect(await refused('runs.get', null)).toBe(`invalid runs.get params: must have required property 'run'`)
    client.close()
  })
})

describe('the end', () => {
  test('close tells those who are connected, refuses what comes, and frees port and socket', async () => {
    door = await openDoor()
    const client = await connect({ url: door.url, token: secret })
    const local = await connect({ socketPath: door.socketPath })
    const told: unknown[] = []
    client.on('shutdown', payload => told.push(payload))
    await door.gateway.close('service restart')
    expect(await client.closed).toEqual({ code: 1012, reason: 'service restart' })
    expect(await local.closed).toEqual({ code: 1012, reason: 'service restart' })
    expect(told).toEqual([{ reason: 'service restart' }])
    await expect(client.request('health', {})).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
    await expect(connect({ url: door.url, token: secret })).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
    await expect(connect({ socketPath: door.socketPath })).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
    const [refused] = await door.gateway.inject(
      { type: 'req', id: '1', method: 'health' },
      { kind: 'schedule', schedule: 's', scopes: [] },
    )
    expect(refused).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE', retryable: true } })
  })

  test('a port in use is refused with who holds it, and nothing stays open', async () => {
    door = await openDoor()
    const port = Number(new URL(door.url).port)
    await expect(openDoor({ settings: { port } })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(`by process ${process.pid} (`),
      details: { port, pid: process.pid },
    })
  })

  test('every address is listened on, at one port; one that is taken opens none', async () => {
    door = await openDoor({ settings: { hosts: ['127.0.0.1', '127.0.0.2'] } })
    const { port } = new URL(door.url)
    for (const host of ['127.0.0.1', '127.0.0.2'])
      expect((await fetch(`http://${host}:${port}/healthz`)).status).toBe(200)
    await expect(
      openDoor({ settings: { hosts: ['127.0.0.3', '127.0.0.2'], port: Number(port) } }),
    ).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    await expect(fetch(`http://127.0.0.3:${port}/healthz`)).rejects.toThrow()
  })
})
