import { describe, expect, test } from 'vitest'
import { readConfig } from './config.ts'
import { homeOf } from './home.ts'
import {
  accessOf,
  accountOf,
  accountsOf,
  channelSecrets,
  defaultAccountOf,
  queueOf,
  resolved,
  growthOf,
} from './read-channels.ts'
import { threadBindingsOf } from './thread-bindings.ts'

const home = homeOf({ home: '/nowhere/deputy', env: {} })
const read = (
  channels: Record<string, unknown>,
  env: Record<string, string> = {},
  more: Record<string, unknown> = {},
) => readConfig({ channels, ...more }, home, env)
const config = (...given: Parameters<typeof read>) => {
  const { config, issues } = read(...given)
  if (!config) throw new Error(JSON.stringify(issues))
  return config
}
const ids = (...given: Parameters<typeof read>) =>
  accountsOf(config(...given)).map(({ channel, account }) => `${channel}/${account}`)

describe('accounts', () => {
  test('a service without a block has none; a variable alone connects nothing', () => {
    expect(ids({}, { TELEGRAM_BOT_TOKEN: 'x' })).toEqual([])
    expect(ids({ telegram: {} })).toEqual(['telegram/default'])
  })

  test('the default one is there while nothing else is named, or when it has a token or a word of its own', () => {
    expect(ids({ whatsapp: { accounts: { shop: {} } } })).toEqual(['whatsapp/shop'])
    expect(ids({ whatsapp: { accounts: { default: {}, shop: {} } } })).toEqual(['whatsapp/default', 'whatsapp/shop'])
    expect(ids({ telegram: { botToken: 't', accounts: { alerts: { botToken: 'u' } } } })).toEqual([
      'telegram/default',
      'telegram/alerts',
    ])
    const named = config({ whatsapp: { defaultAccount: 'b', accounts: { a: {}, b: {} } } })
    expect(defaultAccountOf(named, 'whatsapp')).toBe('b')
  })

  test('an account has what its channel has but for what it says, and never its credentials', () => {
    const given = config({
      telegram: {
        botToken: 'first',
        name: 'First',
        allowFrom: [1],
        groups: { '-1': {} },
        accounts: { alerts: { botToken: 'second', allowFrom: [2] }, bare: {} },
      },
    })
    expect(accountOf(given, 'telegram', 'alerts')).toMatchObject({
      name: null,
      configured: true,
      settings: { botToken: 'second', allowFrom: [2], groups: { '-1': {} } },
    })
    const bare = accountOf(given, 'telegram', 'bare')
    expect(bare).toMatchObject({ configured: false, settings: { allowFrom: [1] } })
    expect(bare?.settings).not.toHaveProperty('botToken')
  })

  test('tokens by variable and by reference, for the default account; what is switched off has no secret in use', () => {
    const env = { SLACK_BOT_TOKEN: 'xoxb-1', SLACK_APP_TOKEN: 'xapp-1' }
    const given = config({ slack: { accounts: { other: {} } } }, env)
    const account = accountOf(given, 'slack', 'default')
    expect(account?.configured).toBe(true)
    expect(accountOf(given, 'slack', 'other')?.configured).toBe(false)
    expect(channelSecrets(given).map(({ path }) => path)).toEqual([
      'channels.slack.botToken',
      'channels.slack.appToken',
    ])
    const values = resolved(account!.settings, input => (typeof input === 'string' ? input : `<${input.id}>`))
    expect(values).toMatchObject({ botToken: '<SLACK_BOT_TOKEN>', appToken: '<SLACK_APP_TOKEN>' })
    expect(channelSecrets(config({ slack: { enabled: false } }, env))).toEqual([])
  })
})

