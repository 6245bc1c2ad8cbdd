import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hear, request, stubModels } from '../../test/support/models.ts'
import { childResult } from '../agent/context.ts'
import { summaryRequest } from '../agent/summary.ts'
import type { ModelMessage } from '../core/ports.ts'
import type { ChildEnd, Message, Part } from '../core/types.ts'
import { viewWords } from '../core/view.ts'

const { models } = stubModels([])

const text = (words: string): Part[] => [{ type: 'text', text: words }]
const user = (words: string): ModelMessage => ({ role: 'user', parts: text(words) })

function result(callId: string, name: string, words: string, isError = false): ModelMessage {
  return { role: 'tool', callId, name, parts: text(words), isError }
}

function child(
  agent: string,
  label: string,
  words: string,
  outcome: ChildEnd['outcome'] = 'succeeded',
  error: string | null = null,
): ModelMessage {
  const end: ChildEnd = {
    run: 'r1',
    sessionKey: `agent:${agent}:subagent:1`,
    agent,
    label,
    task: '',
    outcome,
    error,
    runtimeMs: 12,
    spent: { nano: 0, tokens: 0, calls: 1 },
  }
  return user(childResult(end, words))
}

const ask = (messages: readonly ModelMessage[], more = {}) =>
  hear(models, request('rehearsal/rehearsal', { messages, ...more }))

/** Adds the reply to a call and the results of its calls. */
async function step(messages: ModelMessage[], answers: (name: string, args: Record<string, unknown>) => string) {
  const heard = await ask(messages)
  messages.push({ role: 'assistant', parts: heard.end!.parts })
  for (const { id, name, args } of heard.calls) messages.push(result(id, name, answers(name, JSON.parse(args))))
  return heard
}

test('it says what it is, what was not understood, and how to set a real model', async () => {
  const heard = await ask([user('What is the capital of France?')])
  expect(heard.text).toContain('not a language model')
  expect(heard.text).toContain("I don't understand: What is the capital of France?")
  expect(heard.text).toContain('delegate to <agent>: <task>')
  expect(heard.text).toContain('ANTHROPIC_API_KEY')
  expect(heard.calls).toEqual([])
  expect(heard.end).toMatchObject({ stop: 'stop', costNano: 0 })
  expect(heard.end!.usage.input).toBeGreaterThan(0)
  expect(heard.end!.usage.output).toBeGreaterThan(50)
})

test('help lists the commands without a complaint', async () => {
  const { text: words } = await ask([user('Help!')])
  expect(words).toContain('count <pattern> in <file>')
  expect(words).not.toContain("don't understand")
})

test('commands run step by step, and the answer has what came of each', async () => {
  const messages = [
    user('read a.txt\ncount ERROR in b.log\nsay in between\nrun date\nsearch x in b.log\nlist .\nwrite c.txt: hi'),
  ]
  const seen: [string, unknown][] = []
  const answers: Record<string, string> = {
    read: 'alpha\nbeta\n',
    exec: 'Sunday',
    ls: 'a.txt',
    write: 'Wrote 3 bytes.',
  }
  let last = ''
  for (let n = 0; n < 8 && !last; n += 1) {
    const heard = await step(messages, (name, args) => {
      seen.push([name, args])
      if (name === 'grep')
        return args['count'] ? 'b.log: 12\n[12 matching lines in 1 of 1 files searched.]' : 'b.log:3: x'
      return answers[name]!
    })
    if (heard.calls.length === 0) last = heard.text
    else expect(heard.calls.length).toBe(1)
  }
  expect(seen).toEqual([
    ['read', { path: 'a.txt' }],
    ['grep', { pattern: 'ERROR', path: 'b.log', count: true }],
    ['exec', { command: 'date' }],
    ['grep', { pattern: 'x', path: 'b.log' }],
    ['ls', { path: '.' }],
    ['write', { path: 'c.txt', content: 'hi\n' }],
  ])
  expect(last).toBe(
    [
      'read a.txt:\nalpha\nbeta',
      'count ERROR in b.log: 12',
      'in between',
      'run date:\nSunday',
      'search x in b.log:\nb.log:3: x',
      'list .:\na.txt',
      'write c.txt:\nWrote 3 bytes.',
    ].join('\n\n'),
  )
})

test('a tool that failed is told as such, and the rest goes on', async () => {
  const messages = [user('read gone.txt\nsay still here')]
  const { calls, end } = await ask(messages)
  messages.push({ role: 'assistant', parts: end!.parts }, result(calls[0]!.id, 'read', 'no such file', true))
  expect((await ask(messages)).text).toBe('read gone.txt: failed\n> no such file\n\nstill here')
})

