import { describe, expect, test } from 'vitest'
import { toolsOf as namesOf } from '../core/tool-policy.ts'
import { readConfig } from './config.ts'
import { homeOf } from './home.ts'
import { agentIds, agentOf, defaultAgent, gatewayOf, openDoor, hasAgent, lanesOf, modelsOf, toolsOf } from './read.ts'
import { commandSendersOf } from './senders.ts'

const home = homeOf({ home: '/h/.deputy', env: { HOME: '/h' } })
const read = (value: Record<string, unknown>) => {
  const { config, issues } = readConfig(value, home, {})
  expect(issues).toEqual([])
  return config!
}

describe('agents', () => {
  test('with none configured there is main', () => {
    const config = read({})
    expect([agentIds(config), defaultAgent(config)]).toEqual([['main'], 'main'])
    expect(agentOf(config, 'main')).toMatchObject({
      id: 'main',
      isDefault: true,
      workspace: '/h/.deputy/workspace',
      agentDir: '/h/.deputy/agents/main',
      model: { primary: null, fallbacks: [] },
      timeoutSeconds: 172_800,
      maxConcurrent: null,
      budget: { nano: null, tokens: null, calls: null },
      subagents: {
        allowAgents: null,
        requireAgentId: false,
        maxSpawnDepth: 5,
        maxChildrenPerAgent: 5,
        maxConcurrent: 8,
        runTimeoutSeconds: 0,
        model: null,
        thinking: null,
        archiveAfterMinutes: 60,
      },
    })
  })

  const entries = {
    main: { default: true, subagents: { allowAgents: ['Extractor'] } },
    Extractor: {
      model: { primary: 'openai/x', fallbacks: ['openai/y'] },
      tools: { deny: ['exec'] },
      workspace: '~/work',
    },
  }
  test.each([
    ['entries', { entries }],
    ['list', { list: Object.entries(entries).map(([id, entry]) => ({ id, ...entry })) }],
    ['both', { list: [{ id: 'main', ...entries.main }], entries: { Extractor: entries.Extractor } }],
  ])('the same in the form of %s', (_, agents) => {
    const config = read({ agents: { ...agents, defaults: { model: 'anthropic/z', subagents: { maxSpawnDepth: 2 } } } })
    expect(agentIds(config)).toEqual(['main', 'extractor'])
    const main = agentOf(config, 'MAIN')
    expect(main.model).toEqual({ primary: 'anthropic/z', fallbacks: [] })
    expect(main.subagents).toMatchObject({ allowAgents: ['extractor'], maxSpawnDepth: 2 })
    const extractor = agentOf(config, 'extractor')
    expect(extractor.model).toEqual({ primary: 'openai/x', fallbacks: ['openai/y'] })
    expect([extractor.workspace, extractor.isDefault]).toEqual(['/h/work', false])
  })

  test('the default is the marked one, else the first; the default workspace is its own alone', () => {
    const agents = { defaults: { workspace: '/w' }, entries: { a: {}, b: { default: true }, c: {} } }
    const config = read({ agents })
    expect(defaultAgent(config)).toBe('b')
    expect(['a', 'b'].map(id => agentOf(config, id).workspace)).toEqual(['/h/.deputy/workspace-a', '/w'])
    expect(defaultAgent(read({ agents: { entries: { x: {}, y: {} } } }))).toBe('x')
  })

  test('an unknown one is refused with those that exist', () => {
    const config = read({ agents: { entries: { a: {}, constructor: {} } } })
    expect(() => agentOf(config, 'zeta')).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_AGENT', details: { agent: 'zeta', agents: ['a', 'constructor'] } }),
    )
    expect(hasAgent(config, 'constructor')).toBe(true)
    expect(hasAgent(read({}), 'constructor')).toBe(false)
  })

  test('what an agent sets goes before the defaults, key by key', () => {
    const config = read({
      agents: {
        defaults: {
          subagents: {
            maxSpawnDepth: 3,
            maxChildrenPerAgent: 9,
            runTimeoutSeconds: 60,
            allowAgents: ['*'],
            model: 'p/sub',
            budget: { usd: 1 },
          },
          thinkingDefault: 'low',
          budget: { usd: 0.1, tokens: 10 },
          identity: { name: 'D', emoji: 'e' },
          params: { temperature: 0 },
        },
        entries: {
          a: {
            subagents: { maxSpawnDepth: 1, requireAgentId: true, thinking: 'high' },
            budget: { usd: 0.3 },
            identity: { name: 'A' },
            params: { top_p: 1 },
            maxConcurrent: 2,
            tools: { exec: { timeoutSeconds: 5, env: { A: '1' } } },
          },
        },
      },
      tools: { exec: { env: { A: '0', B: '2' }, network: true } },
    })
    expect(agentOf(config, 'a')).toMatchObject({
      name: 'A',
      identity: { name: 'A', emoji: 'e' },
      thinking: 'low',
      params: { temperature: 0, top_p: 1 },
      maxConcurrent: 2,
      budget: { nano: 300_000_000, tokens: null, calls: null },
      exec: { sandbox: 'bubblewrap', network: true, timeoutSeconds: 5, env: { A: '1', B: '2' } },
      subagents: {
        allowAgents: ['*'],
        requireAgentId: true,
        maxSpawnDepth: 1,
        maxChildrenPerAgent: 9,
        runTimeoutSeconds: 60,
        model: { primary: 'p/sub', fallbacks: [] },
        thinking: 'high',
        budget: { nano: 1_000_000_000, tokens: null, calls: null },
      },
    })
  })

  test('an empty allowAgents is not the same as none', () => {
    const config = read({ agents: { entries: { a: { subagents: { allowAgents: [] } } } } })
    expect(agentOf(config, 'a').subagents.allowAgents).toEqual([])
  })

  test('tool policies come as layers that core understands', () => {
    const catalogue = ['read', 'write', 'exec'].map(name => ({ name, group: name === 'exec' ? 'runtime' : 'fs' }))
    const config = read({
      tools: { deny: ['exec'], subagents: { tools: { deny: ['write'] } } },
      agents: { entries: { a: {}, b: { tools: { allow: ['read', 'exec'] } } } },
    })
    expect(namesOf(agentOf(config, 'a').tools, catalogue)).toEqual(['read', 'write'])
    expect(namesOf(agentOf(config, 'b').tools, catalogue)).toEqual(['read'])
    expect(toolsOf(config).subagents).toEqual({ deny: ['write'] })
  })
})

