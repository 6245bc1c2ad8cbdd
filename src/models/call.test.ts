import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hear, request, stubKey, stubModels } from '../../test/support/models.ts'
import { type Provider, type ProviderReply, type ProviderScript, startProvider } from '../../test/support/provider.ts'
import type { ProviderSettings } from './options.ts'

let stub: Provider

beforeEach(async () => {
  stub = await startProvider()
})
afterEach(() => stub.close())

function provider(api = 'openai-completions', more: Partial<ProviderSettings> = {}): ProviderSettings {
  return { id: 'stub', api, baseUrl: stub.baseUrl, models: [{ id: 'one' }, { id: 'two' }], ...more }
}

/** The n-th request gets the n-th reply, later ones the last. */
function script(...replies: ProviderReply[]): void {
  stub.script((_, n) => replies[Math.min(n, replies.length - 1)]!)
}

const types = (events: readonly { type: string }[]) => events.map(event => event.type).join(' ')

describe.each(['openai-completions', 'anthropic-messages', 'openai-responses'])(
  'a provider that misbehaves over %s',
  api => {
    const open = () => stubModels([provider(api)])
    const ask = () => hear(open().models, request('stub/one'))

    test('garbage ends in one failure after a few tries', async () => {
      script({ garbage: '<html><body>Welcome to the captive portal</body></html>' })
      const { failure } = await ask()
      expect(failure).toMatchObject({ class: 'bad_answer', code: 'MODEL_BAD_ANSWER', provider: 'stub', model: 'one' })
      expect(failure?.fix).toContain('models.providers.stub.api')
      expect(stub.requests.length).toBe(3)
    })

    test('broken JSON in the stream', async () => {
      script({ garbage: 'data: {"choices":[{"delta":{"con\n\n' })
      expect((await ask()).failure?.class).toBe('bad_answer')
    })

    test('garbage once is forgotten', async () => {
      script({ garbage: 'data: nonsense\n\n' }, { text: 'better' })
      const heard = await ask()
      expect(heard.text).toBe('better')
      expect(heard.end?.stop).toBe('stop')
    })

    test('half a tool call is never a call', async () => {
      script(
        {
          text: 'I will',
          toolCalls: [{ name: 'write', args: { path: 'a', content: 'long enough' } }],
          cut: 'toolCall',
        },
        {
          text: 'Sorry.',
        },
      )
      const heard = await ask()
      expect(heard.calls).toEqual([])
      expect(heard.text).toBe('Sorry.')
    })

    test.each(['cut', 'early'] as const)('%s in the middle: what was shown is taken back', async how => {
      script({ text: 'Hello there', [how]: 'middle' }, { text: 'Hello again' })
      const heard = await ask()
      expect(types(heard.events)).toMatch(/^start text replace start text text end$/)
      expect(heard.text).toBe('Hello again')
    })

    test('a line that is cut again and again becomes a failure that may be tried later', async () => {
      script({ cut: 'start' })
      const before = Date.now()
      const { failure } = await ask()
      expect(failure).toMatchObject({ class: 'network', code: 'MODEL_NETWORK' })
      expect(failure!.retryAtMs).toBeGreaterThan(before + 100)
      expect(stub.requests.length).toBeGreaterThan(2)
    })

    test('silence before the first byte', async () => {
      script({ hang: 'start' })
      const { models } = stubModels([provider(api)], { limits: { firstByteMs: 300 } })
      const { failure } = await hear(models, request('stub/one'))
      expect(failure).toMatchObject({ class: 'network', message: 'stub has been silent for 0.3 s.' })
      expect(failure?.retryAtMs).toBeDefined()
      expect(await stub.requests[0]!.left).toBe(true)
    })

    test('silence in the middle; timeoutSeconds of the provider counts', async () => {
      script({ text: 'Hello there', hang: 'middle' })
      const { models } = stubModels([provider(api, { timeoutSeconds: 0.3 })])
      const { failure, events } = await hear(models, request('stub/one'))
      expect(events.some(event => event.type === 'text')).toBe(true)
      expect(failure?.message).toContain('has been silent')
      expect(await stub.requests[0]!.left).toBe(true)
    })

    test('an endless answer is stopped and not asked for again', async () => {
      script({ text: 'spam '.repeat(4_000), floodBytes: 100_000_000 })
      const { models } = stubModels([provider(api)], { limits: { answerBytes: 1_000_000 } })
      const { failure } = await hear(models, request('stub/one'))
      expect(failure).toMatchObject({ class: 'bad_answer', message: 'stub sent more than 1 MB.' })
      expect(stub.requests.length).toBe(1)
      expect(await stub.requests[0]!.left).toBe(true)
    })

    test.each(['words', 'arguments'])('so is one with too many %s in it', async what => {
      const long = 'spam '.repeat(4_000)
      if (what === 'words') script({ text: long })
      else script({ toolCalls: [{ name: 'write', args: { content: long } }] })
      const { models } = stubModels([provider(api)], { limits: { answerChars: 10_000 } })
      const { failure } = await hear(models, request('stub/one'))
      expect(failure).toMatchObject({ class: 'bad_answer', message: 'stub sent more than 10000 characters.' })
      expect(stub.requests.length).toBe(1)
    })
  },
)

