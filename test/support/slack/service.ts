/**
 * A Slack on 127.0.0.1, for tests and benches: the Web API over HTTP and socket mode over a WebSocket.
 *
 * Owns the sockets, the envelopes with their promises (an event is sent again, as another attempt, until it is acknowledged; a
 * press or a command once, and whoever made it is told when nobody acknowledges it within three seconds), and the ways to misbehave: `fault` is used up by the calls it fits, `chaos` hits at random. What a method does is methods.ts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type WebSocket, WebSocketServer } from 'ws'
import { callMethod, type Params, Refused } from './methods.ts'
import { type Pending, World } from './world.ts'

export interface Fault {
  /** Method it is for; absent: any that shows something. */
  method?: string
  times?: number
  delayMs?: number
  /** `ok: false` with this word. */
  refuse?: string
  /** 429, to be tried again after so many seconds. */
  retryAfter?: number
  /** This status and body instead of an answer. */
  garbage?: { status: number; body: string }
  /** Destroy the connection without doing it, or after it was done. */
  cut?: 'before' | 'after'
}

export interface SlackService {
  /** For `apiRoot`. */
  url: string
  botToken: string
  appToken: string
  world: World
  calls: { method: string; params: Params; at: number }[]
  /** Attempts of every envelope that was acknowledged, by the id of what happened. */
  acknowledged: Map<string, number>
  fault(fault: Fault): void
  chaos: ((method: string) => Fault | null) | null
  /** Called when a method was carried out, before it is answered. */
  done: ((method: string, params: Params) => Promise<void> | void) | null
  /** Sends a frame as it is. */
  frame(text: string): void
  /** Asks the app to connect anew, as the service does every few hours. */
  refresh(): void
  drop(): void
  down(): Promise<void>
  up(): Promise<void>
  close(): Promise<void>
}

/** How long the service waits for an acknowledgement before it sends again: three seconds in truth. */
const ackMs = 3000
const showing = ['chat.postMessage', 'chat.update', 'files.completeUploadExternal']

