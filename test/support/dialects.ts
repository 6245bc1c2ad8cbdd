/**
 * How a scripted answer looks on four wires: OpenAI chat completions, OpenAI responses, Anthropic messages, Google.
 *
 * Owns: the frames out and the reading of a request in. Never opens a socket. A frame marked with a `place` is where a
 * provider that misbehaves stops: `middle` is after some words, `toolCall` inside the arguments of the first tool call.
 */
import type { ProviderReply, ProviderRequest } from './provider.ts'

export type Dialect = 'openai' | 'responses' | 'anthropic' | 'google'

/** One turn of the conversation, whatever wire it came by. */
export interface Turn {
  role: 'user' | 'assistant' | 'tool'
  text: string
  /** Of an assistant. */
  calls: readonly { id: string; name: string; args: unknown }[]
  /** Of a tool result. */
  callId?: string
}

export interface Frame {
  text: string
  place?: 'middle' | 'toolCall'
}

export function dialectOf(path: string): Dialect | null {
  if (path.endsWith('/chat/completions')) return 'openai'
  if (path.endsWith('/responses')) return 'responses'
  if (path.endsWith('/messages')) return 'anthropic'
  return path.includes(':streamGenerateContent') ? 'google' : null
}

type Json = Record<string, unknown>

const list = (value: unknown): Json[] => (Array.isArray(value) ? (value as Json[]) : [])

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  return list(content)
    .map(part => (typeof part['text'] === 'string' ? part['text'] : ''))
    .join('')
}

function parsed(args: unknown): unknown {
  if (typeof args !== 'string') return args
  try {
    return JSON.parse(args)
  } catch {
    return args
  }
}

export function readTurns(dialect: Dialect, path: string, body: Json) {
  const read = { openai: readOpenai, responses: readResponses, anthropic: readAnthropic, google: readGoogle }[dialect]
  const { system, turns, tools } = read(body)
  const model = dialect === 'google' ? (/models\/([^:]+):/.exec(path)?.[1] ?? '') : String(body['model'] ?? '')
  return { model, system, turns, tools }
}

type Read = { system: string; turns: Turn[]; tools: string[] }

function readOpenai(body: Json): Read {
  const messages = list(body['messages'])
  const isSystem = (message: Json) => message['role'] === 'system' || message['role'] === 'developer'
  return {
    system: messages
      .filter(isSystem)
      .map(message => textOf(message['content']))
      .join('\n'),
    turns: messages
      .filter(message => !isSystem(message))
      .map(message => ({
        role: message['role'] as Turn['role'],
        text: textOf(message['content']),
        calls: list(message['tool_calls']).map(call => {
          const fn = call['function'] as Json
          return { id: String(call['id']), name: String(fn['name']), args: parsed(fn['arguments']) }
        }),
        ...(message['tool_call_id'] === undefined ? {} : { callId: String(message['tool_call_id']) }),
      })),
    tools: list(body['tools']).map(tool => String((tool['function'] as Json)['name'])),
  }
}

function readResponses(body: Json): Read {
  const turns: Turn[] = []
  let system = textOf(body['instructions'])
  for (const item of list(body['input'])) {
    if (item['role'] === 'system' || item['role'] === 'developer') system += textOf(item['content'])
    else if (item['type'] === 'function_call') {
      const call = { id: String(item['call_id']), name: String(item['name']), args: parsed(item['arguments']) }
      const last = turns.at(-1)
      if (last?.role === 'assistant') turns[turns.length - 1] = { ...last, calls: [...last.calls, call] }
      else turns.push({ role: 'assistant', text: '', calls: [call] })
    } else if (item['type'] === 'function_call_output')
      turns.push({ role: 'tool', text: textOf(item['output']), calls: [], callId: String(item['call_id']) })
    else if (item['role']) turns.push({ role: item['role'] as Turn['role'], text: textOf(item['content']), calls: [] })
  }
  return { system, turns, tools: list(body['tools']).map(tool => String(tool['name'])) }
}

function readAnthropic(body: Json): Read {
  const turns: Turn[] = []
  for (const message of list(body['messages'])) {
    const parts = typeof message['content'] === 'string' ? [] : list(message['content'])
    for (const part of parts.filter(part => part['type'] === 'tool_result'))
      turns.push({ role: 'tool', text: textOf(part['content']), calls: [], callId: String(part['tool_use_id']) })
    const calls = parts
      .filter(part => part['type'] === 'tool_use')
      .map(part => ({ id: String(part['id']), name: String(part['name']), args: part['input'] }))
    const text = textOf(message['content'])
    if (text || calls.length > 0) turns.push({ role: message['role'] as Turn['role'], text, calls })
  }
  return { system: textOf(body['system']), turns, tools: list(body['tools']).map(tool => String(tool['name'])) }
}

