/**
 * A Discord of our own on loopback: the REST API that the real library calls, and the gateway that it listens to.
 *
 * Owns the HTTP side and the ways to misbehave. What stands there is world.ts, the events are gateway.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { openGatewaySide } from './gateway.ts'
import { type ChannelRow, type MessageRow, openWorld, type User } from './world.ts'

interface Callback {
  type: number
  data?: Record<string, unknown> & { content?: string }
}

interface Interaction {
  token: string
  at: number
  answered: boolean
  /** What became of an answer that was put off. */
  changed?: Record<string, unknown>
  /** What the button stands under. */
  message: string | null
}

/** The service waits no longer, and then tells whoever did it that it failed. */
const answerMs = 3000

export type Fault = 'refused' | 'rate_limit' | 'server' | 'lost'

export async function openDiscord(port = 0) {
  const world = openWorld()
  const token = `MTA${'0123456789abcdef'.repeat(2)}.Gabcde.${'x1Y2z3'.repeat(6)}`
  const listed: { name: string; description: string }[] = []
  const callbacks: { id: string; body: Callback }[] = []
  const interactions = new Map<string, Interaction>()
  const typing: string[] = []
  const calls: string[] = []
  const faults: Fault[] = []
  const threadFaults: Exclude<Fault, 'rate_limit'>[] = []
  const watch: {
    thread: ((when: 'asked' | 'begun') => Promise<void> | void) | null
    call: ((method: string, path: string) => void) | null
  } = { thread: null, call: null }
  let url = ''
  let server: Server

  const gateway = openGatewaySide({
    token,
    url: () => url.replace('http', 'ws'),
    ready: () => ({ user: world.bot, application: { id: world.bot.id, flags: 0 }, guilds: [], shard: [0, 1] }),
  })
  const wss = new WebSocketServer({ noServer: true })

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { pathname, searchParams } = new URL(request.url!, url)
    const answer = (status: number, body?: unknown, headers: Record<string, string> = {}) => {
      // The library reads what is said to be JSON, also where there is nothing.
      response.writeHead(status, body === undefined ? headers : { 'content-type': 'application/json', ...headers })
      response.end(body === undefined ? '' : JSON.stringify(body))
    }
    const file = /^\/files\/(\d+)\//.exec(pathname)?.[1]
    if (file) return void response.end(world.files.get(file))
    const path = pathname.replace(/^\/v10/, '')
    calls.push(`${request.method} ${path}`)
    watch.call?.(request.method!, path)
    const callback = /^\/interactions\/(\d+)\/([^/]+)\/callback$/.exec(path)
    const put = /^\/webhooks\/\d+\/([^/]+)\/messages\/@original$/.exec(path)
    if (!callback && !put && request.headers.authorization !== `Bot ${token}`)
      return answer(401, { message: '401: Unauthorized', code: 0 })
    const body = await bodyOf(request, Buffer.concat(chunks))
    if (callback) {
      const refusal = called(callback[1]!, callback[2]!, body.json as unknown as Callback)
      return refusal ? answer(refusal.status, refusal.body) : answer(204)
    }
    if (put) {
      const found = [...interactions.values()].find(one => one.token === put[1] && one.answered)
      if (!found) return answer(404, { message: 'Unknown Webhook', code: 10015 })
      found.changed = body.json
      return answer(200, {})
    }
    const [, channel, message] = /^\/channels\/(\d+)\/messages(?:\/(\d+))?$/.exec(path) ?? []
    if (channel && (request.method === 'POST' || request.method === 'PATCH')) {
      const fault = faults.shift()
      if (fault === 'refused') return answer(403, { message: 'Cannot send messages to this user', code: 50007 })
      if (fault === 'server') return answer(502, { message: 'Bad Gateway', code: 0 })
      if (fault === 'rate_limit')
        return answer(
          429,
          { message: 'You are being rate limited.', retry_after: 3, global: false },
          { 'retry-after': '3', 'x-ratelimit-scope': 'user' },
        )
      const row = message ? change(message, body.json) : post(world.channels.get(channel)!, body)
      if (!row) return answer(404, { message: 'Unknown Message', code: 10008 })
      if (fault === 'lost') return void response.socket?.destroy()
      return answer(200, shown(row))
    }
    if (channel && message) {
      const found = world.messages.get(message)
      return found ? answer(200, shown(found)) : answer(404, { message: 'Unknown Message', code: 10008 })
    }
    if (channel) {
      const after = BigInt(searchParams.get('after') ?? '0')
      const found = [...world.messages.values()].filter(row => row.channel_id === channel && BigInt(row.id) > after)
      return answer(
        200,
        found
          .slice(0, Number(searchParams.get('limit') ?? 50))
          .reverse()
          .map(shown),
      )
    }
    const threaded = /^\/channels\/(\d+)\/messages\/(\d+)\/threads$/.exec(path)
    if (threaded && request.method === 'POST') {
      const fault = threadFaults.shift()
      if (fault === 'refused') return answer(403, { message: 'Missing Permissions', code: 50013 })
      if (fault === 'server') return answer(502, { message: 'Bad Gateway', code: 0 })
      await watch.thread?.('asked')
      const begun = begin(threaded[1]!, threaded[2]!, body.json)
      if ('code' in begun) return answer(begun.code === 10008 ? 404 : 400, begun)
      await watch.thread?.('begun')
      if (fault === 'lost') return void response.socket?.destroy()
      return answer(201, begun)
    }
    const reaction = /^\/channels\/\d+\/messages\/(\d+)\/reactions\/([^/]+)\/@me$/.exec(path)
    if (reaction) {
      const row = world.messages.get(reaction[1]!)!
      const emoji = decodeURIComponent(reaction[2]!)
      row.reactions = row.reactions.filter(one => one.emoji !== emoji || one.by !== world.bot.id)
      if (request.method === 'PUT') row.reactions.push({ emoji, by: world.bot.id })
      return answer(204)
    }
    const typed = /^\/channels\/(\d+)\/typing$/.exec(path)?.[1]
    if (typed) {
      typing.push(typed)
      return answer(204)
    }
    const asked = world.channels.get(/^\/channels\/(\d+)$/.exec(path)?.[1] ?? '')
    if (asked) return answer(200, asked)
    if (path === '/users/@me') return answer(200, world.bot)
    if (path === '/applications/@me') return answer(200, { id: world.bot.id })
    if (path === '/gateway/bot') {
      const limit = { total: 1000, remaining: 1000, reset_after: 1000, max_concurrency: 1 }
      return answer(200, { url: url.replace('http', 'ws'), shards: 1, session_start_limit: limit })
    }
    if (/^\/applications\/\d+\/commands$/.test(path)) {
      listed.splice(0, listed.length, ...(body.json as unknown as typeof listed))
      return answer(200, body.json)
    }
    answer(404, { message: '404: Not Found', code: 0 })
  }

  /** An interaction is answered once, within three seconds; what the answer says of the message becomes so. */
  function called(id: string, token: string, body: Callback): { status: number; body: unknown } | null {
    const found = interactions.get(id)
    if (found?.token !== token || performance.now() - found.at > answerMs)
      return { status: 404, body: { message: 'Unknown interaction', code: 10062 } }
    if (found.answered)
      return { status: 400, body: { message: 'Interaction has already been acknowledged.', code: 40060 } }
    found.answered = true
    callbacks.push({ id, body })
    if (body.type === 7 && found.message) change(found.message, body.data ?? {})
    return null
  }

  /** Somebody uses a command or a button; the id, by which it is known whether they were answered. */
  function interact(who: User, where: ChannelRow, more: Record<string, unknown>, message?: MessageRow): string {
    const id = world.id()
    const token = `interaction-${id}`
    interactions.set(id, { token, at: performance.now(), answered: false, message: message?.id ?? null })
    const by = where.guild_id ? { guild_id: where.guild_id, member: { user: who, roles: [] } } : { user: who }
    const about = message ? { message: shown(message) } : {}
    gateway.tell('INTERACTION_CREATE', { id, token, version: 1, channel: where, ...by, ...about, ...more })
    return id
  }

  /** A thread on a message, or why not: only channels of a server have any, and one message has one at most. */
  function begin(
    where: string,
    on: string,
    json: Record<string, unknown>,
  ): ChannelRow | { code: number; message: string } {
    const row = world.messages.get(on)
    if (!row || row.channel_id !== where) return { code: 10008, message: 'Unknown Message' }
    if (world.channels.get(where)?.type !== 0)
      return { code: 50024, message: 'Cannot execute action on this channel type' }
    if (row.thread) return { code: 160004, message: 'A thread has already been created for this message' }
    const name = String(json['name'] ?? '')
    if (name.length < 1 || name.length > 100) return { code: 50035, message: 'Invalid Form Body' }
    const made = world.thread(row, name)
    gateway.tell('THREAD_CREATE', { ...made, newly_created: true })
    return made
  }

  function post(where: ChannelRow, { json, files }: Body): MessageRow {
    const {
      nonce,
      enforce_nonce,
      content = '',
      message_reference,
      components,
      poll,
    } = json as Partial<MessageRow> & {
      enforce_nonce?: boolean
    }
    const same = [...world.messages.values()].find(row => nonce && row.nonce === nonce && row.channel_id === where.id)
    if (same && enforce_nonce) return same
    const referenced = message_reference ? world.messages.get(message_reference.message_id) : undefined
    return world.message(world.bot, where, content, {
      ...(nonce ? { nonce } : {}),
      ...(components ? { components } : {}),
      ...(poll ? { poll } : {}),
      ...(referenced ? { referenced_message: referenced } : {}),
      attachments: files.map(one => world.attach(one.name, one.type, one.data, url)),
    })
  }

  function change(id: string, json: Record<string, unknown>): MessageRow | null {
    const row = world.messages.get(id)
    if (!row) return null
    row.content = String(json['content'] ?? row.content)
    if (Array.isArray(json['components'])) row.components = json['components'] as NonNullable<MessageRow['components']>
    row.edited_timestamp = new Date().toISOString()
    return row
  }

  async function listen(at: number): Promise<void> {
    server = createServer((request, response) => {
      handle(request, response).catch(error => {
        response.writeHead(500, { 'content-type': 'application/json' })
        response.end(JSON.stringify({ message: String(error), code: 0 }))
      })
    })
    server.on('upgrade', (request, socket, head) => wss.handleUpgrade(request, socket, head, ws => gateway.accept(ws)))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(at, '127.0.0.1', resolve)
    })
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  function shut(): Promise<void> {
    return new Promise(resolve => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }
  await listen(port)

  return {
    world,
    gateway,
    token,
    url: () => url,
    listed,
    callbacks,
    typing,
    calls,
    fail: (fault: Fault) => void faults.push(fault),
    /** `thread`: called while one is asked for, and once it is there, before that is answered; `call`: as each call comes. */
    watch,
    /** The same for beginning a thread. */
    failThread: (fault: (typeof threadFaults)[number]) => void threadFaults.push(fault),
    /** A person writes; the number of the event, by which its receipt is known. */
    say(author: User, where: ChannelRow, content: string, more: Partial<MessageRow> = {}) {
      const row = world.message(author, where, content, more)
      return { row, s: gateway.tell('MESSAGE_CREATE', shown(row)) }
    },
    shown,
    /** The interaction again, as a line that is resumed tells it. */
    tellAgain(id: string) {
      const event = gateway.told(({ t, d }) => t === 'INTERACTION_CREATE' && (d as { id: string }).id === id)
      if (event) gateway.tell(event.t, event.d)
    },
    command: (who: User, where: ChannelRow, data: Record<string, unknown>) => interact(who, where, { type: 2, data }),
    press: (who: User, row: MessageRow, value: string) =>
      interact(
        who,
        world.channels.get(row.channel_id)!,
        { type: 3, data: { component_type: 2, custom_id: value } },
        row,
      ),
    interaction: (id: string) => interactions.get(id)!,
    /** Null while it may still be answered; false when whoever did it was told that it failed. */
    answered(id: string): boolean | null {
      const found = interactions.get(id)!
      if (found.answered) return true
      return performance.now() - found.at > answerMs ? false : null
    },
    async down() {
      gateway.away(true)
      await shut()
    },
    async up() {
      gateway.away(false)
      await listen(Number(new URL(url).port))
    },
    async close() {
      gateway.away(true)
      await shut()
    },
  }
}

