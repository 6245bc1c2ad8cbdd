/**
 * A provider that answers garbage, breaks off, hangs, never ends or makes calls that can't be understood: what the person
 * is told, that it concerns one run only, and that the same conversation goes on when the provider is itself again.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Client } from '../../src/client/connect.ts'
import type { RunRow } from '../../src/protocol/results.ts'
import { type GatewayProcess, openGateways, stubConfig } from '../support/gateway.ts'
import { type Provider, type ProviderReply, type ProviderRequest, startProvider } from '../support/provider.ts'

const gateways = openGateways()
/** What the provider does to a conversation, by the word that it began with. */
const mood = new Map<string, (request: ProviderRequest) => ProviderReply>()
let provider: Provider
let gateway: GatewayProcess
let client: Client
beforeAll(async () => {
  provider = await startProvider({
    script(request) {
      const word = request.turns.find(turn => turn.role === 'user')?.text ?? ''
      return mood.get(word)?.(request) ?? { text: `fine, ${word}` }
    },
  })
  const { baseUrl } = provider
  const one = { baseUrl, api: 'openai-completions', apiKey: 'k-1234567890', timeoutSeconds: 2, models: [{ id: 'm' }] }
  // What a provider is blamed for concerns all who use it, so each that gives no answer at all has a name of its own.
  const providers = { stub: one, silent: one, closed: one }
  const agents = { defaults: { model: 'stub/m', maxConcurrent: 16 } }
  const config = stubConfig(baseUrl, { models: { providers }, agents })
  gateway = await gateways.start(gateways.home(config))
  client = await gateway.client()
})
afterAll(() => provider.close())

const say = (word: string, more: Record<string, unknown> = {}) =>
  gateway.say(word, { sessionKey: `agent:main:${word}`, ...more })

async function runOf(word: string): Promise<RunRow | undefined> {
  return (await client.request('runs.list', { limit: 500 })).runs.find(run => run.sessionKey === `agent:main:${word}`)
}

/** The run of a conversation once it fits. */
async function until(word: string, fits: (run: RunRow) => boolean): Promise<RunRow> {
  for (;;) {
    const run = await runOf(word)
    if (run && fits(run)) return run
    if (run?.state === 'done') throw new Error(`it ended: ${JSON.stringify(run)}`)
    await new Promise(resolve => setTimeout(resolve, 30))
  }
}

/** The same conversation answers again, and has kept what was said in it. */
async function goesOn(word: string): Promise<void> {
  mood.delete(word)
  expect(await say(word)).toMatchObject({ status: 'ok', text: `fine, ${word}` })
  const { messages } = await client.request('chat.history', { sessionKey: `agent:main:${word}` })
  expect(messages.filter(message => message.role === 'user' && !message.__openclaw.kind)).toHaveLength(2)
}

describe.concurrent('an answer that is none ends its run, with a code and what to do', () => {
  const html = '<html><body>Welcome to the captive portal</body></html>'
  test.for<[string, ProviderReply, string]>([
    ['garbage', { garbage: html }, 'MODEL_BAD_ANSWER'],
    ['half-json', { garbage: 'data: {"choices":[{"delta":{"con\n\n' }, 'MODEL_BAD_ANSWER'],
    ['no-words', { garbage: 'data: [DONE]\n\n' }, 'MODEL_BAD_ANSWER'],
    ['endless', { text: 'spam '.repeat(4_000), floodBytes: 40_000_000 }, 'MODEL_BAD_ANSWER'],
    ['bad-request', { status: 400, error: { message: 'no such parameter' } }, 'MODEL_BAD_REQUEST'],
    ['no-model', { status: 404, error: { message: 'no such model' } }, 'MODEL_UNKNOWN'],
  ])('%s', async ([word, reply, code], { expect }) => {
    mood.set(word, () => reply)
    const end = await say(word)
    expect(end).toMatchObject({ status: 'error', outcome: 'failed', errorCode: code })
    expect(end.error).toContain('stub')
    expect(end.fix).toMatch(/^[A-Z][^<]{20,}\.?$/)
    await goesOn(word)
  })
})

