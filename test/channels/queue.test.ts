/** A burst of messages over Telegram's own wire while the agent works, in each of the four modes (openclaw-facts.md §E4). */
import { expect, onTestFinished, test } from 'vitest'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openApp } from '../../src/app.ts'
import { connect } from '../../src/client/connect.ts'
import { until } from '../support/app.ts'
import { stubConfig } from '../support/gateway.ts'
import { type ProviderRequest, startProvider } from '../support/provider.ts'
import { openTelegram } from '../support/telegram/service.ts'

/** What people said, as a call of the model shows it. */
const saidIn = ({ turns }: ProviderRequest): string[] =>
  turns
    .filter(({ role }) => role === 'user')
    .flatMap(({ text }) => /^(?:one|two|three|four)$/gm[Symbol.match](text) ?? [])

async function open(messages: Record<string, unknown>) {
  const service = await openTelegram()
  const gate = Promise.withResolvers<void>()
  const calls: string[][] = []
  const provider = await startProvider({
    async script(request) {
      const said = saidIn(request)
      calls.push(said)
      if (calls.length === 1) await Promise.race([gate.promise, request.left])
      return { text: `heard ${said.join(' ')}` }
    },
  })
  const { world } = service
  const ann = world.user(21, 'Ann')
  const telegram = { botToken: service.token, apiRoot: service.url, dmPolicy: 'allowlist', allowFrom: [ann.id] }
  const block = { ...telegram, streaming: { mode: 'off' } }
  const home = mkdtempSync(join(tmpdir(), 'deputy-queue-'))
  const config = stubConfig(provider.baseUrl, { channels: { telegram: block }, messages })
  writeFileSync(join(home, 'deputy.json'), JSON.stringify(config), { mode: 0o600 })
  const app = await openApp({ home, env: {}, log: () => undefined, tcp: false, version: '9.9.9' })
  const client = await connect({ socketPath: app.ready.socket })
  onTestFinished(async () => {
    gate.resolve()
    client.close()
    await app.stop()
    await provider.close()
    await service.close()
    rmSync(home, { recursive: true, force: true })
  })
  return {
    calls,
    gate,
    seen: () => world.byBot(ann.id).map(({ text }) => text),
    say: (text: string) => void world.say(ann, text),
    until: (so: () => boolean) => until(so, Boolean),
    taken: () =>
      until(
        () => world.updates.length,
        left => left === 0,
      ),
    async runs(): Promise<number> {
      return (await client.request('runs.list', {})).runs.length
    },
  }
}

test.each([
  ['steer', [['one'], ['one', 'two', 'three', 'four']], ['heard one', 'heard one two three four'], 1],
  [
    'followup',
    [['one'], ['one', 'two'], ['one', 'two', 'three'], ['one', 'two', 'three', 'four']],
    ['heard one', 'heard one two', 'heard one two three', 'heard one two three four'],
    4,
  ],
  ['collect', [['one'], ['one', 'two', 'three', 'four']], ['heard one', 'heard one two three four'], 2],
])('%s: what three more messages make of a turn', async (mode, calls, seen, runs) => {
  const it = await open({ queue: { mode } })
  it.say('one')
  await it.until(() => it.calls.length === 1)
  for (const text of ['two', 'three', 'four']) it.say(text)
  await it.taken()
  expect(it.calls).toHaveLength(1)
  it.gate.resolve()
  await it.until(() => it.seen().length === seen.length)
  expect(it.calls).toEqual(calls)
  expect(it.seen()).toEqual(seen)
  expect(await it.runs()).toBe(runs)
})

test('interrupt: the call that is at work is broken off, and the answer is to all that was said', async () => {
  const it = await open({ queue: { mode: 'interrupt' } })
  it.say('one')
  await it.until(() => it.calls.length === 1)
  for (const text of ['two', 'three', 'four']) it.say(text)
  await it.taken()
  await it.until(() => it.seen().at(-1) === 'heard one two three four')
  // Nobody let the first call go on: its words were never said.
  expect(it.seen()).not.toContain('heard one')
  expect(it.calls.at(-1)).toEqual(['one', 'two', 'three', 'four'])
  expect(await it.runs()).toBe(1)
})

test.each(['followup', 'collect'])(
  '%s: words that follow each other soon are one turn, while nobody has begun to read them',
  async mode => {
    const it = await open({ queue: { mode }, inbound: { debounceMs: 400 } })
    it.gate.resolve()
    for (const text of ['one', 'two', 'three']) it.say(text)
    await it.until(() => it.seen().length > 0)
    expect(it.calls).toEqual([['one', 'two', 'three']])
    expect(it.seen()).toEqual(['heard one two three'])
    expect(await it.runs()).toBe(1)
  },
)
