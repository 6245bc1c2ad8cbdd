import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { agentId, buildKey, directKey, parseKey, type SessionKey } from './route.ts'

const uuid = '5f0c2c2e-8a1f-4a57-9d0e-3f1f4f0b7a11'

describe('keys that clients use', () => {
  test.each<[string, SessionKey]>([
    ['agent:main:main', { kind: 'main', agent: 'main' }],
    [`agent:main:subagent:${uuid}`, { kind: 'subagent', agent: 'main', ids: [uuid] }],
    ['agent:main:subagent:a:subagent:b', { kind: 'subagent', agent: 'main', ids: ['a', 'b'] }],
    [`agent:main:dashboard:${uuid}`, { kind: 'dashboard', agent: 'main', id: uuid }],
    ['agent:main:direct:+4917', { kind: 'direct', agent: 'main', channel: null, account: null, peer: '+4917' }],
    [
      'agent:main:whatsapp:direct:+4917',
      { kind: 'direct', agent: 'main', channel: 'whatsapp', account: null, peer: '+4917' },
    ],
    [
      'agent:main:telegram:work.bot:direct:123',
      { kind: 'direct', agent: 'main', channel: 'telegram', account: 'work.bot', peer: '123' },
    ],
    [
      'agent:main:telegram:group:-100123:topic:7',
      { kind: 'group', agent: 'main', channel: 'telegram', peer: '-100123', topic: '7', thread: null },
    ],
    [
      'agent:main:discord:channel:99:thread:100',
      { kind: 'channel', agent: 'main', channel: 'discord', peer: '99', topic: null, thread: '100' },
    ],
    [
      'agent:main:matrix:group:!room:server.org',
      { kind: 'group', agent: 'main', channel: 'matrix', peer: '!room:server.org', topic: null, thread: null },
    ],
    ['agent:main:cron:daily', { kind: 'cron', agent: 'main', job: 'daily', run: null }],
    ['agent:main:cron:daily:run:r1', { kind: 'cron', agent: 'main', job: 'daily', run: 'r1' }],
    ['agent:main:hook:gmail:msg-1', { kind: 'hook', agent: 'main', id: 'gmail:msg-1' }],
    ['agent:main:openai:u1', { kind: 'openai', agent: 'main', id: 'u1' }],
    ['agent:main:openresponses:u1', { kind: 'openresponses', agent: 'main', id: 'u1' }],
    ['agent:main:acp:u1', { kind: 'acp', agent: 'main', id: 'u1' }],
    ['agent:main:explicit:notes', { kind: 'explicit', agent: 'main', id: 'notes' }],
    ['agent:main:main:thread:5', { kind: 'other', agent: 'main', rest: 'main:thread:5' }],
    ['global', { kind: 'global' }],
    ['unknown', { kind: 'unknown' }],
  ])('%s', (key, meaning) => {
    expect(parseKey(key, 'helper')).toEqual(meaning)
    expect(buildKey(meaning)).toBe(key)
  })

  test('short forms and capitals', () => {
    const full = (raw: string) => {
      const key = parseKey(raw, 'helper')
      return key && buildKey(key)
    }
    expect(full(' Main ')).toBe('agent:helper:main')
    expect(full('Agent:Extractor:MAIN')).toBe('agent:extractor:main')
    expect(full('hook:gmail')).toBe('agent:helper:hook:gmail')
    expect(full('my-notes')).toBe('agent:helper:explicit:my-notes')
  })

  test.each([
    '',
    '  ',
    'agent:',
    'agent:main',
    'agent:main:',
    'agent::main',
    'agent:a b:main',
    'agent:-x:main',
    'a\nb',
    'x'.repeat(513),
  ])('no key: %j', raw => {
    expect(parseKey(raw, 'main')).toBeNull()
  })
})

test('a direct message, by scope', () => {
  const from = { agent: 'main', channel: 'telegram', account: 'work', peer: 'Ann' }
  const key = (scope: Parameters<typeof directKey>[0]) => buildKey(directKey(scope, from))
  expect(key('main')).toBe('agent:main:main')
  expect(key('per-peer')).toBe('agent:main:direct:ann')
  expect(key('per-channel-peer')).toBe('agent:main:telegram:direct:ann')
  expect(key('per-account-channel-peer')).toBe('agent:main:telegram:work:direct:ann')
})

test('agent ids', () => {
  expect(['main', ' Extractor ', 'My Agent!', '--x', 'x'.repeat(80), '', '!!!', '日本'].map(agentId)).toEqual([
    'main',
    'extractor',
    'my-agent',
    'x',
    'x'.repeat(64),
    null,
    null,
    null,
  ])
})

describe('for any key', () => {
  const word = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,8}$/)
  const agent = word
  const id = fc.stringMatching(/^[a-z0-9+@.!_-]{1,12}$/)
  const channel = fc.constantFrom('telegram', 'discord', 'whatsapp', 'slack', 'my-plugin')
  const maybe = (arb: fc.Arbitrary<string>) => fc.option(arb, { nil: null })
  const keys: fc.Arbitrary<SessionKey> = fc.oneof(
    fc.record({ kind: fc.constant('main' as const), agent }),
    fc.record({ kind: fc.constant('subagent' as const), agent, ids: fc.array(id, { minLength: 1, maxLength: 3 }) }),
    fc.record({ kind: fc.constantFrom('dashboard', 'hook', 'openai', 'openresponses', 'acp', 'explicit'), agent, id }),
    fc.record({ kind: fc.constant('cron' as const), agent, job: id, run: maybe(id) }),
    fc.record({
      kind: fc.constant('direct' as const),
      agent,
      channel: maybe(channel),
      account: fc.constant(null),
      peer: id,
    }),
    fc.record({ kind: fc.constant('direct' as const), agent, channel, account: id, peer: id }),
    fc
      .record({
        kind: fc.constantFrom('group', 'channel'),
        agent,
        channel,
        peer: id,
        topic: maybe(id),
        thread: maybe(id),
      })
      .map(key => (key.topic === null ? key : { ...key, thread: null })),
    fc.constantFrom({ kind: 'global' as const }, { kind: 'unknown' as const }),
  )

  test('parsing gives back what was built', () => {
    const property = fc.property(keys, key => {
      expect(parseKey(buildKey(key), 'main')).toEqual(key)
    })
    fc.assert(property, { numRuns: 2000 })
  })

  test('whatever parses is written in one way only, and never throws', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc
        .array(fc.constantFrom('agent', 'main', ':', 'subagent', 'Group', 'direct', 'cron', 'run', 'topic', 'x', ' '))
        .map(words => words.join('')),
      fc
        .array(fc.constantFrom('main', 'telegram', 'group', 'direct', 'cron', 'run', 'topic', 'x1', 'subagent'))
        .map(words => `agent:a:${words.join(':')}`),
    )
    const property = fc.property(text, raw => {
      const key = parseKey(raw, 'main')
      if (!key) return
      const built = buildKey(key)
      expect(parseKey(built, 'main')).toEqual(key)
      expect(buildKey(parseKey(built, 'main')!)).toBe(built)
    })
    fc.assert(property, { numRuns: 5000 })
  })
})