describe('delegation', () => {
  const task =
    'delegate to extractor: count ERROR in api.log\ndelegate to extractor as notes:\n  read monday.md\n  say done\nsay merged'
  const receipt = (agent: string) =>
    JSON.stringify({ status: 'accepted', childSessionKey: `agent:${agent}:subagent:9` })

  test('delegations that follow each other leave in one reply', async () => {
    const { calls, end } = await ask([user(task)])
    expect(calls.map(call => [call.name, JSON.parse(call.args)])).toEqual([
      ['sessions_spawn', { agentId: 'extractor', label: 'count ERROR in api.log', task: 'count ERROR in api.log' }],
      ['sessions_spawn', { agentId: 'extractor', label: 'notes', task: 'read monday.md\nsay done' }],
    ])
    expect(new Set(calls.map(call => call.id)).size).toBe(2)
    expect(end?.stop).toBe('toolUse')
  })

  test('interim words while children work, then the merged answer in the order of the task', async () => {
    const messages = [user(task)]
    await step(messages, () => receipt('extractor'))
    expect((await step(messages, () => '')).text).toBe('Waiting for 2 sub-agents: "count ERROR in api.log", "notes".')
    messages.push(child('extractor', 'notes', 'read monday.md:\nall quiet'))
    expect((await ask(messages)).text).toBe('Waiting for 1 sub-agent: "count ERROR in api.log".')
    messages.push(child('extractor', 'count ERROR in api.log', 'count ERROR in api.log: 7'))
    expect((await ask(messages)).text).toBe(
      [
        'count ERROR in api.log (extractor) — completed\n> count ERROR in api.log: 7',
        'notes (extractor) — completed\n> read monday.md:\n> all quiet',
        'merged',
      ].join('\n\n'),
    )
  })

  test('a child that failed and one that was refused are named with the reason', async () => {
    const messages = [user('delegate to a: fail on purpose\ndelegate to b: say x')]
    const { calls, end } = await ask(messages)
    messages.push({ role: 'assistant', parts: end!.parts })
    messages.push(result(calls[0]!.id, 'sessions_spawn', receipt('a')))
    messages.push(
      result(calls[1]!.id, 'sessions_spawn', JSON.stringify({ status: 'forbidden', error: 'b may not be spawned' })),
    )
    messages.push(child('a', 'fail on purpose', '', 'failed', 'told to [fail] · twice'))
    const { text: words } = await ask(messages)
    expect(words).toContain('fail on purpose (a) — ')
    expect(words).toContain('twice')
    expect(words).toContain('say x (b) — not started\n> {"status":"forbidden"')
  })

  test('an agent that was not named is the one of the receipt', async () => {
    const messages = [user('delegate: say x')]
    const { calls } = await step(messages, () => receipt('main'))
    expect(JSON.parse(calls[0]!.args)).toEqual({ label: 'say x', task: 'say x' })
    messages.push(child('main', 'say x', 'x'))
    expect((await ask(messages)).text).toBe('say x — completed\n> x')
  })

  test('wait is a yield', async () => {
    const messages = [user('delegate to a: say x\nwait\nsay after')]
    await step(messages, () => receipt('a'))
    const { calls } = await step(messages, () => '{"status":"yielded"}')
    expect(calls.map(call => call.name)).toEqual(['sessions_yield'])
    messages.push(child('a', 'say x', 'x'))
    expect((await ask(messages)).text).toBe('say x (a) — completed\n> x\n\nafter')
  })

  test('a new message is a new task; a late result of the old one is still told', async () => {
    const messages = [user('delegate to a: say x')]
    await step(messages, () => receipt('a'))
    await step(messages, () => '')
    messages.push(user('say hello'))
    const heard = await ask(messages)
    expect(heard.text).toBe('hello')
    messages.push({ role: 'assistant', parts: heard.end!.parts }, child('a', 'say x', 'x'))
    expect((await ask(messages)).text).toBe('hello\n\na · say x — completed\n> x')
  })
})

test('messages that came together are one task', async () => {
  expect((await ask([user('say one'), user('say two')])).text).toBe('one\n\ntwo')
})

test('fail fails', async () => {
  const { failure } = await ask([user('fail the disk is on fire')])
  expect(failure).toMatchObject({ class: 'refusal', code: 'MODEL_REFUSAL', costNano: 0 })
  expect(failure?.message).toContain('the disk is on fire')
})

