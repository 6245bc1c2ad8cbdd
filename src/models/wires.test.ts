import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hear, request, stubKey, stubModels } from '../../test/support/models.ts'
import { type Provider, type ProviderReply, startProvider } from '../../test/support/provider.ts'
import type { ModelMessage } from '../core/ports.ts'
import type { ProviderSettings } from './options.ts'

let stub: Provider
let reply: ProviderReply

beforeEach(async () => {
  reply = { text: 'Hello there' }
  stub = await startProvider({ script: () => reply })
})
afterEach(() => stub.close())

const cost = { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 }

function provider(api: string): ProviderSettings {
  const baseUrl =
    api === 'google-generative-ai' ? stub.googleUrl : api === 'ollama' ? `http://127.0.0.1:${stub.port}` : stub.baseUrl
  const id = api === 'google-generative-ai' ? 'gemini-2.5-flash' : api === 'openai-responses' ? 'gpt-5' : 'model-1'
  return { id: 'stub', api, baseUrl, models: [{ id, cost }] }
}

const wires = ['openai-completions', 'openai-responses', 'anthropic-messages', 'google-generative-ai', 'ollama']

describe.each(wires)('%s', api => {
  const open = () => stubModels([provider(api)])
  const ref = () => `stub/${provider(api).models[0]!.id}`

  test('words stream in, tokens are counted, money is computed', async () => {
    reply = { text: 'Hello there', usage: { input: 100, output: 20, cacheRead: 40 } }
    const heard = await hear(open().models, request(ref()))
    expect(heard.text).toBe('Hello there')
    expect(heard.events[0]).toEqual({ type: 'start', provider: 'stub', model: provider(api).models[0]!.id, api })
    expect(heard.events.filter(event => event.type === 'text').length).toBeGreaterThan(1)
    expect(heard.end).toMatchObject({
      stop: 'stop',
      usage: { input: 60, output: 20, cacheRead: 40, cacheWrite: 0 },
      costNano: 60 * 3_000 + 20 * 15_000 + 40 * 300,
      parts: [{ type: 'text', text: 'Hello there' }],
    })
  })

  test('several tool calls come whole, in order', async () => {
    reply = {
      text: 'Let me look.',
      toolCalls: [
        { name: 'read', args: { path: 'a.txt' } },
        { name: 'grep', args: { pattern: 'x', path: 'b.txt' } },
      ],
    }
    const heard = await hear(open().models, request(ref()))
    expect(heard.calls.map(call => [call.name, JSON.parse(call.args)])).toEqual([
      ['read', { path: 'a.txt' }],
      ['grep', { pattern: 'x', path: 'b.txt' }],
    ])
    expect(new Set(heard.calls.map(call => call.id)).size).toBe(2)
    expect(heard.end?.stop).toBe('toolUse')
    expect(heard.end?.parts.map(part => part.type)).toEqual(['text', 'toolCall', 'toolCall'])
  })

  test('a conversation with tools arrives as it was', async () => {
    const messages: ModelMessage[] = [
      { role: 'user', parts: [{ type: 'text', text: 'Read a.txt' }] },
      {
        role: 'assistant',
        parts: [
          { type: 'text', text: 'Reading.' },
          { type: 'toolCall', id: 'call_1', name: 'read', arguments: { path: 'a.txt' } },
        ],
      },
      {
        role: 'tool',
        callId: 'call_1',
        name: 'read',
        isError: false,
        parts: [{ type: 'text', text: 'contents of a' }],
      },
      { role: 'user', parts: [{ type: 'text', text: 'And now?' }] },
    ]
    const tools = [
      { name: 'read', description: 'Reads.', schema: { type: 'object', properties: { path: { type: 'string' } } } },
    ]
    await hear(open().models, request(ref(), { messages, tools }))
    const sent = stub.requests[0]!
    expect(sent.system).toBe('You are a test.')
    expect(sent.tools).toEqual(['read'])
    expect(sent.user).toBe('And now?')
    const call = sent.turns.find(turn => turn.calls.length > 0)?.calls[0]
    expect(call).toMatchObject({ name: 'read', args: { path: 'a.txt' } })
    expect(sent.turns.find(turn => turn.role === 'tool')?.text).toContain('contents of a')
  })

  test('a cut answer stops with length, a withheld one with refusal', async () => {
    reply = { text: 'half an ans', finish: 'length' }
    expect((await hear(open().models, request(ref()))).end?.stop).toBe('length')
    reply = { text: 'No.', finish: 'refusal' }
    expect((await hear(open().models, request(ref()))).end?.stop).toBe('refusal')
  })

  test('calls share kept-alive connections', async () => {
    const { models } = open()
    for (let n = 0; n < 12; n += 1) await hear(models, request(ref()))
    expect(stub.requests.length).toBe(12)
    expect(stub.connections()).toBeLessThanOrEqual(2)
  })

  test('an abort ends the call at once and closes the line', async () => {
    reply = { text: 'Hello there', hang: 'middle' }
    const controller = new AbortController()
    const { models } = open()
    const events: string[] = []
    for await (const event of models.stream(request(ref(), { signal: controller.signal }))) {
      events.push(event.type)
      if (event.type === 'text') controller.abort()
      if (event.type === 'fail') expect(event.failure).toMatchObject({ class: 'aborted', code: 'RUN_CANCELLED' })
    }
    expect(events.at(-1)).toBe('fail')
    expect(await stub.requests[0]!.left).toBe(true)
    expect(stub.requests.length).toBe(1)
  })

  test('whoever stops listening closes the line', async () => {
    reply = { text: 'Hello there', hang: 'middle' }
    for await (const event of open().models.stream(request(ref()))) if (event.type === 'text') break
    expect(await stub.requests[0]!.left).toBe(true)
  })
})

