import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import type { Approval, AskPolicy } from '../core/approval.ts'
import type { Principal } from '../core/principal.ts'

const open: TestHouse[] = []

async function house(setup: HouseSetup): Promise<TestHouse> {
  const test = await openTestHouse(setup)
  open.push(test)
  return test
}

afterEach(async () => {
  for (const test of open.splice(0)) await test.close()
})

const onMiss = { exec: { security: 'allowlist' as const, ask: 'on-miss' as const, safeBins: ['ls'] } }
const command = (text: string) => ({ name: 'exec', args: { command: text } })

/** One reply with these calls, then what they answered. */
function once(...calls: { name: string; args: object }[]): HouseSetup['script'] {
  return request => {
    const results = request.messages.flatMap(message =>
      message.role === 'tool' ? [message.parts.map(part => (part.type === 'text' ? part.text : '')).join('')] : [],
    )
    return results.length >= calls.length ? { text: results.join(' | ') } : { calls }
  }
}

async function waiting(it: TestHouse, n = 1): Promise<readonly Approval[]> {
  for (let i = 0; i < 400; i++) {
    const all = await it.house.approvals.pending()
    const states = await Promise.all(all.map(one => it.house.run(one.run)))
    if (all.length >= n && states.every(view => view?.run.state === 'waiting')) return all
    await sleep(5)
  }
  throw new Error(`not ${n} questions: ${JSON.stringify(await it.house.approvals.pending())}`)
}

const allow = (it: TestHouse, approval: Approval, decision: 'allow-once' | 'allow-always' | 'deny' = 'allow-once') =>
  it.house.approvals.answer({ principal: it.operator, id: approval.id, decision })

const chat = { channel: 'telegram', account: 'default', to: '42' }
const outbox = (it: TestHouse) =>
  it.store.read
    .selectFrom('outbox')
    .selectAll()
    .orderBy('id')
    .execute()
    .then(rows => rows.map(row => JSON.parse(row.payload)))