describe('the door', () => {
  const auth = (auth: unknown) => gatewayOf(read({ gateway: { auth } })).auth

  test('defaults', () => {
    expect(gatewayOf(read({}))).toMatchObject({
      port: 18789,
      hosts: ['127.0.0.1'],
      loopback: true,
      auth: { mode: 'token', token: null, remoteDevices: 'required', trustedProxy: null },
      trustedProxies: [],
      publicOrigin: null,
    })
  })

  test('a password alone means password; a token beside it means token', () => {
    expect(auth({ password: 'x' }).mode).toBe('password')
    expect(auth({ password: 'x', token: 'y' }).mode).toBe('token')
    expect(auth({ password: 'x', mode: 'none' }).mode).toBe('none')
  })

  test('beyond this machine with nobody asked who they are', () => {
    const open = (gateway: unknown) => openDoor(read({ gateway }))
    expect(open({ bind: 'lan', auth: { mode: 'none' } })).toEqual(['0.0.0.0'])
    expect(open({ bind: 'custom', customBindHost: '10.0.0.1', auth: { mode: 'none' } })).toEqual(['10.0.0.1'])
    expect(open({ bind: 'custom', customBindHost: '::1', auth: { mode: 'none' } })).toBe(null)
    expect(open({ bind: 'lan', auth: { mode: 'token' } })).toBe(null)
    expect(gatewayOf(read({ gateway: { bind: 'lan' } }))).toMatchObject({ hosts: ['0.0.0.0'], loopback: false })
  })

  test('a proxy that knows the user; header names in small letters', () => {
    const { auth } = gatewayOf(
      read({
        gateway: {
          trustedProxies: ['10.0.0.0/8'],
          auth: {
            mode: 'trusted-proxy',
            trustedProxy: { userHeader: 'X-User' },
            identityScopes: { 'a@b.c': ['operator.read'] },
          },
        },
      }),
    )
    expect(auth.trustedProxy).toEqual({
      userHeader: 'x-user',
      requiredHeaders: [],
      allowUsers: null,
      allowLoopback: false,
    })
    expect(auth.identityScopes['a@b.c']).toEqual(['operator.read'])
  })
})

test('models and lanes', () => {
  const config = read({
    agents: {
      defaults: {
        maxConcurrent: 6,
        subagents: { maxConcurrent: 100 },
        models: { 'openai/gpt-5': { alias: 'Fast', params: { temperature: 1 } }, 'x/y': {} },
        modelPolicy: { allow: ['openai/*'] },
      },
    },
    models: {
      providers: { local: { baseUrl: 'http://127.0.0.1:1/v1', api: 'openai-completions', models: [{ id: 'm' }] } },
    },
    auth: { order: { openai: ['openai:work'] } },
  })
  expect(lanesOf(config)).toEqual({ main: 6, subagent: 100 })
  expect(modelsOf(config)).toMatchObject({
    mode: 'merge',
    aliases: { fast: 'openai/gpt-5' },
    params: { 'openai/gpt-5': { temperature: 1 }, 'x/y': {} },
    allow: ['openai/*'],
    order: { openai: ['openai:work'] },
    providers: { local: { baseUrl: 'http://127.0.0.1:1/v1', models: [{ id: 'm' }] } },
  })
})

test('who may give commands, by channel; ids may be numbers', () => {
  expect(commandSendersOf(read({}))).toEqual({ allowFrom: {}, accounts: {}, owners: [] })
  const channels = { whatsapp: { allowFrom: ['*', '+49 151 1', 'accessGroup:team'] }, telegram: { allowFrom: ['*'] } }
  expect(commandSendersOf(read({ channels })).accounts).toEqual({ 'whatsapp/default': ['+491511'] })
  expect(commandSendersOf(read({ channels, commands: { allowFrom: { slack: ['u1'] } } })).allowFrom).toEqual({
    slack: ['u1'],
  })
  const commands = { allowFrom: { telegram: [7, '8'], '*': ['*'] }, ownerAllowFrom: ['telegram:9'] }
  expect(commandSendersOf(read({ commands }))).toEqual({
    accounts: {},
    allowFrom: { telegram: ['7', '8'], '*': ['*'] },
    owners: ['telegram:9'],
  })
})
