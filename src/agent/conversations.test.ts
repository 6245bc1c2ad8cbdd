import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { isChild, spawn } from '../../test/support/delegating.ts'
import { type HouseSetup, lastText, openTestHouse, type Said, type TestHouse } from '../../test/support/house.ts'
import type { ModelRequest } from '../core/ports.ts'

const open: TestHouse[] = []

async function house(setup: HouseSetup): Promise<TestHouse> {
  const test = await openTestHouse({ agents: { main: {}, other: {} }, ...setup })
  open.push(test)
  return test
}

afterEach(async () => {
  for (const test of open.splice(0)) await test.close()
})

const isOther = (request: ModelRequest) => request.system.includes('the agent "other"')
const send = (args: object) => ({ name: 'sessions_send', args: { agentId: 'other', message: 'how many?', ...args } })

/** `main` makes one call and then says what it was answered; `other` does as it is told. */
function asks(
  call: { name: string; args: unknown },
  other: (request: ModelRequest, n: number) => Said | Promise<Said>,
) {
  const counts = { other: 0 }
  return (request: ModelRequest): Said | Promise<Said> => {
    if (isOther(request)) return other(request, ++counts.other)
    return lastText(request) === 'go' ? { calls: [call] } : { text: `heard: ${lastText(request)}` }
  }
}

const texts = async (it: TestHouse, key: string) => {
  const session = await it.house.sessionByKey(key)
  const { messages } = await it.house.history(session!.id, { limit: 100 })
  return messages.map(row => [row.role, row.parts.map(part => (part.type === 'text' ? part.text : '')).join('')])
}

