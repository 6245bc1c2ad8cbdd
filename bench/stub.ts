/**
 * An OpenAI-compatible provider that answers at once, run as a process of its own so that it shares no event loop with
 * what it measures. What it says is in plan.ts; what it owns is the HTTP side, the times and the holding back.
 *
 * Started by provider.ts with an IPC channel. Times are wall-clock microseconds with the monotonic clock's resolution
 * (performance.timeOrigin + performance.now()), so that they can be set against those of another process.
 */
import { createServer, type ServerResponse } from 'node:http'
import { type ChatMessage, type Decision, decide, textOf } from './plan.ts'

/** One model request as the provider saw it. `in` is told on arrival, `out` when the answer has been written. */
export interface Seen {
  /** Number of the request, from 1. */
  nr: number
  plan: string | null
  n: number
  /** How many children's results it showed, and which. */
  seen: readonly string[]
  bytes: number
  messages: number
  tools: number
  /** Headers in, answer handed to the kernel; µs. `sentAt` is 0 while it is open. */
  inAt: number
  sentAt: number
  calls: number
  say: string
  /** Beginning of the last message that was not the model's own: a refused tool call shows here. */
  last: string
}

export type FromStub = { on: 'ready'; port: number } | { on: 'in' | 'out' | 'gone'; seen: Seen }
export interface ToStub {
  do: 'release'
  name: string
}

export function micros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000)
}

function tell(message: FromStub): void {
  process.send?.(message)
}

const usage = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 }

/** The answer as server-sent events, all in one write. */
function stream(decision: Decision, model: string): string {
  const base = { id: 'chatcmpl-stub', object: 'chat.completion.chunk', created: 0, model }
  const chunk = (delta: unknown, finish: string | null, extra = {}) =>
    `data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta, finish_reason: finish }], ...extra })}\n\n`
  const parts = [chunk({ role: 'assistant', content: decision.say }, null)]
  decision.calls.forEach((call, index) => {
    const fn = { name: call.name, arguments: JSON.stringify(call.args) }
    parts.push(chunk({ tool_calls: [{ index, id: call.id, type: 'function', function: fn }] }, null))
  })
  parts.push(chunk({}, decision.calls.length > 0 ? 'tool_calls' : 'stop'))
  parts.push(`data: ${JSON.stringify({ ...base, choices: [], usage })}\n\n`, 'data: [DONE]\n\n')
  return parts.join('')
}

function whole(decision: Decision, model: string): string {
  const tool_calls = decision.calls.map(call => ({
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: JSON.stringify(call.args) },
  }))
  const message = { role: 'assistant', content: decision.say, ...(tool_calls.length > 0 ? { tool_calls } : {}) }
  const choice = { index: 0, message, finish_reason: tool_calls.length > 0 ? 'tool_calls' : 'stop' }
  return JSON.stringify({ id: 'chatcmpl-stub', object: 'chat.completion', created: 0, model, choices: [choice], usage })
}

function lastWords(messages: readonly ChatMessage[]): string {
  const message = messages.findLast(message => message.role !== 'assistant')
  return message ? textOf(message).slice(0, 200) : ''
}

interface Request {
  model?: string
  stream?: boolean
  messages?: readonly ChatMessage[]
  tools?: readonly unknown[]
}

export function openStub() {
  const released = new Set<string>()
  /** Answers kept back, by the name that lets them go. */
  const waiting = new Map<string, (() => void)[]>()
  let nr = 0

  function answer(response: ServerResponse, body: Buffer, inAt: number): void {
    const asked = JSON.parse(body.toString()) as Request
    const decision = decide(asked.messages ?? [])
    const seen: Seen = {
      nr: ++nr,
      plan: decision.plan?.id ?? null,
      n: decision.n,
      seen: decision.seen,
      bytes: body.length,
      messages: asked.messages?.length ?? 0,
      tools: asked.tools?.length ?? 0,
      inAt,
      sentAt: 0,
      calls: decision.calls.length,
      say: decision.say,
      last: lastWords(asked.messages ?? []),
    }
    const model = asked.model ?? 'stub'
    const send = () => {
      if (response.destroyed) return
      const text = asked.stream ? stream(decision, model) : whole(decision, model)
      response.setHeader('content-type', asked.stream ? 'text/event-stream' : 'application/json')
      seen.sentAt = micros()
      response.end(text)
      tell({ on: 'out', seen })
    }
    response.on('close', () => {
      if (seen.sentAt === 0) tell({ on: 'gone', seen })
    })
    const hold = decision.plan?.hold
    const held = hold && (hold.at === undefined || hold.at === decision.n) && !released.has(hold.name)
    const delayMs = decision.plan?.delayMs ?? 0
    if (held) {
      const queue = waiting.get(hold.name) ?? []
      waiting.set(hold.name, queue)
      queue.push(send)
    } else if (delayMs > 0) setTimeout(send, delayMs)
    else send()
    tell({ on: 'in', seen })
  }

  const server = createServer((request, response) => {
    const inAt = micros()
    if (request.method !== 'POST' || !request.url?.includes('/chat/completions')) {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ object: 'list', data: [{ id: 'stub', object: 'model', owned_by: 'stub' }] }))
      return
    }
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => answer(response, Buffer.concat(chunks), inAt))
  })
  server.keepAliveTimeout = 600_000

  function obey(order: ToStub): void {
    released.add(order.name)
    for (const send of waiting.get(order.name) ?? []) send()
    waiting.delete(order.name)
  }

  return { server, obey }
}

if (process.send) {
  const stub = openStub()
  process.on('message', order => stub.obey(order as ToStub))
  process.on('disconnect', () => process.exit(0))
  stub.server.listen(0, '127.0.0.1', () => {
    const address = stub.server.address()
    if (address && typeof address === 'object') tell({ on: 'ready', port: address.port })
  })
}