test.each(['cut', 'hang'] as const)(
  'a line that breaks in the middle of one answer (%s) holds up nobody else',
  async how => {
    const { models } = stubModels([provider()], { limits: { idleMs: 200 } })
    stub.script(({ user }) => (user === 'poison' ? { text: 'Well, this', [how]: 'middle' } : { text: 'fine' }))
    const messages = [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'poison' }] }]
    const { failure } = await hear(models, request('stub/one', { messages }))
    expect(failure).toMatchObject({ class: 'network', code: 'MODEL_NETWORK' })
    const asked = stub.requests.length
    expect((await hear(models, request('stub/one', { cacheKey: 'conversation-2' }))).text).toBe('fine')
    expect(stub.requests.length).toBe(asked + 1)
  },
)

test('slow is not silent', async () => {
  script({ text: 'Hello there', chunkMs: 150 })
  const { models } = stubModels([provider()], { limits: { idleMs: 500 } })
  const before = performance.now()
  expect((await hear(models, request('stub/one'))).text).toBe('Hello there')
  expect(performance.now() - before).toBeGreaterThan(500)
})

test('a hundred megabytes without a line end, as an error body or an answer, stay out of the memory', async () => {
  const line = 'x'.repeat(8_000_000)
  const { models } = stubModels([provider()], { limits: { answerBytes: 1_000_000 } })
  script({ garbage: line })
  expect((await hear(models, request('stub/one'))).failure?.message).toBe('stub sent more than 1 MB.')
  script({ status: 400, garbage: line })
  expect((await hear(models, request('stub/one'))).failure?.message).toBe('stub sent more than 1 MB.')
})

test.each(['openai-completions', 'anthropic-messages'])(
  'arguments that are not JSON come through as they are: %s',
  async api => {
    script({ toolCalls: [{ name: 'read', args: '{"path": "a.txt' }] })
    const heard = await hear(stubModels([provider(api)]).models, request('stub/one'))
    expect(heard.calls).toMatchObject([{ name: 'read', args: '{"path": "a.txt' }])
    expect(heard.end?.parts).toMatchObject([{ type: 'toolCall', name: 'read', arguments: '{"path": "a.txt' }])
    const parts = heard.end!.parts
    const messages = [
      { role: 'user' as const, parts: [{ type: 'text' as const, text: 'x' }] },
      { role: 'assistant' as const, parts },
      {
        role: 'tool' as const,
        callId: heard.calls[0]!.id,
        name: 'read',
        isError: true,
        parts: [{ type: 'text' as const, text: 'bad' }],
      },
    ]
    script({ text: 'I see' })
    expect((await hear(stubModels([provider(api)]).models, request('stub/one', { messages }))).text).toBe('I see')
  },
)