describe.concurrent('a line that breaks or goes silent makes its run pause, say why, and end well', () => {
  const call = { toolCalls: [{ name: 'write', args: { path: 'half.txt', content: 'never to be written' } }] }
  test.for<[string, ProviderReply]>([
    ['early', { text: 'Well, this', early: 'middle' }],
    ['half-a-call', { ...call, cut: 'toolCall' }],
    ['silent-in-the-middle', { text: 'Well, this', hang: 'middle' }],
    ['silent', { hang: 'start' }],
    ['closed', { cut: 'start' }],
  ])('%s', async ([word, reply], { expect }) => {
    mood.set(word, () => reply)
    const who = ['silent', 'closed'].includes(word) ? word : 'stub'
    const end = say(word, { model: `${who}/m` })
    const paused = await until(word, run => run.state === 'waiting')
    expect(paused).toMatchObject({ errorCode: 'MODEL_NETWORK', error: expect.stringContaining(who) })
    expect(paused.error).toMatch(/(closed the line|has been silent for 2 s|^The line to \w+ broke).*Check the network/)
    expect(await say(`beside-${word}`)).toMatchObject({ status: 'ok', text: `fine, beside-${word}` })
    mood.delete(word)
    expect(await end).toMatchObject({ status: 'ok', text: `fine, ${word}` })
    const { run, steps } = await client.request('runs.log', { run: paused.run })
    expect(run).toMatchObject({ outcome: 'succeeded', errorCode: null, error: null })
    expect(steps.map(step => step.name)).toEqual([`${who}/m`])
  })

  test('deputy agent says why it waits', async ({ expect }) => {
    mood.set('terminal', () => ({ text: 'Well, this', early: 'middle' }))
    const command = gateways.run(gateway.home, ['agent', '--message', 'terminal', '--session', 'agent:main:terminal'])
    await until('terminal', run => run.state === 'waiting')
    mood.delete('terminal')
    const { code, out, err } = await command
    expect({ code, out }).toEqual({ code: 0, out: 'fine, terminal\n' })
    expect(err).toBe(
      'main pauses and tries again by itself: stub closed the line in the middle of an answer. ' +
        "Check the network and the provider's baseUrl.\n",
    )
  })
})

describe.concurrent('a call that cannot be understood is answered to the model, which goes on', () => {
  test.for<[string, ProviderReply['toolCalls'], RegExp]>([
    ['broken-json', [{ name: 'read', args: '{"path": "a.txt' }], /arguments of read are not valid JSON/],
    ['not-an-object', [{ name: 'read', args: '["a.txt"]' }], /not a JSON object/],
    ['unknown-tool', [{ name: 'rm_rf', args: {} }], /There is no tool "rm_rf" here. Tools you may call: .*\bread\b/],
    ['wrong-type', [{ name: 'read', args: { path: 7, offset: 'x' } }], /read: .*Parameters: path/],
    ['proto', [{ name: '__proto__', args: '{"__proto__": {"path": "a"}}' }], /There is no tool "__proto__"/],
    [
      'deep',
      [{ name: 'read', args: `{"path":${'['.repeat(5_000)}${']'.repeat(5_000)}}` }],
      /arguments of read are nested deeper than 64/,
    ],
    [
      'twice-one-id',
      [
        { name: 'ls', args: {}, id: 'same' },
        { name: 'nothing', args: {}, id: 'same' },
      ],
      /There is no tool "nothing"/,
    ],
  ])('%s', async ([word, toolCalls, answer], { expect }) => {
    const seen: ProviderRequest[] = []
    mood.set(word, request => {
      seen.push(request)
      return seen.length === 1 ? { toolCalls: toolCalls! } : { text: 'I see.' }
    })
    expect(await say(word)).toMatchObject({ status: 'ok', text: 'I see.' })
    expect(seen).toHaveLength(2)
    expect(seen[1]!.results).toHaveLength(toolCalls!.length)
    expect(seen[1]!.results.map(result => result.text).join('\n')).toMatch(answer)
    await goesOn(word)
  })
})

test('after all that the gateway is the same process, in bounded memory, and has lost nothing', async () => {
  expect(await client.request('health', {})).toMatchObject({ ok: true, problems: [] })
  expect(await client.request('status', {})).toMatchObject({ pid: gateway.pid, tasks: { active: 0 } })
  const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))![1]) / 1024
  // An answer of 32 MB is let in at the most; what is slow to be collected on a busy machine counts as well.
  expect(peak).toBeLessThan(512)
  expect(gateway.said()).not.toMatch(/k-1234567890|INTERNAL|TypeError/)
})
