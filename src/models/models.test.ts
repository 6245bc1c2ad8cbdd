import { afterEach, describe, expect, test } from 'vitest'
import { hear, request } from '../../test/support/models.ts'
import { type Provider, startProvider } from '../../test/support/provider.ts'
import { builtinAliases, catalogue } from './catalogue.ts'
import { builtinProviders, ollamaUrl } from './directory.ts'
import { openModels } from './models.ts'
import type { Credential, ModelsOptions, ProviderSettings } from './options.ts'

function open(
  more: Partial<ModelsOptions> & { providers?: readonly ProviderSettings[]; have?: readonly string[] } = {},
) {
  const { providers = [], have = [], ...options } = more
  const settings = { providers, aliases: { clever: 'anthropic/claude-opus-5-5' } }
  const key: Credential = { id: 'test', kind: 'api_key', secret: 'sk-12345678' }
  return openModels({
    settings: () => settings,
    modelsFor: () => ({ primary: null, fallbacks: [] }),
    keysFor: (_, provider) => (have.includes(provider) ? [key] : []),
    environment: {},
    clock: { now: () => Date.now() },
    log: () => undefined,
    ...options,
  })
}

const own: ProviderSettings = {
  id: 'Mine',
  baseUrl: 'http://127.0.0.1:1/v1',
  models: [{ id: 'big', contextWindow: 50_000, maxTokens: 60_000, cost: { input: 1, output: 2.5 } }],
}

describe('resolve', () => {
  test('a known model has a window and prices in nano-dollars a token', () => {
    const answer = open({ have: ['anthropic'] }).resolve('anthropic/claude-sonnet-5-5', 'main')
    expect(answer).toEqual({
      ok: true,
      model: {
        ref: 'anthropic/claude-sonnet-5-5',
        provider: 'anthropic',
        model: 'claude-sonnet-5-5',
        contextWindow: 1_000_000,
        maxTokens: 128_000,
        price: { input: 2_000, output: 10_000, cacheRead: 100, cacheWrite: 2_500 },
        priced: true,
      },
    })
  })

  test('aliases: the configuration’s, the built-in ones, a bare model name', () => {
    const { resolve } = open({ have: ['anthropic', 'openai'], providers: [own] })
    const ref = (name: string) => {
      const answer = resolve(name, 'main')
      return answer.ok ? answer.model.ref : answer.reason
    }
    expect(ref('clever')).toBe('anthropic/claude-opus-5-5')
    expect(ref('Sonnet')).toBe('anthropic/claude-sonnet-5-5')
    expect(ref('gpt-6-luna')).toBe('openai/gpt-6-luna')
    expect(ref('big')).toBe('mine/big')
    expect(ref('MINE/big')).toBe('mine/big')
    expect(ref('nonsense')).toContain('neither provider/model nor the alias')
  })

  test('an unknown model of a known provider works with defaults and no price', () => {
    const { resolve } = open({ have: ['openai'], providers: [own] })
    expect(resolve('openai/gpt-99', 'main')).toMatchObject({
      ok: true,
      model: { priced: false, contextWindow: 128_000 },
    })
    expect(resolve('mine/other', 'main')).toMatchObject({ ok: true, model: { priced: false, price: { input: 0 } } })
    expect(resolve('mine/big', 'main')).toMatchObject({
      ok: true,
      model: { priced: true, maxTokens: 50_000, price: { input: 1_000, output: 2_500, cacheRead: 1_000 } },
    })
  })

  test('OpenRouter’s models have a slash of their own, its router has its name twice', () => {
    const { resolve } = open({ have: ['openrouter'] })
    expect(resolve('openrouter/meta/llama-9', 'main')).toMatchObject({ model: { model: 'meta/llama-9' } })
    expect(resolve('openrouter/auto', 'main')).toMatchObject({ model: { model: 'openrouter/auto' } })
  })

  test.each([
    ['nowhere/model', /no provider "nowhere"\. Known: .*anthropic/, /provider\/model/],
    ['anthropic/claude-opus-5', /no key for the provider "anthropic"/, /ANTHROPIC_API_KEY/],
    ['anthropic/', /names the provider "anthropic" but no model/, /./],
    ['odd/model', /wire "bedrock-converse-stream", which is not spoken here/, /models\.providers\.odd\.api/],
    ['lost/model', /has no address/, /models\.providers\.lost\.baseUrl/],
    ['rehearsal/other', /one model: rehearsal\/rehearsal/, /./],
  ])('%s is refused with a reason and a remedy', (ref, reason, fix) => {
    const providers = [
      { id: 'odd', api: 'bedrock-converse-stream', models: [] },
      { id: 'lost', baseUrl: 'not a url', models: [] },
    ]
    const answer = open({ providers }).resolve(ref, 'main')
    expect(answer.ok).toBe(false)
    expect(!answer.ok && answer.reason).toMatch(reason)
    expect(!answer.ok && answer.fix).toMatch(fix)
  })

  test('a call to what cannot be resolved ends in one failure that says the same', async () => {
    const { failure } = await hear(open(), request('anthropic/claude-opus-5'))
    expect(failure).toMatchObject({
      class: 'auth',
      code: 'MODEL_NO_KEY',
      provider: 'anthropic',
      model: 'claude-opus-5',
    })
    expect((await hear(open(), request('x/y'))).failure).toMatchObject({ class: 'bad_request', code: 'MODEL_UNKNOWN' })
  })

  test('a reloaded configuration counts at once', () => {
    const current: { now: { providers: readonly ProviderSettings[]; aliases: Record<string, string> } } = {
      now: { providers: [], aliases: {} },
    }
    const { resolve } = open({ settings: () => current.now })
    expect(resolve('mine/big', 'main').ok).toBe(false)
    current.now = { providers: [own], aliases: {} }
    expect(resolve('mine/big', 'main').ok).toBe(true)
  })
})

