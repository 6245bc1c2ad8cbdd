/** Slash commands over a whole house: what is answered, what a model never sees, who may, and twice under one key. */
import { randomUUID } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { firstText, type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../../test/support/house.ts'
import type { Principal } from '../../core/principal.ts'
import type { AcceptInput } from '../types.ts'

let it: TestHouse | null = null
afterEach(async () => {
  await it?.close()
  it = null
})

async function open(setup: Partial<HouseSetup> = {}): Promise<TestHouse> {
  it = await openTestHouse({ script: () => ({ text: 'fine' }), agents: { extractor: {} }, ...setup })
  return it
}

/** Says something that is a command; its answer. */
async function ask(house: TestHouse, text: string, more: Partial<AcceptInput> = {}): Promise<string> {
  const { status, wireId } = await house.say(text, more)
  expect(['command', 'answered']).toContain(status)
  const end = await house.house.wait(wireId, { until: 'turn', timeoutMs: 5_000 })
  expect(end).toMatchObject({ status: 'ok', yielded: false, wireId })
  return end?.text ?? ''
}

async function until(what: () => unknown): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await what()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`never: ${what}`)
}

/** What a model that is to be stopped waits for. */
const forever = new Promise<never>(() => undefined)

test('a command is answered by the house: no model call, no user message, a place in the history', async () => {
  const house = await open()
  const answer = await ask(house, '/status', { idempotencyKey: 'k1' })
  expect(answer).toContain('main: idle')
  expect(answer).toContain('Model: test/model')
  expect(house.requests).toEqual([])

  const session = await house.house.sessionByKey('agent:main:main')
  const { messages } = await house.house.history(session!.id, { limit: 10 })
  expect(messages.map(({ role, ord, meta }) => [role, ord, meta.command, meta.idempotencyKey])).toEqual([
    ['event', null, 'asked', 'k1'],
    ['event', null, 'answered', undefined],
  ])
  expect(await house.store.read.selectFrom('inbox').selectAll().execute()).toEqual([])

  // What follows is shown without it, whatever stands between in the transcript.
  await house.done((await house.say('hello')).run)
  await ask(house, '/whoami')
  await house.done((await house.say('again')).run)
  const shown = JSON.stringify(house.requests.map(request => request.messages))
  expect(shown).toContain('hello')
  expect(shown).toContain('again')
  expect(shown).not.toMatch(/\/status|\/whoami|Conversation: agent/)
})

test('the end is told once, under the wire id, after the acceptance', async () => {
  const house = await open()
  const before = house.events.length
  await house.say('/whoami', { idempotencyKey: 'k2' })
  expect(house.events.slice(before).filter(event => event.on === 'run.turn')).toEqual([])
  await until(() => house.events.some(event => event.on === 'run.turn'))
  const [turn, ...more] = house.events.filter(event => event.on === 'run.turn')
  expect(turn).toMatchObject({ wireId: 'k2', sessionKey: 'agent:main:main', outcome: 'succeeded', yielded: false })
  expect(turn?.on === 'run.turn' && turn.text).toContain('You: operator')
  expect(more).toEqual([])
})

test('a repeat under its key is the same command; other words under it are refused', async () => {
  const house = await open({ script: request => (firstText(request) === 'go' ? { wait: forever } : {}) })
  const spawn = '/subagents spawn extractor go'
  const [one, two] = await Promise.all([
    house.say(spawn, { idempotencyKey: 'k3' }),
    house.say(spawn, { idempotencyKey: 'k3' }),
  ])
  expect([one.status, two.status]).toEqual(['command', 'answered'])
  expect((await house.say(spawn, { idempotencyKey: 'k3' })).status).toBe('answered')
  expect((await house.house.runs({ limit: 10 })).length).toBe(1)
  await expect(house.say('/subagents list', { idempotencyKey: 'k3' })).rejects.toMatchObject({
    code: 'IDEMPOTENCY_CONFLICT',
  })
  await house.crash()
  expect((await house.say(spawn, { idempotencyKey: 'k3' })).status).toBe('answered')
  expect(await ask(house, spawn, { idempotencyKey: 'k3' })).toContain('Started #1: extractor, test/model.')
})

