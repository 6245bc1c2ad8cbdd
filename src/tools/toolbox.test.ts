import { describe, expect, test } from 'vitest'
import { contextOf, makeBench, view } from '../../test/support/tools.ts'
import type { ChildFacts, ToolContext } from '../core/ports.ts'
import { openTools } from './toolbox.ts'

const nobody = { agents: [], canSpawn: false }

describe('the toolbox', () => {
  test('has its tools, each in its group, with a promise about repeats', async () => {
    await using bench = await makeBench()
    expect(bench.box.list().map(tool => [tool.name, tool.group, tool.repeat])).toEqual([
      ['read', 'fs', 'safe'],
      ['write', 'fs', 'safe'],
      ['edit', 'fs', 'never'],
      ['ls', 'fs', 'safe'],
      ['grep', 'fs', 'safe'],
      ['exec', 'runtime', 'never'],
      ['sessions_spawn', 'sessions', 'keyed'],
      ['sessions_yield', 'sessions', 'keyed'],
      ['subagents', 'sessions', 'safe'],
      ['agents_list', 'agents', 'safe'],
      ['sessions_list', 'sessions', 'safe'],
      ['sessions_history', 'sessions', 'safe'],
      ['sessions_send', 'sessions', 'keyed'],
      ['session_status', 'sessions', 'safe'],
      ['message', 'messaging', 'keyed'],
    ])
    expect(bench.box.names()).toEqual(bench.box.list().map(tool => tool.name))
    expect([bench.box.get('read')?.name, bench.box.get('apply_patch')]).toEqual(['read', undefined])
  })

  test('fits into a small prompt, in plain JSON Schema', async () => {
    await using bench = await makeBench()
    const specs = bench.box.list().map(tool => tool.spec(view))
    expect(bench.box.specs(bench.box.names(), view).json.length).toBeLessThan(8000)
    expect(JSON.stringify(specs).length).toBeLessThan(9000)
    for (const { name, schema } of specs) {
      expect([name, schema['type'], typeof schema['properties']]).toEqual([name, 'object', 'object'])
      expect(JSON.stringify(schema)).not.toMatch(/\$schema|9007199254740991|\$ref/)
    }
    expect(specs[0]!.schema).toEqual({
      type: 'object',
      properties: {
        path: { type: 'string', description: 'in the workspace' },
        offset: { type: 'integer', minimum: 1, description: 'first line, from 1' },
        limit: { type: 'integer', minimum: 1, description: 'lines' },
      },
      required: ['path'],
    })
    expect(JSON.stringify(bench.box.list().map(tool => tool.spec(view)))).toBe(JSON.stringify(specs))
  })

  test('what a run is shown depends on its tools and its view, and on nothing that was shown before', async () => {
    await using bench = await makeBench()
    const { box } = bench
    const sets = [box.names(), ['read', 'sessions_spawn'], ['sessions_spawn', 'read'], ['read', 'unknown'], []]
    const views = [
      view,
      { ...view, agents: ['other'] },
      { ...view, canSpawn: !view.canSpawn },
      { ...view, chats: true },
    ]
    for (let round = 0; round < 2; round++)
      for (const names of sets)
        for (const one of views) {
          const shown = names.filter(name => name !== 'message' || 'chats' in one)
          const specs = shown.flatMap(name => box.get(name)?.spec(one) ?? [])
          expect(box.specs(names, one)).toEqual({ specs, json: JSON.stringify(specs) })
        }
  })

  test('says so when it is used before it is ready', () => {
    const box = openTools({ stateDir: '/nowhere', exec: () => ({}) as never })
    expect(box.names()).toHaveLength(15)
    expect(() => box.get('read')!.spec(view)).toThrow('before ready()')
  })

  test('answers a call that does not fit with what was wrong and what is allowed', async () => {
    await using bench = await makeBench()
    expect(bench.refused('read', { path: 'a', offset: 0 })).toMatch(
      /^read: offset: .*>=1.*\. Parameters: path \(string, required\), offset/,
    )
    expect(bench.refused('read', {})).toContain('read: path missing')
    expect(bench.refused('write', { path: 'a', content: { b: 1 } })).toContain('content: ')
    expect(bench.refused('exec', { command: 'x', background: true })).toContain('background can only be false here')
    expect(bench.refused('exec', { command: 'x', env: { 'A B': '1' } })).toContain('env.A B: ')
    expect(bench.refused('agents_list', 'nonsense')).toContain('not a JSON object. It takes no parameters')
  })
})