describe('retries', () => {
  test('a short Retry-After is waited for', async () => {
    script({ status: 429, headers: { 'retry-after-ms': '80' } }, { text: 'now' })
    const before = performance.now()
    const heard = await hear(stubModels([provider()]).models, request('stub/one'))
    expect(heard.text).toBe('now')
    expect(performance.now() - before).toBeGreaterThanOrEqual(75)
    expect(types(heard.events)).toBe('start replace start text text end')
  })

  test('a long one is not: the failure says when', async () => {
    script({ status: 429, headers: { 'retry-after': '30' } })
    const before = Date.now()
    const { failure } = await hear(stubModels([provider()]).models, request('stub/one'))
    expect(failure).toMatchObject({ class: 'rate_limit', code: 'MODEL_RATE_LIMIT' })
    expect(failure!.retryAtMs! - before).toBeGreaterThanOrEqual(29_900)
    expect(failure!.retryAtMs! - before).toBeLessThan(31_000)
    expect(stub.requests.length).toBe(1)
  })

  test('the cooldown is shared: the next call does not even ask', async () => {
    script({ status: 429, headers: { 'retry-after': '30' } })
    const { models } = stubModels([provider()])
    const first = await hear(models, request('stub/one'))
    const second = await hear(models, request('stub/one', { agent: 'other' }))
    expect(stub.requests.length).toBe(1)
    expect(second.failure).toMatchObject({ class: 'rate_limit', retryAtMs: expect.any(Number) })
    expect(Math.abs(second.failure!.retryAtMs! - first.failure!.retryAtMs!)).toBeLessThan(50)
    script({ text: 'another model is not held back' })
    expect((await hear(models, request('stub/two'))).end).not.toBeNull()
  })

  test.each([500, 502, 503, 529])('%i is tried again with growing waits, then left to the runner', async status => {
    script({ status, error: { message: 'Overloaded', type: 'overloaded_error' } })
    const { failure } = await hear(stubModels([provider('anthropic-messages')]).models, request('stub/one'))
    expect(failure).toMatchObject({ class: 'overloaded', code: 'MODEL_OVERLOADED' })
    expect(failure!.retryAtMs).toBeGreaterThan(Date.now())
    // 5, 10, 20, 40 and 80 ms are slept; 160 is more than the limit of these tests.
    expect(stub.requests.length).toBe(6)
  })

  test('an overload that is reported inside a good answer counts as one', async () => {
    const error = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }
    script({ garbage: `event: error\ndata: ${JSON.stringify(error)}\n\n` }, { text: 'fine' })
    expect((await hear(stubModels([provider('anthropic-messages')]).models, request('stub/one'))).text).toBe('fine')
  })

  test('an abort during a wait ends it', async () => {
    script({ status: 429, headers: { 'retry-after-ms': '95' } })
    const controller = new AbortController()
    void stub.request(0).then(() => setTimeout(() => controller.abort(), 10))
    const { failure } = await hear(stubModels([provider()]).models, request('stub/one', { signal: controller.signal }))
    expect(failure?.class).toBe('aborted')
    expect(stub.requests.length).toBe(1)
  })

  test('a call that was aborted before it began asks nobody', async () => {
    const { failure } = await hear(
      stubModels([provider()]).models,
      request('stub/one', { signal: AbortSignal.abort() }),
    )
    expect(failure?.class).toBe('aborted')
    expect(stub.requests.length).toBe(0)
  })
})

