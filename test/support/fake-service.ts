/**
 * A chat service of our own, over HTTP on loopback: updates are polled for and acknowledged, messages are sent under a key.
 *
 * Owns what people see and what was acknowledged, outside the gateway's process, so that the gateway may be killed. It can
 * drop, stay away, refuse, and redeliver; a message that was not acknowledged comes again on every poll.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FakeService } from '../../src/channels/conformance-bench.ts'
import type { InboundMessage } from '../../src/core/chat.ts'

export type Update = Omit<InboundMessage, 'channel' | 'account' | 'media'> & {
  media?: readonly {
    kind: 'image' | 'audio' | 'video' | 'document' | 'sticker'
    name: string
    mimeType: string
    data: string
    claims?: number
    voice?: boolean
  }[]
}

export interface Shown {
  id: string
  text: string
  chat: string
  key: string
  thread?: string | undefined
}

export interface ChatService extends FakeService {
  url: string
  token: string
  /** Anything at all, as the service would bring it. */
  bring(update: Update): void
  direct(from: string, text: string, more?: Partial<Update>): string
  group(chat: string, from: string, text: string, more?: Partial<Update>): string
  /** Everything that people were shown, in order. */
  shown: readonly Shown[]
  typing: { chat: string; on: boolean }[]
  close(): Promise<void>
}

type Failure = Parameters<FakeService['failNext']>[0]

export async function startService(): Promise<ChatService> {
  const token = 'service-token-0123456789abcdef'
  const updates: { n: number; update: Update; acked: boolean; again: boolean }[] = []
  const shown: Shown[] = []
  const typing: { chat: string; on: boolean }[] = []
  const waiting = new Set<ServerResponse>()
  let away = false
  let broken = false
  let failure: Failure | null = null
  let last = 0

  const open = () => updates.filter(({ acked, again }) => !acked || again)
  const answer = (response: ServerResponse, body: unknown, status = 200) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  const pollers = () => {
    for (const response of waiting) {
      const ready = broken ? 'not an update' : open().map(({ n, update }) => ({ n, update }))
      if (ready.length === 0) continue
      waiting.delete(response)
      answer(response, { updates: ready })
      broken = false
    }
  }
  const bring = (update: Update) => {
    last += 1
    updates.push({ n: last, update, acked: false, again: false })
    pollers()
  }
  const newId = () => String(1000 + updates.length)
  const base = (from: string, text: string): Omit<Update, 'chat'> => ({
    sender: { id: from, also: [], name: from, roles: [], bot: false, self: false },
    id: newId(),
    edit: '',
    at: Date.now(),
    via: 'text',
    text,
    quoted: null,
    mentioned: false,
  })

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== `Bearer ${token}`) return answer(response, { error: 'unauthorized' }, 401)
    const body = request.method === 'POST' ? await read(request) : {}
    switch (request.url) {
      case '/me':
        return answer(response, { name: 'deputy_bot' })
      case '/updates':
        waiting.add(response)
        response.on('close', () => waiting.delete(response))
        return pollers()
      case '/ack':
        for (const each of updates) if (each.n === body['n']) Object.assign(each, { acked: true, again: false })
        return answer(response, {})
      case '/typing':
        typing.push({ chat: String(body['chat']), on: body['on'] === true })
        return answer(response, {})
      case '/send':
        send(body as unknown as Sent, response)
        return
      default:
        return answer(response, { error: 'unknown' }, 404)
    }
  }

  function send(body: Sent, response: ServerResponse): unknown {
    const now = failure
    failure = null
    if (now === 'refused') return answer(response, { error: 'the bot was blocked' }, 403)
    if (now === 'rate_limit') return answer(response, { error: 'too many', retryAfterMs: 1000 }, 429)
    if (now === 'server') return answer(response, { error: 'sorry' }, 500)
    const before = shown.find(each => (body.edit ? each.id === body.edit : each.key === body.key))
    if (before && body.edit) before.text = body.text
    const id = before?.id ?? `m${shown.length + 1}`
    if (!before) shown.push({ id, text: body.text, chat: body.chat, key: body.key, thread: body.thread })
    if (now === 'lost') return response.destroy()
    return answer(response, { id })
  }

  const server: Server = createServer((request, response) => {
    if (away) return void response.destroy()
    serve(request, response).catch(() => response.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  const service: ChatService = {
    url: `http://127.0.0.1:${port}`,
    token,
    shown,
    typing,
    bring,
    direct(from, text, more = {}) {
      const chat = { id: from, kind: 'direct', title: null, guild: null, thread: null, parent: null } as const
      const update = { ...base(from, text), chat, ...more }
      bring(update)
      return update.id
    },
    group(chat, from, text, more = {}) {
      const where = { id: chat, kind: 'group', title: chat, guild: null, thread: null, parent: null } as const
      const update = { ...base(from, text), chat: where, ...more }
      bring(update)
      return update.id
    },
    write: async ({ from, text }) => service.direct(from, text),
    async redeliver(id) {
      for (const each of updates) if (each.update.id === id) each.again = true
      pollers()
    },
    async edit(id, text) {
      const before = updates.find(({ update }) => update.id === id)
      if (before) bring({ ...before.update, text, edit: String(last + 1) })
    },
    acknowledged: id => updates.some(({ update, acked }) => update.id === id && acked),
    async drop() {
      server.closeAllConnections()
    },
    async outage(on) {
      away = on
      if (on) server.closeAllConnections()
    },
    failNext(how) {
      failure = how
    },
    seen: from => shown.filter(({ chat }) => chat === from).map(({ id, text }) => ({ id, text })),
    async garbage() {
      broken = true
      for (const n of [1, 2, 3]) last += n
      pollers()
      // Brought on the next poll even when nothing else comes.
      const response = [...waiting][0]
      if (response && broken) {
        waiting.delete(response)
        broken = false
        response.writeHead(200).end('{"updates":[{"n":1},null,{"update":7}]}')
      }
    },
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return service
}

interface Sent {
  chat: string
  thread?: string
  key: string
  text: string
  edit: string | null
}

async function read(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, unknown>
}
