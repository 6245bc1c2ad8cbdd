import { afterEach, describe, expect, test } from 'vitest'
import { isChild, spawn } from '../../test/support/delegating.ts'
import { type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import { veil } from './veil.ts'

const open: TestHouse[] = []

async function house(setup: HouseSetup): Promise<TestHouse> {
  const test = await openTestHouse({ agents: { main: {}, other: {} }, ...setup })
  open.push(test)
  return test
}

afterEach(async () => {
  for (const test of open.splice(0)) await test.close()
})

/** What a tool answers to `main` at the word go, and to a sub-agent of it. */
async function answers(it: TestHouse, call: { name: string; args: unknown }): Promise<{ main: string; child: string }> {
  calls.set(it, call)
  const accepted = await it.say('go', { sessionKey: `agent:main:asks-${calls.size}-${Math.random()}` })
  await it.done(accepted.wireId)
  const [parent, child] = await it.house.tree(accepted.run)
  const text = async (session: string, name: string) => {
    const { messages } = await it.house.history(session, { limit: 100 })
    const row = messages.find(one => one.meta.toolName === name)
    return row?.parts.map(part => (part.type === 'text' ? part.text : '')).join('') ?? ''
  }
  return { main: await text(parent!.run.session, call.name), child: await text(child!.run.session, call.name) }
}

const calls = new Map<TestHouse, { name: string; args: unknown }>()

/** Some conversations of two agents, one of them with a sub-agent. */
async function town(sharing: HouseSetup['sharing'] = {}): Promise<TestHouse> {
  const it: TestHouse = await house({
    sharing,
    agents: { main: {}, other: {} },
    script: request => {
      const first = lastText(request)
      if (request.messages.length > 1) return { text: 'done' }
      if (isChild(request)) return { calls: [calls.get(it)!] }
      return first === 'go' ? { calls: [calls.get(it)!, spawn({})] } : { text: `about ${first}` }
    },
  })
  await it.done((await it.say('tea', { sessionKey: 'agent:main:alice' })).wireId)
  await it.done((await it.say('coffee', { sessionKey: 'agent:other:bob' })).wireId)
  return it
}

const history = (sessionKey: string) => ({ name: 'sessions_history', args: { sessionKey } })

describe('what a run may see', () => {
  test.each([
    ['unset', null, true, true],
    ['all', 'all', true, true],
    ['agent', 'agent', true, false],
    ['tree', 'tree', false, false],
    ['self', 'self', false, false],
  ] as const)('visibility %s', async (_, visibility, alice, bob) => {
    const it = await town({ visibility })
    const seen = [await answers(it, history('agent:main:alice')), await answers(it, history('agent:other:bob'))]
    expect(seen.map(one => one.main.includes('about'))).toEqual([alice, bob])
    // A sub-agent sees beyond its own tree only where "all" is said by name.
    expect(seen.map(one => one.child.includes('about'))).toEqual([visibility === 'all', visibility === 'all'])
    const list = await answers(it, { name: 'sessions_list', args: {} })
    expect([list.main.includes('alice'), list.main.includes('bob')]).toEqual([alice, bob])
    expect(list.child.includes('alice')).toBe(visibility === 'all')
    expect(JSON.parse(list.child).sessions.length).toBeGreaterThan(0)
    if (!bob) expect(seen[1]!.main).toContain('There is no conversation "agent:other:bob" that you may reach.')
  })

  test('a list narrowed by what is asked, with the words that are asked for', async () => {
    const it = await town()
    await it.done((await it.say('lunch', { sessionKey: 'agent:main:telegram:group:7' })).wireId)
    const list = async (args: object) => {
      const { main } = await answers(it, { name: 'sessions_list', args })
      const json = main.startsWith('<') ? main.split('\n')[1]! : main
      return JSON.parse(json) as { total: number; sessions: { key: string; [name: string]: unknown }[] }
    }
    const keys = async (args: object) => (await list(args)).sessions.map(one => one.key)
    expect(await keys({ kinds: ['group'] })).toEqual(['agent:main:telegram:group:7'])
    expect(await keys({ agentId: 'other' })).toEqual(['agent:other:bob'])
    expect(await keys({ search: 'ALICE' })).toEqual(['agent:main:alice'])
    expect((await keys({ excludeSubagents: true })).filter(key => key.includes('subagent'))).toEqual([])
    expect((await keys({ kinds: ['other'] })).filter(key => key.includes('subagent')).length).toBeGreaterThan(0)
    // Only the one that asks is at work while it asks.
    expect(await keys({ activeOnly: true, kinds: ['other'], excludeSubagents: true })).toHaveLength(1)
    const all = await keys({ excludeSubagents: true, search: 'a' })
    const paged = await list({ excludeSubagents: true, search: 'a', limit: 1, offset: 1 })
    // Each question opens a conversation of its own, in front of the others.
    expect([paged.total, paged.sessions[0]?.key]).toEqual([all.length + 1, all[0]])
    const words = { includeDerivedTitles: true, includeLastMessage: true, messageLimit: 1, search: 'alice' }
    expect((await list(words)).sessions[0]).toMatchObject({
      derivedTitle: 'tea',
      lastMessagePreview: 'about tea',
      messages: [{ role: 'assistant', text: 'about tea' }],
    })
    const session = (await it.house.sessionByKey('agent:main:alice'))!
    const settings = { archived: true, pinned: true, category: 'work' }
    await it.house.patch({ principal: it.operator, sessionKey: session.key, settings })
    expect(await keys({ search: 'alice' })).toEqual([])
    expect(await keys({ archived: true, pinned: true, group: 'work' })).toEqual(['agent:main:alice'])
    expect(await keys({ archived: true, pinned: false })).toEqual([])
    // A conversation is found by its id as well, and older messages by how many newer ones are passed over.
    const before = await answers(it, {
      name: 'sessions_history',
      args: { sessionKey: session.id, offset: 1, limit: 5 },
    })
    expect(before.main).toContain('"text":"tea"')
    expect(before.main).not.toContain('about tea')
  })

  test('conversations of another agent where that is allowed only', async () => {
    const it = await town({ agentsMeet: (one, other) => one === other })
    expect((await answers(it, history('agent:main:alice'))).main).toContain('about tea')
    expect((await answers(it, history('agent:other:bob'))).main).toContain('that you may reach')
  })

  test('the conversations of its own sub-agents, always', async () => {
    const it = await house({
      sharing: { visibility: 'tree', agentsMeet: () => false },
      script: request => {
        if (isChild(request)) return { text: 'the secret of the child' }
        if (lastText(request) === 'go') return { calls: [spawn({ agentId: 'other' })] }
        const last = request.messages.at(-1)!
        if (last.role === 'user') {
          const receipt = request.messages.find(one => one.role === 'tool')!
          const text = receipt.parts.map(part => (part.type === 'text' ? part.text : '')).join('')
          return { calls: [history(JSON.parse(text).childSessionKey)] }
        }
        return { text: last.role === 'tool' && lastText(request).includes('hasMore') ? lastText(request) : 'waiting' }
      },
    })
    expect((await it.done((await it.say('go')).wireId)).text).toContain('the secret of the child')
  })
})

describe('history', () => {
  test('is bounded, without thinking and tools, secrets covered, and fenced', async () => {
    const key = `sk-${'a1B2'.repeat(10)}`
    const it = await town({ redactPatterns: ['card-\\d+'] })
    for (const text of [`my key is ${key}, card-123`, 'x'.repeat(5000)])
      await it.done((await it.say(text, { sessionKey: 'agent:main:alice' })).wireId)
    const { main } = await answers(it, history('agent:main:alice'))
    expect(main).toMatch(/^<outside-data kind="conversation" from="agent:main:alice">/)
    const { messages } = JSON.parse(main.split('\n').slice(1, -1).join('\n'))
    expect(messages.map((row: { role: string }) => row.role)).toEqual([
      'user',
      'assistant',
      'user',
      'assistant',
      'user',
      'assistant',
    ])
    expect(messages[2].text).toBe('my key is [redacted], [redacted]')
    expect(messages[4].text).toMatch(/^x{4000}\n\[… 1000 characters more\]$/)
    const older = await answers(it, {
      name: 'sessions_history',
      args: { sessionKey: 'agent:main:alice', before: messages[2].seq, limit: 1 },
    })
    expect(older.main).toContain('about tea')
    expect(older.main).toContain('"hasMore":true')
    for (let i = 0; i < 25; i++)
      await it.done((await it.say('y'.repeat(4000), { sessionKey: 'agent:main:alice' })).wireId)
    const { main: long } = await answers(it, history('agent:main:alice'))
    expect(long.length).toBeLessThan(90_000)
    expect(long).toContain('"hasMore":true')
  })

  test('covers what looks like a secret, and little else', () => {
    const jwt = `eyJ${'a'.repeat(20)}.${'b'.repeat(20)}.${'c'.repeat(20)}`
    for (const secret of [
      `ghp_${'a'.repeat(36)}`,
      'xoxb-1234567890-abc',
      'AKIAABCDEFGHIJKLMNOP',
      jwt,
      `12345678:AA${'x'.repeat(33)}`,
      `sk-ant-api03-${'k'.repeat(30)}`,
    ])
      expect([secret, veil(`before ${secret} after`, [])]).toEqual([secret, 'before [redacted] after'])
    expect(veil('password: "correcthorsebattery"', [])).toBe('password: "[redacted]"')
    expect(veil('Authorization: Bearer abcdefghijklmnop', [])).toBe('Authorization: Bearer [redacted]')
    expect(veil('-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----', [])).toBe('[redacted]')
    const plain = 'The token of appreciation, a secret garden, task sk-12, run 0f34a0da-9ebb-4016-b7ef-1de905524375.'
    expect(veil(plain, [])).toBe(plain)
  })
})

describe('session_status', () => {
  test('tells how things stand, and sets the model of the next run', async () => {
    const it = await town()
    const status = JSON.parse((await answers(it, { name: 'session_status', args: {} })).main)
    expect(status).toMatchObject({
      kind: 'other',
      state: 'running',
      model: 'test/model',
      agentId: 'main',
      depth: 0,
      tokens: expect.any(Number),
    })
    expect(status.budgetLeft).toEqual({ usd: null, tokens: null, calls: null })
    expect(
      JSON.parse((await answers(it, { name: 'session_status', args: { sessionKey: 'agent:main:alice' } })).main),
    ).toMatchObject({
      key: 'agent:main:alice',
      state: 'idle',
    })
    const set = await answers(it, { name: 'session_status', args: { model: 'test/better' } })
    expect(JSON.parse(set.main)).toMatchObject({ status: 'ok', model: 'test/better', before: 'default' })
    const sessions = await it.house.sessions({ limit: 100, offset: 0, includeSubagents: false })
    expect(sessions.sessions.filter(one => one.settings?.model === 'test/better')).toHaveLength(1)
    expect((await answers(it, { name: 'session_status', args: { model: 'none/none' } })).main).toContain(
      'no model none/none',
    )
  })
})