describe('sessions_send', () => {
  test('waits for the reply inside the call, in a row and without a slot', async () => {
    const hold = Promise.withResolvers<void>()
    const it = await house({
      lanes: { main: 1, subagent: 1 },
      script: asks(send({}), () => ({ text: 'three', wait: hold.promise })),
    })
    const accepted = await it.say('go')
    while ((await it.house.liveRun(accepted.session.id))?.wait?.for !== 'ask') await sleep(5)
    expect(it.engine.counts().main.running).toBe(0)
    hold.resolve()
    const { text } = await it.done(accepted.wireId)
    expect(text).toMatch(
      /^heard: \{"runId":"[^"]+","sessionKey":"agent:other:main","status":"ok"\}\n<outside-data kind="reply".*\nthree\n/s,
    )
    expect(await texts(it, 'agent:other:main')).toEqual([
      ['user', 'how many?'],
      ['assistant', 'three'],
    ])
    const asked = it.requests.find(isOther)!
    expect(lastText(asked)).toMatch(
      /^\[Message from agent main, conversation agent:main:main\]\nhow many\?\n\[What you say next goes back/,
    )
  })

  test('the wait survives a crash of the gateway, and the reply comes once', async () => {
    const hold = Promise.withResolvers<void>()
    const it = await house({ script: asks(send({}), () => ({ text: 'three', wait: hold.promise })) })
    const accepted = await it.say('go')
    while ((await it.house.liveRun(accepted.session.id))?.wait?.for !== 'ask') await sleep(5)
    await it.crash()
    hold.resolve()
    expect((await it.done(accepted.wireId)).text).toContain('"status":"ok"')
    expect((await texts(it, 'agent:other:main')).filter(([role]) => role === 'user')).toHaveLength(1)
  })

  test('a reply that is late comes as a message, from an equal as it is', async () => {
    const hold = Promise.withResolvers<void>()
    const it = await house({
      script: asks(send({ timeoutSeconds: 0.2 }), () => ({ text: 'three', wait: hold.promise })),
    })
    const accepted = await it.say('go')
    expect((await it.done(accepted.wireId)).text).toMatch(/"status":"timeout".*Its reply comes as a message/)
    hold.resolve()
    while ((await texts(it, 'agent:main:main')).length < 6) await sleep(10)
    const said = await texts(it, 'agent:main:main')
    expect(said.at(-2)).toEqual(['user', 'three'])
    expect(said.at(-1)?.[1]).toBe('heard: [Reply from agent other, conversation agent:other:main]\nthree')
  })

  test('does not wait when told so; REPLY_SKIP and a mere note are never answered', async () => {
    for (const [args, other] of [
      [{ timeoutSeconds: 0 }, 'REPLY_SKIP'],
      [{ mode: 'notify' }, 'never said'],
    ] as const) {
      const it = await house({ script: asks(send(args), () => ({ text: other })) })
      const { text } = await it.done((await it.say('go')).wireId)
      expect(text).toContain('"status":"accepted"')
      await sleep(100)
      expect(await texts(it, 'agent:main:main')).toHaveLength(4)
      expect(it.requests.filter(isOther)).toHaveLength(args === undefined || 'mode' in args ? 0 : 1)
    }
    for (const silent of ['REPLY_SKIP', 'no_reply\n']) {
      const it = await house({ script: asks(send({}), () => ({ text: silent })) })
      expect((await it.done((await it.say('go')).wireId)).text).toContain('"status":"no_reply"')
    }
  })

  test('a note is seen with the next message; a follow-up is read after the present work', async () => {
    const it = await house({
      script: asks(send({ mode: 'notify', message: 'the disk is full' }), request => ({ text: lastText(request) })),
    })
    await it.done((await it.say('go')).wireId)
    await it.done((await it.say('news?', { sessionKey: 'agent:other:main' })).wireId)
    const shown = it.requests
      .find(isOther)!
      .messages.map(message => message.parts.map(part => (part.type === 'text' ? part.text : '')).join(''))
    expect(shown).toEqual(['[Message from agent main, conversation agent:main:main]\nthe disk is full', 'news?'])

    const hold = Promise.withResolvers<void>()
    const that = await house({
      script: asks(send({ mode: 'followup' }), (request, n) =>
        n === 1 ? { text: 'busy', wait: hold.promise } : { text: `then: ${lastText(request).split('\n')[1]}` },
      ),
    })
    const busy = await that.say('work', { sessionKey: 'agent:other:main' })
    while (that.requests.length === 0) await sleep(5)
    const accepted = await that.say('go')
    while ((await that.house.liveRun(accepted.session.id))?.wait?.for !== 'ask') await sleep(5)
    hold.resolve()
    expect((await that.done(busy.wireId)).text).toBe('busy')
    expect((await that.done(accepted.wireId)).text).toContain('then: how many?')
  })

  test('a run that fails answers with its error, one that is stopped too; a stopped sender is told nothing', async () => {
    const never = new Promise<never>(() => undefined)
    const fail = {
      class: 'auth',
      code: 'MODEL_AUTH',
      message: 'bad key',
      fix: 'Mend it.',
      provider: 'p',
      model: 'm',
    } as const
    const failing = await house({ script: asks(send({}), () => ({ fail })) })
    expect((await failing.done((await failing.say('go')).wireId)).text).toMatch(
      /"status":"error","error":"bad key\. Mend it\."/,
    )

    const it = await house({ script: asks(send({}), () => ({ text: 'x', wait: never })) })
    const accepted = await it.say('go')
    while (!it.requests.some(isOther)) await sleep(5)
    await it.house.cancel({ principal: it.operator, target: { session: 'agent:other:main' }, reason: 'enough' })
    expect((await it.done(accepted.wireId)).text).toMatch(/"status":"error","error":"enough/)

    const hold = Promise.withResolvers<void>()
    const that = await house({ script: asks(send({}), () => ({ text: 'three', wait: hold.promise })) })
    const second = await that.say('go')
    while (!that.requests.some(isOther)) await sleep(5)
    await that.house.cancel({ principal: that.operator, target: { run: second.run }, reason: 'enough' })
    hold.resolve()
    while (await that.house.liveRun((await that.house.sessionByKey('agent:other:main'))!.id)) await sleep(5)
    expect(await that.house.liveRun(second.session.id)).toBeNull()
  })

  test('agents that answer each other stop after so many answers', async () => {
    const it = await house({
      sharing: { maxPingPongTurns: 3 },
      script: request => {
        const last = request.messages.at(-1)!
        if (last.role === 'tool')
          return { text: lastText(request).includes('forbidden') ? lastText(request) : 'REPLY_SKIP' }
        return {
          calls: [send({ agentId: isOther(request) ? 'main' : 'other', timeoutSeconds: 0, message: 'your turn' })],
        }
      },
    })
    await it.say('go')
    for (let calm = 0, seen = -1; calm < 20; calm++) {
      if (it.requests.length !== seen) calm = 0
      seen = it.requests.length
      await sleep(10)
    }
    const all = [...(await texts(it, 'agent:main:main')), ...(await texts(it, 'agent:other:main'))]
    expect(all.filter(([role, text]) => role === 'user' && text === 'your turn')).toHaveLength(4)
    expect(all.filter(([, text]) => text?.includes('answered each other 3 times'))).toHaveLength(2)
  })

  test('two that wait for each other do not wait for ever', async () => {
    const it = await house({
      script: request => {
        if (request.messages.at(-1)!.role === 'tool')
          return { text: `${isOther(request) ? 'other' : 'main'} heard ${lastText(request)}` }
        if (lastText(request) === 'go') return { calls: [send({})] }
        return isOther(request) ? { calls: [send({ agentId: 'main', message: 'why?' })] } : { text: 'because' }
      },
    })
    const accepted = await it.say('go')
    const end = await it.house.wait(accepted.wireId, { until: 'turn', timeoutMs: 5000 })
    expect(end?.status).toBe('ok')
    while (it.requests.length < 5) await sleep(5)
  })

  test('a run that a message starts holds no more than its sender, and is paid by it', async () => {
    const it = await house({
      agents: {
        main: {
          tools: ['sessions_send', 'read'],
          maxSpawnDepth: 2,
          budget: { nano: 1_000_000_000, tokens: null, calls: 10 },
        },
        other: { tools: ['exec', 'read', 'sessions_send'] },
      },
      script: asks(send({}), request => ({ text: request.tools.map(tool => tool.name).join() })),
    })
    const accepted = await it.say('go')
    expect((await it.done(accepted.wireId)).text).toMatch(/\nread,sessions_send\n|\nsessions_send,read\n/)
    const session = await it.house.sessionByKey('agent:other:main')
    const [started] = await it.house.runs({ session: session!.id, limit: 1 })
    expect(started?.run.grant).toMatchObject({ depth: 2, budget: { calls: 4 } })
    expect((await it.house.run(accepted.run))?.run.spent.calls).toBe(6)
    // What comes from one that holds less is data to the other.
    expect(lastText(it.requests.find(isOther)!)).toMatch(
      /\]\n<outside-data kind="chat message" from="agent main">.*\nhow many\?\n<\/outside-data>/s,
    )
  })

  test('nothing is sent to oneself, to what is not there, or into a sub-agent that has ended', async () => {
    const answers: string[] = []
    const calls = [
      { agentId: undefined, sessionKey: 'main' },
      { agentId: 'nobody' },
      { agentId: undefined, label: 'x' },
    ]
    const it = await house({
      script: request => {
        if (isChild(request)) return { text: 'done' }
        if (lastText(request) === 'go') return { calls: [...calls.map(send), spawn({})] }
        if (answers.length === 0) {
          const results = request.messages.filter(one => one.role === 'tool')
          answers.push(...results.map(one => one.parts.map(part => (part.type === 'text' ? part.text : '')).join('')))
          if (request.messages.at(-1)!.role === 'tool') return { text: 'waiting' }
        }
        if (request.messages.at(-1)!.role === 'tool') return { text: lastText(request) }
        return {
          calls: [
            send({
              agentId: undefined,
              sessionKey: JSON.parse(answers.find(text => text.includes('accepted'))!).childSessionKey,
            }),
          ],
        }
      },
    })
    expect((await it.done((await it.say('go')).wireId)).text).toContain('The sub-agent has ended')
    expect(answers.filter(text => !text.includes('accepted'))).toEqual([
      expect.stringContaining('This is your own conversation.'),
      expect.stringContaining('There is no conversation \\"nobody\\" that you may reach'),
      expect.stringContaining('There is no conversation \\"x\\" that you may reach'),
    ])
  })
})