describe('sessions_spawn', () => {
  test('is an intent with everything said, whichever generation says it', async () => {
    await using bench = await makeBench()
    const { intent } = await bench.call('sessions_spawn', {
      task: 'count',
      agent_id: 'extractor',
      timeoutSeconds: '60',
      taskName: 'count-lines',
      runtime: 'subagent',
      context: 'isolated',
      thread: false,
      model: null,
      tools: ['read'],
      budget: { usd: '0.25', calls: 3 },
    })
    expect(intent).toEqual({
      do: 'spawn',
      request: {
        task: 'count',
        taskName: 'count-lines',
        label: null,
        agent: 'extractor',
        model: null,
        thinking: null,
        runTimeoutSeconds: 60,
        cwd: null,
        cleanup: 'keep',
        thread: false,
        mode: null,
        context: 'isolated',
        lightContext: false,
        sandbox: 'inherit',
        attachments: [],
        expectsCompletionMessage: true,
        outputSchema: null,
        deliverables: null,
        tools: ['read'],
        budget: { nano: 250_000_000, tokens: null, calls: 3 },
      },
    })
    const plain = await bench.call('sessions_spawn', { task: 'x', cleanup: 'delete', expectsCompletionMessage: false })
    expect(plain.intent).toMatchObject({
      request: { agent: null, budget: null, cleanup: 'delete', expectsCompletionMessage: false },
    })
  })

  test('offers exactly the agents of now, and refuses the others by name', async () => {
    await using bench = await makeBench()
    const agents = (over: object) =>
      (bench.box.get('sessions_spawn')!.spec({ ...view, ...over }).schema as never)['properties']['agentId']
    expect(agents({})).toEqual({ type: 'string', enum: ['extractor', 'main'] })
    expect(agents({ agents: ['x'] })).toEqual({ type: 'string', enum: ['x'] })
    expect(agents({ agents: [] })).toEqual({ type: 'string' })
    expect(bench.refused('sessions_spawn', { task: 'x', agentId: 'writer' })).toContain(
      'agentId is "writer"; allowed: extractor, main',
    )
    expect(bench.refused('sessions_spawn', { task: 'x' }, nobody)).toContain('may not start sub-agents')
  })

  test('leaves delivery to the house, and says what is not here', async () => {
    await using bench = await makeBench()
    for (const name of ['target', 'channel', 'to', 'threadId', 'replyTo', 'transport'])
      expect(bench.refused('sessions_spawn', { task: 'x', [name]: 'telegram' })).toContain(
        `${name} is not allowed: a result always returns`,
      )
    expect(bench.refused('sessions_spawn', { task: 'x', runtime: 'acp' })).toContain(
      'runtime can only be "subagent" here',
    )
    const shown = (over: object) =>
      Object.keys(
        (bench.box.get('sessions_spawn')!.spec({ ...view, ...over }).schema as { properties: object }).properties,
      )
    // Where no chat is, a thread is nothing to think of; who asks for one is told why there is none.
    expect(shown({ chats: true })).toEqual(expect.arrayContaining(['thread', 'mode']))
    expect(shown({ chats: false })).not.toEqual(expect.arrayContaining(['thread']))
    expect(shown({ chats: false })).not.toEqual(expect.arrayContaining(['mode']))
    const lasting = await bench.call('sessions_spawn', { task: 'x', thread: true, mode: 'session' })
    expect(lasting.intent).toMatchObject({ request: { thread: true, mode: 'session', context: null } })
    expect(bench.refused('sessions_spawn', { task: 'x', colour: 'p' })).toContain('there is no parameter "colour"')
    for (const taskName of ['last', 'all', 'Upper', '9', ''.padEnd(65, 'a')])
      expect(bench.refused('sessions_spawn', { task: 'x', taskName })).toContain('taskName: ')
    expect(bench.refused('sessions_spawn', { task: '' })).toContain('task: ')
    expect(bench.refused('sessions_spawn', { task: 'x', budget: { usd: -1 } })).toContain('budget.usd: ')
  })
})

describe('sessions_yield', () => {
  test('waits for all unless it says otherwise', async () => {
    await using bench = await makeBench()
    const intent = async (args: object) => (await bench.call('sessions_yield', args)).intent
    expect(await intent({})).toEqual({ do: 'yield', wait: 'all', message: null })
    expect(await intent({ waitFor: 'message', acknowledgment: 'working on it', message: 'a note' })).toEqual({
      do: 'yield',
      wait: 'message',
      message: 'working on it',
    })
    expect(bench.refused('sessions_yield', { waitFor: 'some' })).toContain('allowed: all, any, message')
  })
})

function child(index: number, over: Partial<ChildFacts> = {}): ChildFacts {
  return {
    index,
    run: `run-${index}`,
    own: true,
    sessionKey: `agent:extractor:subagent:${index}`,
    agent: 'extractor',
    label: null,
    taskName: null,
    task: 'count the lines '.repeat(20),
    state: 'running',
    outcome: null,
    model: 'rehearsal/rehearsal',
    runtimeMs: 12,
    totalTokens: 34,
    startedAt: 1,
    endedAt: null,
    ...over,
  }
}

