/**
 * The outbox through hundreds of deaths: at every point around a send, and at random moments, with a service that is
 * slow and refuses some besides. Nothing is lost, the order of a chat stays, nothing is seen twice where the service has a key
 * or a look-up, and elsewhere every repeat is marked.
 *
 * A seed is the whole list of deaths. `DEPUTY_SEED=7,8` plays those; DEPUTY_LONG=1 plays many more.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { apply } from '../../src/store/apply.ts'
import { openStore } from '../../src/store/open.ts'
import { tempDir } from '../support/temp.ts'
import { random } from './kills.ts'
import { account, growing, messages } from './outbox-jobs.ts'

const root = resolve(import.meta.dirname, '../..')
const long = process.env['DEPUTY_LONG'] === '1'
const given = process.env['DEPUTY_SEED']?.split(',').map(Number)
const seeds = given ?? Array.from({ length: long ? 12 : 1 }, (_, i) => i + 1)
const kinds = ['keyed', 'lookup', 'neither'] as const

const points = ['sending', 'sent']
  .flatMap(name => ['before', 'after', 'resolve'].map(point => `${name}:${point}`))
  .concat('send:before', 'send:after')

interface Shown {
  key: string
  chat: string
  text: string
  marked: boolean
}

async function openService(keyed: boolean, next: () => number) {
  const shown: Shown[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Shown & { edit: string | null }
    if (request.url === '/lookup') {
      const at = shown.findIndex(({ key }) => key === body.key)
      response.end(JSON.stringify({ id: at < 0 ? null : String(at) }))
      return
    }
    const fault = next()
    if (fault < 0.05) {
      response.writeHead(429).end()
      return
    }
    await sleep(Math.floor(next() * 10))
    const before = body.edit ? Number(body.edit) : keyed ? shown.findIndex(({ key }) => key === body.key) : -1
    if (body.edit) shown[before]!.text = body.text
    const id = before >= 0 ? before : shown.push(body) - 1
    response.end(JSON.stringify({ id: String(id) }))
  })
  await new Promise<void>(ready => server.listen(0, '127.0.0.1', ready))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { shown, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function fill(dir: string): Promise<void> {
  const store = await openStore({ dir, log: () => undefined })
  for (const { key, chat, parts } of messages) {
    const route = { channel: 'fake', account, to: chat }
    const put = { do: 'outbox.put', session: 's', run: null, key, route, content: { text: parts.join('\n') } } as const
    await store.write('accept', tx => apply(tx, [{ ...put, at: Date.now() }]))
  }
  await store.close()
}

/** What is wrong with what people see; empty when nothing is. */
function wrong(shown: readonly Shown[], exact: boolean): string[] {
  const found: string[] = []
  const wanted = [
    ...messages.flatMap(({ chat, parts }) => parts.map(text => ({ chat, text }))),
    ...growing.map(({ chat, words }) => ({ chat, text: words })),
  ]
  for (const { chat, text } of wanted) {
    const seen = shown.filter(one => one.chat === chat && one.text === text)
    if (seen.length === 0) found.push(`lost: ${text}`)
    if (exact && seen.length > 1) found.push(`twice: ${text}`)
    if (seen.slice(1).some(one => !one.marked)) found.push(`a repeat is not marked: ${text}`)
  }
  for (const chat of new Set(wanted.map(one => one.chat))) {
    const order = wanted.filter(one => one.chat === chat).map(one => one.text)
    const first = order.map(text => shown.findIndex(one => one.chat === chat && one.text === text))
    if (first.some((at, i) => i > 0 && at < first[i - 1]!)) found.push(`out of order in ${chat}`)
  }
  for (const { chat, words } of growing) {
    const begun = shown.some(one => one.chat === chat && one.text !== words)
    const whole = shown.filter(one => one.chat === chat && one.text === words)
    if (begun && exact) found.push(`a beginning was left behind: ${words}`)
    else if (begun && whole.some(one => !one.marked)) found.push(`the beginning stands beside unmarked words: ${words}`)
  }
  return found
}

test('what people see is told from what they should: losses, repeats and disorder are found', () => {
  const good = [
    ...messages.flatMap(({ key, chat, parts }) => parts.map(text => ({ key, chat, text, marked: false }))),
    ...growing.map(({ run, chat, words }) => ({ key: run, chat, text: words, marked: false })),
  ]
  expect(wrong(good, true)).toEqual([])
  expect(wrong(good.slice(1), true)).toEqual(['lost: m0 part 0'])
  expect(wrong([...good, good[0]!], true)).toEqual(['twice: m0 part 0', 'a repeat is not marked: m0 part 0'])
  expect(wrong([...good, { ...good[0]!, marked: true }], false)).toEqual([])
  expect(wrong([...good.slice(1), good[0]!], true)).toEqual(['out of order in chat 0'])
  const begun = { ...good.at(-1)!, text: 'The words' }
  expect(wrong([begun, ...good], false)).toEqual([expect.stringContaining('the beginning stands beside')])
  expect(wrong([begun, ...good], true)).toEqual([expect.stringContaining('a beginning was left behind')])
})

for (const seed of seeds)
  test.each(kinds)(`deaths around sends to a service with %s, seed ${seed}`, { timeout: 300_000 }, async kind => {
    const next = random(seed * 10 + kinds.indexOf(kind))
    const dir = tempDir()
    await fill(dir)
    const service = await openService(kind === 'keyed', next)
    const deaths: string[] = []
    const life = (crash?: string): { child: ChildProcess; end: Promise<string> } => {
      const child = spawn(
        join(root, 'node_modules/.bin/node'),
        [join(root, 'test/crash/outbox-child.ts'), dir, service.url, kind],
        { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...(crash && { DEPUTY_CRASH: crash }) } },
      )
      return { child, end: new Promise(ended => child.once('exit', (code, signal) => ended(signal ?? `exit ${code}`))) }
    }
    // The first lives end at a named point each, some at a moment; the last one ends by itself.
    for (let i = 0; i < (long ? 14 : 9); i++) {
      const point = i % 4 === 3 ? null : `${points[Math.floor(next() * points.length)]}:${1 + Math.floor(next() * 4)}`
      const { child, end } = life(point ?? undefined)
      if (point === null) {
        await sleep(150 + next() * 250)
        child.kill('SIGKILL')
      }
      const how = await end
      expect(['SIGKILL', 'exit 0']).toContain(how)
      if (how === 'SIGKILL') deaths.push(point ?? 'at a moment')
    }
    expect(await life().end).toBe('exit 0')
    expect(deaths.length, deaths.join()).toBeGreaterThan(4)
    expect(wrong(service.shown, kind !== 'neither'), `seed ${seed}: ${deaths.join(', ')}`).toEqual([])
    if (process.env['DEPUTY_TEST_LOG']) console.error(`${kind} ${seed}: ${deaths.length} deaths`)
  })