function readGoogle(body: Json): Read {
  const turns: Turn[] = []
  for (const content of list(body['contents'])) {
    const parts = list(content['parts'])
    for (const part of parts.filter(part => part['functionResponse'])) {
      const answer = part['functionResponse'] as Json
      const said = (answer['response'] as Json | undefined)?.['content']
      turns.push({
        role: 'tool',
        text: typeof said === 'string' ? said : JSON.stringify(answer['response']),
        calls: [],
        callId: String(answer['id'] ?? answer['name']),
      })
    }
    const calls = parts
      .filter(part => part['functionCall'])
      .map((part, index) => {
        const call = part['functionCall'] as Json
        return { id: String(call['id'] ?? index), name: String(call['name']), args: call['args'] }
      })
    const text = textOf(parts)
    if (text || calls.length > 0) turns.push({ role: content['role'] === 'model' ? 'assistant' : 'user', text, calls })
  }
  return {
    system: textOf((body['systemInstruction'] as Json | undefined)?.['parts']),
    turns,
    tools: list(body['tools']).flatMap(tool => list(tool['functionDeclarations']).map(fn => String(fn['name']))),
  }
}

export function errorBody(dialect: Dialect, reply: ProviderReply): string {
  const message = reply.error?.message ?? `status ${reply.status}`
  const type = reply.error?.type ?? 'api_error'
  if (dialect === 'anthropic') return JSON.stringify({ type: 'error', error: { type, message } })
  if (dialect === 'google')
    return JSON.stringify({ error: { code: reply.status, message, status: reply.error?.code ?? 'UNKNOWN' } })
  return JSON.stringify({ error: { message, type, code: reply.error?.code ?? null, param: null } })
}

interface Said {
  id: string
  model: string
  /** Words in two halves, so that there is a middle. */
  text: string[]
  thinking: string | undefined
  /** Arguments in two halves. */
  calls: { id: string; name: string; args: string[] }[]
  usage: { input: number; output: number; cacheRead: number; cacheWrite: number }
  finish: 'stop' | 'toolCalls' | 'length' | 'refusal'
}

function halves(text: string): string[] {
  const middle = Math.ceil(text.length / 2)
  return text.length < 2 ? [text] : [text.slice(0, middle), text.slice(middle)]
}

export function frames(dialect: Dialect, request: ProviderRequest, reply: ProviderReply): Frame[] {
  const calls = (reply.toolCalls ?? []).map((call, index) => ({
    id: call.id ?? `call_${request.n}_${index}`,
    name: call.name,
    args: halves(typeof call.args === 'string' ? call.args : JSON.stringify(call.args)),
  }))
  const said: Said = {
    id: `stub-${request.n}`,
    model: request.model,
    text: reply.text === undefined ? [] : halves(reply.text),
    thinking: reply.thinking,
    calls,
    usage: {
      input: reply.usage?.input ?? 10,
      output: reply.usage?.output ?? 5,
      cacheRead: reply.usage?.cacheRead ?? 0,
      cacheWrite: reply.usage?.cacheWrite ?? 0,
    },
    finish: reply.finish ?? (calls.length > 0 ? 'toolCalls' : 'stop'),
  }
  return { openai, responses, anthropic, google }[dialect](said)
}

const place = (index: number, name: Frame['place']): Pick<Frame, 'place'> =>
  index === 0 && name ? { place: name } : {}