test('thinking goes out and its signature comes back', async () => {
  reply = { thinking: 'Let me see.', text: 'Done', toolCalls: [{ name: 'read', args: { path: 'a' } }] }
  const { models } = stubModels([provider('anthropic-messages')])
  const heard = await hear(models, request('stub/model-1'))
  expect(heard.events).toContainEqual({ type: 'thinking', delta: 'Let me see.' })
  const parts = heard.end!.parts
  expect(parts[0]).toMatchObject({
    type: 'thinking',
    thinking: 'Let me see.',
    meta: { anthropic: { signature: 'c2lnbmVk' } },
  })
  const messages: ModelMessage[] = [
    { role: 'user', parts: [{ type: 'text', text: 'hi' }] },
    { role: 'assistant', parts },
    { role: 'tool', callId: heard.calls[0]!.id, name: 'read', isError: false, parts: [{ type: 'text', text: 'x' }] },
  ]
  await hear(models, request('stub/model-1', { messages }))
  const body = JSON.stringify(stub.requests[1]!.body)
  expect(body).toContain('"signature":"c2lnbmVk"')
})

test('Anthropic is told where to cache: tools, system, and the two newest ends', async () => {
  const { models } = stubModels([provider('anthropic-messages')])
  const tools = ['a', 'b'].map(name => ({ name, description: name, schema: { type: 'object', properties: {} } }))
  const messages: ModelMessage[] = [1, 2, 3].flatMap(n => [
    { role: 'user' as const, parts: [{ type: 'text' as const, text: `question ${n}` }] },
    { role: 'assistant' as const, parts: [{ type: 'text' as const, text: `answer ${n}` }] },
  ])
  await hear(models, request('stub/model-1', { tools, messages: messages.slice(0, 5) }))
  const body = stub.requests[0]!.body as Record<
    string,
    { cache_control?: unknown; content?: { cache_control?: unknown }[] }[]
  >
  const marked = (list: { cache_control?: unknown }[] = []) => list.map(one => one.cache_control !== undefined)
  expect(marked(body['tools'])).toEqual([false, true])
  expect(marked(body['system'])).toEqual([true])
  expect(body['messages']!.map(message => message.content?.some(part => part.cache_control !== undefined))).toEqual([
    false,
    false,
    true,
    false,
    true,
  ])
})

test('cache writes are counted and paid', async () => {
  reply = { text: 'ok', usage: { input: 1_000, output: 10, cacheRead: 100, cacheWrite: 800 } }
  const { models } = stubModels([provider('anthropic-messages')])
  const { end } = await hear(models, request('stub/model-1'))
  expect(end?.usage).toEqual({ input: 100, output: 10, cacheRead: 100, cacheWrite: 800 })
  expect(end?.costNano).toBe(100 * 3_000 + 10 * 15_000 + 100 * 300 + 800 * 3_750)
})

