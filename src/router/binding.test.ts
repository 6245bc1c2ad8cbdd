import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { message } from '../../test/support/arbitrary-chat.ts'
import type { Routing } from '../config/read-channels.ts'
import { parseKey } from '../core/route.ts'
import { agentFor, keyFor } from './binding.ts'

type Rule = Routing['bindings'][number]
const agents = ['main', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const routing = (more: Partial<Routing> = {}): Routing => ({
  bindings: [],
  agents,
  defaultAgent: 'main',
  dmScope: 'per-channel-peer',
  groupScope: 'per-group',
  links: {},
  accessGroups: {},
  ...more,
})
const rule = (agentId: string, match: Partial<Rule['match']>): Rule => ({
  type: 'route',
  agentId,
  match: { channel: 'discord', ...match },
})
const said = message({
  channel: 'discord',
  sender: { id: '5', also: [], name: 'x', roles: ['staff'], bot: false, self: false },
  chat: { id: 't1', kind: 'channel', title: 'a thread', guild: 'g1', team: 'w1', thread: null, parent: 'c1' },
})

/** From the most exact to the least. */
const exact: Rule[] = [
  rule('a', { peer: { kind: 'channel', id: 't1' } }),
  rule('b', { peer: { kind: 'channel', id: 'c1' } }),
  rule('c', { peer: { kind: 'channel', id: '*' } }),
  rule('d', { guildId: 'g1', roles: ['staff'] }),
  rule('e', { guildId: 'g1' }),
  rule('f', { teamId: 'w1' }),
  rule('g', {}),
  rule('h', { accountId: '*' }),
]
/** Rules that say something else. */
const beside: Rule[] = [
  rule('a', { peer: { kind: 'group', id: 't1' } }),
  rule('a', { guildId: 'g2' }),
  rule('a', { guildId: 'g1', roles: ['others'] }),
  rule('a', { accountId: 'second' }),
  { ...rule('a', {}), match: { channel: 'slack' } },
  { ...rule('a', {}), type: 'acp' },
  { ...rule('gone', { peer: { kind: 'channel', id: 't1' } }), agentId: 'gone' },
]

type Choose = typeof agentFor
const mostExact = (choose: Choose) =>
  fc.property(fc.shuffledSubarray(exact), fc.shuffledSubarray(beside), fc.nat(), (some, others, at) => {
    const bindings = [...some.slice(0, at), ...others, ...some.slice(at)]
    const best = exact.find(each => some.includes(each))
    return choose(routing({ bindings }), said) === (best?.agentId ?? 'main')
  })

describe('which agent answers', () => {
  test('property: the most exact rule wins in any order, and rules about others never do', () => {
    fc.assert(mostExact(agentFor), { numRuns: 3000 })
  })

  const planted: Record<string, Choose> = {
    'the first of the list wins': (given, of) => agentFor({ ...given, bindings: given.bindings.slice(0, 1) }, of),
    'the parent is not looked at': (given, of) => agentFor(given, { ...of, chat: { ...of.chat, parent: null } }),
    'roles count without their server': (given, of) => agentFor(given, { ...of, chat: { ...of.chat, guild: null } }),
    'any account is the default one': (given, of) =>
      agentFor(
        { ...given, bindings: given.bindings.map(each => ({ ...each, match: { ...each.match, accountId: '*' } })) },
        of,
      ),
  }
  for (const [bug, choose] of Object.entries(planted))
    test(`a planted bug is found: ${bug}`, () => {
      expect(fc.check(mostExact(choose), { numRuns: 3000 }).failed).toBe(true)
    })

  test('ties go to the first of the list', () => {
    expect(agentFor(routing({ bindings: [rule('b', {}), rule('a', {})] }), said)).toBe('b')
  })
})

describe('which conversation', () => {
  const direct = (id: string, more: Parameters<typeof message>[0] = {}) =>
    message({ sender: { id, also: [], name: 'x', roles: [], bot: false, self: false }, ...more })

  test('each sender their own by default; further apart or together as it is set', () => {
    const key = (dmScope: Routing['dmScope']) => keyFor(routing({ dmScope }), direct('7'), 'main')
    expect(key('per-channel-peer')).toBe('agent:main:telegram:direct:7')
    expect(key('per-peer')).toBe('agent:main:direct:7')
    expect(key('per-account-channel-peer')).toBe('agent:main:telegram:default:direct:7')
    expect(key('main')).toBe('agent:main:main')
  })

  test('a linked person has one conversation wherever they write', () => {
    const linked = routing({ links: { 'telegram:7': 'ann', 'whatsapp:+49123': 'ann' } })
    expect(keyFor(linked, direct('7'), 'main')).toBe('agent:main:direct:ann')
    expect(keyFor(linked, direct('49123@s.whatsapp.net', { channel: 'whatsapp' }), 'main')).toBe(
      'agent:main:direct:ann',
    )
    expect(keyFor(linked, direct('8'), 'main')).toBe('agent:main:telegram:direct:8')
  })

  test('groups, topics and threads', () => {
    const at = (chat: object) =>
      keyFor(
        routing(),
        message({ chat: { id: '-100', kind: 'group', title: null, guild: null, thread: null, parent: null, ...chat } }),
        'main',
      )
    expect(at({})).toBe('agent:main:telegram:group:-100')
    expect(at({ thread: '5' })).toBe('agent:main:telegram:group:-100:topic:5')
    expect(at({ kind: 'channel', thread: '17.5' })).toBe('agent:main:telegram:channel:-100:thread:17.5')
  })

  test('ids longer than any service has stay different, and broken ones are ids too', () => {
    const key = (id: string) => keyFor(routing(), message({ chat: { ...said.chat, id, kind: 'group' } }), 'main')
    expect(key(`${'a'.repeat(300)}1`)).not.toBe(key(`${'a'.repeat(300)}2`))
    expect(parseKey(key('\u{1F600}'.repeat(200)), 'main')).toMatchObject({ kind: 'group' })
    expect(parseKey(key('\ud800'), 'main')).toMatchObject({ kind: 'group' })
  })

  test('property: every id makes a key that means the same again, and different ids different keys', () => {
    const anyId = fc.string({ minLength: 1, maxLength: 30, unit: 'binary' }).filter(id => id.isWellFormed())
    fc.assert(
      fc.property(anyId, anyId, (one, other) => {
        const key = (id: string) => keyFor(routing(), message({ chat: { ...said.chat, id, kind: 'group' } }), 'main')
        const same = one.toLowerCase() === other.toLowerCase()
        expect(parseKey(key(one), 'main')).toMatchObject({ kind: 'group', channel: 'telegram' })
        if (!same && one.normalize() !== other.normalize()) expect(key(one) === key(other)).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })
})
