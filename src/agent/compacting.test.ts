import { afterEach, expect, test } from 'vitest'
import {
  firstText,
  type HouseSetup,
  lastText,
  openTestHouse,
  type Said,
  type TestHouse,
} from '../../test/support/house.ts'
import type { ModelFailure, ModelRequest } from '../core/ports.ts'
import { messageOf, stepOf, viewOf } from '../store/facts.ts'
import { shownBy } from '../store/shown.ts'
import { modelMessages } from './context.ts'

let open: TestHouse | null = null
afterEach(async () => {
  await open?.close()
  open = null
})

/** A prompt that asks for a summary; everything else is a turn. */
const isSummary = (request: ModelRequest) => request.system.startsWith('You write summaries')
const long = (name: string, n = 2000) => `${name} ${'word '.repeat(n)}`

async function house(setup: Partial<HouseSetup> & { turn?: HouseSetup['script']; summary?: (n: number) => Said }) {
  let summaries = 0
  const { turn = () => ({ text: long('answer', 400) }), summary = n => ({ text: `summary ${n}` }), ...more } = setup
  open = await openTestHouse({
    contextWindow: 20_000,
    compaction: { keepRecentTokens: 3000 },
    ...more,
    script: (request, n) => (isSummary(request) ? summary(++summaries) : turn(request, n)),
  })
  return open
}

const tooLong: ModelFailure = {
  class: 'context_length',
  code: 'MODEL_CONTEXT',
  message: 'prompt is too long',
  fix: 'Shorten it.',
  provider: 'test',
  model: 'model',
}

async function talk(test: TestHouse, times: number, words = (i: number) => long(`question ${i}`)): Promise<void> {
  for (let i = 1; i <= times; i++) {
    const end = await test.done((await test.say(words(i))).run)
    expect(end).toMatchObject({ outcome: 'succeeded', error: null })
  }
}

const rows = (test: TestHouse, table: 'views' | 'usage' | 'messages' | 'steps' | 'sessions') =>
  test.store.read.selectFrom(table).selectAll().execute() as Promise<Record<string, unknown>[]>

test('a conversation that nears the window is shortened by a paid step, and all of it is kept', async () => {
  const test = await house({})
  await talk(test, 10)
  const views = await rows(test, 'views')
  expect(views.length).toBeGreaterThan(1)
  // Each stands for more than the one before, and names it.
  expect(views.map(view => view['base'])).toEqual([null, ...views.slice(0, -1).map(view => view['id'])])
  const places = views.map(view => Number(view['after']))
  expect(places).toEqual([...places].sort((a, b) => a - b))
  const last = test.requests.findLast(request => !isSummary(request))!
  expect(firstText(last)).toContain(`summary ${views.length}`)
  expect(firstText(last)).not.toContain('question 1 ')
  expect(lastText(last)).toContain('question 10')
  expect(JSON.stringify(last.messages).length).toBeLessThan(20_000 * 4)
  expect((await rows(test, 'messages')).length).toBe(20)
  const steps = (await rows(test, 'steps')).filter(step => step['kind'] === 'compact')
  expect(steps.length).toBe(views.length)
  const paid = (await rows(test, 'usage')).filter(row =>
    steps.some(s => s['run'] === row['run'] && s['n'] === row['step']),
  )
  expect(paid.map(row => [row['state'], row['charged_nano']])).toEqual(steps.map(() => ['settled', 120_000]))
})

test('the task at hand and the sub-agents at work stay word for word, and no call is cut off from its result', async () => {
  let worker: (value: unknown) => void = () => undefined
  const busy = new Promise(resolve => (worker = resolve))
  let asked = 0
  const test = await house({
    turn(request) {
      if (firstText(request).startsWith('count the sheep')) return { text: 'seven', wait: busy }
      asked += 1
      if (asked === 1)
        return { text: 'on it', calls: [{ name: 'sessions_spawn', args: { task: 'count the sheep', label: 'sheep' } }] }
      if (asked < 12) return { text: long(`thought ${asked}`), calls: [{ name: 'ls', args: { path: '.' } }] }
      if (asked === 12) worker(null)
      return { text: 'done' }
    },
  })
  const { run } = await test.say('Find out EXACTLY how many sheep there are')
  expect(await test.done(run)).toMatchObject({ outcome: 'succeeded' })
  const after = test.requests.filter(request => !isSummary(request) && firstText(request).includes('summary 1'))
  expect(after.length).toBeGreaterThan(0)
  for (const request of after) {
    expect(firstText(request)).toContain('Find out EXACTLY how many sheep there are')
    const owed = new Set<string>()
    for (const message of request.messages) {
      if (message.role === 'tool') expect(owed.delete(message.callId)).toBe(true)
      for (const part of message.parts) if (part.type === 'toolCall') owed.add(part.id)
      if (message.role === 'tool') expect(JSON.stringify(message.parts)).not.toContain('was cancelled')
    }
    expect(owed.size).toBe(0)
  }
  expect(firstText(after[0]!)).toMatch(/Sub-agents at work[\s\S]*sheep[\s\S]*count the sheep/)
})