function withChildren(children: ChildFacts[]): Partial<ToolContext> {
  const { facts } = contextOf('/nowhere', 'run:1')
  return { facts: { ...facts, children: async () => children } }
}

describe('subagents', () => {
  const family = withChildren([
    child(1, { taskName: 'first' }),
    child(2, { label: 'The second', state: 'done', outcome: 'succeeded', endedAt: 9 }),
    child(3),
  ])

  test('lists those at work and those that ended', async () => {
    await using bench = await makeBench()
    const list = JSON.parse((await bench.call('subagents', {}, family)).text)
    expect(list).toMatchObject({
      status: 'ok',
      action: 'list',
      total: 3,
      text: '1. first: running\n2. The second: succeeded\n3. extractor: running',
    })
    expect(list.active.map((one: { runId: string }) => one.runId)).toEqual(['run-1', 'run-3'])
    expect(list.recent[0]).toMatchObject({ index: 2, label: 'The second', status: 'succeeded', endedAt: 9 })
    expect(list.active[0].task.length).toBe(201)
    expect(JSON.parse((await bench.call('subagents', { action: 'list' }, withChildren([]))).text).text).toBe(
      'No sub-agents.',
    )
  })

  test('means one by any of its names', async () => {
    await using bench = await makeBench()
    const targets = async (args: object) => {
      const { intent } = await bench.call('subagents', { action: 'cancel', ...args }, family)
      return intent?.do === 'cancel' ? intent.targets : []
    }
    expect(await targets({ target: 'first' })).toEqual(['run-1'])
    expect(await targets({ taskId: '#3' })).toEqual(['run-3'])
    expect(await targets({ taskIds: ['run-1', '1', 'The second'] })).toEqual(['run-1', 'run-2'])
    expect(await targets({ target: 3 })).toEqual(['run-3'])
    expect(await targets({ target: 'last' })).toEqual(['run-3'])
    expect(await targets({ target: 'agent:extractor:subagent:1' })).toEqual(['run-1'])
    expect(await targets({ action: 'kill', target: 'all' })).toEqual(['run-1', 'run-3'])
  })

  test('waits by intent, and not for nobody', async () => {
    await using bench = await makeBench()
    const wait = (args: object, over = family) => bench.call('subagents', { action: 'wait', ...args }, over)
    expect((await wait({})).intent).toEqual({ do: 'wait', targets: ['run-1', 'run-3'], mode: 'all', timeoutMs: 30_000 })
    expect((await wait({ targets: 'first', waitFor: 'any', timeoutSeconds: 0 })).intent).toEqual({
      do: 'wait',
      targets: ['run-1'],
      mode: 'any',
      timeoutMs: 0,
    })
    expect((await wait({}, withChildren([]))).text).toContain('No sub-agent is at work.')
    expect(bench.refused('subagents', { action: 'wait', timeoutSeconds: 61 })).toContain('timeoutSeconds: ')
  })

  test('reads what others of the conversation have done, and acts on its own only', async () => {
    await using bench = await makeBench()
    const over = withChildren([
      child(1, { own: false, label: 'x' }),
      child(2, { label: 'x' }),
      child(3, { own: false }),
    ])
    over.facts!.result = async run => ({ outcome: 'succeeded', error: null, evidence: [], text: `words of ${run}` })
    expect((await bench.call('subagents', { action: 'result', target: '#3' }, over)).text).toContain('words of run-3')
    expect((await bench.call('subagents', { action: 'result', target: 'x' }, over)).text).toContain('words of run-2')
    const { text, isError } = await bench.call('subagents', { action: 'cancel', targets: ['1', '2'] }, over)
    expect([isError, text]).toEqual([
      true,
      'x: started in an earlier turn or by a person. Only log and result are for these.',
    ])
    for (const action of ['cancel', 'wait'])
      expect((await bench.call('subagents', { action, targets: ['all', 'last'] }, over)).intent).toMatchObject({
        targets: ['run-2'],
      })
  })

  test('says what there is when a name fits nobody, and what cancel needs', async () => {
    await using bench = await makeBench()
    const miss = await bench.call('subagents', { action: 'cancel', target: 'third' }, family)
    expect([miss.isError, miss.text]).toEqual([
      true,
      'No sub-agent of yours is called "third". There are: #1 first, #2 The second, #3 run-3.',
    ])
    expect((await bench.call('subagents', { action: 'cancel' }, family)).isError).toBe(true)
  })
})

describe('agents_list', () => {
  test('tells whom the caller may spawn', async () => {
    await using bench = await makeBench()
    expect(JSON.parse((await bench.call('agents_list', null)).text)).toEqual({
      requester: 'main',
      allowAny: false,
      agents: [{ id: 'extractor', name: 'Extractor', configured: true }],
    })
  })
})
