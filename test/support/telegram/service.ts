/**
 * A Telegram Bot API on 127.0.0.1, for tests and benches: HTTP as the real one speaks it, with its world behind it.
 *
 * Owns the socket, getUpdates and webhooks with their promises (an update comes again until it is confirmed by a higher
 * offset or a 2xx; two who fetch at once conflict; a chat's updates go to a webhook one after the other), and the ways to
 * misbehave: `faults` are used up by the calls they fit, `chaos` hits at random. What a method does is methods.ts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { callMethod, type Params, Refused } from './methods.ts'
import { readMultipart } from './multipart.ts'
import { type Update, World } from './world.ts'

export interface Fault {
  /** Method it is for; absent: any but getUpdates. */
  method?: string
  /** How often; 1 by default. */
  times?: number
  delayMs?: number
  /** Answer so instead of doing it. */
  refuse?: { code: number; description?: string; retryAfter?: number }
  /** Destroy the connection without doing it, or after it was done. */
  cut?: 'before' | 'after'
  /** This body instead of an answer, with a status: what a proxy in between says. */
  garbage?: { status: number; body: string }
}

export interface Call {
  method: string
  params: Params
  at: number
}

export interface TelegramService {
  /** For `apiRoot`. */
  url: string
  token: string
  world: World
  calls: Call[]
  /** Calls with a token that is not ours. */
  strangers: number
  fault(fault: Fault): void
  /** Called for each call but getUpdates: what may go wrong with it, or null. */
  chaos: ((method: string) => Fault | null) | null
  /** Cuts every open connection. */
  drop(): void
  /** Refuses connections until `up`. */
  down(): Promise<void>
  up(): Promise<void>
  /** An update again although it was confirmed, as after a restore of the service. */
  redeliver(update: Update): void
  close(): Promise<void>
}

interface Webhook {
  url: string
  secret: string
}

/** How long the service waits for a webhook, and before it tries again: minutes in truth. */
const webhookMs = 10_000
const webhookAgainMs = 40

