/**
 * Tasks, configuration, catalogues, usage and the gateway itself: over a whole gateway with the rehearsal model.
 */
import { describe, expect, test } from 'vitest'
import { until, useApp } from '../../../test/support/app.ts'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { methodNames } from '../../protocol/methods.ts'

const { call, say, owner, dir, token } = useApp({
  agents: {
    defaults: { model: 'rehearsal/rehearsal' },
    entries: {
      main: { subagents: { allowAgents: ['helper'] }, identity: { name: 'Ada', emoji: '🦉' } },
      helper: { tools: { profile: 'minimal' } },
    },
  },
})

describe('tasks', () => {
  test('runs by status and session, one whole, and ended', async () => {
    const key = 'agent:main:tasks'
    await call('sessions.create', { key })
    await say(key, 'delegate to helper: say done\nwait')
    const { tasks } = await call('tasks.list', { sessionKey: key, status: 'completed' })
    expect(tasks.map(task => [task.kind, task.agentId]).sort()).toEqual([
      ['cli', 'main'],
      ['subagent', 'helper'],
    ])
    const child = tasks.find(task => task.kind === 'subagent')!
    expect(child).toMatchObject({ sessionKey: key, deliveryStatus: 'delivered', parentTaskId: expect.any(String) })
    expect((await call('tasks.get', { taskId: child.taskId })).task).toMatchObject({
      prompt: 'say done',
      result: 'done',
    })
    await expect(call('tasks.get', { taskId: 'nothing' })).rejects.toThrow('Task not found')
    await call('sessions.send', { key, message: 'sleep 60000' })
    const [running] = (await call('tasks.list', { sessionKey: key, status: ['queued', 'running'] })).tasks
    expect(await call('tasks.cancel', { taskId: running!.id })).toMatchObject({
      found: true,
      cancelled: true,
      task: { status: 'cancelled', execution: { state: 'finished' } },
    })
    expect(await call('tasks.cancel', { taskId: running!.id })).toMatchObject({ found: true, cancelled: false })
    expect(await call('tasks.cancel', { taskId: 'nothing' })).toMatchObject({ found: false })
    const paged = await call('tasks.list', { limit: 1 })
    expect(paged).toMatchObject({ tasks: [expect.anything()], nextCursor: '1' })
    expect((await call('tasks.list', { limit: 1, cursor: '1' })).tasks[0]!.id).not.toBe(paged.tasks[0]!.id)
    await expect(call('tasks.list', { cursor: 'x' })).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  })
})