test('a command that was cut off before its answer is carried out when it is sent again, and makes nothing twice', async () => {
  const house = await open()
  await house.done((await house.say('old')).run)
  const old = await house.house.sessionByKey('agent:main:main')
  const write = house.store.write
  // What a crash leaves after the claim and the reset: the row without an answer.
  await ask(house, '/new', { idempotencyKey: 'k4' })
  const fresh = await house.house.sessionByKey('agent:main:main')
  expect(fresh?.id).not.toBe(old?.id)
  await write('rpc', tx =>
    tx.updateTable('rpc_keys').set({ answer: null, answered_turn: null }).where('key', '=', 'k4').execute(),
  )
  expect(await house.house.wait('k4', { until: 'turn', timeoutMs: 0 })).toMatchObject({ status: 'pending' })
  await house.crash()
  expect(await ask(house, '/new', { idempotencyKey: 'k4' })).toBe('A new conversation.')
  expect((await house.house.sessionByKey('agent:main:main'))?.id).toBe(fresh?.id)
})

test('a spawn that was cut off before its answer is the same one when it is sent again', async () => {
  const house = await open()
  const said = '/subagents spawn extractor go'
  const answer = await ask(house, said, { idempotencyKey: 'k7' })
  await house.store.write('rpc', tx =>
    tx.updateTable('rpc_keys').set({ answer: null, answered_turn: null }).where('key', '=', 'k7').execute(),
  )
  await house.crash()
  expect(await ask(house, said, { idempotencyKey: 'k7' })).toBe(answer)
  expect((await house.house.runs({ limit: 10 })).filter(({ run }) => run.depth > 0)).toHaveLength(1)
})

test('/new with a first message answers with what the model says to it', async () => {
  const house = await open({ script: request => ({ text: `heard ${firstText(request)}` }) })
  await house.done((await house.say('old')).run)
  const accepted = await house.say('/new hello there', { idempotencyKey: 'k5' })
  expect(accepted.status).toBe('started')
  expect(await house.done('k5')).toMatchObject({ text: 'heard hello there' })
  expect((await house.say('/new hello there', { idempotencyKey: 'k5' })).status).toBe('answered')
  const { messages } = await house.house.history(accepted.session.id, { limit: 10 })
  expect(messages.map(message => message.role)).toEqual(['user', 'assistant'])
  expect(messages[0]?.meta.idempotencyKey).toBe('k5')
})

test('what is written after a command is accepted after it was carried out', async () => {
  const house = await open({
    script: request => (firstText(request) === 'old' ? { wait: forever } : { text: `heard ${firstText(request)}` }),
  })
  const old = await house.say('old')
  await until(() => house.requests.length === 1)
  // Nobody waits for an answer in between.
  const said = [house.say('/new'), house.say('first'), house.say('/model test/other'), house.say('second')]
  const [fresh, first, , second] = await Promise.all(said)
  expect(first?.session.id).toBe(fresh?.session.id)
  expect(await house.done(old.run)).toMatchObject({ outcome: 'cancelled' })
  await house.done(first!.run)
  await house.done(second!.run)
  const { messages } = await house.house.history(first!.session.id, { limit: 20 })
  expect(messages.filter(message => message.role === 'user').map(message => message.parts)).toEqual([
    [{ type: 'text', text: 'first' }],
    [{ type: 'text', text: 'second' }],
  ])
})

test('/stop stops the run with its sub-agents, drops what waits, names both, and leaves what was started by hand', async () => {
  const house = await open({
    script: request =>
      firstText(request) === 'delegate'
        ? lastText(request) === 'delegate'
          ? { calls: [{ name: 'sessions_spawn', args: { agentId: 'extractor', task: 'dig\ndeep' } }] }
          : { wait: forever }
        : { wait: forever },
  })
  await ask(house, '/subagents spawn extractor by hand')
  const run = await house.say('delegate')
  await until(async () => (await house.house.tree(run.run)).length === 2)
  await house.say('and then\nthis', { mode: 'followup' })
  const report = await ask(house, '/stop')
  expect(report.split('\n')).toEqual([
    'Stopped 2 runs:',
    '- main: delegate',
    '- extractor: dig deep',
    'Dropped 1 message that nobody had read:',
    '- and then this',
    '1 sub-agent of yours goes on: /kill all',
  ])
  expect(await house.done(run.run)).toMatchObject({ outcome: 'cancelled' })
  expect(await ask(house, '/kill all')).toBe('Stopped 1 run:\n- extractor: by hand')
  expect(await ask(house, '/stop')).toBe('Nothing is at work here.')
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(await house.house.liveRun(run.session.id)).toBeNull()
})

