/** Who may command from a chat, whatever the lists of a configuration say: held against a rule of its own. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { homeOf } from '../../config/home.ts'
import { readConfig } from '../../config/config.ts'
import { commandSendersOf } from '../../config/senders.ts'
import type { Principal } from '../../core/principal.ts'
import { isListed } from './access.ts'

const home = homeOf({ home: '/h/.deputy', env: { HOME: '/h' } })
const ids = ['7', '8', '9']
const odd = ['*', ' * ', 'telegram:*', 'tg:*', 'TG: *', '**', '@ann', 'telegram:@ann', 'accessGroup:all', '', 'tg:']
const entry = fc.constantFrom<string | number>(...ids, 7, 'tg:8', 'telegram:9', ...odd)
const list = fc.array(entry, { maxLength: 4 })
const lists = fc.record({
  channel: fc.option(list, { nil: undefined }),
  shop: fc.option(list, { nil: undefined }),
  group: list,
  chat: list,
  commands: fc.oneof(
    { weight: 2, arbitrary: fc.constant({}) },
    fc.record({ telegram: list }),
    fc.record({ '*': fc.array(fc.constantFrom('*', '7', 'telegram:8'), { maxLength: 2 }) }),
    fc.constant({ slack: ['U1'] }),
  ),
  owners: fc.array(fc.constantFrom('telegram:7', 'tg:8', 'telegram:*', '*', 'telegram:@ann', 'slack:9'), {
    maxLength: 2,
  }),
})
const who = fc.record({
  account: fc.constantFrom('default', 'shop'),
  sender: fc.constantFrom(...ids, '*', '', '@ann', 'accessgroup:all', '__proto__'),
})

function senders(given: typeof lists extends fc.Arbitrary<infer T> ? T : never) {
  const { config } = readConfig(
    {
      accessGroups: { all: { members: { '*': ids } } },
      commands: { allowFrom: given.commands, ownerAllowFrom: given.owners },
      channels: {
        telegram: {
          botToken: '1:a',
          ...(given.channel && { allowFrom: given.channel }),
          groupAllowFrom: given.group,
          groups: { '-1': { allowFrom: given.group } },
          direct: { '7': { allowFrom: given.chat } },
          accounts: { default: {}, shop: { botToken: '2:b', ...(given.shop && { allowFrom: given.shop }) } },
        },
      },
    },
    home,
    {},
  )
  return commandSendersOf(config!)
}

/** Digits, behind a name of the service if any: nothing else is a person. */
const idOf = (text: string | number) => /^(?:tg:|telegram:)?(\d+)$/.exec(String(text))?.[1]

test('by name, one by one, at the account whose list it is; by a wildcard of commands.allowFrom alone', () => {
  fc.assert(
    fc.property(lists, who, (given, { account, sender }) => {
      const principal = { kind: 'sender', channel: 'telegram', account, sender, scopes: [] } as Principal
      const said = isListed(principal, senders(given))
      const owner = ids.includes(sender) && given.owners.some(one => one === `telegram:${sender}`)
      const commands = given.commands as Record<string, (string | number)[]>
      const own = account === 'shop' ? (given.shop ?? given.channel) : given.channel
      const may =
        Object.keys(commands).length > 0
          ? (commands['telegram'] ?? []).some(one => String(one).trim() === '*' || (idOf(one) ?? '-') === sender) ||
            (commands['*'] ?? []).some(one => one === '*' || one === sender || one === `telegram:${sender}`)
          : (own ?? []).some(one => (idOf(one) ?? '-') === sender)
      expect(said).toBe(owner || may)
    }),
    { numRuns: 2000 },
  )
})

test.each([
  ['everybody', { allowFrom: ['*'] }, '7', false],
  ['everybody, written as an id', { allowFrom: ['telegram:*'] }, '7', false],
  ['everybody and one', { allowFrom: ['*', 7] }, '7', true],
  ['everybody and another', { allowFrom: ['*', 7] }, '8', false],
  ['let in in groups', { groupAllowFrom: [7] }, '7', false],
  ['let in in one group', { groups: { '-1': { allowFrom: [7] } } }, '7', false],
  ['let in in one chat', { direct: { '7': { dmPolicy: 'allowlist', allowFrom: [7] } } }, '7', false],
  ['let in by a group of people', { allowFrom: ['accessGroup:all'] }, '7', false],
  ['let in at another account', { accounts: { default: {}, shop: { botToken: '2:b', allowFrom: [7] } } }, '7', false],
])('%s', (_name, block, sender, may) => {
  const { config } = readConfig({ channels: { telegram: { botToken: '1:a', ...block } } }, home, {})
  const principal = { kind: 'sender', channel: 'telegram', account: 'default', sender, scopes: [] } as Principal
  expect(isListed(principal, commandSendersOf(config!))).toBe(may)
})