describe('the default model', () => {
  test('the configured one, else the first with a key, else the rehearsal', () => {
    expect(open().defaultRef('main')).toBe('rehearsal/rehearsal')
    expect(open({ have: ['openai', 'google'] }).defaultRef('main')).toBe('openai/gpt-6.1-sol')
    expect(open({ providers: [own] }).defaultRef('main')).toBe('mine/big')
    const modelsFor = () => ({ primary: 'google/gemini-4-carbon', fallbacks: [] })
    expect(open({ have: ['openai'], modelsFor }).defaultRef('main')).toBe('google/gemini-4-carbon')
    expect(open({ have: ['openai'] }).resolve('default', 'main')).toMatchObject({
      model: { ref: 'openai/gpt-6.1-sol' },
    })
  })

  test('every built-in default and alias is in the catalogue', () => {
    for (const [id, { model, keys }] of Object.entries(builtinProviders))
      if (keys.length > 0 && id !== 'openrouter') expect(catalogue, id).toHaveProperty([`${id}/${model}`])
    for (const ref of Object.values(builtinAliases))
      if (!ref.startsWith('rehearsal')) expect(catalogue).toHaveProperty([ref])
  })

  test('no row of the catalogue answers more than it reads, or charges more for a cached token', () => {
    for (const [ref, row] of Object.entries(catalogue)) {
      expect(row.maxTokens, ref).toBeLessThanOrEqual(row.contextWindow)
      expect(row.price.cacheRead, ref).toBeLessThanOrEqual(row.price.input)
      expect(row.price.cacheWrite, ref).toBeGreaterThanOrEqual(row.price.input)
      expect(Object.values(row.price).every(Number.isInteger), ref).toBe(true)
    }
  })
})

describe('Ollama', () => {
  let stub: Provider | null = null
  afterEach(async () => {
    await stub?.close()
    stub = null
  })

  test('is found by asking once, and then is the default and answers', async () => {
    stub = await startProvider({ script: () => ({ text: 'local words' }) })
    const models = open({ environment: { OLLAMA_HOST: `127.0.0.1:${stub.port}` } })
    expect(models.defaultRef('main')).toBe('rehearsal/rehearsal')
    expect(await models.discover()).toEqual(['stub'])
    expect(models.defaultRef('main')).toBe('ollama/stub')
    expect(models.list('main').map(one => one.ref)).toEqual(['rehearsal/rehearsal', 'ollama/stub'])
    expect((await hear(models, request(''))).text).toBe('local words')
    expect(stub.requests[0]!.path).toBe('/v1/chat/completions')
  })

  test('that is not there is no error', async () => {
    const models = open({ environment: { OLLAMA_HOST: 'http://127.0.0.1:1' } })
    expect(await models.discover()).toEqual([])
    expect(models.defaultRef('main')).toBe('rehearsal/rehearsal')
  })

  test('OLLAMA_HOST as people write it', () => {
    const url = (host?: string) => ollamaUrl({ OLLAMA_HOST: host })
    expect(url()).toBe('http://127.0.0.1:11434')
    expect(url('0.0.0.0')).toBe('http://127.0.0.1:11434')
    expect(url('box')).toBe('http://box:11434')
    expect(url('box:8080')).toBe('http://box:8080')
    expect(url('https://box.example')).toBe('https://box.example')
    expect(url('not a host')).toBe('http://127.0.0.1:11434')
  })
})

test('a list has what can be used, with the name of the key and never the key', () => {
  const list = open({ have: ['anthropic'], providers: [own] }).list('main')
  expect(list.map(one => one.provider)).toContain('anthropic')
  expect(list.map(one => one.ref)).toEqual(expect.arrayContaining(['mine/big', 'rehearsal/rehearsal']))
  expect(list.some(one => one.provider === 'openai')).toBe(false)
  expect(list.find(one => one.ref === 'anthropic/claude-opus-5-5')).toMatchObject({
    name: 'Claude Opus 5.5',
    key: 'test',
  })
  expect(JSON.stringify(list)).not.toContain('sk-12345678')
})

test('nothing but a call to a provider touches the network', async () => {
  const asked: unknown[] = []
  const send = async (url: unknown) => {
    asked.push(url)
    return new Response()
  }
  const models = open({ have: ['anthropic'], send })
  models.resolve('sonnet', 'main')
  models.defaultRef('main')
  models.list('main')
  await hear(models, request('rehearsal', { messages: [{ role: 'user', parts: [{ type: 'text', text: 'say hi' }] }] }))
  expect(asked).toEqual([])
})
