import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { access, anyAccess, message, strangersMessage } from '../../test/support/arbitrary-chat.ts'
import type { Access, Place } from '../config/read-channels.ts'
import { type AccessFacts, type Gate, gate } from './access.ts'

const accessGroups = { friends: { telegram: ['8'], '*': ['9'] } }
const facts = (more: Partial<Access> = {}, also: Partial<AccessFacts> = {}): AccessFacts => ({
  access: access(more),
  accessGroups,
  approved: false,
  addressed: false,
  ...also,
})
const from = (id: string, more: object = {}) =>
  message({ sender: { id, also: [], name: 'x', roles: [], bot: false, self: false, ...more } })
const inGroup = (id: string, more: Parameters<typeof message>[0] = {}) =>
  message({
    ...from(id),
    chat: { id: '-100', kind: 'group', title: 'g', guild: null, thread: null, parent: null },
    ...more,
  })
const place = (more: Partial<Place> = {}): Place => ({ enabled: true, senders: null, roles: [], places: {}, ...more })

type Decide = (facts: AccessFacts, of: ReturnType<typeof message>) => Gate

/** Whether any policy that could hold for a chat lets everybody in. */
function opens({ dm, group, places }: Access): boolean {
  const open = (place: Place): boolean => place.policy === 'open' || Object.values(place.places).some(open)
  return dm.policy === 'open' || group.policy === 'open' || Object.values(places).some(open)
}

const keptOut = (decide: Decide) =>
  fc.property(anyAccess, strangersMessage, fc.boolean(), (given, said, addressed) => {
    fc.pre(!opens(given))
    return !decide({ access: given, accessGroups, approved: false, addressed }, said).in
  })
const strict = (decide: Decide) =>
  fc.property(anyAccess, strangersMessage, fc.boolean(), (given, said, addressed) => {
    // "open" without "*" opens nothing; approval counts in direct chats under pairing alone.
    const decided = decide({ access: given, accessGroups, approved: true, addressed }, said)
    if (!decided.in) return true
    return said.chat.kind === 'direct' ? given.dm.policy === 'pairing' : opens(given)
  })
const runs = process.env['DEPUTY_LONG'] ? 200_000 : 4_000

describe('whom nothing names', () => {
  test('property: never gets in under any policy but open, whatever they call themselves and their groups', () => {
    fc.assert(keptOut(gate), { numRuns: runs })
  })

  test('property: an approval opens direct chats under pairing and nothing else', () => {
    fc.assert(strict(gate), { numRuns: runs })
  })

  const named = (said: ReturnType<typeof message>) => ({
    ...said,
    sender: { ...said.sender, id: said.sender.name ?? '' },
  })
  const titled = (said: ReturnType<typeof message>) => ({ ...said, sender: { ...said.sender, id: said.chat.id } })
  const planted: Record<string, [Decide, (decide: Decide) => ReturnType<typeof keptOut>]> = {
    'a name counts as an id': [(given, said) => gate(given, named(said)), keptOut],
    'the chat counts as its writer': [(given, said) => gate(given, titled(said)), keptOut],
    'the account itself is taken for anybody': [
      (given, said) => gate(given, { ...said, sender: { ...said.sender, self: true } }),
      keptOut,
    ],
    'an empty list lets everybody in': [
      (given, said) => {
        const { dm } = given.access
        return gate(
          { ...given, access: { ...given.access, dm: dm.allowFrom.length > 0 ? dm : { ...dm, allowFrom: ['*'] } } },
          said,
        )
      },
      keptOut,
    ],
    'roles are not looked at': [
      (given, said) => gate(given, { ...said, sender: { ...said.sender, roles: ['admins', 'staff'] } }),
      keptOut,
    ],
    'an approval is as good as a list': [
      (given, said) => (given.approved ? { in: true, agent: null } : gate(given, said)),
      strict,
    ],
    'an approval counts under an allowlist': [
      (given, said) => {
        const { dm } = given.access
        const policy = dm.policy === 'allowlist' ? ('pairing' as const) : dm.policy
        return gate({ ...given, access: { ...given.access, dm: { ...dm, policy } } }, said)
      },
      strict,
    ],
    'open needs no star': [
      (given, said) => {
        const { dm } = given.access
        const allowFrom = dm.policy === 'open' ? ['*'] : dm.allowFrom
        return gate({ ...given, access: { ...given.access, dm: { ...dm, allowFrom } } }, said)
      },
      strict,
    ],
  }
  for (const [bug, [decide, property]] of Object.entries(planted))
    test(`a planted bug is found: ${bug}`, () => {
      expect(fc.check(property(decide), { numRuns: 20_000 }).failed).toBe(true)
    })
})

