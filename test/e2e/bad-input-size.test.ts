/**
 * Too much of everything on the real process: messages of ten megabytes by every door, frames beyond the limit, tools that
 * put out a hundred megabytes. Each is refused or cut with the words that say so; nobody else notices, memory stays bounded.
 */
import { once } from 'node:events'
import { createWriteStream, readFileSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Client, connect } from '../../src/client/connect.ts'
import { type GatewayProcess, openGateways, stubConfig } from '../support/gateway.ts'
import { type Provider, startProvider } from '../support/provider.ts'

const gateways = openGateways()
const megabytes = 1_000_000
const token = 'a-token-for-tests-0123456789'
let provider: Provider
let gateway: GatewayProcess
let client: Client
beforeAll(async () => {
  // The first word names the tool, the rest are its arguments; what comes of it is told by its length, start and end.
  provider = await startProvider({
    script({ user, results }) {
      const [result] = results
      if (result) return { text: `${result.text.length} ${result.text.slice(0, 40)} … ${result.text.slice(-200)}` }
      const call = /^(\w+) (\{.*\})$/.exec(user)
      return call ? { toolCalls: [{ name: call[1]!, args: call[2]! }] } : { text: `${user.length} letters` }
    },
  })
  const config = stubConfig(provider.baseUrl, {
    gateway: { port: 0, auth: { token } },
    tools: { exec: { sandbox: 'off', timeoutSeconds: 60 } },
  })
  gateway = await gateways.start(gateways.home(config))
  client = await gateway.client()
})
afterAll(() => provider.close())

const peakMb = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))![1]) / 1024

describe('a message of ten megabytes', () => {
  const text = 'x'.repeat(10 * megabytes)
  const refusal = {
    code: 'MESSAGE_TOO_LARGE',
    message: 'The message has 10000000 bytes; at most 1000000 fit into one.',
    fix: expect.stringContaining('file of the workspace'),
    details: expect.objectContaining({ bytes: 10 * megabytes, limit: megabytes }),
  }

  test.each(['unix socket', 'WebSocket'])('is refused over the %s, and the connection goes on', async door => {
    const line = door === 'unix socket' ? client : await connect({ url: `ws${gateway.url!.slice(4)}`, token })
    for (const [method, params] of [
      ['agent', { message: text, idempotencyKey: 'k1' }],
      ['chat.send', { message: text, idempotencyKey: 'k2', sessionKey: 'main' }],
      ['runs.spawn', { agent: 'main', task: text, idempotencyKey: 'k3' }],
    ] as const)
      await expect(line.call(method, params)).rejects.toMatchObject(refusal)
    const { runs } = await line.request('runs.list', {})
    expect(runs.filter(run => run.task.startsWith('xx'))).toEqual([])
    if (line !== client) line.close()
  })

  test('as an attached file too', async () => {
    const attachments = [{ mimeType: 'text/plain', content: Buffer.from(text).toString('base64') }]
    const sent = client.call('chat.send', { message: 'see', idempotencyKey: 'k4', sessionKey: 'main', attachments })
    await expect(sent).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
  })

  test('typed into deputy chat', async () => {
    const { out, err } = await gateways.run(gateway.home, ['chat'], `${text}\nhello\n`)
    expect(out + err).toContain('at most 1000000 fit into one')
    expect(out).toContain('5 letters')
  })

  test('the longest that is allowed arrives whole', async () => {
    const longest = 'y'.repeat(megabytes)
    expect(await gateway.say(longest)).toMatchObject({ status: 'ok', text: '1000000 letters' })
    expect(provider.requests.at(-1)!.user === longest).toBe(true)
  })
})

test('a frame beyond the limit ends its connection, with the code for it, and no other', async () => {
  const frame = { message: 'x'.repeat(30 * megabytes), idempotencyKey: 'k5' }
  for (const line of [await gateway.client(), await connect({ url: `ws${gateway.url!.slice(4)}`, token })]) {
    const sent = line.call('agent', frame).catch((error: unknown) => error)
    expect(await line.closed).toMatchObject({ code: 1009 })
    expect(await sent).toMatchObject({ code: 'GATEWAY_UNREACHABLE', details: { closeCode: 1009 } })
  }
  expect(await client.request('health', {})).toMatchObject({ ok: true })
})

describe('a hundred megabytes out of a tool', () => {
  beforeAll(async () => {
    const workspace = join(gateway.home, 'workspace')
    await mkdir(workspace, { recursive: true })
    const file = createWriteStream(join(workspace, 'big.txt'))
    const line = Buffer.from(`${'z'.repeat(megabytes - 1)}\n`)
    for (let n = 0; n < 100; n++) if (!file.write(line)) await once(file, 'drain')
    file.end()
    await finished(file)
  })

  test.each<[string, object, RegExp]>([
    ['exec', { command: 'head -c 100000000 /dev/zero | tr "\\\\0" x' }, /^\d{5,6} x{40} … x+\n\[exit 0, \d+ ms\]$/],
    ['exec', { command: 'cat big.txt >&2; exit 3' }, /^\d{5,6} z{40} … z+\n+\[exit 3, \d+ ms\]$/],
    ['read', { path: 'big.txt' }, /^\d{5} z{40} … .*Line 1 is longer than a page/s],
    ['grep', { pattern: 'z', path: 'big.txt' }, /^\d{2,5} .*/s],
  ])('%s %j', async (tool, args, answer) => {
    const beside = gateway.say('hello', { sessionKey: 'agent:main:beside' })
    const end = await gateway.say(`${tool} ${JSON.stringify(args)}`, { sessionKey: `agent:main:${tool}` })
    expect(end).toMatchObject({ status: 'ok' })
    expect(end.text).toMatch(answer)
    expect(await beside).toMatchObject({ status: 'ok', text: '5 letters' })
  })

  test('and a run whose command never stops talking can be cancelled', async () => {
    const ended = gateway.say('exec {"command":"yes"}', { sessionKey: 'agent:main:yes' })
    for (let at = ''; at !== 'exec'; await new Promise(resolve => setTimeout(resolve, 20))) {
      const { runs } = await client.request('runs.list', { sessionKey: 'agent:main:yes' }).catch(() => ({ runs: [] }))
      if (runs[0]) at = (await client.request('runs.log', { run: runs[0].run })).steps.at(-1)?.name ?? ''
    }
    await client.request('runs.cancel', { sessionKey: 'agent:main:yes' })
    expect(await ended).toMatchObject({ outcome: 'cancelled' })
  })
})

test('after all that the gateway is the same process, in bounded memory, and its database is small', async () => {
  expect(await client.request('status', {})).toMatchObject({ pid: gateway.pid, tasks: { active: 0 } })
  expect(peakMb()).toBeLessThan(450)
  expect((await stat(join(gateway.home, 'deputy.sqlite'))).size).toBeLessThan(4 * megabytes)
  expect(gateway.said()).not.toMatch(/INTERNAL|TypeError/)
})