test('what a provider refuses as too long is shortened and asked again', async () => {
  const test = await house({
    contextWindow: 1_000_000,
    turn: request =>
      JSON.stringify(request.messages).length > 60_000 ? { fail: tooLong } : { text: long('answer', 100) },
  })
  await talk(test, 8)
  const views = await rows(test, 'views')
  expect(views.map(view => view['why'])).toContain('provider')
  const failed = (await rows(test, 'steps')).filter(step => step['state'] === 'cancelled')
  expect(failed.length).toBe(views.length)
  const open = (await rows(test, 'usage')).filter(row => row['state'] !== 'settled')
  expect(open).toEqual([])
})

test('a message that alone is too long ends its run, and is asked no more', async () => {
  const test = await house({ contextWindow: 1_000_000, turn: () => ({ fail: tooLong }) })
  const end = await test.done((await test.say('hello')).run)
  expect(end).toMatchObject({ outcome: 'failed', error: expect.stringContaining('too long') })
  expect(test.requests.length).toBe(1)
})

test.each([
  ['is empty', { text: '' }, 'gave no summary'],
  ['was cut off', { text: 'half a', stop: 'length' as const }, 'did not come to an end'],
  ['is no shorter', { text: long('', 30_000) }, 'no shorter'],
])('a summary that %s is an error, and the conversation stays as it was', async (_, said, words) => {
  let good = false
  const test = await house({ summary: () => (good ? { text: 'short' } : said) })
  let failed: string | null = null
  for (let i = 1; i <= 10 && failed === null; i++)
    failed = (await test.done((await test.say(long(`q ${i}`))).run)).error
  expect(failed).toContain('the conversation could not be shortened')
  expect(failed).toContain(words)
  expect(await rows(test, 'views')).toEqual([])
  expect((await rows(test, 'usage')).filter(row => row['state'] !== 'settled')).toEqual([])
  good = true
  expect(await test.done((await test.say('again')).run)).toMatchObject({ outcome: 'succeeded' })
})

test('a crash in the middle asks again under another attempt of the ledger, and shows one summary', async () => {
  let calls = 0
  let begun: (value: unknown) => void = () => undefined
  const first = new Promise(resolve => (begun = resolve))
  const test = await house({
    summary() {
      calls += 1
      if (calls > 1) return { text: 'whole summary' }
      begun(null)
      return { text: 'lost', wait: new Promise(() => undefined) }
    },
  })
  await talk(test, 4)
  const { run } = await test.say(long('question 5'))
  await first
  await test.crash()
  expect(await test.done(run)).toMatchObject({ outcome: 'succeeded' })
  expect((await rows(test, 'views')).map(view => view['summary'])).toEqual(['whole summary'])
  const [step] = (await rows(test, 'steps')).filter(row => row['kind'] === 'compact')
  const ledger = (await rows(test, 'usage')).filter(row => row['run'] === step!['run'] && row['step'] === step!['n'])
  expect(ledger.map(row => [row['attempt'], row['state']])).toEqual([
    [1, 'unknown'],
    [2, 'settled'],
  ])
  // The request was the same both times.
  const asked = test.requests.filter(isSummary)
  expect(asked[1]!.messages).toEqual(asked[0]!.messages)
})