describe('direct chats', () => {
  test('each policy', () => {
    const decide = (policy: Access['dm']['policy'], allowFrom: string[], approved = false) =>
      gate(facts({ dm: { policy, allowFrom } }, { approved }), from('7'))
    expect(decide('pairing', [])).toEqual({ in: false, reason: 'pairing-required', ask: true })
    expect(decide('pairing', [], true).in).toBe(true)
    expect(decide('pairing', ['tg:7']).in).toBe(true)
    expect(decide('allowlist', [])).toEqual({ in: false, reason: 'sender-not-allowed' })
    expect(decide('allowlist', [], true).in).toBe(false)
    expect(decide('allowlist', ['7']).in).toBe(true)
    expect(decide('open', ['*']).in).toBe(true)
    expect(decide('open', []).in).toBe(false)
    expect(decide('disabled', ['7', '*'], true)).toEqual({ in: false, reason: 'dm-disabled' })
  })

  test('members of a group of people, by channel and by any; a group that is not there holds nobody', () => {
    const decide = (id: string, entry: string) =>
      gate(facts({ dm: { policy: 'allowlist', allowFrom: [entry] } }), from(id))
    expect(decide('8', 'accessGroup:friends').in).toBe(true)
    expect(decide('9', 'accessGroup:friends').in).toBe(true)
    expect(decide('7', 'accessGroup:friends').in).toBe(false)
    expect(decide('7', 'accessGroup:constructor').in).toBe(false)
  })

  test('one chat may differ', () => {
    const peers = {
      '7': { policy: 'allowlist' as const, allowFrom: ['7'] },
      '8': { policy: 'disabled' as const, allowFrom: null },
    }
    expect(gate(facts({ peers }), from('7')).in).toBe(true)
    const other = message({ ...from('8'), chat: { ...message().chat, id: '8' } })
    expect(gate(facts({ peers }), other)).toMatchObject({ reason: 'dm-disabled' })
  })

  test('the holder of the account gets in where they write to themself, and their words to others are for those', () => {
    const dm = { policy: 'allowlist' as const, allowFrom: [] }
    const said = (chat: string) =>
      message({
        channel: 'whatsapp',
        sender: { id: '999@lid', also: ['4915123@s.whatsapp.net'], name: 'x', roles: [], bot: false, self: true },
        chat: { ...message().chat, id: chat },
      })
    expect(gate(facts({ dm }), said('4915123@s.whatsapp.net')).in).toBe(true)
    expect(gate(facts({ dm }), said('999@lid')).in).toBe(true)
    expect(gate(facts({ dm }), said('4900@s.whatsapp.net')).in).toBe(false)
    const own = { ...said('x').sender }
    expect(gate(facts({ places: { '-100': place() } }), inGroup('7', { sender: own }))).toMatchObject({
      reason: 'not-addressed',
    })
  })

  test('a number is one person in each of its forms, on WhatsApp', () => {
    const dm = { policy: 'allowlist' as const, allowFrom: ['+49 151-23'] }
    const said = (id: string, also: string[] = []) => ({ ...from(id, { also }), channel: 'whatsapp' })
    expect(gate(facts({ dm }), said('4915123@s.whatsapp.net')).in).toBe(true)
    expect(gate(facts({ dm }), said('4915123:7@s.whatsapp.net')).in).toBe(true)
    expect(gate(facts({ dm }), said('999@lid', ['4915123@s.whatsapp.net'])).in).toBe(true)
    expect(gate(facts({ dm }), said('4915123@lid')).in).toBe(false)
    expect(gate(facts({ dm }), said('4915123@g.us')).in).toBe(false)
  })
})

