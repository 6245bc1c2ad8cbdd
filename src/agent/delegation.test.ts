import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { delegates, go, isChild, spawn } from '../../test/support/delegating.ts'
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

describe('how a sub-agent works', () => {
  test('in a folder, and in nothing but it; its own sub-agents too', async () => {
    const seen: string[] = []
    const it = await house({
      script: delegates([{ cwd: 'sub' }, { cwd: 'nowhere' }, { cwd: 'out' }, { cwd: '..' }], request => {
        seen.push(request.system.match(/Your workspace is (\S+);/)?.[1] ?? '')
        const depth = seen.length
        if (request.messages.length > 1)
          return {
            text: request.messages
              .slice(2)
              .map(m => m.parts.map(p => (p.type === 'text' ? p.text : '')).join(''))
              .join(' | '),
          }
        return depth === 1
          ? {
              calls: [
                { name: 'read', args: { path: 'in.txt' } },
                { name: 'read', args: { path: '../secret.txt' } },
                spawn({}),
                spawn({ cwd: '../other' }),
              ],
            }
          : { calls: [{ name: 'exec', args: { command: 'pwd' } }] }
      }),
    })
    const workspace = join(it.dir, 'workspace')
    mkdirSync(join(workspace, 'sub'))
    mkdirSync(join(workspace, 'other'))
    symlinkSync('/etc', join(workspace, 'out'))
    writeFileSync(join(workspace, 'secret.txt'), 'secret')
    writeFileSync(join(workspace, 'sub/in.txt'), 'inside')
    const { receipts, children } = await go(it)
    expect(receipts).toMatchObject([
      { status: 'accepted', cwd: 'sub' },
      { status: 'error', error: expect.stringContaining('There is no folder "nowhere" in the workspace.') },
      { status: 'error', error: expect.stringContaining('"out" lies outside the workspace') },
      { status: 'error', error: expect.stringContaining('".." lies outside the workspace') },
    ])
    const [child, grandchild] = children
    expect(new Set(seen)).toEqual(new Set([join(workspace, 'sub')]))
    expect(child?.result).toMatch(
      /accepted.*"cwd":"sub".*"\.\.\/other\\" lies outside.*"\.\.\/secret\.txt" lies outside.*inside/s,
    )
    expect(grandchild?.result).toContain(join(workspace, 'sub'))
  })

  test('with a level of thinking, a handle, limits; the receipt says so, and its session goes when it is done', async () => {
    const it = await house({
      script: delegates(
        {
          taskName: 'count',
          thinking: 'high',
          cleanup: 'delete',
          lightContext: true,
          tools: ['read'],
          budget: { usd: 0.01, calls: 3, seconds: 60 },
          runTimeoutSeconds: 90,
        },
        () => ({ text: 'counted' }),
      ),
    })
    const { receipts, children, end, accepted } = await go(it)
    expect(receipts[0]).toEqual({
      status: 'accepted',
      childSessionKey: expect.stringMatching(/^agent:main:subagent:/),
      runId: children[0]!.id,
      mode: 'run',
      expectsCompletionMessage: true,
      agentId: 'main',
      resolvedModel: 'test/model',
      resolvedProvider: 'test',
      modelApplied: true,
      tools: ['read'],
      mayDelegate: true,
      taskName: 'count',
      thinking: 'high',
      context: 'isolated',
      lightContext: true,
      cleanup: 'delete',
      budget: { usd: 0.01, calls: 3 },
      deadlineInSeconds: 60,
      note: 'It is queued. Its result will come to you as a message; do not poll.',
    })
    const child = it.requests.find(isChild)!
    expect([child.thinking, child.tools.map(tool => tool.name)]).toEqual(['high', ['read']])
    expect(end.text).toMatch(
      /\[Sub-agent main · count · completed\].*counted.*Stats: runtime .*s, tokens 110, calls 1, cost \$0\.0001, run /s,
    )
    expect((await it.house.session(children[0]!.session))?.closedAt).not.toBeNull()
    expect((await it.house.run(children[0]!.id))?.run.result).toBe('counted')
    expect((await it.house.session(accepted.session.id))?.closedAt).toBeNull()
  })

  test('with a sandbox that must be there, or none', async () => {
    const it = await house({
      agents: { main: {}, open: { unsandboxed: true } },
      script: delegates(
        [
          { sandbox: 'require' },
          { sandbox: 'require', agentId: 'open' },
          { sandbox: 'require', agentId: 'open', tools: ['read'] },
          { agentId: 'open' },
        ],
        () => ({ text: 'done' }),
      ),
    })
    expect((await go(it)).receipts).toMatchObject([
      { status: 'accepted' },
      {
        status: 'error',
        code: 'SPAWN_PARAM',
        error: expect.stringContaining('commands of agent open run without one (tools.exec.sandbox)'),
      },
      { status: 'accepted' },
      { status: 'accepted' },
    ])
  })

  test('a handle names one sub-agent at a time', async () => {
    const it = await house({ script: delegates([{ taskName: 'a' }, { taskName: 'a' }], () => ({ text: 'x' })) })
    expect((await go(it)).receipts).toMatchObject([
      { status: 'accepted' },
      { status: 'error', error: 'taskName a is the name of a sub-agent of yours that is at work' },
    ])
  })

  test('with the conversation so far, when it is short enough', async () => {
    const setup = (maxForkTokens: number): HouseSetup => ({
      sharing: { maxForkTokens },
      script: request => {
        const shown = request.messages.map(m => m.parts.map(p => (p.type === 'text' ? p.text : '')).join(''))
        if (isChild(request)) return { text: `saw ${JSON.stringify(shown)}` }
        if (lastText(request) === 'remember 42') return { text: 'noted' }
        if (lastText(request) === 'go') return { text: 'on it', calls: [spawn({ context: 'fork' })] }
        return request.messages.at(-1)?.role === 'tool' ? { text: 'waiting' } : { text: lastText(request) }
      },
    })
    const it = await house(setup(1000))
    await it.done((await it.say('remember 42')).wireId)
    const forked = await go(it)
    expect(forked.receipts[0]).toMatchObject({
      context: 'fork',
      contextNote: expect.stringMatching(/^It begins with a copy of this conversation: 3 messages, about \d+ tokens/),
    })
    expect(forked.end.text).toContain(
      'saw ["remember 42","noted","go","work\\n\\n[Terms of this task]\\n- Everything above this message is a copy',
    )
    const tight = await house(setup(10))
    await tight.done((await tight.say('remember 42')).wireId)
    const alone = await go(tight)
    expect(alone.receipts[0]).toMatchObject({
      context: 'isolated',
      contextNote: expect.stringMatching(/longer than the 10 tokens that are copied/),
    })
    expect(alone.end.text).toContain('saw ["work"]')
  })

  test('with files that come along, when that is switched on', async () => {
    const attachments = [
      { name: 'a.txt', content: 'first' },
      { name: 'b.bin', content: Buffer.from([1, 2, 3]).toString('base64'), encoding: 'base64' },
    ]
    const limits = { maxTotalBytes: 20, maxFiles: 2, maxFileBytes: 10 }
    const it = await house({
      sharing: { attachments: limits },
      script: delegates(
        [
          { attachments },
          { attachments: [{ name: 'c', content: 'x'.repeat(11) }] },
          { attachments: [{ name: '../c', content: 'x' }] },
          { attachments, model: 'none/none' },
        ],
        request => ({ text: firstText(request) }),
      ),
    })
    const { receipts, children, end } = await (async () => {
      const accepted = await it.say('go')
      const end = await it.done(accepted.wireId)
      const { messages } = await it.house.history(accepted.session.id, { limit: 20 })
      const texts = messages.filter(row => row.role === 'toolResult').map(row => JSON.stringify(row.parts))
      return { receipts: texts, end, children: (await it.house.tree(accepted.run)).slice(1) }
    })()
    const folder = join(it.dir, 'workspace/.deputy/attachments')
    expect(receipts[0]).toContain(
      `\\"attachments\\":{\\"count\\":2,\\"totalBytes\\":8,\\"relDir\\":\\".deputy/attachments/`,
    )
    expect(receipts[1]).toContain('c has 11 bytes; 10 are allowed for one')
    expect(receipts[2]).toContain('attachments.0.name')
    expect(receipts[3]).toContain('the model none/none cannot be used')
    expect(readdirSync(folder)).toEqual([children[0]!.run.id])
    expect([...readFileSync(join(folder, children[0]!.run.id, 'b.bin'))]).toEqual([1, 2, 3])
    expect(end.text).toContain(`Files that come with it, in .deputy/attachments/${children[0]!.run.id}: a.txt, b.bin`)
  })
})