describe('keys', () => {
  const byKey =
    (answers: Record<string, ProviderReply>): ProviderScript =>
    request =>
      answers[String(request.headers.authorization).replace('Bearer ', '')]!

  test('a refused key gives way to the next, and comes last from then on', async () => {
    stub.script(
      byKey({ bad: { status: 401, error: { message: 'Incorrect API key provided: bad' } }, good: { text: 'in' } }),
    )
    const { models } = stubModels([provider()], { keys: ['bad', 'good'] })
    expect((await hear(models, request('stub/one'))).text).toBe('in')
    expect((await hear(models, request('stub/one'))).text).toBe('in')
    expect(stub.requests.map(sent => sent.headers.authorization)).toEqual(['Bearer bad', 'Bearer good', 'Bearer good'])
  })

  test('a limited key gives way to the next without a wait', async () => {
    stub.script(byKey({ one: { status: 429, headers: { 'retry-after': '60' } }, two: { text: 'in' } }))
    const { models } = stubModels([provider()], { keys: ['one', 'two'] })
    expect((await hear(models, request('stub/one'))).text).toBe('in')
  })

  test('the only key, once mended at the provider, is tried again', async () => {
    script({ status: 401 }, { text: 'mended' })
    const { models } = stubModels([provider()])
    expect((await hear(models, request('stub/one'))).failure).toMatchObject({ class: 'auth', code: 'MODEL_AUTH' })
    expect((await hear(models, request('stub/one'))).text).toBe('mended')
  })
})

describe('fallbacks', () => {
  const byModel =
    (answers: Record<string, ProviderReply>): ProviderScript =>
    request =>
      answers[request.model]!

  test('another model answers, and the start says which', async () => {
    stub.script(byModel({ one: { status: 429, headers: { 'retry-after': '60' } }, two: { text: 'two here' } }))
    const { models } = stubModels([provider()], { fallbacks: ['stub/one', 'stub/two'] })
    const heard = await hear(models, request('stub/one'))
    expect(heard.text).toBe('two here')
    expect(heard.events.filter(event => event.type === 'start').map(event => event.model)).toEqual(['one', 'two'])
    expect(types(heard.events)).toBe('start replace start text text end')
  })

  test('a model that is gone, and a provider that is not known, give way too', async () => {
    stub.script(byModel({ one: { status: 404, error: { message: 'no such model' } }, two: { text: 'two' } }))
    const gone = stubModels([provider()], { fallbacks: ['stub/two'] })
    expect((await hear(gone.models, request('stub/one'))).text).toBe('two')
    expect((await hear(gone.models, request('nowhere/x'))).text).toBe('two')
    expect((await hear(stubModels([provider()]).models, request('stub/one'))).failure?.code).toBe('MODEL_UNKNOWN')
  })

  test('the first failure is told, the others are mentioned', async () => {
    stub.script(byModel({ one: { status: 401 }, two: { status: 429, headers: { 'retry-after': '60' } } }))
    const { models } = stubModels([provider()], { fallbacks: ['stub/two'] })
    const { failure } = await hear(models, request('stub/one'))
    expect(failure).toMatchObject({ class: 'auth', model: 'one', retryAtMs: expect.any(Number) })
    expect(failure?.message).toContain('stub/two: rate_limit')
  })

  test('a request that is wrong is not tried elsewhere', async () => {
    stub.script(byModel({ one: { status: 400, error: { message: 'tools.3 is invalid' } }, two: { text: 'never' } }))
    const { models } = stubModels([provider()], { fallbacks: ['stub/two'] })
    const { failure } = await hear(models, request('stub/one'))
    expect(failure).toMatchObject({ class: 'bad_request', code: 'MODEL_BAD_REQUEST' })
    expect(failure?.message).toContain('tools.3 is invalid')
    expect(stub.requests.length).toBe(1)
  })

  test('what is turned away before a word costs nothing; what breaks in the middle costs nobody knows what', async () => {
    const fails = async (reply: ProviderReply) => {
      stub.script(() => reply)
      return (await hear(stubModels([provider()]).models, request('stub/one'))).failure
    }
    const nothing = { usage: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }, costNano: 0 }
    expect(await fails({ status: 400, error: { message: 'tools.3 is invalid' } })).toMatchObject(nothing)
    expect(await fails({ text: 'half an ans', cut: 'middle' })).not.toHaveProperty('usage')
    expect(await fails({ status: 401 })).toMatchObject(nothing)
  })

  test('too long a conversation goes to a roomier model only', async () => {
    const sized = provider('openai-completions', {
      models: [
        { id: 'one', contextWindow: 1_000 },
        { id: 'small', contextWindow: 500 },
        { id: 'two', contextWindow: 9_000 },
      ],
    })
    const long = { status: 400, error: { message: "This model's maximum context length is 1000 tokens." } }
    stub.script(byModel({ one: long, small: { text: 'wrong' }, two: { text: 'roomy' } }))
    const both = stubModels([sized], { fallbacks: ['stub/small', 'stub/two'] })
    expect((await hear(both.models, request('stub/one'))).text).toBe('roomy')
    const small = stubModels([sized], { fallbacks: ['stub/small'] })
    expect((await hear(small.models, request('stub/one'))).failure).toMatchObject({
      class: 'context_length',
      code: 'MODEL_CONTEXT',
    })
  })

  test('the rehearsal model may be the last resort', async () => {
    script({ status: 503 })
    const { models } = stubModels([provider()], { fallbacks: ['rehearsal'] })
    const heard = await hear(
      models,
      request('stub/one', { messages: [{ role: 'user', parts: [{ type: 'text', text: 'say hi' }] }] }),
    )
    expect(heard.text).toBe('hi')
    expect(heard.events.findLast(event => event.type === 'start')).toMatchObject({ provider: 'rehearsal' })
  })
})