describe('configuration', () => {
  test('no secret is shown, a change is told and in force, a stale hash is refused', async () => {
    const seen = await call('config.get', {})
    expect(JSON.stringify(seen)).not.toContain(token)
    expect(seen).toMatchObject({
      valid: true,
      issues: [],
      config: { gateway: { auth: { token: expect.any(String) } } },
    })
    const told: unknown[] = []
    const off = owner().on('config.changed', (payload: unknown) => told.push(payload))
    const raw = '{ agents: { entries: { helper: { name: "Help" } } } }'
    const changed = await call('config.patch', { raw, baseHash: seen.hash })
    expect(changed).toMatchObject({ ok: true, changedPaths: ['agents.entries.helper.name'], restartRequired: [] })
    await until(
      () => told,
      events => events.length === 1,
    )
    off()
    expect(told[0]).toEqual({ path: join(dir(), 'deputy.json'), hash: changed.hash, ts: expect.any(Number) })
    expect((await call('agents.list', {})).agents[1]).toMatchObject({ id: 'helper', name: 'Help' })
    await expect(call('config.patch', { raw, baseHash: seen.hash })).rejects.toMatchObject({ code: 'CONFIG_CONFLICT' })
    await expect(call('config.set', { raw: '{}' })).rejects.toThrow('config base hash required')
    await expect(call('config.apply', { raw: '{ gateway: 5 }', baseHash: changed.hash })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
    const port = await call('config.patch', { raw: '{ gateway: { port: 1 } }', baseHash: changed.hash })
    expect(port.restartRequired).toEqual(['gateway.port'])
    await call('config.set', { raw: seen.raw!, baseHash: port.hash })
    expect(readFileSync(join(dir(), 'deputy.json'), 'utf8')).toContain(token)
  })

  test('the schema as a whole, and by path', async () => {
    const { schema, uiHints, version } = await call('config.schema', {})
    expect(version).toBe('9.9.9')
    expect(schema).toMatchObject({ type: 'object', properties: { gateway: {} } })
    expect(uiHints['gateway.auth.token']).toMatchObject({ sensitive: true })
    const auth = await call('config.schema.lookup', { path: 'gateway.auth' })
    expect(auth).toMatchObject({ path: 'gateway.auth', reloadKind: 'hot', hint: { help: expect.any(String) } })
    expect(auth.children.find(child => child.key === 'token')).toMatchObject({ path: 'gateway.auth.token' })
    const agent = await call('config.schema.lookup', { path: 'agents.entries.helper' })
    expect(agent).toMatchObject({ hintPath: 'agents.entries.*', reloadKind: 'hot' })
    expect(agent.children.map(child => child.key)).toContain('subagents')
    expect((await call('config.schema.lookup', { path: '.' })).children.map(child => child.key)).toContain('agents')
    await expect(call('config.schema.lookup', { path: 'gateway.nothing' })).rejects.toThrow(/path not found/)
  })
})

describe('what there is', () => {
  test('agents, models, tools, commands', async () => {
    expect(await call('agent.identity.get', {})).toEqual({
      agentId: 'main',
      name: 'Ada',
      nameSource: 'config',
      emoji: '🦉',
    })
    expect(await call('agent.identity.get', { sessionKey: 'agent:helper:main' })).toMatchObject({ agentId: 'helper' })
    await expect(call('agent.identity.get', { agentId: 'nobody' })).rejects.toMatchObject({ code: 'UNKNOWN_AGENT' })
    const { models } = await call('models.list', {})
    expect(models).toContainEqual(
      expect.objectContaining({ provider: 'rehearsal', id: 'rehearsal', available: true, tags: ['default'] }),
    )
    expect((await call('models.list', { provider: 'nobody' })).models).toEqual([])
    const { groups, profiles } = await call('tools.catalog', {})
    expect(profiles.map(profile => profile.id)).toEqual(['minimal', 'coding', 'messaging', 'full'])
    const spawn = groups.flatMap(group => group.tools).find(tool => tool.id === 'sessions_spawn')
    expect(spawn).toMatchObject({
      defaultProfiles: ['coding', 'full'],
      description: expect.stringMatching(/sub-agent/i),
    })
    const names = async (sessionKey: string) =>
      (await call('tools.effective', { sessionKey })).groups.flatMap(group => group.tools.map(tool => tool.id))
    expect(await names('main')).toContain('sessions_spawn')
    expect(await names('agent:helper:main')).not.toContain('sessions_spawn')
    const { commands } = await call('commands.list', { scope: 'text' })
    expect(commands.find(command => command.name === 'stop')).toMatchObject({
      textAliases: expect.arrayContaining(['/stop']),
    })
  })

  test('the ledger by day, session, model and agent', async () => {
    const today = new Date().toISOString().slice(0, 10)
    const cost = await call('usage.cost', { days: 2 })
    expect(cost).toMatchObject({ days: 2, endDate: today })
    expect(cost.totals.totalTokens).toBeGreaterThan(0)
    expect(cost.daily.map(day => day.totalTokens).reduce((sum, n) => sum + n, 0)).toBe(cost.totals.totalTokens)
    const usage = await call('sessions.usage', { range: '7d' })
    expect(usage.totals).toEqual((await call('usage.cost', { range: '7d' })).totals)
    expect(usage.aggregates.byModel).toMatchObject([{ provider: 'rehearsal', model: 'rehearsal' }])
    expect(usage.aggregates.byAgent.map(agent => agent.agentId).sort()).toEqual(['helper', 'main'])
    const key = 'agent:main:tasks'
    const one = await call('sessions.usage', { key })
    expect(one.sessions).toMatchObject([{ key, usage: { totalTokens: one.totals.totalTokens } }])
    const past = { startDate: '2020-01-01', endDate: '2020-01-31' }
    expect(await call('usage.cost', past)).toMatchObject({ days: 31, daily: [], totals: { totalTokens: 0 } })
    for (const wrong of [{ startDate: '2020-01-01' }, { startDate: '2020-02-30', endDate: '2020-03-01' }])
      await expect(call('usage.cost', wrong)).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    for (const zone of [{ utcOffset: 'UTC+14' }, { timeZone: 'America/New_York' }, { timeZone: 'Asia/Kolkata' }])
      expect((await call('usage.cost', { mode: 'specific', ...zone })).totals).toEqual(
        (await call('usage.cost', {})).totals,
      )
    await expect(call('usage.cost', { mode: 'specific', timeZone: 'Nowhere/Town' })).rejects.toThrow(/invalid timeZone/)
  })

  test('the log, the identity, presence, and secrets read again', async () => {
    const { lines, file } = await call('logs.tail', { limit: 5 })
    expect(file).toBe(join(dir(), 'logs', 'deputy.log'))
    expect(lines.map(line => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ level: 'info', subsystem: 'gateway', message: expect.any(String) }),
    )
    const identity = await call('gateway.identity.get', {})
    expect(identity).toEqual({
      deviceId: expect.stringMatching(/^[0-9a-f]{64}$/),
      publicKey: expect.stringMatching(/^[\w-]{43}$/),
    })
    expect(await call('gateway.identity.get', {})).toEqual(identity)
    expect((await call('system-presence', {}))[0]).toMatchObject({ mode: 'gateway', reason: 'self' })
    expect(await call('secrets.reload', {})).toEqual({ ok: true, warningCount: 0, warnings: [] })
    expect(await call('last-heartbeat', {})).toBeNull()
  })

  test('hello lists exactly the table', () => {
    expect(owner().hello.features.methods).toEqual(methodNames)
    expect(owner().hello.features.capabilities).toEqual(['published-model-catalog'])
  })
})
