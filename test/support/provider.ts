/**
 * A scripted model provider: a real HTTP server on 127.0.0.1 that speaks a provider's own wire, for tests and benches.
 *
 * Owns: the socket, the record of what was asked, and the ways to misbehave. What is said comes from the caller's script;
 * how it looks on the wire is dialects.ts. Zero latency unless asked: a reply leaves in one write as soon as the request
 * has arrived whole. Never decides anything by itself: no model, no memory beyond `requests`.
 *
 * ```ts
 * const provider = await startProvider({
 *   script: (request, n) => (n === 0 ? { toolCalls: [{ name: 'read', args: { path: 'a.txt' } }] } : { text: `got ${request.results[0]?.text}` }),
 * })
 * // models.providers.stub = { baseUrl: provider.baseUrl, api: 'openai-completions', apiKey: 'k', models: [{ id: 'm' }] }
 * // or { baseUrl: provider.anthropicUrl, api: 'anthropic-messages', … }
 * provider.requests   // every request so far: n, at, headers, body, user, results …
 * await provider.close()
 * ```
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Dialect, dialectOf, errorBody, frames, readTurns, type Turn } from './dialects.ts'

export interface ProviderRequest {
  /** 0 for the first request to this server. */
  n: number
  /** performance.now() of this process when the body was complete. */
  at: number
  path: string
  dialect: Dialect
  headers: IncomingHttpHeaders
  /** Number of the TCP connection it came by, from 0: equal numbers prove keep-alive. */
  connection: number
  /** The parsed body, as sent. */
  body: Record<string, unknown>
  bytes: number
  /** Model id as asked. */
  model: string
  system: string
  /** The conversation, the same for every dialect. */
  turns: readonly Turn[]
  /** Text of the newest user turn; '' when there is none. */
  user: string
  /** Tool results after the newest assistant turn, in order. */
  results: readonly { callId: string; text: string }[]
  /** Names of the tools offered. */
  tools: readonly string[]
  /** Resolves when the client has gone away or the reply is finished: true when the client left first. */
  left: Promise<boolean>
}

export interface ProviderReply {
  text?: string
  thinking?: string
  /** `args` is sent as JSON; a string is sent as it is, so that it may be broken. `id` defaults to call_<request>_<index>. */
  toolCalls?: readonly { name: string; args: unknown; id?: string }[]
  /** Defaults to 10 in, 5 out, nothing cached. `input` is all input tokens, cached ones included. */
  usage?: { input: number; output: number; cacheRead?: number; cacheWrite?: number }
  /** Why it stopped; by default what fits: toolCalls or stop. */
  finish?: 'stop' | 'toolCalls' | 'length' | 'refusal'
  /** An HTTP status other than 200 sends an error body of the dialect instead of an answer. */
  status?: number
  /** Words, and the provider's own code or type, of that error. */
  error?: { message?: string; type?: string; code?: string }
  headers?: Record<string, string>
  /** Wait before the first byte. */
  delayMs?: number
  /** Wait between events; 0 sends everything in one write. */
  chunkMs?: number
  /** Say nothing at all, or say nothing more after the first words. The request stays open until the client leaves. */
  hang?: 'start' | 'middle'
  /** Destroy the connection: before the first byte, after the first words, or inside the arguments of the first tool call. */
  cut?: 'start' | 'middle' | 'toolCall'
  /** End the body early but properly (no end of the answer), at the same places. */
  early?: 'middle' | 'toolCall'
  /** This instead of an answer, as the body. */
  garbage?: string
  /** Sends the text over and over until so many bytes have left (or the client leaves). */
  floodBytes?: number
}

export type ProviderScript = (request: ProviderRequest, n: number) => ProviderReply | Promise<ProviderReply>

export interface Provider {
  port: number
  /** Ends in /v1: for OpenAI-compatible chat and for OpenAI responses. */
  baseUrl: string
  /** For anthropic-messages (also ends in /v1). */
  anthropicUrl: string
  /** For google-generative-ai (ends in /v1beta). */
  googleUrl: string
  requests: ProviderRequest[]
  /** TCP connections accepted so far. */
  connections(): number
  /** Resolves with the n-th request (from 0), now or when it comes. */
  request(n: number): Promise<ProviderRequest>
  /** Another script from now on. */
  script(script: ProviderScript): void
  close(): Promise<void>
}

export interface ProviderOptions {
  /** Default: answers `ok`. */
  script?: ProviderScript
  /** Added before the first byte of every reply. */
  latencyMs?: number
  /** 0 by default: any free port. */
  port?: number
}