test('sleep delays the reply it stands before, and an abort ends it', async () => {
  const before = performance.now()
  expect((await ask([user('sleep 30\nsay later')])).text).toBe('later')
  expect(performance.now() - before).toBeGreaterThanOrEqual(29)
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 10)
  const { failure } = await ask([user('sleep 60000\nsay never')], { signal: controller.signal })
  expect(failure?.class).toBe('aborted')
})

test('an answer that is longer than allowed is cut', async () => {
  const { end, text: words } = await ask([user(`say ${'long '.repeat(100)}`)], { maxTokens: 10 })
  expect(end?.stop).toBe('length')
  expect(words.length).toBe(40)
})

/** A machine in little: carries programs out, children first or last, and forgets everything between two calls. */
async function carryOut(task: string, pick: () => number): Promise<{ words: string; spawned: number }> {
  const messages = [user(task)]
  const live: { agent: string; label: string; task: string }[] = []
  let spawned = 0
  for (;;) {
    const heard = await ask(structuredClone(messages))
    const again = await ask(structuredClone(messages))
    expect(again.events).toEqual(heard.events)
    messages.push({ role: 'assistant', parts: heard.end!.parts })
    for (const { id, name, args } of heard.calls) {
      const given = JSON.parse(args)
      if (name === 'sessions_spawn') {
        live.push({ agent: given.agentId, label: given.label, task: given.task })
        spawned += 1
      }
      messages.push(result(id, name, name === 'sessions_spawn' ? '{"status":"accepted"}' : `result of ${name}`))
    }
    if (heard.calls.length > 0 && pick() % 2 === 0) continue
    const [done] = live.splice(pick() % Math.max(1, live.length), 1)
    if (!done && heard.calls.length === 0) return { words: heard.text, spawned }
    if (!done) continue
    const inner = await carryOut(done.task, pick)
    spawned += inner.spawned
    messages.push(child(done.agent, done.label, inner.words))
  }
}

test('every word of every child arrives once, in whatever order the children end', async () => {
  const { program } = fc.letrec<{ program: readonly string[]; line: readonly string[] }>(tie => ({
    line: fc.oneof(
      { maxDepth: 2 },
      fc.constantFrom<readonly string[]>(['say @'], ['read a.txt'], ['wait'], ['say @', 'read b.txt']),
      tie('program').map(lines => ['delegate to helper:', ...lines.map(line => `  ${line}`)]),
    ),
    program: fc.array(tie('line'), { minLength: 1, maxLength: 4 }).map(lines => lines.flat()),
  }))
  await fc.assert(
    fc.asyncProperty(program, fc.array(fc.nat(), { minLength: 1, maxLength: 20 }), async (lines, picks) => {
      const tokens = lines.filter(line => line.includes('@')).length
      const task = lines
        .map((line, n) => line.replace('@', `token-${lines.slice(0, n).filter(one => one.includes('@')).length}-end`))
        .join('\n')
      const rest = [...picks]
      const pick = () => {
        rest.push(rest.shift()!)
        return rest[0]!
      }
      const { words, spawned } = await carryOut(task, pick)
      // A label repeats the first line of a task, so the token is looked for where it is said.
      const said = words.split('\n').map(line => line.replace(/^(> )*/, ''))
      for (let n = 0; n < tokens; n += 1) expect(said.filter(line => line === `token-${n}-end`).length, task).toBe(1)
      expect(spawned).toBe(lines.filter(line => line.trim().startsWith('delegate')).length)
      expect(words).not.toContain('Waiting for')
    }),
    { numRuns: process.env['DEPUTY_LONG'] ? 2_000 : 60 },
  )
})

test('a conversation that is to be summarised becomes a line a message; what stands for it later is no task', async () => {
  const rows = ['say one', 'say two'].map(
    (words, i): Message => ({
      session: 's',
      seq: i + 1,
      ord: i + 1,
      id: `m${i}`,
      role: 'user',
      parts: text(words),
      run: null,
      step: null,
      at: 1,
      meta: {},
    }),
  )
  const asked = summaryRequest(null, rows, { standing: null, now: null }, 10_000)
  const heard = await hear(models, request('rehearsal/rehearsal', asked))
  expect(heard.text).toContain('- say one\n- say two')
  const view = viewWords({ messages: 2, summary: heard.text, pinned: [] })
  const next = await hear(models, request('rehearsal/rehearsal', { messages: [user(view), user('say three')] }))
  expect(next.text.trim()).toBe('three')
})