describe('rules', () => {
  test('everybody may write only where that is said twice', () => {
    const issues = (channels: Record<string, unknown>) => read(channels).issues.map(({ path }) => path)
    expect(issues({ telegram: { dmPolicy: 'open' } })).toEqual(['channels.telegram.dmPolicy'])
    expect(issues({ telegram: { dmPolicy: 'open', allowFrom: ['*'] } })).toEqual([])
    expect(issues({ telegram: { allowFrom: ['*'], accounts: { a: { dmPolicy: 'open', allowFrom: [1] } } } })).toEqual([
      'channels.telegram.accounts.a.dmPolicy',
    ])
    expect(issues({ telegram: { mentionPatterns: ['('] } })).toEqual(['channels.telegram.mentionPatterns'])
    expect(issues({ telegram: { groups: { '-1': { topics: { '2': { agentId: 'gone' } } } } } })).toEqual([
      'channels.telegram.groups.-1.topics.2.agentId',
    ])
  })

  test("OpenClaw's keys without a meaning here are named, and so are services that are not there; none is an error", () => {
    const { issues, warnings } = read({
      telegram: { botToken: 't', markdown: { tables: 'code' }, groups: { '*': { skills: [] } } },
      signal: { account: '+1' },
      modelByChannel: {},
    })
    expect(issues).toEqual([])
    expect(warnings.map(({ path }) => path).sort()).toEqual([
      'channels.modelByChannel',
      'channels.signal',
      'channels.telegram.groups["*"].skills',
      'channels.telegram.markdown',
    ])
  })
})

test('what is not said about access is strict', () => {
  const given = config({ telegram: {}, discord: {}, slack: {}, whatsapp: {} })
  for (const account of accountsOf(given)) {
    const access = accessOf(given, account)
    expect([account.channel, access.dm.policy, access.group.policy, access.bots]).toEqual([
      account.channel,
      'pairing',
      'allowlist',
      'never',
    ])
    expect(access.group.requireMention).toBe(true)
  }
})

test('queue modes and pauses by channel; words grow in a chat unless that is switched off', () => {
  const messages = {
    queue: { mode: 'collect', byChannel: { slack: 'interrupt' } },
    inbound: { debounceMs: 5, byChannel: { slack: 7 } },
  }
  const given = config(
    {
      telegram: { streaming: 'off' },
      slack: { streaming: { mode: 'partial' } },
      discord: { streaming: false },
      whatsapp: {},
    },
    {},
    { messages },
  )
  expect(queueOf(given, 'slack')).toEqual({ mode: 'interrupt', debounceMs: 7 })
  expect(queueOf(given, 'telegram')).toEqual({ mode: 'collect', debounceMs: 5 })
  const grows = ['telegram', 'slack', 'discord', 'whatsapp'].map(channel =>
    growthOf(given, { channel, account: 'default' }),
  )
  expect(grows).toEqual(['off', 'partial', 'off', 'partial'])
  const of = (block: object) => growthOf(config({ telegram: block }), { channel: 'telegram', account: 'default' })
  expect([of({ streaming: 'block' }), of({ streaming: { mode: 'block' } }), of({ streamMode: 'block' })]).toEqual([
    'block',
    'block',
    'block',
  ])
  expect([
    of({ streaming: 'progress' }),
    of({ streaming: true, streamMode: 'off' }),
    of({ streamMode: 'off' }),
  ]).toEqual(['partial', 'partial', 'off'])
})

test('bindings of threads: what an account says, else its channel, else the session, key by key', () => {
  const session = { threadBindings: { idleHours: 12, defaultSpawnContext: 'isolated' } }
  const given = config(
    {
      telegram: {
        botToken: 'x',
        threadBindings: { maxAgeHours: 48, spawnSubagentSessions: false },
        accounts: { work: { botToken: 'y', threadBindings: { idleHours: 0.5, spawnSessions: true } } },
      },
      discord: { token: 'x', threadBindings: { enabled: false } },
    },
    {},
    { session },
  )
  const of = (channel: string, account = 'default') => threadBindingsOf(given, { channel, account })
  const hour = 3_600_000
  const said = { enabled: true, idleMs: 12 * hour, maxAgeMs: 0, spawns: true, context: 'isolated' }
  expect(of('slack')).toEqual(said)
  expect(of('telegram')).toEqual({ ...said, maxAgeMs: 48 * hour, spawns: false })
  expect(of('telegram', 'work')).toEqual({ ...said, maxAgeMs: 48 * hour, idleMs: 0.5 * hour })
  expect(of('discord')).toEqual({ ...said, enabled: false })
  expect(threadBindingsOf(config({}), { channel: 'telegram', account: 'default' })).toEqual({
    enabled: true,
    idleMs: 24 * hour,
    maxAgeMs: 0,
    spawns: true,
    context: 'fork',
  })
})