export async function startProvider(options: ProviderOptions = {}): Promise<Provider> {
  const requests: ProviderRequest[] = []
  const waiting: { n: number; resolve: (request: ProviderRequest) => void }[] = []
  const numbers = new WeakMap<object, number>()
  let script: ProviderScript = options.script ?? (() => ({ text: 'ok' }))
  let connections = 0

  const server = createServer((message, response) => {
    handle(message, response).catch(error => {
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ error: { message: `provider script failed: ${error}`, type: 'stub' } }))
    })
  })
  server.keepAliveTimeout = 120_000
  server.on('connection', socket => {
    numbers.set(socket, connections)
    connections += 1
  })

  async function handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer)
    const raw = Buffer.concat(chunks)
    const path = message.url ?? '/'
    const dialect = dialectOf(path)
    if (!dialect) {
      // What an Ollama or a model list probe sees.
      response.writeHead(path === '/' || path.endsWith('/tags') || path.endsWith('/models') ? 200 : 404, {
        'content-type': 'application/json',
      })
      response.end(JSON.stringify({ models: [{ name: 'stub', model: 'stub' }], data: [{ id: 'stub' }] }))
      return
    }
    const body = JSON.parse(raw.toString('utf8')) as Record<string, unknown>
    const { model, system, turns, tools } = readTurns(dialect, path, body)
    const lastAssistant = turns.findLastIndex(turn => turn.role === 'assistant')
    const left = new Promise<boolean>(resolve => response.on('close', () => resolve(!response.writableFinished)))
    const request: ProviderRequest = {
      n: requests.length,
      at: performance.now(),
      path,
      dialect,
      headers: message.headers,
      connection: numbers.get(message.socket) ?? -1,
      body,
      bytes: raw.length,
      model,
      system,
      turns,
      user: turns.findLast(turn => turn.role === 'user')?.text ?? '',
      results: turns
        .slice(lastAssistant + 1)
        .filter(turn => turn.role === 'tool')
        .map(turn => ({ callId: turn.callId ?? '', text: turn.text })),
      tools,
      left,
    }
    requests.push(request)
    for (const waiter of waiting.filter(waiter => waiter.n === request.n)) waiter.resolve(request)
    const reply = await script(request, request.n)
    const wait = (options.latencyMs ?? 0) + (reply.delayMs ?? 0)
    if (wait > 0) await sleep(wait)
    await answer(request, reply, response)
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const port = (server.address() as AddressInfo).port

  return {
    port,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    anthropicUrl: `http://127.0.0.1:${port}/v1`,
    googleUrl: `http://127.0.0.1:${port}/v1beta`,
    requests,
    connections: () => connections,
    request: n => (requests[n] ? Promise.resolve(requests[n]) : new Promise(resolve => waiting.push({ n, resolve }))),
    script: next => {
      script = next
    },
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(request: ProviderRequest, reply: ProviderReply, response: ServerResponse): Promise<void> {
  if (reply.hang === 'start') return
  if (reply.cut === 'start') {
    response.socket?.destroy()
    return
  }
  if (reply.status !== undefined && reply.status !== 200) {
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
    response.end(reply.garbage ?? errorBody(request.dialect, reply))
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', ...reply.headers })
  if (reply.garbage !== undefined) {
    response.end(reply.garbage)
    return
  }
  const all = frames(request.dialect, request, reply)
  if (reply.floodBytes !== undefined) return flood(all, reply.floodBytes, response)
  const stopAt = reply.early ?? reply.cut ?? (reply.hang === 'middle' ? 'middle' : undefined)
  const sent = stopAt ? all.slice(0, all.findIndex(frame => frame.place === stopAt) + 1) : all
  if (reply.chunkMs) {
    for (const frame of sent) {
      response.write(frame.text)
      await sleep(reply.chunkMs)
      if (response.destroyed) return
    }
  } else if (!stopAt) {
    response.end(sent.map(frame => frame.text).join(''))
    return
  } else response.write(sent.map(frame => frame.text).join(''))
  if (reply.hang === 'middle') return
  if (!reply.cut) {
    response.end()
    return
  }
  // Lets what was written leave before the line goes dead.
  await sleep(5)
  response.socket?.destroy()
}

/** Sends the same words over and over, as fast as the client takes them. */
async function flood(all: readonly { text: string; place?: string }[], bytes: number, response: ServerResponse) {
  const words = all.find(frame => frame.place === 'middle')
  if (!words) throw new Error('floodBytes needs text')
  for (const frame of all.slice(0, all.indexOf(words))) response.write(frame.text)
  const gone = new Promise<void>(resolve => response.once('close', resolve))
  for (let sent = 0; sent < bytes && !response.destroyed; sent += words.text.length) {
    if (!response.write(words.text)) {
      const drained = Promise.withResolvers<void>()
      response.once('drain', drained.resolve)
      await Promise.race([drained.promise, gone])
    }
  }
  if (!response.destroyed)
    response.end(
      all
        .slice(all.indexOf(words))
        .map(frame => frame.text)
        .join(''),
    )
}
