import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { firstText, type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'

const open: TestHouse[] = []

async function house(setup: HouseSetup): Promise<TestHouse> {
  const test = await openTestHouse(setup)
  open.push(test)
  return test
}

afterEach(async () => {
  for (const test of open.splice(0)) await test.close()
})

const spawn = (task: string, more: object = {}) => ({ name: 'sessions_spawn', args: { task, ...more } })
const gate = () => Promise.withResolvers<void>()

describe('a run', () => {
  test('answers a message', async () => {
    const it = await house({ script: () => ({ text: 'hello' }) })
    const accepted = await it.say('hi')
    expect(await it.done(accepted.wireId)).toMatchObject({ text: 'hello', outcome: 'succeeded' })
  })

  test('uses tools and answers unknown and malformed calls with what was allowed', async () => {
    const it = await house({
      script: (_request, n) => {
        if (n === 1)
          return {
            calls: [
              { name: 'ls', args: {} },
              { name: 'nonsense', args: {} },
              { name: 'read', args: '{"path": ' },
            ],
          }
        return { text: 'done' }
      },
    })
    await it.done((await it.say('go')).wireId)
    const results = it.requests[1]?.messages.filter(message => message.role === 'tool') ?? []
    expect(results).toHaveLength(3)
    const words = results.map(message => message.parts.map(part => (part.type === 'text' ? part.text : '')).join(''))
    expect(words.join('\n')).toMatch(/There is no tool "nonsense" here. Tools you may call: read, write/)
    expect(words.join('\n')).toMatch(/not valid JSON/)
  })

  test('delegates in parallel, waits without a slot, and merges the results', async () => {
    const parentWaits = Promise.withResolvers<void>()
    const it = await house({
      lanes: { main: 1, subagent: 8 },
      script: request => {
        const first = firstText(request)
        if (first.startsWith('part')) return { text: `result of ${first}`, wait: parentWaits.promise }
        if (lastText(request) === 'go')
          return { text: 'on it', calls: [spawn('part 1'), spawn('part 2'), spawn('part 3')] }
        const seen = request.messages
          .filter(message => message.role === 'user')
          .map(message => message.parts.map(part => (part.type === 'text' ? part.text : '')).join(''))
        const results = seen.filter(text => text.includes('result of'))
        return results.length < 3 ? { text: 'waiting for them' } : { text: `merged ${results.length}` }
      },
    })
    const accepted = await it.say('go')
    await vi.waitUntil(() => it.events.some(event => event.on === 'run.state' && event.change === 'waiting'))
    parentWaits.resolve()
    expect(await it.done(accepted.wireId)).toMatchObject({ text: 'merged 3', outcome: 'succeeded' })
    // One call to spawn, one that ended in waiting, one that saw all three: the parent woke once.
    const parent = it.requests.filter(request => firstText(request) === 'go')
    expect(parent).toHaveLength(3)
    const turns = it.events.filter(event => event.on === 'run.turn' && event.run === accepted.run)
    expect(turns.map(turn => (turn.on === 'run.turn' ? [turn.text, turn.yielded] : null))).toEqual([
      ['waiting for them', true],
      ['merged 3', false],
    ])
  })

  test('a receipt is true and a refused spawn names the rule, what is allowed and the key', async () => {
    const it = await house({
      agents: { main: { allowAgents: ['extractor'], maxSpawnDepth: 2 }, extractor: {} },
      script: (request, n) => {
        if (firstText(request) === 'work') return { text: 'ok' }
        return n === 1
          ? { calls: [spawn('work', { agentId: 'extractor' }), spawn('work', { agentId: 'other' })] }
          : { text: 'end' }
      },
    })
    const accepted = await it.say('go')
    await it.done(accepted.wireId)
    const answers = (await it.house.history(accepted.session.id, { limit: 100 })).messages
      .filter(message => message.role === 'toolResult')
      .map(message => message.parts.map(part => (part.type === 'text' ? part.text : '')).join(''))
    const receipt = JSON.parse(answers[0] ?? '')
    expect(receipt).toMatchObject({
      status: 'accepted',
      agentId: 'extractor',
      resolvedModel: 'test/model',
      resolvedProvider: 'test',
      mode: 'run',
    })
    const child = await it.house.run(receipt.runId)
    expect(child?.run.receipt).toMatchObject({
      run: receipt.runId,
      agent: 'extractor',
      tools: receipt.tools,
      returnTo: accepted.session.id,
    })
    expect(answers[1]).toMatch(/extractor/)
    expect(answers[1]).not.toMatch(/accepted/)
  })

  test('a message that arrives during a call is read at the next one, after the reply it did not see', async () => {
    const hold = gate()
    const it = await house({
      script: (_request, n) => (n === 1 ? { text: 'first', wait: hold.promise } : { text: 'second' }),
    })
    const one = await it.say('one')
    while (it.requests.length === 0) await sleep(5)
    const two = await it.say('two')
    expect(two.status).toBe('absorbed')
    hold.resolve()
    await it.done(two.wireId)
    expect(
      it.requests[1]?.messages.map(message => [
        message.role,
        message.parts.map(part => (part.type === 'text' ? part.text : '')).join(''),
      ]),
    ).toEqual([
      ['user', 'one'],
      ['assistant', 'first'],
      ['user', 'two'],
    ])
    expect((await it.house.wait(one.wireId, { until: 'turn', timeoutMs: 1000 }))?.text).toBe('first')
    expect((await it.house.wait(two.wireId, { until: 'turn', timeoutMs: 1000 }))?.text).toBe('second')
  })

  test('a followup waits for a successor run; an interrupt breaks the call off', async () => {
    const hold = gate()
    const it = await house({
      script: (_request, n) => (n === 1 ? { text: 'first', wait: hold.promise } : { text: `answer ${n}` }),
    })
    const one = await it.say('one')
    while (it.requests.length === 0) await sleep(5)
    const two = await it.say('two', { mode: 'followup' })
    hold.resolve()
    expect(await it.done(one.wireId)).toMatchObject({ text: 'first' })
    const second = await it.house.wait(two.wireId, { until: 'done', timeoutMs: 5000 })
    expect(second?.text).toBe('answer 2')
    expect(second?.run).not.toBe(one.run)

    const never = gate()
    const that = await house({
      script: (_request, n) => (n === 1 ? { text: 'too slow', wait: never.promise } : { text: 'quick' }),
    })
    const slow = await that.say('slow')
    while (that.requests.length === 0) await sleep(5)
    await that.say('now', { mode: 'interrupt' })
    expect(await that.done(slow.wireId)).toMatchObject({ text: 'quick' })
    expect(that.requests[1]?.messages.filter(message => message.role === 'user')).toHaveLength(2)
  })

  test('the same key is the same message; with other words it is refused', async () => {
    const it = await house({ script: () => ({ text: 'x' }) })
    const key = { idempotencyKey: 'k1' }
    const one = await it.say('hi', key)
    await it.done(one.wireId)
    const again = await it.say('hi', key)
    expect(again).toMatchObject({ run: one.run, status: 'answered' })
    await expect(it.say('other', key)).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
    expect(it.requests).toHaveLength(1)
  })

  test('cancel ends the whole tree and what it spawned says so', async () => {
    const never = gate()
    const it = await house({
      script: request => {
        const first = firstText(request)
        if (first === 'deep') return { text: '', wait: never.promise }
        if (first === 'middle')
          return request.messages.length === 1
            ? { calls: [spawn('deep'), { name: 'exec', args: { command: 'sleep 30' } }] }
            : { text: 'm' }
        return request.messages.length === 1 ? { calls: [spawn('middle'), spawn('middle')] } : { text: 'w' }
      },
    })
    const accepted = await it.say('go')
    // Two commands are at work, each with its process group in a row.
    const commands = async () => {
      const tree = await it.house.tree(accepted.run)
      const steps = (await Promise.all(tree.map(view => it.house.steps(view.run.id)))).flat()
      return tree.length === 5 ? steps.filter(step => 'process' in step.intent).length : 0
    }
    while ((await commands()) < 2) await sleep(10)
    const report = await it.house.cancel({ principal: it.operator, target: { run: accepted.run }, reason: 'enough' })
    expect(report.runs).toHaveLength(5)
    expect(report.processes).toMatchObject({ ended: 2, stillAlive: [] })
    const tree = await it.house.tree(accepted.run)
    expect(tree.map(view => [view.run.state, view.run.outcome])).toEqual(Array(5).fill(['done', 'cancelled']))
    const before = it.requests.length
    await sleep(100)
    expect(it.requests).toHaveLength(before)
    expect(await it.house.liveRun(accepted.session.id)).toBeNull()
  })

  test('a child that is cancelled alone is reported to its parent, which goes on', async () => {
    const never = gate()
    const it = await house({
      script: request => {
        if (firstText(request) === 'hang') return { text: '', wait: never.promise }
        if (request.messages.length === 1) return { calls: [spawn('hang')] }
        return lastText(request).includes('cancelled') ? { text: 'noted' } : { text: 'waiting' }
      },
    })
    const accepted = await it.say('go')
    while ((await it.house.liveRun(accepted.session.id))?.state !== 'waiting') await sleep(10)
    const child = (await it.house.tree(accepted.run))[1]
    await it.house.cancel({ principal: it.operator, target: { run: child?.run.id ?? '' }, reason: 'no' })
    expect(await it.done(accepted.wireId)).toMatchObject({ text: 'noted' })
  })

  test('a deadline ends a child with partial state, and its parent is told', async () => {
    const never = gate()
    const it = await house({
      script: request => {
        if (firstText(request) === 'hang') return { text: '', wait: never.promise }
        if (request.messages.length === 1) return { calls: [spawn('hang', { runTimeoutSeconds: 1 })] }
        return lastText(request).includes('timed_out') ? { text: 'too slow' } : { text: 'waiting' }
      },
    })
    expect(await it.done((await it.say('go')).wireId)).toMatchObject({ text: 'too slow' })
  })

  test('sessions_yield and subagents wait: both wait in rows and go on where they were', async () => {
    const hold = gate()
    const it = await house({
      script: request => {
        const first = firstText(request)
        if (first === 'slow') return { text: 'slow result', wait: hold.promise }
        if (request.messages.length === 1) return { calls: [spawn('slow')] }
        const last = request.messages.at(-1)
        if (last?.role === 'tool' && lastText(request).includes('accepted'))
          return { calls: [{ name: 'subagents', args: { action: 'wait', timeoutSeconds: 1 } }] }
        if (last?.role === 'tool' && lastText(request).includes('waiting')) {
          hold.resolve()
          return { text: 'yielding', calls: [{ name: 'sessions_yield', args: {} }] }
        }
        return { text: lastText(request).includes('slow result') ? 'got it' : `unexpected: ${lastText(request)}` }
      },
    })
    expect(await it.done((await it.say('go')).wireId)).toMatchObject({ text: 'got it' })
  })

  test('a rate limit is a wait in a row, and the call is made again after it', async () => {
    const it = await house({
      script: (_request, n) =>
        n === 1
          ? {
              fail: {
                class: 'rate_limit',
                code: 'MODEL_RATE_LIMIT',
                message: 'slow down',
                fix: 'Wait.',
                retryAtMs: Date.now() + 300,
                provider: 'test',
                model: 'model',
              },
            }
          : { text: 'now' },
    })
    const accepted = await it.say('go')
    while ((await it.house.liveRun(accepted.session.id))?.state !== 'waiting') await sleep(10)
    expect(it.engine.counts().main.running).toBe(0)
    expect(await it.done(accepted.wireId)).toMatchObject({ text: 'now' })
    expect(it.requests[1]?.messages).toHaveLength(1)
  })

  test('a model that fails ends its run with a code and a fix, and the next message is answered', async () => {
    const it = await house({
      script: (_request, n) =>
        n === 1
          ? {
              fail: {
                class: 'auth',
                code: 'MODEL_AUTH',
                message: 'bad key',
                fix: 'Check it.',
                provider: 'test',
                model: 'model',
              },
            }
          : { text: 'better' },
    })
    expect(await it.done((await it.say('go')).wireId)).toMatchObject({ outcome: 'failed', error: 'bad key. Check it.' })
    expect(await it.done((await it.say('again')).wireId)).toMatchObject({ text: 'better' })
  })

  test('a crash in the middle of a model call repeats it; one in a never tool tells the model it is unknown', async () => {
    const never = gate()
    const it = await house({
      script: (request, n) => {
        if (n === 1) return { text: 'lost', wait: never.promise }
        if (n === 2) return { calls: [{ name: 'exec', args: { command: 'sleep 20' } }] }
        return { text: lastText(request).includes('not known') ? 'told' : `untold: ${lastText(request)}` }
      },
    })
    const accepted = await it.say('go')
    while (it.requests.length < 1) await sleep(5)
    await it.crash()
    while ((await it.house.steps(accepted.run)).every(step => step.kind !== 'tool' || step.startedAt === null))
      await sleep(5)
    await it.crash()
    expect(await it.done(accepted.wireId)).toMatchObject({ text: 'told' })
    const steps = await it.house.steps(accepted.run)
    expect(steps.map(step => [step.kind, step.state])).toEqual([
      ['model', 'done'],
      ['tool', 'unknown'],
      ['model', 'done'],
    ])
  })

  test('a stop in the middle of a call leaves the row open, and ends at once', async () => {
    const never = gate()
    const it = await house({
      script: (_request, n) => (n === 1 ? { text: 'lost', wait: never.promise } : { text: 'again' }),
    })
    const accepted = await it.say('go')
    while (it.requests.length < 1) await sleep(5)
    await it.runner.stop()
    expect((await it.house.run(accepted.run))?.run.state).toBe('running')
    expect((await it.house.steps(accepted.run))[0]?.state).toBe('open')
    await it.crash()
    expect(await it.done(accepted.wireId)).toMatchObject({ text: 'again' })
  })

  test('the result of a child whose parent waits survives a crash and arrives once', async () => {
    const hold = gate()
    const it = await house({
      script: request => {
        if (firstText(request) === 'slow') return { text: 'late result', wait: hold.promise }
        if (request.messages.length === 1) return { calls: [spawn('slow')] }
        const results = request.messages.filter(
          message =>
            message.role === 'user' &&
            message.parts.some(part => part.type === 'text' && part.text.includes('late result')),
        )
        return results.length > 0 ? { text: `saw ${results.length}` } : { text: 'waiting' }
      },
    })
    const accepted = await it.say('go')
    while ((await it.house.liveRun(accepted.session.id))?.state !== 'waiting') await sleep(10)
    await it.crash()
    hold.resolve()
    expect(await it.done(accepted.wireId)).toMatchObject({ text: 'saw 1' })
  })

  test('a reset closes the conversation; a late result becomes a dead letter, never a turn', async () => {
    const hold = gate()
    const it = await house({
      script: request => (firstText(request) === 'alone' ? { text: 'late', wait: hold.promise } : { text: 'new' }),
    })
    const receipt = await it.house.spawn({ principal: it.operator, agent: 'main', task: 'alone', idempotencyKey: 's1' })
    while (it.requests.length < 1) await sleep(5)
    const before = await it.house.sessionByKey('agent:main:main')
    await it.house.reset({ principal: it.operator, sessionKey: 'main', reason: 'reset' })
    hold.resolve()
    await it.done(receipt.run)
    expect(await it.house.counts()).toMatchObject({ deadLetters: 1, deadRuns: [receipt.run] })
    const now = await it.house.sessionByKey('agent:main:main')
    expect(now?.id).not.toBe(before?.id)
    expect(it.requests).toHaveLength(1)
  })

  test('a spawn by a person returns to the session and starts a turn there', async () => {
    const it = await house({
      script: request =>
        firstText(request) === 'alone'
          ? { text: 'the result' }
          : { text: `read: ${lastText(request).includes('the result')}` },
    })
    const receipt = await it.house.spawn({ principal: it.operator, agent: 'main', task: 'alone', idempotencyKey: 's1' })
    await it.done(receipt.run)
    const session = await it.house.sessionByKey('agent:main:main')
    while ((await it.house.history(session?.id ?? '', { limit: 10 })).messages.length < 2) await sleep(10)
    expect((await it.house.history(session?.id ?? '', { limit: 10 })).messages.at(-1)?.parts).toEqual([
      { type: 'text', text: 'read: true' },
    ])
  })

  test('a run that goes round in circles is ended, and says where the limit is', async () => {
    const it = await house({ maxSteps: 3, script: () => ({ calls: [{ name: 'ls', args: {} }] }) })
    const accepted = await it.say('go')
    expect(await it.done(accepted.wireId)).toMatchObject({ outcome: 'failed' })
    expect((await it.house.run(accepted.run))?.run.errorCode).toBe('RUN_STEPS')
    expect(it.requests).toHaveLength(3)
  })

  test('a budget is divided, reserved and enforced; partial work is kept', async () => {
    const it = await house({
      agents: { main: { budget: { nano: null, tokens: null, calls: 3 } } },
      script: (_request, n) => ({ text: `step ${n}`, calls: [{ name: 'ls', args: {} }] }),
    })
    const accepted = await it.say('go')
    expect(await it.done(accepted.wireId)).toMatchObject({ outcome: 'budget_exhausted' })
    expect(it.requests).toHaveLength(3)
    expect((await it.house.run(accepted.run))?.run.spent.calls).toBe(3)
  })
})
