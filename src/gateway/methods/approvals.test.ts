/**
 * Questions to people over the wire: over a whole gateway with the rehearsal model.
 */
import { expect, test } from 'vitest'
import { until, useApp } from '../../../test/support/app.ts'

const { call, as } = useApp({
  agents: { defaults: { model: 'rehearsal/rehearsal' } },
  tools: { exec: { mode: 'ask', sandbox: 'off' }, ask: ['ls'] },
})

const send = (message: string) => call('chat.send', { sessionKey: 'main', message, idempotencyKey: message })
const wait = (runId: string) => call('agent.wait', { runId, until: 'done', timeoutMs: 20_000 })

test('a command: listed and told to who may answer, with nothing of it hidden; answered once', async () => {
  const person = await as('operator.read', 'operator.write', 'operator.approvals')
  const reader = await as('operator.read')
  const told: [string, unknown][] = []
  for (const event of ['exec.approval.requested', 'exec.approval.resolved', 'session.approval']) {
    person.on(event, payload => told.push([event, payload]))
    reader.on(event, () => told.push(['told to a reader', event]))
  }
  await person.request('sessions.messages.subscribe', { key: 'main', includeApprovals: true })
  const { runId } = await send('run echo \u202e hi; say over')
  const [asked] = await until(
    () => person.request('exec.approval.list', {}),
    list => list.length > 0,
  )
  expect(asked).toMatchObject({
    request: {
      command: 'echo \\u{202e} hi',
      agentId: 'main',
      sessionKey: 'agent:main:main',
      allowedDecisions: ['allow-once', 'allow-always', 'deny'],
      rule: 'tools.exec',
    },
  })
  expect(await person.request('plugin.approval.list', {})).toEqual([])
  const { id } = asked!
  expect(await person.request('approval.get', { id })).toMatchObject({
    approval: { id, status: 'pending', presentation: { kind: 'exec', commandText: 'echo \\u{202e} hi' } },
  })
  // The question is there with the reply, the wait a transaction later.
  const execution = await until(
    async () => (await call('tasks.list', {})).tasks[0]?.execution,
    seen => seen?.state === 'waiting',
  )
  expect(execution).toMatchObject({ state: 'waiting', wait: { kind: 'approval' } })
  expect((await call('runs.list', {})).runs[0]?.lastLine).toContain('wants to run a command (/approve ')
  await expect(reader.request('exec.approval.list', {})).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
  await expect(person.request('plugin.approval.resolve', { id, decision: 'deny' })).rejects.toMatchObject({
    code: 'UNKNOWN_APPROVAL',
  })
  expect(await person.request('exec.approval.waitDecision', { id, timeoutMs: 1 })).toMatchObject({ decision: null })
  const decision = person.request('exec.approval.waitDecision', { id })
  expect(await person.request('exec.approval.resolve', { id: id.slice(0, 8), decision: 'allow-always' })).toEqual({
    ok: true,
  })
  expect(await decision).toMatchObject({ id, decision: 'allow-always' })
  expect((await wait(runId)).text).toContain('over')
  expect(await person.request('approval.resolve', { id, kind: 'exec', decision: 'deny' })).toMatchObject({
    applied: false,
    approval: { status: 'allowed', decision: 'allow-always', reason: 'user', resolver: { kind: 'runtime' } },
  })
  await expect(person.request('exec.approval.resolve', { id, decision: 'deny' })).rejects.toMatchObject({
    code: 'APPROVAL_ANSWERED',
  })
  expect(told).toMatchObject([
    ['exec.approval.requested', { id, request: { command: 'echo \\u{202e} hi' } }],
    ['session.approval', { phase: 'pending', sessionKey: 'agent:main:main', approval: { id, status: 'pending' } }],
    ['exec.approval.resolved', { id, decision: 'allow-always', resolvedBy: 'operator' }],
    ['session.approval', { phase: 'terminal', approval: { id, status: 'allowed' } }],
  ])
  const { grants } = await person.request('exec.approval.grants.list', { agentId: 'main' })
  expect(grants).toMatchObject([{ agentId: 'main', kind: 'exec', pattern: 'echo \\u{202e} hi', approvalId: id }])
  await person.request('exec.approval.grants.revoke', { id: grants[0]!.id })
  expect((await person.request('exec.approval.grants.list', {})).grants).toEqual([])
  person.close()
  reader.close()
})

test('any other call: as a plugin’s; what was decided stands in the history, page by page', async () => {
  const { runId } = await send('list .; say over')
  const [asked] = await until(
    () => call('plugin.approval.list', {}),
    list => list.length > 0,
  )
  expect(asked).toMatchObject({ request: { title: 'main wants to call ls', toolName: 'ls', kind: 'tool' } })
  await call('plugin.approval.resolve', { id: asked!.id, decision: 'deny' })
  await wait(runId)
  const first = await call('approval.history', { limit: 1 })
  expect(first.items).toMatchObject([{ id: asked!.id, status: 'denied', presentation: { kind: 'plugin' } }])
  const second = await call('approval.history', { limit: 1, cursor: first.nextCursor! })
  expect(second.items).toMatchObject([{ status: 'allowed', presentation: { kind: 'exec' } }])
  expect((await call('approval.history', { kind: 'plugin' })).items.length).toBe(1)
  await expect(call('approval.history', { cursor: 'x' })).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
  await expect(call('approval.get', { id: 'nothing' })).rejects.toMatchObject({ code: 'UNKNOWN_APPROVAL' })
})