test('OpenAI gets the cache key and keeps nothing', async () => {
  const { models } = stubModels([provider('openai-responses')])
  await hear(models, request('stub/gpt-5'))
  expect(stub.requests[0]!.body).toMatchObject({ prompt_cache_key: 'conversation-1', store: false })
})

test('each wire shows the key in its own way; a server of one’s own may need none; headers go along', async () => {
  const sent = async (api: string, keys: readonly string[] = [stubKey]) => {
    const settings = { ...provider(api), headers: { 'x-team': 'blue' } }
    await hear(stubModels([settings], { keys }).models, request(`stub/${settings.models[0]!.id}`))
    return stub.requests.at(-1)!.headers
  }
  expect(await sent('openai-completions')).toMatchObject({ authorization: `Bearer ${stubKey}`, 'x-team': 'blue' })
  expect(await sent('anthropic-messages')).toMatchObject({ 'x-api-key': stubKey, 'x-team': 'blue' })
  expect(await sent('google-generative-ai')).toMatchObject({ 'x-goog-api-key': stubKey, 'x-team': 'blue' })
  expect((await sent('openai-completions', [])).authorization).toBeUndefined()
  expect((await sent('ollama', [])).authorization).toBeUndefined()
})

test('an image in a tool result is seen on every wire', async () => {
  const picture = { type: 'image' as const, mimeType: 'image/png', data: 'iVBORw0KGgo=' }
  const messages: ModelMessage[] = [
    { role: 'user', parts: [{ type: 'text', text: 'look' }] },
    { role: 'assistant', parts: [{ type: 'toolCall', id: 'c1', name: 'read', arguments: { path: 'a.png' } }] },
    { role: 'tool', callId: 'c1', name: 'read', isError: false, parts: [{ type: 'text', text: 'a.png' }, picture] },
  ]
  for (const api of ['openai-completions', 'openai-responses', 'anthropic-messages']) {
    const settings = provider(api)
    await hear(stubModels([settings]).models, request(`stub/${settings.models[0]!.id}`, { messages }))
    expect(JSON.stringify(stub.requests.at(-1)!.body), api).toContain('iVBORw0KGgo=')
  }
  const blind = { ...provider('openai-completions'), models: [{ id: 'model-1', input: ['text'] }] }
  await hear(stubModels([blind]).models, request('stub/model-1', { messages }))
  const body = JSON.stringify(stub.requests.at(-1)!.body)
  expect(body).not.toContain('iVBORw0KGgo=')
  expect(body).toContain('takes no images')
})

test('sound is played where the wire and the model take it, and named elsewhere', async () => {
  const sound = (mimeType: string) => ({ type: 'audio' as const, mimeType, data: 'T2dnUwACAAA=' })
  const ask = async (api: string, mimeType: string, input?: string[]) => {
    const settings = provider(api)
    const models = [{ ...settings.models[0]!, ...(input ? { input } : {}) }]
    const messages: ModelMessage[] = [{ role: 'user', parts: [sound(mimeType)] }]
    await hear(stubModels([{ ...settings, models }]).models, request(`stub/${models[0]!.id}`, { messages }))
    const body = JSON.stringify(stub.requests.at(-1)!.body)
    expect(body.includes('cannot listen')).toBe(!body.includes('T2dnUwACAAA='))
    return body.includes('T2dnUwACAAA=')
  }
  expect(await ask('google-generative-ai', 'audio/ogg')).toBe(true)
  expect(await ask('google-generative-ai', 'audio/ogg', ['text', 'image'])).toBe(false)
  expect(await ask('openai-completions', 'audio/mpeg')).toBe(false)
  expect(await ask('openai-completions', 'audio/mpeg', ['text', 'audio'])).toBe(true)
  for (const api of ['openai-completions', 'openai-responses', 'anthropic-messages'])
    expect(await ask(api, 'audio/ogg', ['text', 'audio']), api).toBe(false)
})

test('a server that does not count is counted for', async () => {
  const bare =
    'data: {"choices":[{"index":0,"delta":{"content":"four words are here"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
  reply = { garbage: bare }
  const { end } = await hear(stubModels([provider('openai-completions')]).models, request('stub/model-1'))
  expect(end?.usage.input).toBeGreaterThan(0)
  expect(end?.usage.output).toBe(5)
  expect(end?.costNano).toBeGreaterThan(0)
})