describe('a command that policy asks about', () => {
  test('waits without a lane, is asked with its exact words, and runs when it is allowed', async () => {
    const it = await house({ script: once(command('echo yes > made.txt && cat made.txt')), asking: () => onMiss })
    const { run } = await it.say('go', { route: chat })
    const [asked] = await waiting(it)
    expect(asked).toMatchObject({
      kind: 'exec',
      run,
      state: 'pending',
      route: chat,
      question: { text: 'echo yes > made.txt && cat made.txt', decisions: ['allow-once', 'allow-always', 'deny'] },
    })
    expect(existsSync(join(it.dir, 'workspace/made.txt'))).toBe(false)
    const [question] = await outbox(it)
    const short = asked!.id.slice(0, 8)
    expect(question.text).toContain('```\necho yes > made.txt && cat made.txt\n```')
    expect(question.buttons[0].map((button: { value: string }) => button.value)).toEqual([
      `/approve ${short} allow-once`,
      `/approve ${short} allow-always`,
      `/approve ${short} deny`,
    ])
    expect(await allow(it, asked!)).toMatchObject({ state: 'allow-once', decidedBy: 'operator' })
    expect((await it.done(run)).text).toMatch(/yes/)
    expect((await outbox(it)).map(({ text }) => text)).toEqual([
      question.text,
      `Approval ${short} (main wants to run a command): allowed once by operator.`,
      expect.stringContaining('yes'),
    ])
    expect(it.events.flatMap(event => (event.on === 'approval' ? [[event.phase, event.approval.state]] : []))).toEqual([
      ['requested', 'pending'],
      ['resolved', 'allow-once'],
    ])
  })

  test('does not run when it is denied, and the model is told by whom', async () => {
    const it = await house({ script: once(command('touch made.txt')), asking: () => onMiss })
    const { run } = await it.say('go')
    await allow(it, (await waiting(it))[0]!, 'deny')
    expect((await it.done(run)).text).toContain('a person denied this call (operator)')
    expect(existsSync(join(it.dir, 'workspace/made.txt'))).toBe(false)
  })

  test('does not run when nobody answers in time', async () => {
    const it = await house({
      script: once(command('touch made.txt')),
      asking: () => ({ ...onMiss, timeoutMs: 50 }),
    })
    const { run } = await it.say('go', { route: chat })
    expect((await it.done(run)).text).toContain('nobody answered in time')
    expect(existsSync(join(it.dir, 'workspace/made.txt'))).toBe(false)
    const [asked] = await it.house.approvals.decided(10)
    expect(asked).toMatchObject({ state: 'expired', decidedBy: null })
    await expect(allow(it, asked!)).rejects.toMatchObject({ code: 'APPROVAL_ANSWERED' })
  })

  test('is answered once: the second is told who was first and when', async () => {
    const it = await house({ script: once(command('touch made.txt')), asking: () => onMiss })
    await it.say('go')
    const [asked] = await waiting(it)
    const answers = await Promise.allSettled([allow(it, asked!, 'deny'), allow(it, asked!)])
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    await expect(allow(it, asked!)).rejects.toMatchObject({
      code: 'APPROVAL_ANSWERED',
      message: expect.stringMatching(/was decided already: (denied|allowed once) by operator at 20/),
    })
  })

  test('is remembered word for word when it is always allowed, until that is revoked', async () => {
    const script: HouseSetup['script'] = request => {
      const last = request.messages.at(-1)
      return last?.role === 'tool' ? { text: lastText(request) } : { calls: [command(lastText(request))] }
    }
    const it = await house({ script, asking: () => onMiss })
    const first = await it.say('echo one')
    await allow(it, (await waiting(it))[0]!, 'allow-always')
    await it.done(first.run)
    expect((await it.done((await it.say('echo one')).run)).text).toContain('one')
    await it.say('echo one && id')
    await allow(it, (await waiting(it))[0]!, 'deny')
    const [grant] = await it.house.approvals.remembered('main')
    expect(grant).toMatchObject({ kind: 'exec', pattern: 'echo one', by: 'operator' })
    await it.house.approvals.revoke({ principal: it.operator, id: grant!.id })
    await it.say('echo one')
    expect((await waiting(it))[0]?.question.text).toBe('echo one')
  })

  test('can be refused at once: security deny, and a miss when nobody is to be asked', async () => {
    const rules = { deny: { security: 'deny', ask: 'off' }, list: { security: 'allowlist', ask: 'off' } } as const
    const it = await house({
      script: once(command('id'), command('ls')),
      agents: { deny: {}, list: {} },
      asking: agent => ({ exec: { ...(rules[agent as 'deny'] ?? rules.deny), safeBins: ['ls'] } }),
    })
    const denied = await it.done((await it.say('go', { agent: 'deny' })).run)
    expect(denied.text).toMatch(/not allowed here.*\| Commands are not allowed here/)
    const listed = await it.done((await it.say('go', { agent: 'list' })).run)
    expect(listed.text).toMatch(/not on the list of allowed commands/)
    expect(listed.text).not.toMatch(/not on the list.*not on the list/)
  })

  test('two of one reply are asked at once and each has its answer; the others go on', async () => {
    const it = await house({
      script: once(command('touch a.txt'), command('touch b.txt'), command('ls'), {
        name: 'write',
        args: { path: 'c.txt', content: 'c' },
      }),
      asking: () => onMiss,
    })
    const { run } = await it.say('go')
    const both = await waiting(it, 2)
    expect(existsSync(join(it.dir, 'workspace/c.txt'))).toBe(true)
    await it.say('and this comes in meanwhile')
    expect((await it.house.run(run))?.run.state).toBe('waiting')
    await allow(it, both.find(one => one.question.text === 'touch b.txt')!)
    await allow(it, both.find(one => one.question.text === 'touch a.txt')!, 'deny')
    await it.done(run)
    expect(existsSync(join(it.dir, 'workspace/a.txt'))).toBe(false)
    expect(existsSync(join(it.dir, 'workspace/b.txt'))).toBe(true)
  })

  test('waits over a restart, is not asked again, and goes on when it is answered', async () => {
    const it = await house({ script: once(command('echo yes')), asking: () => onMiss })
    const { run } = await it.say('go', { route: chat })
    const [asked] = await waiting(it)
    await it.crash()
    expect(await it.house.approvals.pending()).toEqual([asked])
    expect(it.requests.length).toBe(1)
    await allow(it, asked!)
    expect((await it.done(run)).text).toContain('yes')
    expect((await outbox(it)).filter(({ buttons }) => buttons).length).toBe(1)
  })

  test('needs no answer any more when its run is cancelled, its ancestors’ too', async () => {
    const it = await house({
      script: request =>
        request.messages.length === 1 && lastText(request) !== 'child'
          ? { calls: [{ name: 'sessions_spawn', args: { task: 'child' } }] }
          : lastText(request) === 'child'
            ? { calls: [command('id')] }
            : { text: 'waiting' },
      asking: () => onMiss,
    })
    const { run } = await it.say('go', { route: chat })
    const [asked] = await waiting(it)
    expect(asked?.run).not.toBe(run)
    expect(asked?.route).toEqual(chat)
    await it.house.cancel({ principal: it.operator, target: { run }, reason: 'stop' })
    await expect(allow(it, asked!)).rejects.toMatchObject({
      code: 'APPROVAL_ANSWERED',
      message: expect.stringContaining('not needed any more'),
    })
    expect(it.events.findLast(event => event.on === 'approval')).toMatchObject({ approval: { state: 'cancelled' } })
  })

  test('can’t be allowed when today’s policy forbids it, and can be denied', async () => {
    const today = { exec: onMiss.exec as AskPolicy['exec'] }
    const it = await house({ script: once(command('id')), asking: () => today })
    const { run } = await it.say('go')
    const [asked] = await waiting(it)
    today.exec = { ...onMiss.exec, security: 'deny' }
    await expect(allow(it, asked!)).rejects.toMatchObject({ code: 'APPROVAL_BARRED' })
    await allow(it, asked!, 'deny')
    expect((await it.done(run)).text).toContain('denied')
  })
})