function openai(said: Said): Frame[] {
  const head = { id: said.id, object: 'chat.completion.chunk', created: 0, model: said.model }
  const chunk = (delta: Json, finish: string | null = null): string =>
    `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
  const { usage } = said
  const finish = { stop: 'stop', toolCalls: 'tool_calls', length: 'length', refusal: 'content_filter' }[said.finish]
  return [
    { text: chunk({ role: 'assistant', content: '' }) },
    ...(said.thinking === undefined ? [] : [{ text: chunk({ reasoning_content: said.thinking }) }]),
    ...said.text.map((content, index) => ({ text: chunk({ content }), ...place(index, 'middle') })),
    ...said.calls.flatMap((call, at) =>
      call.args.map((args, index) => ({
        text: chunk({
          tool_calls: [
            index === 0
              ? { index: at, id: call.id, type: 'function', function: { name: call.name, arguments: args } }
              : { index: at, function: { arguments: args } },
          ],
        }),
        ...place(at + index, 'toolCall'),
      })),
    ),
    { text: chunk({}, finish) },
    {
      text: `data: ${JSON.stringify({
        ...head,
        choices: [],
        usage: {
          prompt_tokens: usage.input,
          completion_tokens: usage.output,
          total_tokens: usage.input + usage.output,
          prompt_tokens_details: { cached_tokens: usage.cacheRead },
        },
      })}\n\ndata: [DONE]\n\n`,
    },
  ]
}

function anthropic(said: Said): Frame[] {
  const event = (body: Json): string => `event: ${body['type']}\ndata: ${JSON.stringify(body)}\n\n`
  const { usage } = said
  const blocks: { start: Json; deltas: Json[]; place: Frame['place'] }[] = []
  if (said.thinking !== undefined)
    blocks.push({
      start: { type: 'thinking', thinking: '', signature: '' },
      deltas: [
        { type: 'thinking_delta', thinking: said.thinking },
        { type: 'signature_delta', signature: 'c2lnbmVk' },
      ],
      place: undefined,
    })
  if (said.text.length > 0)
    blocks.push({
      start: { type: 'text', text: '' },
      deltas: said.text.map(text => ({ type: 'text_delta', text })),
      place: 'middle',
    })
  for (const call of said.calls)
    blocks.push({
      start: { type: 'tool_use', id: call.id, name: call.name, input: {} },
      deltas: call.args.map(args => ({ type: 'input_json_delta', partial_json: args })),
      place: 'toolCall',
    })
  const stop = { stop: 'end_turn', toolCalls: 'tool_use', length: 'max_tokens', refusal: 'refusal' }[said.finish]
  const message = {
    id: said.id,
    type: 'message',
    role: 'assistant',
    model: said.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: {
      input_tokens: usage.input - usage.cacheRead - usage.cacheWrite,
      output_tokens: 1,
      cache_read_input_tokens: usage.cacheRead,
      cache_creation_input_tokens: usage.cacheWrite,
    },
  }
  return [
    { text: event({ type: 'message_start', message }) },
    ...blocks.flatMap((block, index) => [
      { text: event({ type: 'content_block_start', index, content_block: block.start }) },
      ...block.deltas.map((delta, at) => ({
        text: event({ type: 'content_block_delta', index, delta }),
        ...place(at, block.place),
      })),
      { text: event({ type: 'content_block_stop', index }) },
    ]),
    {
      text: event({
        type: 'message_delta',
        delta: { stop_reason: stop, stop_sequence: null },
        usage: { output_tokens: usage.output },
      }),
    },
    { text: event({ type: 'message_stop' }) },
  ]
}

function responses(said: Said): Frame[] {
  const event = (body: Json): string => `event: ${body['type']}\ndata: ${JSON.stringify(body)}\n\n`
  const { usage } = said
  const frames: Frame[] = [
    { text: event({ type: 'response.created', response: { id: said.id, created_at: 0, model: said.model } }) },
  ]
  let at = 0
  if (said.text.length > 0) {
    const id = `msg_${said.id}`
    const item = { type: 'message', id, role: 'assistant', status: 'in_progress', content: [] }
    frames.push({ text: event({ type: 'response.output_item.added', output_index: at, item }) })
    said.text.forEach((delta, index) => {
      const words = { type: 'response.output_text.delta', item_id: id, output_index: at, content_index: 0, delta }
      frames.push({ text: event(words), ...place(index, 'middle') })
    })
    const done = { ...item, status: 'completed', content: [{ type: 'output_text', text: said.text.join('') }] }
    frames.push({ text: event({ type: 'response.output_item.done', output_index: at, item: done }) })
    at += 1
  }
  for (const call of said.calls) {
    const item = { type: 'function_call', id: `fc_${call.id}`, call_id: call.id, name: call.name, arguments: '' }
    frames.push({ text: event({ type: 'response.output_item.added', output_index: at, item }) })
    for (const [index, delta] of call.args.entries()) {
      const part = { type: 'response.function_call_arguments.delta', item_id: item.id, output_index: at, delta }
      frames.push({ text: event(part), ...place(index, 'toolCall') })
    }
    const done = { ...item, arguments: call.args.join(''), status: 'completed' }
    frames.push({ text: event({ type: 'response.output_item.done', output_index: at, item: done }) })
    at += 1
  }
  const cut = { length: 'max_output_tokens', refusal: 'content_filter', stop: null, toolCalls: null }[said.finish]
  frames.push({
    text: event({
      type: cut ? 'response.incomplete' : 'response.completed',
      response: {
        incomplete_details: cut ? { reason: cut } : null,
        usage: {
          input_tokens: usage.input,
          input_tokens_details: { cached_tokens: usage.cacheRead },
          output_tokens: usage.output,
          output_tokens_details: { reasoning_tokens: 0 },
        },
      },
    }),
  })
  return frames
}

function google(said: Said): Frame[] {
  const chunk = (parts: Json[], rest: Json = {}): string =>
    `data: ${JSON.stringify({ candidates: [{ content: { role: 'model', parts }, ...rest }] })}\n\n`
  const { usage } = said
  const finish = { stop: 'STOP', toolCalls: 'STOP', length: 'MAX_TOKENS', refusal: 'SAFETY' }[said.finish]
  return [
    ...said.text.map((text, index) => ({ text: chunk([{ text }]), ...place(index, 'middle') })),
    ...said.calls.map((call, index) => ({
      text: chunk([{ functionCall: { name: call.name, args: parsed(call.args.join('')) } }]),
      ...place(index, 'toolCall'),
    })),
    {
      text: `data: ${JSON.stringify({
        candidates: [{ content: { role: 'model', parts: [{ text: '' }] }, finishReason: finish }],
        usageMetadata: {
          promptTokenCount: usage.input,
          candidatesTokenCount: usage.output,
          totalTokenCount: usage.input + usage.output,
          cachedContentTokenCount: usage.cacheRead,
        },
      })}\n\n`,
    },
  ]
}