export type DiscordService = Awaited<ReturnType<typeof openDiscord>>

/** As the service shows it: without what only it knows. */
function shown({ nonce: _nonce, reactions, ...row }: MessageRow): Record<string, unknown> {
  const names = [...new Set(reactions.map(one => one.emoji))]
  return {
    ...row,
    reactions: names.map(name => ({
      count: 1,
      me: reactions.some(one => one.emoji === name),
      emoji: { id: null, name },
    })),
  }
}

interface Body {
  json: Record<string, unknown>
  files: { name: string; type: string; data: Buffer }[]
}

async function bodyOf(request: IncomingMessage, raw: Buffer): Promise<Body> {
  if (raw.length === 0) return { json: {}, files: [] }
  const type = request.headers['content-type'] ?? ''
  if (!type.startsWith('multipart/form-data')) return { json: JSON.parse(raw.toString()), files: [] }
  const form = await new Response(new Uint8Array(raw), { headers: { 'content-type': type } }).formData()
  const files = [...form.values()].filter(value => typeof value !== 'string')
  return {
    json: JSON.parse(String(form.get('payload_json') ?? '{}')),
    files: await Promise.all(
      files.map(async one => ({ name: one.name, type: one.type, data: Buffer.from(await one.arrayBuffer()) })),
    ),
  }
}