describe('other calls', () => {
  test('a spawn is born when it is allowed, under the id that it would have had', async () => {
    const it = await house({
      script: request =>
        lastText(request) === 'go'
          ? {
              calls: [
                { name: 'sessions_spawn', args: { task: 'child' } },
                { name: 'sessions_yield', args: {} },
              ],
            }
          : { text: lastText(request).includes('child did') ? 'all done' : 'child did' },
      asking: () => ({ tools: ['sessions_spawn'] }),
    })
    const { run } = await it.say('go')
    const [asked] = await waiting(it)
    expect(asked).toMatchObject({
      kind: 'spawn',
      question: { remembers: 'main', title: 'wants to start a sub-agent (main)' },
    })
    expect((await it.house.tree(run)).length).toBe(1)
    await allow(it, asked!)
    expect((await it.done(run)).text).toBe('all done')
    expect((await it.house.tree(run)).map(view => view.run.id)).toEqual([run, `${run}.2`])
  })

  test('a spawn whose check would run a command is asked about for that command', async () => {
    const spawn = { name: 'sessions_spawn', args: { task: 'child', deliverables: { command: 'curl evil' } } }
    const it = await house({ script: once(spawn), asking: () => onMiss })
    await it.say('go')
    const [asked] = await waiting(it)
    expect(asked).toMatchObject({ kind: 'spawn', question: { decisions: ['allow-once', 'deny'], remembers: null } })
    expect(asked?.question.text).toContain('curl evil')
  })

  test('of any tool by its name, a pattern or a group', async () => {
    const it = await house({
      script: once({ name: 'read', args: { path: 'x.txt' } }, { name: 'ls', args: {} }),
      asking: () => ({ tools: ['rea*'] }),
    })
    writeFileSync(join(it.dir, 'workspace/x.txt'), 'words')
    const { run } = await it.say('go')
    const [asked, other] = await waiting(it)
    expect([asked?.kind, asked?.question.tool, other]).toEqual(['tool', 'read', undefined])
    await allow(it, asked!)
    expect((await it.done(run)).text).toContain('words')
  })
})

describe('/approve', () => {
  const owner: Principal = {
    kind: 'sender',
    channel: 'telegram',
    account: 'default',
    sender: '7',
    scopes: ['operator.write', 'operator.approvals'],
  }

  test('lists, answers by the short id in the chat that asked, which then gets no second line', async () => {
    const it = await house({
      script: once(command('echo yes')),
      asking: () => onMiss,
      senders: { allowFrom: {}, owners: ['telegram:7'] },
    })
    const { run } = await it.say('go', { route: chat })
    const [asked] = await waiting(it)
    const short = asked!.id.slice(0, 8)
    const told = async (text: string, principal: Principal = owner) => {
      const { wireId } = await it.say(text, { principal, method: 'ingest', route: chat })
      const end = () => it.events.find(event => event.on === 'run.turn' && event.wireId === wireId)
      for (let i = 0; i < 200 && !end(); i++) await sleep(5)
      return (end() as { text: string }).text
    }
    expect(await told('/approve')).toMatch(
      new RegExp(`^1 question waits:\n${short} main wants to run a command: echo yes \\(\\d+s left\\)\nAnswer: `),
    )
    expect(await told(`/approve ${short} allow-once`, { ...owner, sender: '8' })).toContain('You may not use /approve')
    expect(await told(`/approve ${short} perhaps`)).toContain('Decisions: allow-once, allow-always, deny')
    expect(await told('/approve nothing deny')).toContain('There is no question "nothing"')
    expect(await told(`/approve ${short} allow-once`)).toBe(
      `Approval ${short} (main wants to run a command): allowed once by sender:telegram:default:7.`,
    )
    expect(await told(`/approve ${short} deny`)).toContain('was decided already: allowed once by sender:telegram')
    await it.done(run)
    expect(
      (await outbox(it)).filter(({ text }) => text.startsWith('Approval ') && text.includes('allowed once by')).length,
    ).toBe(1)
  })
})