describe('a parent', () => {
  test('reads the rest of a long result in a later turn, too, and that of one that a person started', async () => {
    const long = `${'a'.repeat(20_000)}the end`
    const it = await house({
      script: request => {
        if (isChild(request)) return { text: long }
        const text = lastText(request)
        if (text === 'go') return { calls: [spawn({ taskName: 'writes' })] }
        const asked = /^read (\S+)$/.exec(text)?.[1]
        if (asked)
          return { calls: [{ name: 'subagents', args: { action: 'result', targets: [asked], offset: 19_000 } }] }
        return { text: request.messages.at(-1)?.role === 'tool' ? text : 'noted' }
      },
    })
    await go(it)
    const receipt = await it.house.spawn({
      principal: it.operator,
      sessionKey: 'main',
      agent: 'main',
      task: 'write more',
      idempotencyKey: 'by-hand',
    })
    while ((await it.house.run(receipt.run))?.run.state !== 'done') await sleep(5)
    for (const target of ['writes', '2', receipt.run]) {
      const { text } = await it.done((await it.say(`read ${target}`)).wireId)
      expect(text).toContain('"characters":20007,"from":19000,"to":20007')
      expect(text).toContain('the end')
    }
    // Another conversation's are not there for it.
    const { text } = await it.done((await it.say('read writes', { sessionKey: 'agent:main:else' })).wireId)
    expect(text).toContain('No sub-agent of yours is called "writes"')
  })

  test('is shown who is at work, at the very end and only then', async () => {
    const hold = Promise.withResolvers<void>()
    const it = await house({
      script: delegates([{ taskName: 'slow-one' }, { label: 'Other' }], async () => ({
        text: 'x',
        wait: hold.promise,
      })),
    })
    const accepted = await it.say('go')
    while (it.requests.filter(isChild).length < 2) await sleep(5)
    hold.resolve()
    await it.done(accepted.wireId)
    const notes = it.requests.filter(request => !isChild(request)).map(request => request.note)
    expect(notes).toEqual([
      undefined,
      expect.stringMatching(
        /^\[Your sub-agents at work: slow-one \(main\) (queued|running) 0s; Other \(main\) (queued|running) 0s\]$/,
      ),
      undefined,
    ])
    const children = it.requests.filter(isChild)
    expect(new Set(children.map(request => request.cacheGroup)).size).toBe(1)
    expect(children[0]!.cacheKey).not.toBe(children[1]!.cacheKey)
  })

  test('steers, and reads the log and the result, by handle', async () => {
    const hold = Promise.withResolvers<void>()
    const words: string[] = []
    const it = await house({
      script: async request => {
        if (isChild(request)) {
          if (request.messages.length === 1) return { text: 'Looking.', calls: [{ name: 'ls', args: {} }] }
          if (request.messages.length === 3) return { text: 'first', wait: hold.promise }
          return { text: `steered: ${lastText(request)}` }
        }
        const last = request.messages.at(-1)!
        if (last.role === 'tool') words.push(lastText(request))
        if (request.messages.length === 1) return { calls: [spawn({ taskName: 'look' })] }
        const use = (args: object) => ({ calls: [{ name: 'subagents', args: { target: 'look', ...args } }] })
        if (words.length === 1) {
          while (it.requests.filter(isChild).length < 2) await sleep(5)
          return use({ action: 'steer', message: 'Look at the dates, too.' })
        }
        if (last.role === 'user') return use({ action: 'log' })
        if (words.length === 2) {
          hold.resolve()
          return { text: 'waiting' }
        }
        return words.length === 3
          ? use({ action: 'result' })
          : words.length === 4
            ? use({ action: 'steer', message: 'more' })
            : { text: 'end' }
      },
    })
    await it.done((await it.say('go')).wireId)
    expect(words[1]).toMatch(/"status":"accepted".*"targetDisposition":"steered".*It reads this at its next step/)
    expect(words[2]).toMatch(
      /^look: succeeded\n<outside-data kind="conversation".*\[1 user\] work\n\[\d assistant\] Looking\.\n→ ls\(\{\}\)\n\[\d ls\] .*steered: \[Message from agent main/s,
    )
    expect(words[3]).toMatch(
      /^\{.*"status":"succeeded","characters":\d+,"from":0,"to":\d+\}\n<outside-data kind="child result".*Look at the dates, too\./s,
    )
    expect(words[4]).toContain('The sub-agent has ended')
    // What a parent tells its own sub-agent is no outside data.
    const steered = it.requests.filter(isChild).at(-1)!
    expect(lastText(steered)).toMatch(
      /^\[Message from agent main, conversation agent:main:main\]\nLook at the dates, too\.$/,
    )
  })

  test('that cancels a sub-agent takes back what it had told it', async () => {
    const never = new Promise<never>(() => undefined)
    const it = await house({
      script: request => {
        if (isChild(request)) return { text: 'slow', wait: never }
        const use = (args: object) => ({ name: 'subagents', args: { target: 'slow', ...args } })
        if (request.messages.length === 1) return { calls: [spawn({ taskName: 'slow' })] }
        if (request.messages.length === 3)
          return { calls: [use({ action: 'steer', message: 'faster' }), use({ action: 'cancel' })] }
        return { text: request.messages.at(-1)?.role === 'user' ? lastText(request) : 'waiting' }
      },
    })
    const accepted = await it.say('go')
    expect((await it.done(accepted.wireId)).text).toContain('cancelled by the agent that spawned it')
    expect(await it.house.tree(accepted.run)).toHaveLength(2)
    expect(await it.house.runs({ limit: 10 })).toHaveLength(2)
  })

  test('hears what a sub-agent had said when its time is over', async () => {
    const never = new Promise<never>(() => undefined)
    const it = await house({
      script: delegates({ runTimeoutSeconds: 1 }, (_, n) =>
        n === 1 ? { text: 'Half of it is 21.', calls: [{ name: 'ls', args: {} }] } : { text: '', wait: never },
      ),
    })
    const { end, children } = await go(it)
    expect(children[0]).toMatchObject({ outcome: 'timed_out', result: 'Half of it is 21.' })
    expect(end.text).toMatch(
      /· timed_out: the run reached its deadline of 1 s\]\nWhat it had said last:\n.*Half of it is 21\./s,
    )
  })
})