export async function openSlack(): Promise<SlackService> {
  const world = new World()
  const botToken = 'xoxb-7001-test-bot-token-of-the-fake'
  const appToken = 'xapp-1-test-app-token-of-the-fake'
  const faults: Fault[] = []
  const tickets = new Set<string>()
  const sockets = new Set<Socket>()
  const sent = new Map<string, { pending: Pending; at: number }>()
  let connection: WebSocket | null = null
  let next = 1

  const server = createServer((request, response) => {
    serve(request, response).catch(error => {
      if (!response.headersSent && !response.destroyed) response.writeHead(500).end(String(error))
    })
  })
  const ws = new WebSocketServer({ noServer: true })
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('upgrade', (request, socket, head) => {
    const ticket = new URL(request.url ?? '/', 'http://slack').searchParams.get('ticket') ?? ''
    if (!tickets.delete(ticket)) return void socket.destroy()
    ws.handleUpgrade(request, socket, head, client => connected(client))
  })
  const port = await listen(0)
  const origin = `http://127.0.0.1:${port}`
  const service: SlackService = {
    url: `${origin}/api/`,
    botToken,
    appToken,
    world,
    calls: [],
    acknowledged: new Map(),
    fault: fault => void faults.push({ ...fault }),
    chaos: null,
    done: null,
    frame: text => connection?.send(text),
    refresh() {
      connection?.send(
        JSON.stringify({ type: 'disconnect', reason: 'refresh_requested', debug_info: { host: 'fake' } }),
      )
    },
    drop() {
      for (const socket of sockets) socket.destroy()
    },
    async down() {
      const gone = new Promise<void>(resolve => server.close(() => resolve()))
      service.drop()
      await gone
    },
    async up() {
      await listen(port)
    },
    async close() {
      unwatch()
      clearInterval(again)
      ws.close()
      if (server.listening) await service.down()
    },
  }
  const unwatch = world.watch(() => flush(false))
  const again = setInterval(() => flush(false), 250)
  return service

  function listen(on: number): Promise<number> {
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(on, '127.0.0.1', () => {
        server.off('error', reject)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }

  function connected(client: WebSocket): void {
    connection = client
    client.send(JSON.stringify({ type: 'hello', num_connections: 1, connection_info: { app_id: 'A0' } }))
    client.on('message', data => acknowledge(String(data)))
    client.on('error', () => undefined)
    client.on('close', () => {
      if (connection === client) connection = null
    })
    flush(true)
  }

  function acknowledge(text: string): void {
    const { envelope_id: envelope } = JSON.parse(text) as { envelope_id?: string }
    const known = sent.get(envelope ?? '')
    if (!known) return
    service.acknowledged.set(known.pending.id, known.pending.attempt)
    world.pending = world.pending.filter(one => one !== known.pending)
    for (const [id, { pending }] of sent) if (pending === known.pending) sent.delete(id)
    world.stir()
  }

  /** Sends what waits and was not sent yet, or too long ago; on a new connection everything. */
  function flush(all: boolean): void {
    for (const pending of world.pending.filter(one => one.type !== 'events_api')) {
      const at = [...sent.values()].find(one => one.pending === pending)?.at
      if (at === undefined ? connection : performance.now() - at < ackMs) continue
      world.pending = world.pending.filter(one => one !== pending)
      world.failed.push(pending.id)
    }
    if (!connection) return
    const lately = new Set<Pending>()
    for (const { pending, at } of sent.values()) {
      const event = pending.type === 'events_api'
      if (!event || (!all && performance.now() - at < ackMs)) lately.add(pending)
    }
    for (const pending of world.pending) {
      if (lately.has(pending)) continue
      const before = [...sent.values()].some(one => one.pending === pending)
      if (before) pending.attempt += 1
      const envelope_id = `envelope-${next++}`
      sent.set(envelope_id, { pending, at: performance.now() })
      const retry = before ? { retry_attempt: pending.attempt, retry_reason: 'timeout' } : { retry_attempt: 0 }
      const { type, payload } = pending
      connection.send(JSON.stringify({ envelope_id, type, payload, accepts_response_payload: false, ...retry }))
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request)
    const path = new URL(request.url ?? '/', origin).pathname
    const token = String(request.headers.authorization ?? '').replace(/^Bearer /, '')
    if (path.startsWith('/upload/')) {
      const file = world.files.get(path.slice('/upload/'.length))
      if (!file) return void response.writeHead(404).end()
      file.bytes = body
      return void response.writeHead(200).end('OK')
    }
    if (path.startsWith('/files-pri/')) {
      const file = world.files.get(path.slice('/files-pri/'.length))
      if (!file || token !== botToken) return void response.writeHead(302, { location: '/login' }).end()
      return void response.writeHead(200, { 'content-type': file.mimetype }).end(file.bytes)
    }
    const method = path.replace(/^\/api\//, '')
    const params = Object.fromEntries(new URLSearchParams(body.toString('utf8')))
    service.calls.push({ method, params, at: performance.now() })
    const fault = take(method) ?? service.chaos?.(method) ?? null
    if (fault?.delayMs) await sleep(fault.delayMs)
    if (fault?.cut === 'before') return void request.socket.destroy()
    if (fault?.garbage) return void response.writeHead(fault.garbage.status).end(fault.garbage.body)
    if (fault?.retryAfter !== undefined) {
      return void response.writeHead(429, { 'retry-after': String(fault.retryAfter) }).end('{"ok":false}')
    }
    if (fault?.refuse) return answer(response, { ok: false, error: fault.refuse })
    try {
      const result = act(method, params, token)
      await service.done?.(method, params)
      if (fault?.cut === 'after') return void request.socket.destroy()
      answer(response, { ok: true, ...result })
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      answer(response, { ok: false, error: error.message })
    }
  }

  function act(method: string, params: Params, token: string): Record<string, unknown> {
    if (method === 'apps.connections.open') {
      if (token !== appToken) throw new Refused('invalid_auth')
      const ticket = `ticket-${next++}`
      tickets.add(ticket)
      return { url: `ws://127.0.0.1:${port}/link?ticket=${ticket}` }
    }
    if (token !== botToken) throw new Refused('invalid_auth')
    return callMethod(world, method, params, origin)
  }

  function take(method: string): Fault | null {
    const at = faults.findIndex(one => (one.method ? one.method === method : showing.includes(method)))
    if (at < 0) return null
    const fault = faults[at]!
    fault.times = (fault.times ?? 1) - 1
    if (fault.times <= 0) faults.splice(at, 1)
    return fault
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function answer(response: ServerResponse, body: unknown): void {
  if (response.destroyed) return
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
