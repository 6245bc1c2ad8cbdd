/** Random messages and rules of access, small enough that they meet. */
import fc from 'fast-check'
import type { Access, Place } from '../../src/config/read-channels.ts'
import type { InboundMessage } from '../../src/core/chat.ts'

export const people = ['7', '8', '9']
const chats = ['-100', '-200', '42']

export function message(more: Partial<InboundMessage> = {}): InboundMessage {
  return {
    channel: 'telegram',
    account: 'default',
    chat: { id: '7', kind: 'direct', title: null, guild: null, thread: null, parent: null },
    sender: { id: '7', also: [], name: 'Ann', roles: [], bot: false, self: false },
    id: '1',
    edit: '',
    at: 1,
    via: 'text',
    text: 'hello',
    quoted: null,
    mentioned: false,
    media: [],
    ...more,
  }
}

export function access(more: Partial<Access> = {}): Access {
  return {
    dm: { policy: 'pairing', allowFrom: [] },
    peers: {},
    group: { policy: 'allowlist', senders: [], requireMention: true },
    conversations: null,
    places: {},
    servers: false,
    bots: 'never',
    mentionPatterns: [],
    historyLimit: 50,
    mediaBytes: 1000,
    ...more,
  }
}

/** Lists that never name the stranger and never everybody. */
const entries = fc.array(
  fc.constantFrom(...people, 'tg:8', 'telegram:9', '@ann', 'accessGroup:friends', 'accessGroup:none'),
  {
    maxLength: 3,
  },
)
const groupPolicy = fc.constantFrom('open' as const, 'allowlist' as const, 'disabled' as const)
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined })

function place(inner: fc.Arbitrary<Record<string, Place>>): fc.Arbitrary<Place> {
  return fc
    .record({
      enabled: fc.boolean(),
      requireMention: maybe(fc.boolean()),
      policy: maybe(groupPolicy),
      senders: fc.option(entries, { nil: null }),
      roles: fc.array(fc.constantFrom('admins', 'staff'), { maxLength: 2 }),
      places: inner,
    })
    .map(({ requireMention, policy, ...rest }) => ({
      ...rest,
      ...(requireMention !== undefined && { requireMention }),
      ...(policy !== undefined && { policy }),
    }))
}
const names = fc.constantFrom(...chats, '*', 'lobby', '#lobby')
const rooms = fc.dictionary(names, place(fc.constant({})), { maxKeys: 3 })
const places = fc.dictionary(names, place(rooms), { maxKeys: 3 })

export const anyAccess: fc.Arbitrary<Access> = fc.record({
  dm: fc.record({
    policy: fc.constantFrom('pairing' as const, 'allowlist' as const, 'open' as const, 'disabled' as const),
    allowFrom: entries,
  }),
  peers: fc.dictionary(
    fc.constantFrom(...people, 'stranger'),
    fc.record({ allowFrom: fc.option(entries, { nil: null }) }),
    { maxKeys: 2 },
  ),
  group: fc.record({ policy: groupPolicy, senders: entries, requireMention: fc.boolean() }),
  conversations: fc.constant(null),
  places,
  servers: fc.boolean(),
  bots: fc.constantFrom('never' as const, 'mentions' as const, 'always' as const),
  mentionPatterns: fc.constant([]),
  historyLimit: fc.constant(50),
  mediaBytes: fc.constant(1000),
})

/** A message of somebody whom nothing names, who calls themself and their group like those that are named. */
export const strangersMessage: fc.Arbitrary<InboundMessage> = fc
  .record({
    name: fc.constantFrom(...people, '@ann', 'admins', '*'),
    also: fc.subarray(['@stranger', '@7x', 'stranger2']),
    bot: fc.boolean(),
    kind: fc.constantFrom('direct' as const, 'group' as const, 'channel' as const),
    chat: fc.constantFrom(...chats, 'elsewhere', '7'),
    title: fc.constantFrom(null, '7', '-100', 'lobby', '*'),
    guild: fc.constantFrom(null, ...chats),
    thread: fc.constantFrom(null, ...chats),
    mentioned: fc.boolean(),
    via: fc.constantFrom('text' as const, 'command' as const, 'button' as const),
    text: fc.constantFrom('hello', '/stop', '@ann hello'),
  })
  .map(({ name, also, bot, kind, chat, title, guild, thread, ...rest }) =>
    message({
      ...rest,
      sender: { id: 'stranger', also, name, roles: ['guests'], bot, self: false },
      chat: { id: chat, kind, title, guild, thread, parent: null },
    }),
  )