test('a stop word stops what is at work, and is a message when nothing is', async () => {
  const house = await open({ script: (_, n) => (n === 1 ? { wait: forever } : { text: 'as you say' }) })
  const run = await house.say('work')
  await until(() => house.requests.length === 1)
  expect(await ask(house, ' Stop! ')).toContain('Stopped 1 run:')
  expect(await house.done(run.run)).toMatchObject({ outcome: 'cancelled' })
  const message = await house.say('wait')
  expect(message.status).toBe('started')
  expect(await house.done(message.run)).toMatchObject({ text: 'as you say' })
})

test('only what a person wrote at the very beginning is a command', async () => {
  const house = await open({
    script: request => {
      const text = firstText(request)
      if (text.startsWith('delegate') && lastText(request) === text)
        return { calls: [{ name: 'sessions_spawn', args: { task: '/stop' } }] }
      return { text: text === '/stop' ? '/kill all' : 'fine' }
    },
  })
  for (const text of ['> /stop', '"/new"', '/etc/passwd', 'see /status', '/unheard of'])
    expect((await house.say(text)).status).not.toBe('command')
  // A task and a child's result that look like commands are words like any others.
  const run = await house.say('delegate this', { sessionKey: 'd' })
  expect(await house.done(run.run)).toMatchObject({ outcome: 'succeeded', text: 'fine' })
  const child = (await house.house.tree(run.run))[1]
  expect(child?.run).toMatchObject({ task: '/stop', outcome: 'succeeded', result: '/kill all' })
  // Another agent's words, a schedule's, and words put in by hand.
  const run1: Principal = { kind: 'run', run: 'r1', scopes: ['operator.admin'] }
  const schedule: Principal = { kind: 'schedule', schedule: 's', scopes: ['operator.admin'] }
  for (const principal of [run1, schedule]) expect((await house.say('/stop', { principal })).status).not.toBe('command')
  await house.house.inject({ principal: house.operator, sessionKey: 'main', text: '/reset', label: 'x' })
  expect((await house.house.sessionByKey('agent:main:main'))?.closedAt).toBeNull()
})

test('a command without the scope is refused by name; through agent a new conversation needs admin', async () => {
  const house = await open()
  const writer: Principal = {
    kind: 'operator',
    via: 'secret',
    user: null,
    scopes: ['operator.read', 'operator.write'],
  }
  const reader: Principal = { ...writer, scopes: ['operator.read'] }
  const before = await house.say('hi')
  expect(await ask(house, '/new', { principal: writer, method: 'agent' })).toBe(
    'You may not use /new here: missing scope: operator.admin.\nYou hold: operator.write',
  )
  expect(await ask(house, ' /NEW: x', { principal: writer, method: 'agent' })).toContain('operator.admin')
  expect((await house.house.sessionByKey('agent:main:main'))?.id).toBe(before.session.id)
  for (const text of ['/kill all', '/subagents kill 1', '/subagents spawn extractor x', '/model test/x', '/stop'])
    expect(await ask(house, text, { principal: reader })).toContain('missing scope: operator.write')
  for (const text of ['/subagents list', '/subagents', '/model', '/tasks', '/usage', '/agents'])
    expect(await ask(house, text, { principal: reader })).not.toContain('missing scope')
  expect(await ask(house, '/new', { principal: writer })).toContain('A new conversation.')
})

