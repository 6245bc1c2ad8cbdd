/** Delegating by hand, and looking at what was delegated: the commands about sub-agents, and those that set something. */
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { firstText, type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../../test/support/house.ts'
import type { Run } from '../../core/types.ts'
import type { AcceptInput } from '../types.ts'
import { type Child, childNamed } from './children.ts'

let it: TestHouse | null = null
afterEach(async () => {
  await it?.close()
  it = null
})

async function open(setup: Partial<HouseSetup> = {}): Promise<TestHouse> {
  it = await openTestHouse({ script: () => ({ text: 'fine' }), agents: { extractor: {} }, ...setup })
  return it
}

async function ask(house: TestHouse, text: string, more: Partial<AcceptInput> = {}): Promise<string> {
  const { status, wireId } = await house.say(text, more)
  expect(status).toBe('command')
  return (await house.house.wait(wireId, { until: 'turn', timeoutMs: 5_000 }))?.text ?? ''
}

async function until(what: () => unknown): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await what()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`never: ${what}`)
}

const forever = new Promise<never>(() => undefined)

/** Every sub-agent's runs, newest first. */
async function runsOf(house: TestHouse, task: string): Promise<Run[]> {
  const views = await house.house.runs({ limit: 100 })
  const first = views.find(view => view.run.task === task && view.run.depth > 0)
  return views.filter(view => view.run.session === first?.run.session).map(view => view.run)
}

test('spawn: its receipt, its settings, its result in this conversation, which then answers', async () => {
  const house = await open({
    script: request => ({ text: lastText(request).includes('Sub-agent') ? 'told you' : `did ${firstText(request)}` }),
  })
  const said = '/subagents spawn extractor dig here --thinking high --model test/small'
  expect(await ask(house, said)).toBe('Started #1: extractor, test/small.\nIts result comes here.')
  const main = await house.house.sessionByKey('agent:main:main')
  await until(async () => {
    const { messages } = await house.house.history(main!.id, { limit: 20 })
    return JSON.stringify(messages).includes('told you')
  })
  expect(house.requests[0]).toMatchObject({ model: 'test/small', thinking: 'high', agent: 'extractor' })
  expect(firstText(house.requests[0]!)).toBe('dig here')
  expect(lastText(house.requests[1]!)).toContain('did dig here')
})

test('a refused spawn names the rule, what is allowed and the key', async () => {
  const house = await open({ agents: { main: { allowAgents: ['extractor'] }, extractor: {}, hidden: {} } })
  const answer = await ask(house, '/subagents spawn hidden x')
  expect(answer.split('\n')).toEqual([
    'agentId is not allowed for sessions_spawn (allowed: extractor)',
    'Rule: allowAgents (agents.entries.main.subagents.allowAgents)',
    'Add it to agents.entries.main.subagents.allowAgents.',
  ])
  expect(await ask(house, '/subagents spawn nobody x')).toContain('there are: main, extractor, hidden')
  expect(await ask(house, '/subagents spawn extractor x --model other/x')).toContain('no model other/x')
  expect(await ask(house, '/agents')).toContain('hidden (not from here)')
  expect((await house.house.runs({ limit: 10 })).length).toBe(0)
})