test('by hand: with what to keep, by a run that asks its model nothing else; and back again', async () => {
  const test = await house({ contextWindow: 1_000_000 })
  await talk(test, 4)
  const before = test.requests.length
  const said = await test.say('/compact keep the names')
  expect(said.status).toBe('command')
  const answer = await test.house.history(said.session.id, { limit: 1 })
  expect(JSON.stringify(answer.messages[0]!.parts)).toMatch(
    /A summary stands for \d+ messages now[\s\S]*\/compact undo/,
  )
  expect(test.requests.length).toBe(before + 1)
  expect(lastText(test.requests.at(-1)!)).toContain('keep the names')
  await talk(test, 1, () => 'and now?')
  expect(firstText(test.requests.at(-1)!)).toContain('summary 1')
  await test.say('/compact undo')
  await talk(test, 1, () => 'and now again?')
  expect(firstText(test.requests.at(-1)!)).toContain('question 1')
  expect(lastText(test.requests.at(-1)!)).toBe('and now again?')
  const none = await test.say('/compact undo')
  const words = await test.house.history(none.session.id, { limit: 1 })
  expect(JSON.stringify(words.messages[0]!.parts)).toContain('Nothing was shortened here')
})

test('a wish for a short conversation changes nothing and asks no model', async () => {
  const test = await house({ contextWindow: 1_000_000, turn: () => ({ text: 'hi' }) })
  await talk(test, 1, () => 'hello')
  const wished = await test.house.compact({ principal: test.operator, sessionKey: 'main', idempotencyKey: 'k' })
  expect(await test.done(wished.run)).toMatchObject({
    outcome: 'succeeded',
    text: expect.stringContaining('short enough'),
  })
  expect(test.requests.length).toBe(1)
  expect(await rows(test, 'views')).toEqual([])
})

test('a wish that comes while the agent works is carried out once, before its next model call', async () => {
  let answer: (value: unknown) => void = () => undefined
  let reached: (value: unknown) => void = () => undefined
  const slow = new Promise(resolve => (answer = resolve))
  const there = new Promise(resolve => (reached = resolve))
  const test = await house({
    contextWindow: 1_000_000,
    turn(request) {
      if (lastText(request) !== 'slowly') return { text: long('answer', 400) }
      reached(null)
      return { text: 'hm', calls: [{ name: 'ls', args: {} }], wait: slow }
    },
  })
  await talk(test, 4)
  const { run } = await test.say('slowly')
  await there
  const wished = await test.house.compact({ principal: test.operator, sessionKey: 'main', idempotencyKey: 'k' })
  expect(wished).toMatchObject({ run, begun: false })
  answer(null)
  expect(await test.done(run)).toMatchObject({ outcome: 'succeeded' })
  expect(test.requests.filter(isSummary).length).toBe(1)
  expect(firstText(test.requests.at(-1)!)).toContain('summary 1')
  expect(firstText(test.requests.at(-1)!)).not.toContain('slowly')
})

test('with compaction switched off a conversation may be shortened by hand alone', async () => {
  const test = await house({ compaction: { enabled: false, keepRecentTokens: 3000 } })
  await talk(test, 5)
  expect(test.requests.some(isSummary)).toBe(false)
  await test.say('/compact')
  expect(test.requests.some(isSummary)).toBe(true)
})

test('what each model call was shown can be rebuilt from the rows, whatever was shortened since', async () => {
  const test = await house({
    turn: (request, n) =>
      n % 3 === 1 && request.messages.at(-1)?.role === 'user'
        ? { text: long('look', 300), calls: [{ name: 'ls', args: {} }] }
        : { text: long('answer', 400) },
  })
  await talk(test, 12)
  await test.say('/compact')
  await talk(test, 2)
  const { read } = test.store
  const messages = (await read.selectFrom('messages').selectAll().orderBy('seq').execute()).map(messageOf)
  const inbox = new Map((await read.selectFrom('inbox').selectAll().execute()).map(row => [row.id, row.seq]))
  const views = new Map((await read.selectFrom('views').selectAll().execute()).map(row => [row.id, viewOf(row)]))
  const steps = (await read.selectFrom('steps').selectAll().orderBy('started_at').orderBy('n').execute()).map(stepOf)
  const asked = test.requests.filter(request => !isSummary(request))
  const calls = steps.filter(step => step.kind === 'model').sort((a, b) => a.result!.seq! - b.result!.seq!)
  expect(calls.length).toBe(asked.length)
  expect(views.size).toBeGreaterThan(2)
  for (const [i, step] of calls.entries()) {
    if (step.intent.kind !== 'model') continue
    const view = step.intent.view === null ? null : views.get(step.intent.view)!
    const { summary, rows: shown } = shownBy(step, messages, view, inbox)
    const first = summary === null ? [] : [{ role: 'user' as const, parts: [{ type: 'text' as const, text: summary }] }]
    expect([...first, ...modelMessages(shown)]).toEqual(asked[i]!.messages)
  }
})