test('a sender of a channel may the open commands only, unless the configuration names them', async () => {
  const sender = (id: string): Principal => ({
    kind: 'sender',
    channel: 'telegram',
    account: 'default',
    sender: id,
    scopes: ['operator.read', 'operator.write'],
  })
  const house = await open({
    script: () => ({ wait: forever }),
    senders: { allowFrom: { telegram: ['7'] }, owners: ['telegram:8'] },
  })
  const from = (id: string) => ({ principal: sender(id), method: 'ingest' as const })
  expect(await ask(house, '/kill all', from('6'))).toBe(
    'You may not use /kill here.\nRule: commands.allowFrom (telegram:6 is not on it)\nOpen to you: /status, /whoami, /help, /commands',
  )
  expect(await ask(house, '/id', from('6'))).toContain('Sender id: telegram:6')
  for (const id of ['7', '8']) expect(await ask(house, '/kill all', from(id))).toBe('No sub-agent is at work.')
  // Their stop words are words, also while something is at work.
  await ask(house, '/subagents spawn extractor dig')
  expect((await house.say('stop', from('6'))).status).not.toBe('command')
})

test('an answer to a chat outside lies in the outbox', async () => {
  const house = await open()
  const route = { channel: 'telegram', account: 'default', to: '42' }
  await ask(house, '/whoami', { route, idempotencyKey: 'k6' })
  await ask(house, '/whoami', { route, idempotencyKey: 'k6' })
  const rows = await house.store.read.selectFrom('outbox').selectAll().execute()
  expect(rows).toMatchObject([{ run: null, channel: 'telegram', chat: '42', state: 'pending' }])
  expect(rows[0]?.payload).toContain('You: operator')
})

test('files go with a first message and with no other command', async () => {
  const house = await open({ script: request => ({ text: `${request.messages[0]?.parts.length} parts` }) })
  const image = { type: 'image' as const, mimeType: 'image/png', data: 'AAAA' }
  const text = (words: string) => ({ type: 'text' as const, text: words })
  const sent = { principal: house.operator, method: 'chat.send' as const }
  await house.house.accept({ ...sent, parts: [text('/new'), image], idempotencyKey: 'f1' })
  expect(await house.done('f1')).toMatchObject({ text: '1 parts' })
  await house.house.accept({ ...sent, parts: [text('/kill all'), image], idempotencyKey: 'f2' })
  expect((await house.house.wait('f2', { until: 'turn', timeoutMs: 1000 }))?.text).toBe(
    '/kill takes no pictures or files along.',
  )
})

test('whatever is written, there is one answer or one run, and no command reaches a model', async () => {
  const house = await open()
  const hostile = [
    '/subagents info #99999999999999999999',
    '/subagents log \u202e 1',
    '/kill ../../etc',
    '/kill %',
    '/model \0',
    `/thinking ${'x'.repeat(100_000)}`,
    `/subagents spawn ${'y'.repeat(100_000)} z`,
    '/explain constructor',
    '/help __proto__',
    '/approve',
    '/approve x maybe',
    '/usage <script>',
    '/steer',
    '/new\u2028',
    '/subagents\n\n\nlist',
  ]
  for (const text of hostile) {
    const answer = await ask(house, text, { idempotencyKey: randomUUID() })
    expect(answer, text).not.toBe('')
    expect(answer.length, text).toBeLessThan(2_000)
    expect(answer, text).not.toMatch(/[\0\u202e]|INTERNAL/)
  }
  expect(house.requests).toEqual([])
  await expect(house.say(`/new ${'x'.repeat(1_000_001)}`)).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
})

test('what is said at once is taken in the order it was said, a command among it too', async () => {
  const house = await open({ lanes: { main: 1, subagent: 1 } })
  for (let round = 0; round < 10; round++) {
    const sessionKey = `agent:main:order${round}`
    const said = ['before', '/new', 'one', 'two', 'three'].map(text => house.say(text, { sessionKey }))
    const taken = await Promise.all(said)
    expect(taken.slice(3).map(({ seq }) => seq)).toEqual(
      [...taken.slice(3).map(({ seq }) => seq)].sort((a, b) => a - b),
    )
    const session = await house.house.sessionByKey(sessionKey)
    const { messages } = await house.house.history(session!.id, { limit: 20 })
    const words = messages.filter(({ role }) => role === 'user').map(({ parts }) => (parts[0] as { text: string }).text)
    expect(words).toEqual(['one', 'two', 'three'])
  }
})