test('numbers stay as they were when others end and begin', async () => {
  const house = await open({ script: request => (firstText(request) === 'quick' ? { text: 'ok' } : { wait: forever }) })
  await ask(house, '/subagents spawn extractor slow one')
  await ask(house, '/subagents spawn extractor quick')
  await ask(house, '/subagents spawn extractor slow two')
  await until(async () => (await runsOf(house, 'quick'))[0]?.state === 'done')
  const list = await ask(house, '/subagents list')
  expect(list).toMatch(/^3 sub-agents, 2 at work:\n#1 extractor: working \d+s\n {2}slow one\n#2 extractor: succeeded/)
  expect(await ask(house, '/kill #1')).toBe('Stopped 1 run:\n- extractor: slow one')
  expect(await ask(house, '/kill 1')).toBe('#1 extractor had ended already.')
  expect(await ask(house, '/subagents info 3')).toContain('Task: slow two')
  expect(await ask(house, '/subagents info last')).toContain('Task: slow two')
  const [slow] = await runsOf(house, 'slow two')
  expect(await ask(house, `/subagents info ${slow!.id.slice(0, 8)}`)).toContain('#3')
  expect(await ask(house, '/subagents info 4')).toContain('there are 1 to 3')
  // Another conversation counts its own.
  expect(await ask(house, '/kill 1', { sessionKey: 'other' })).toBe('This conversation has no sub-agents.')
  expect(await ask(house, `/explain ${slow!.id}`, { sessionKey: 'other' })).not.toContain('slow two')
})

test('names that fit several are asked back; nobody else writes lines into an answer', async () => {
  const house = await open({
    script: request => {
      const [first] = request.messages
      if (lastText(request) !== 'go') return { wait: forever }
      const task = 'dig\n#9 evil: succeeded\u202e'
      const spawn = (label: string) => ({ name: 'sessions_spawn', args: { agentId: 'extractor', task, label } })
      return first ? { calls: [spawn('Part'), spawn('part'), spawn('other')] } : {}
    },
  })
  const run = await house.say('go')
  await until(async () => (await house.house.tree(run.run)).length === 4)
  expect(await ask(house, '/kill PART')).toBe('PART fits #1, #2. Say which.')
  expect((await ask(house, '/subagents list')).split('\n').filter(each => each.startsWith('#'))).toHaveLength(3)
  expect(await ask(house, '/subagents list')).not.toContain('\u202e')
  expect(await ask(house, '/kill part')).toContain('Stopped 1 run:')
})

test('send is read when it is done, steer at once, and an ended one starts again', async () => {
  const words: string[] = []
  const gate = Promise.withResolvers<void>()
  const house = await open({
    script: request => {
      const text = lastText(request)
      words.push(text)
      if (text === 'slow') return { wait: gate.promise, text: 'slow done' }
      return text === 'endless' ? { wait: forever } : { text: `answer to ${text}` }
    },
  })
  await ask(house, '/subagents spawn extractor slow')
  await until(() => words.includes('slow'))
  expect(await ask(house, '/subagents send 1 later\nplease')).toBe('Sent to #1 extractor: it reads it when it is done.')
  await new Promise(resolve => setTimeout(resolve, 30))
  expect(words).toEqual(['slow'])
  gate.resolve()
  await until(() => words.includes('later\nplease'))
  await ask(house, '/subagents spawn extractor endless')
  await until(() => words.includes('endless'))
  expect(await ask(house, '/tell 2 faster')).toBe('#2 extractor is told now.')
  await until(async () => (await runsOf(house, 'endless')).every(run => run.outcome === 'succeeded'))
  expect(words).toContain('faster')
  expect(await ask(house, '/steer 2 again')).toBe(
    '#2 extractor has ended. /subagents send 2 <message> starts it again.',
  )
  expect(await ask(house, '/subagents send 2 /stop')).toContain('had ended and starts again')
  // A command in what is sent on is a word like any other.
  await until(async () => (await ask(house, '/subagents log 2 2')).includes('it: answer to /stop'))
  expect(await ask(house, '/subagents log 2 2')).toContain('to it: /stop')
})

test('steer without a sub-agent tells this conversation, as the newer grammar has it', async () => {
  const house = await open({ script: (_, n) => (n === 1 ? { wait: forever } : { text: 'other way then' }) })
  expect(await ask(house, '/steer go the other way')).toBe('Nothing is at work here; write it as a message.')
  const run = await house.say('go')
  await until(() => house.requests.length === 1)
  expect(await ask(house, '/steer go the other way')).toBe('Told.')
  expect(await house.done(run.run)).toMatchObject({ text: 'other way then' })
  expect(lastText(house.requests[1]!)).toBe('go the other way')
})

test('/tasks and /explain: the tree as it stands, why, and where a result went', async () => {
  const gate = Promise.withResolvers<void>()
  const house = await open({
    script: request => {
      const text = firstText(request)
      if (text === 'go' && lastText(request) === 'go')
        return {
          calls: [{ name: 'sessions_spawn', args: { agentId: 'extractor', task: 'part', label: 'first part' } }],
        }
      if (text === 'part') return { wait: gate.promise, text: 'part done' }
      return { text: 'all done' }
    },
  })
  const run = await house.say('go')
  await until(async () => (await house.house.run(run.run))?.run.state === 'waiting')
  expect(await ask(house, '/tasks')).toMatch(
    /^This conversation: waiting \d+s, for its sub-agents\n#1 first part: working \d+s$/,
  )
  expect(await ask(house, '/explain')).toMatch(/^main: waiting \d+s, for its sub-agents\nTask: go\n/)
  expect(await ask(house, '/explain 1')).toContain('Result: goes to the conversation that asked for it.')
  gate.resolve()
  await house.done(run.run)
  expect(await ask(house, '/explain 1')).toContain('Result: read by who asked for it.')
  expect(await ask(house, '/explain first part')).toContain('first part: succeeded')
  expect(await ask(house, '/tasks')).toBe('Nothing is at work.')
  expect(await ask(house, '/usage')).toContain('Its 1 sub-agent:')
})

test('/new ends what was started by hand for the conversation: its result would have nowhere to go', async () => {
  const house = await open({ script: () => ({ wait: forever }) })
  await ask(house, '/subagents spawn extractor dig')
  expect(await ask(house, '/new')).toBe('A new conversation.\nStopped 1 run:\n- extractor: dig')
  expect((await runsOf(house, 'dig'))[0]).toMatchObject({ state: 'done', outcome: 'cancelled' })
  expect(await ask(house, '/subagents')).toContain('No sub-agents.')
})

test('/model and /thinking set the conversation, for the next run, and can be taken back', async () => {
  const house = await open()
  expect(await ask(house, '/model')).toBe('Model: test/model (default)\nChange it: /model provider/model')
  expect(await ask(house, '/model test/big')).toBe('Model: test/big')
  expect(await ask(house, '/thinking high')).toBe('Thinking: high')
  await house.done((await house.say('hi')).run)
  expect(house.requests[0]).toMatchObject({ model: 'test/big', thinking: 'high' })
  expect(await ask(house, '/model nothing/here')).toContain('no model nothing/here')
  expect(await ask(house, '/thinking hard')).toContain('Levels: off, minimal, low')
  expect(await ask(house, '/status')).toContain('Model: test/big (chosen here)')
  expect(await ask(house, '/model default')).toBe('Model: test/model')
  expect(await ask(house, '/t default')).toBe('Thinking: left to the model (default)')
  await house.done((await house.say('ho')).run)
  expect(house.requests[1]).toMatchObject({ model: 'test/model' })
  expect(house.requests[1]?.thinking).toBeUndefined()
  expect(await ask(house, '/usage tokens')).toContain('Usage line: tokens.')
  expect((await house.house.sessionByKey('agent:main:main'))?.settings).toEqual({ responseUsage: 'tokens' })
})

test('what is meant is found or asked back: never another one than written, never an error', () => {
  const label = fc.option(fc.constantFrom('a', 'b', '1', '#2', 'last', 'all'))
  const id = fc.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}$/)
  const children = fc.array(fc.record({ id, label }), { maxLength: 6 }).map(all =>
    all.map(({ id: run, label: name }, i): Child => {
      const mine = { id: run, label: name, agent: 'x', session: `s${i}` } as Run
      return { index: i + 1, sessionKey: `agent:x:subagent:${i}`, run: mine, tokens: 0, nano: 0 }
    }),
  )
  const target = fc.oneof(
    fc.string(),
    fc.constantFrom('1', '#1', '#2', '6', '#0', 'last', 'LAST', 'a', 'B', 'all', 'agent:x:subagent:0', '#', '１'),
    id,
    fc.stringMatching(/^[0-9a-f]{4,8}$/),
  )
  fc.assert(
    fc.property(children, target, (all, named) => {
      const found = childNamed(all, named)
      if (!found.ok) {
        expect(found.problem).not.toBe('')
        return
      }
      const { child } = found
      const fits =
        (named.toLowerCase() === 'last' && child.index === all.length) ||
        named.replace('#', '') === String(child.index) ||
        child.sessionKey === named.toLowerCase() ||
        child.run.label?.toLowerCase() === named.toLowerCase() ||
        (named.length >= 4 && child.run.id.startsWith(named.toLowerCase()))
      expect(fits).toBe(true)
      // A number that there is always means that number.
      if (/^#?\d{1,9}$/.test(named) && Number(named.replace('#', '')) <= all.length)
        expect(child.index).toBe(Number(named.replace('#', '')))
    }),
    { numRuns: process.env['DEPUTY_LONG'] ? 50_000 : 2_000 },
  )
})
