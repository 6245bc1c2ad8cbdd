import { createServer, type Server, type Socket } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from './connect.ts'

let dir: string
let server: Server
let sockets: Socket[]
/** What the other side does with each line. */
let serve: (socket: Socket, frame: { id: string; method: string; params: Record<string, unknown> }) => void
const hello = { type: 'hello-ok', protocol: 4, auth: { scopes: [] } }
const write = (socket: Socket, frame: unknown) => socket.write(`${JSON.stringify(frame)}\n`)

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-client-'))
  sockets = []
  serve = (socket, frame) => write(socket, { type: 'res', id: frame.id, ok: true, payload: hello })
  server = createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => undefined)
    write(socket, { type: 'event', event: 'connect.challenge', payload: { nonce: 'n', ts: 1 } })
    let rest = ''
    socket.on('data', chunk => {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop()!
      for (const line of lines) serve(socket, JSON.parse(line))
    })
  })
  await new Promise<void>(resolve => server.listen(join(dir, 's'), resolve))
})
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await new Promise(resolve => server.close(resolve))
  rmSync(dir, { recursive: true, force: true })
})

const open = () => connect({ socketPath: join(dir, 's') })

describe('the client', () => {
  test('answers are matched by id, in any order; unknown ones and events nobody asked for are let go', async () => {
    const client = await open()
    const asked: string[] = []
    serve = (socket, { id, method }) => {
      asked.push(id)
      if (method === 'last')
        for (const id of asked.reverse()) write(socket, { type: 'res', id, ok: true, payload: { id } })
      write(socket, { type: 'res', id: 'unknown', ok: true })
      write(socket, { type: 'event', event: 'nobody' })
    }
    const answers = await Promise.all([client.call('first'), client.call('last')])
    expect(answers).toEqual([{ id: '2' }, { id: '3' }])
    client.close()
  })

  test('only `agent` has two answers: the first is progress, a single one is the answer', async () => {
    const client = await open()
    const accepted = { status: 'accepted' }
    serve = (socket, { id, method, params }) => {
      write(socket, { type: 'res', id, ok: true, payload: accepted })
      if (method === 'agent' && params['message'] === 'x')
        write(socket, { type: 'res', id, ok: true, payload: { status: 'ok' } })
    }
    const progress: unknown[] = []
    const params = { message: 'x', idempotencyKey: 'k' }
    expect(await client.request('agent', params, { onProgress: payload => progress.push(payload) })).toEqual({
      status: 'ok',
    })
    expect(progress).toEqual([accepted])
    expect(await client.call('other')).toEqual(accepted)
    client.close()
  })

  test('events reach their listeners until they stop', async () => {
    const client = await open()
    const heard: unknown[] = []
    const stop = client.on('tick', (payload: { ts: number }) => heard.push(payload.ts))
    client.on('*', (_, frame) => heard.push(frame.event))
    write(sockets[0]!, { type: 'event', event: 'tick', payload: { ts: 1 } })
    await expect.poll(() => heard).toEqual([1, 'tick'])
    stop()
    write(sockets[0]!, { type: 'event', event: 'tick', payload: { ts: 2 } })
    await expect.poll(() => heard).toEqual([1, 'tick', 'tick'])
    client.close()
  })

  test('a refusal is an error with the code, the words and what to do', async () => {
    serve = (socket, { id }) => {
      const details = { code: 'PAIRING_REQUIRED', fix: 'deputy devices approve r1', requestId: 'r1' }
      write(socket, { type: 'res', id, ok: false, error: { code: 'NOT_PAIRED', message: 'pairing required', details } })
    }
    await expect(open()).rejects.toMatchObject({
      code: 'PAIRING_REQUIRED',
      message: 'pairing required',
      fix: 'deputy devices approve r1',
      details: { requestId: 'r1' },
    })
  })

  test('a broken line fails what is pending and what comes after, and says why when it was told', async () => {
    const client = await open()
    serve = socket => socket.end(`${JSON.stringify({ type: 'close', code: 1012, reason: 'service restart' })}\n`)
    const error = { code: 'GATEWAY_UNREACHABLE', message: 'gateway closed (1012): service restart' }
    await expect(client.call('x')).rejects.toMatchObject(error)
    await expect(client.call('y')).rejects.toMatchObject(error)
    expect(await client.closed).toEqual({ code: 1012, reason: 'service restart' })
  })

  test('an answer that is not JSON, or none at all, ends the connection', async () => {
    serve = socket => void socket.write('garbage\n')
    await expect(open()).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE', details: { closeCode: 1007 } })
    serve = () => undefined
    await expect(connect({ socketPath: join(dir, 's'), timeoutMs: 30 })).rejects.toMatchObject({
      code: 'GATEWAY_UNREACHABLE',
      message: expect.stringContaining('no hello in time'),
    })
    await expect(connect({ socketPath: join(dir, 'none') })).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
    await expect(connect({ url: 'ws://127.0.0.1:1/' })).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
  })
})