test('no key gets into an event or a log line, whatever the provider echoes', async () => {
  const echo = `Incorrect API key provided: ${stubKey}. Header was "Bearer ${stubKey}", url ?key=${stubKey}&x, header team-secret-9`
  const settings = provider('openai-completions', { headers: { 'x-secret': 'team-secret-9' } })
  for (const status of [400, 401, 404, 429, 500]) {
    script({ status, error: { message: echo }, headers: { 'retry-after': '60' } })
    const { models, log } = stubModels([settings], { fallbacks: ['stub/two'] })
    const heard = await hear(models, request('stub/one'))
    expect(heard.failure).not.toBeNull()
    const said = JSON.stringify([heard.events, log])
    expect(said, String(status)).not.toContain(stubKey)
    expect(said, String(status)).not.toContain('team-secret-9')
    expect(log.length).toBeGreaterThan(0)
    expect(said).toContain('[secret]')
  }
})

test('a server that points elsewhere is not followed: the key would go along', async () => {
  const other = await startProvider()
  script({ status: 307, headers: { location: `${other.baseUrl}/messages` } })
  const { failure } = await hear(stubModels([provider('anthropic-messages')]).models, request('stub/one'))
  expect(failure).toMatchObject({ class: 'bad_request', code: 'MODEL_BAD_REQUEST' })
  expect(failure?.message).toContain('307')
  expect(other.requests.length).toBe(0)
  await other.close()
})

test('an answer that the provider itself calls malformed is asked for again', async () => {
  const bad = {
    candidates: [{ content: { role: 'model', parts: [{ text: 'x' }] }, finishReason: 'MALFORMED_FUNCTION_CALL' }],
  }
  script({ garbage: `data: ${JSON.stringify(bad)}\n\n` }, { text: 'well formed' })
  const settings = provider('google-generative-ai', { baseUrl: stub.googleUrl })
  expect((await hear(stubModels([settings]).models, request('stub/one'))).text).toBe('well formed')
})

test('a line that nobody answers', async () => {
  const port = stub.port
  await stub.close()
  const { models } = stubModels([provider('openai-completions', { baseUrl: `http://127.0.0.1:${port}/v1` })])
  const { failure } = await hear(models, request('stub/one'))
  expect(failure).toMatchObject({ class: 'network', code: 'MODEL_NETWORK' })
  expect(failure?.message).toContain('ECONNREFUSED')
  stub = await startProvider()
})

test('many calls that fail at once make one cooldown, and all get an answer in the end', async () => {
  const seen = { failed: 0 }
  stub.script((_, n) => {
    if (n < 20) seen.failed += 1
    return n < 20 ? { status: 529, delayMs: 30 } : { text: 'ok' }
  })
  const { models } = stubModels([provider()])
  const heard = await Promise.all(Array.from({ length: 20 }, () => hear(models, request('stub/one'))))
  expect(heard.map(one => one.text)).toEqual(Array(20).fill('ok'))
  expect(stub.requests.length).toBe(40)
})