export async function openTelegram(): Promise<TelegramService> {
  const world = new World()
  const token = '700100200:AAtest-token_of-the-fake-service-000'
  const faults: Fault[] = []
  const calls: Call[] = []
  const sockets = new Set<Socket>()
  let webhook: Webhook | null = null
  let poll: ((conflict: boolean) => void) | null = null
  let closed = false
  const busy = new Set<string>()

  const server = createServer((request, response) => {
    serve(request, response).catch(error => {
      if (!response.headersSent && !response.destroyed) {
        response.writeHead(500).end(JSON.stringify({ ok: false, error_code: 500, description: String(error) }))
      }
    })
  })
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const port = await listen(0)
  const service: TelegramService = {
    url: `http://127.0.0.1:${port}`,
    token,
    world,
    calls,
    strangers: 0,
    fault: fault => void faults.push({ ...fault }),
    chaos: null,
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
    redeliver(update) {
      world.updates = [update, ...world.updates.filter(one => one.update_id !== update.update_id)]
      world.stir()
    },
    async close() {
      closed = true
      unwatch()
      if (server.listening) await service.down()
    },
  }
  const unwatch = world.watch(deliver)
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

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request)
    const [, kind, given, ...rest] = /^\/(file\/)?bot([^/]+)\/(.*)$/.exec(request.url ?? '') ?? []
    if (given !== token) {
      service.strangers++
      return answer(response, 401, { ok: false, error_code: 401, description: 'Unauthorized' })
    }
    const path = rest[0]!
    const method = kind ? 'file' : path
    const { params, files } = read(request, body)
    calls.push({ method, params, at: performance.now() })
    const fault = method === 'getUpdates' ? take(method) : (take(method) ?? service.chaos?.(method) ?? null)
    if (fault?.delayMs) await sleep(fault.delayMs)
    if (fault?.cut === 'before') return void request.socket.destroy()
    if (fault?.garbage) return void response.writeHead(fault.garbage.status).end(fault.garbage.body)
    if (fault?.refuse) {
      const { code, description, retryAfter } = fault.refuse
      const words =
        description ?? (retryAfter ? `Too Many Requests: retry after ${retryAfter}` : 'Internal Server Error')
      const parameters = retryAfter === undefined ? {} : { parameters: { retry_after: retryAfter } }
      return answer(response, code, { ok: false, error_code: code, description: words, ...parameters })
    }
    if (kind) return sendBytes(response, path)
    try {
      const result = await act(method, params, files, response)
      if (fault?.cut === 'after') return void request.socket.destroy()
      answer(response, 200, { ok: true, result })
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const parameters = error.parameters ? { parameters: error.parameters } : {}
      answer(response, error.code, { ok: false, error_code: error.code, description: error.message, ...parameters })
    }
  }

  async function act(
    method: string,
    params: Params,
    files: Parameters<typeof callMethod>[3],
    response: ServerResponse,
  ): Promise<unknown> {
    if (method === 'getUpdates') return fetchUpdates(params, response)
    if (method === 'setWebhook') {
      webhook = params['url'] ? { url: String(params['url']), secret: String(params['secret_token'] ?? '') } : null
      setImmediate(deliver)
      return true
    }
    if (method === 'deleteWebhook') {
      webhook = null
      return true
    }
    return callMethod(world, method, params, files)
  }

  async function fetchUpdates(params: Params, response: ServerResponse): Promise<Update[]> {
    if (webhook) {
      throw new Refused(
        409,
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete",
      )
    }
    poll?.(true)
    const offset = Number(params['offset'] ?? 0)
    if (offset > 0) world.confirm(offset)
    const limit = Number(params['limit'] ?? 100)
    const ready = (): Update[] => world.updates.slice(0, limit)
    if (ready().length > 0) return ready()
    const ms = Number(params['timeout'] ?? 0) * 1000
    return new Promise((resolve, reject) => {
      const done = (conflict: boolean): void => {
        clearTimeout(timer)
        stop()
        if (poll === done) poll = null
        if (conflict) {
          reject(
            new Refused(
              409,
              'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running',
            ),
          )
        } else resolve(ready())
      }
      const timer = setTimeout(() => done(false), ms)
      const stop = world.watch(() => {
        if (world.updates.length > 0) done(false)
      })
      response.on('close', () => done(false))
      poll = done
    })
  }

  /** To the webhook: per chat one after the other, each until it is taken. */
  function deliver(): void {
    if (!webhook || closed) return
    const started = new Set<string>()
    for (const update of world.updates) {
      const chat = chatOf(update)
      if (busy.has(chat) || started.has(chat)) continue
      started.add(chat)
      busy.add(chat)
      void post(update, webhook).then(async taken => {
        if (taken) world.updates = world.updates.filter(one => one.update_id !== update.update_id)
        else await sleep(webhookAgainMs)
        busy.delete(chat)
        deliver()
      })
    }
  }

  async function post(update: Update, to: Webhook): Promise<boolean> {
    try {
      const answered = await fetch(to.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(to.secret ? { 'x-telegram-bot-api-secret-token': to.secret } : {}),
        },
        body: JSON.stringify(update),
        signal: AbortSignal.timeout(webhookMs),
      })
      await answered.body?.cancel()
      return answered.ok
    } catch {
      return false
    }
  }

  function sendBytes(response: ServerResponse, path: string): void {
    const file = [...world.files.values()].find(one => one.path === path)
    if (!file) return void answer(response, 404, { ok: false, error_code: 404, description: 'Not Found' })
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(file.bytes)
  }

  function take(method: string): Fault | null {
    const at = faults.findIndex(one => one.method === method || (one.method === undefined && method !== 'getUpdates'))
    if (at < 0) return null
    const fault = faults[at]!
    fault.times = (fault.times ?? 1) - 1
    if (fault.times <= 0) faults.splice(at, 1)
    return fault
  }
}

function read(
  request: IncomingMessage,
  body: Buffer,
): { params: Params; files: ReturnType<typeof readMultipart>['files'] } {
  const type = request.headers['content-type'] ?? ''
  if (type.startsWith('multipart/')) {
    const { fields, files } = readMultipart(body, type)
    return { params: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, loose(value)])), files }
  }
  return { params: body.length > 0 ? (JSON.parse(body.toString('utf8')) as Params) : {}, files: {} }
}

/** A form's fields are text; objects, lists and truth in it are JSON. */
function loose(value: string): unknown {
  if (!/^[[{]|^true$|^false$/.test(value)) return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function chatOf(update: Update): string {
  const body = Object.values(update).find(value => typeof value === 'object') as {
    chat?: { id: number }
    message?: { chat: { id: number } }
  }
  return String(body?.chat?.id ?? body?.message?.chat.id ?? '')
}