describe('groups', () => {
  const listed = {
    places: { '-100': place() },
    group: { policy: 'allowlist' as const, senders: ['7'], requireMention: true },
  }

  test('the group first, then the sender, then whether it is spoken to', () => {
    const said = inGroup('7', { mentioned: true })
    expect(gate(facts(listed), said).in).toBe(true)
    expect(gate(facts({ ...listed, places: {} }), said)).toMatchObject({ reason: 'group-not-allowed' })
    expect(gate(facts({ ...listed, places: { '-300': place() } }), said)).toMatchObject({ reason: 'group-not-allowed' })
    expect(gate(facts({ ...listed, places: { '-100': place({ enabled: false }) } }), said).in).toBe(false)
    expect(gate(facts(listed), inGroup('8', { mentioned: true }))).toMatchObject({ reason: 'sender-not-allowed' })
    expect(gate(facts(listed), inGroup('7'))).toEqual({ in: false, reason: 'not-addressed', overhear: true })
    expect(gate(facts(listed), inGroup('8'))).not.toHaveProperty('overhear')
  })

  test('what counts as spoken to', () => {
    expect(gate(facts(listed, { addressed: true }), inGroup('7')).in).toBe(true)
    expect(gate(facts(listed), inGroup('7', { via: 'button' })).in).toBe(true)
    const quoted = { id: '1', sender: null, own: true, text: 'x' }
    expect(gate(facts(listed), inGroup('7', { quoted })).in).toBe(true)
    expect(gate(facts(listed), inGroup('7', { quoted: { ...quoted, own: false } })).in).toBe(false)
    expect(gate(facts({ ...listed, places: { '*': place({ requireMention: false }) } }), inGroup('7')).in).toBe(true)
  })

  test('an open policy with a list of groups is held to the list', () => {
    const group = { policy: 'open' as const, senders: [], requireMention: false }
    expect(gate(facts({ group }), inGroup('stranger')).in).toBe(true)
    expect(gate(facts({ group, places: { '-300': place() } }), inGroup('stranger')).in).toBe(false)
    expect(gate(facts({ group, places: { '-100': place({ senders: ['7'] }) } }), inGroup('stranger')).in).toBe(false)
  })

  test('a topic differs from its group, and may have an agent of its own', () => {
    const places = { '-100': place({ places: { '5': place({ requireMention: false, agent: 'helper' }) } }) }
    const at = (thread: string | null) => inGroup('7', { chat: { ...inGroup('7').chat, thread } })
    expect(gate(facts({ ...listed, places }), at('5'))).toEqual({ in: true, agent: 'helper' })
    expect(gate(facts({ ...listed, places }), at('6'))).toMatchObject({ reason: 'not-addressed' })
  })

  test('a server lets in its listed channels, by id or name, its people and roles; a thread is as its channel', () => {
    const servers = {
      servers: true,
      conversations: { enabled: false, ids: ['*'] },
      group: { policy: 'allowlist' as const, senders: ['*'], requireMention: false },
      places: { g1: place({ places: { lobby: place({ senders: null, roles: ['staff'] }) } }) },
    }
    const said = (chat: object, roles: string[]) =>
      message({
        channel: 'discord',
        sender: { id: '5', also: [], name: 'x', roles, bot: false, self: false },
        chat: { id: 'c1', kind: 'channel', title: 'lobby', guild: 'g1', thread: null, parent: null, ...chat },
      })
    expect(gate(facts(servers), said({}, ['staff'])).in).toBe(true)
    expect(gate(facts(servers), said({}, []))).toMatchObject({ reason: 'sender-not-allowed' })
    expect(gate(facts(servers), said({ title: 'other' }, ['staff']))).toMatchObject({ reason: 'group-not-allowed' })
    expect(gate(facts(servers), said({ guild: 'g2' }, ['staff']))).toMatchObject({ reason: 'group-not-allowed' })
    expect(gate(facts(servers), said({ kind: 'group', guild: null }, [])).in).toBe(false)
  })

  test('bots are not listened to unless it is said', () => {
    const bot = { ...inGroup('7').sender, bot: true }
    expect(gate(facts(listed), inGroup('7', { sender: bot, mentioned: true }))).toMatchObject({ reason: 'bot' })
    expect(gate(facts({ ...listed, bots: 'mentions' }), inGroup('7', { sender: bot, mentioned: true })).in).toBe(true)
    expect(gate(facts({ ...listed, bots: 'mentions' }), inGroup('7', { sender: bot }))).toMatchObject({ reason: 'bot' })
  })
})
