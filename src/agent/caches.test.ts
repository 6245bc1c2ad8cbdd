/** What providers can find in their caches: the bytes that real packages send for the calls of a real house. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { hear, stubModels } from '../../test/support/models.ts'
import { type Provider, startProvider } from '../../test/support/provider.ts'
import type { ModelRequest } from '../core/ports.ts'

let stub: Provider
let house: TestHouse
const task = (request: ModelRequest) => /^(fork|apart) \d/.exec(lastText(request).trim())?.[0] ?? null
const spawn = (name: string, context: 'fork' | 'isolated') => ({
  name: 'sessions_spawn',
  args: { task: name, context },
})

beforeEach(async () => {
  stub = await startProvider({ script: () => ({ text: 'ok' }) })
  house = await openTestHouse({
    script: request =>
      lastText(request) === 'go'
        ? {
            text: 'both ways',
            calls: [
              spawn('fork 1', 'fork'),
              spawn('fork 2', 'fork'),
              spawn('apart 1', 'isolated'),
              spawn('apart 2', 'isolated'),
            ],
          }
        : { text: 'fine' },
  })
  await house.done((await house.say('remember 42')).run)
  await house.done((await house.say('go')).run)
})
afterEach(async () => {
  await house.close()
  await stub.close()
})

const asked = (name: string | null) => house.requests.filter(request => task(request) === name)

/** The body that a real package sends for a request of the house. */
async function sent(api: string, request: ModelRequest): Promise<Record<string, unknown>> {
  const id = api === 'openai-responses' ? 'gpt-5' : 'model-1'
  const { models } = stubModels([{ id: 'stub', api, baseUrl: stub.baseUrl, models: [{ id }] }])
  await hear(models, { ...request, model: `stub/${id}` })
  return stub.requests.at(-1)!.body as Record<string, unknown>
}

/** Marks say where to cache and are no part of what is compared. */
const bare = (value: unknown) => JSON.stringify(value, (key, item) => (key === 'cache_control' ? undefined : item))

test('a fork sends what its parent’s call had sent, byte for byte, and then its task', async () => {
  const parent = asked(null).find(request => lastText(request) === 'go')!
  const [fork] = asked('fork 1')
  const [one, two] = [await sent('anthropic-messages', parent), await sent('anthropic-messages', fork!)]
  expect(JSON.stringify(two['tools'])).toBe(JSON.stringify(one['tools']))
  expect(JSON.stringify(two['system'])).toBe(JSON.stringify(one['system']))
  const [said, copied] = [one['messages'] as { content: unknown[] }[], two['messages'] as { content: unknown[] }[]]
  // The task follows the newest words of a person in one message of the wire.
  expect(bare(copied.slice(0, said.length - 1))).toBe(bare(said.slice(0, -1)))
  expect(bare(copied[said.length - 1]!.content.slice(0, said.at(-1)!.content.length))).toBe(bare(said.at(-1)!.content))
  // Where the parent's call put its newest mark lies within what both have in common.
  expect(JSON.stringify(one['system'])).toContain('cache_control')
  expect(JSON.stringify(said.at(-1))).toContain('cache_control')
})

test('isolated sub-agents of one kind share system prompt and tools, and one cache key', async () => {
  const [[first], [second]] = [asked('apart 1'), asked('apart 2')]
  for (const api of ['anthropic-messages', 'openai-responses']) {
    const [one, two] = [await sent(api, first!), await sent(api, second!)]
    expect(JSON.stringify(one['tools'])).toBe(JSON.stringify(two['tools']))
    expect(JSON.stringify(one['system'] ?? one['instructions'])).toBe(
      JSON.stringify(two['system'] ?? two['instructions']),
    )
    if (api === 'openai-responses') {
      expect(one['prompt_cache_key']).toBeTruthy()
      expect(one['prompt_cache_key']).toBe(two['prompt_cache_key'])
    }
  }
})

test('a fork of a person’s conversation looks where that conversation was kept', async () => {
  const parent = await sent('openai-responses', asked(null)[0]!)
  const forks = await Promise.all(
    [...asked('fork 1'), ...asked('fork 2')].map(request => sent('openai-responses', request)),
  )
  expect(forks.map(body => body['prompt_cache_key'])).toEqual(forks.map(() => parent['prompt_cache_key']))
})

test('each call of a conversation begins with all that the one before it sent', async () => {
  const calls = house.requests.filter(request => request.cacheKey === house.requests[0]!.cacheKey)
  const bodies = []
  for (const call of calls) bodies.push(await sent('anthropic-messages', { ...call, note: undefined as never }))
  for (const [i, body] of bodies.entries()) {
    const before = bodies[i - 1]
    if (!before) continue
    expect(JSON.stringify(body['system'])).toBe(JSON.stringify(before['system']))
    const said = before['messages'] as { content: unknown[] }[]
    const now = body['messages'] as { content: unknown[] }[]
    expect(bare(now.slice(0, said.length - 1))).toBe(bare(said.slice(0, -1)))
  }
  expect(bodies.length).toBeGreaterThan(2)
})
