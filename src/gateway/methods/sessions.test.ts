/**
 * Sessions, chat and their events: over a whole gateway with the rehearsal model.
 */
import { describe, expect, test } from 'vitest'
import { until, useApp } from '../../../test/support/app.ts'
import type { Params } from '../../protocol/methods.ts'

const { call, as, say, owner } = useApp({
  agents: {
    defaults: { model: 'rehearsal/rehearsal' },
    entries: {
      main: { subagents: { allowAgents: ['helper'] }, identity: { name: 'Ada', emoji: '🦉' } },
      helper: { tools: { profile: 'minimal' } },
    },
  },
})

describe('sessions', () => {
  test('a new one has a key of its own, says what it is, and runs its first message', async () => {
    const made = await call('sessions.create', { label: 'first', category: 'work', message: 'say hello' })
    expect(made).toMatchObject({
      key: expect.stringMatching(/^agent:main:dashboard:[0-9a-f-]{36}$/),
      entry: { label: 'first', category: 'work' },
      resolved: { modelProvider: 'rehearsal', model: 'rehearsal' },
      runStarted: true,
      messageSeq: 1,
    })
    expect(await call('agent.wait', { runId: made.runId!, timeoutMs: 20_000 })).toMatchObject({ status: 'ok' })
    const asked = { key: made.key, includeDerivedTitles: true, includeLastMessage: true }
    const { session, exists, activeRunId } = await call('sessions.describe', asked)
    expect({ exists, activeRunId }).toEqual({ exists: true, activeRunId: null })
    expect(session).toMatchObject({
      label: 'first',
      status: 'done',
      derivedTitle: 'say hello',
      lastMessagePreview: 'hello',
      hasActiveRun: false,
      createdVia: 'operator',
      contextTokens: expect.any(Number),
      runtimeMs: expect.any(Number),
    })
    // An open key is not opened again, and keeps what it is.
    expect(await call('sessions.create', { key: made.key, label: 'other' })).toMatchObject({
      sessionId: made.sessionId,
      entry: { label: 'first' },
      runStarted: false,
    })
    expect(await call('sessions.resolve', { label: 'first' })).toEqual({ ok: true, key: made.key, agentId: 'main' })
    expect(await call('sessions.resolve', { sessionId: made.sessionId })).toMatchObject({ key: made.key })
    expect(await call('sessions.resolve', { key: 'agent:main:none', allowMissing: true })).toEqual({ ok: false })
    await expect(call('sessions.resolve', { label: 'nobody' })).rejects.toThrow('No session found: nobody')
    await expect(call('sessions.resolve', {})).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    const { previews } = await call('sessions.preview', { keys: [made.key, 'agent:main:none'] })
    expect(previews).toEqual([
      {
        key: made.key,
        status: 'ok',
        items: [
          { role: 'user', text: 'say hello' },
          { role: 'assistant', text: 'hello' },
        ],
      },
      { key: 'agent:main:none', status: 'missing', items: [] },
    ])
    expect((await call('sessions.get', { key: made.key })).messages).toHaveLength(2)
  })

  test('settings: set, shown, filtered by, taken away; what has no effect here is refused by name', async () => {
    const key = 'agent:main:settings'
    await call('sessions.create', { key })
    const model = 'rehearsal/rehearsal'
    const set = {
      label: 'Mine',
      model,
      thinkingLevel: 'high' as const,
      pinned: true,
      category: 'zoo',
      verboseLevel: 'on',
    }
    expect(await call('sessions.patch', { key, ...set })).toMatchObject({
      ok: true,
      entry: { label: 'Mine', thinkingLevel: 'high', pinned: true, modelOverride: 'rehearsal' },
      resolved: { model: 'rehearsal' },
    })
    const row = (await call('sessions.list', { search: 'mine' })).sessions
    expect(row).toMatchObject([{ key, displayName: 'Mine', modelOverrideSource: 'user', verboseLevel: 'on' }])
    expect((await call('sessions.list', { pinned: true, group: 'zoo' })).count).toBe(1)
    await call('sessions.patch', { key, archived: true })
    expect((await call('sessions.list', { search: 'mine' })).count).toBe(0)
    expect((await call('sessions.list', { search: 'mine', archived: true })).count).toBe(1)
    await call('sessions.patch', { key, archived: false, label: null, thinkingLevel: null, model: null, pinned: false })
    const { session } = await call('sessions.describe', { key })
    expect(session).not.toHaveProperty('label')
    expect(session).not.toHaveProperty('thinkingLevel')
    expect(session).not.toHaveProperty('modelOverrideSource')
    const odd = { key, execHost: 'node' } as unknown as Params<'sessions.patch'>
    await expect(call('sessions.patch', odd)).rejects.toThrow("unexpected property 'execHost'")
    await expect(call('sessions.patch', { key, model: 'no/such' })).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
    const old = { key, expectedSessionId: 'another', label: 'x' }
    await expect(call('sessions.patch', old)).rejects.toMatchObject({ code: 'SESSION_CLOSED' })
  })

  test('scopes follow the params: write labels, admin sets what clients show; delete needs admin, unless archived', async () => {
    const writer = await as('operator.write')
    const key = 'agent:main:scopes'
    await writer.request('sessions.patch', { key, label: 'by a writer' })
    const more = writer.request('sessions.patch', { key, verboseLevel: 'on' })
    await expect(more).rejects.toMatchObject({ code: 'MISSING_SCOPE', details: { missingScope: 'operator.admin' } })
    await expect(writer.request('sessions.delete', { key })).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
    await expect(writer.request('sessions.delete', { key, archivedOnly: true })).rejects.toThrow(/is not archived/)
    await writer.request('sessions.patch', { key, archived: true })
    expect(await writer.request('sessions.delete', { key, archivedOnly: true })).toMatchObject({ deleted: true })
    expect(await writer.request('sessions.delete', { key, archivedOnly: true })).toMatchObject({ deleted: false })
    writer.close()
  })

  test('reset begins anew under the same key; main is not deleted; nothing is compacted, and it says so', async () => {
    const key = 'agent:main:again'
    await say(key, 'say once').catch(() => undefined)
    await call('sessions.create', { key })
    await say(key, 'say twice')
    const before = (await call('sessions.describe', { key })).session!.sessionId
    const reset = await call('sessions.reset', { key, expectedSessionId: before })
    expect(reset.entry.sessionId).not.toBe(before)
    await expect(call('sessions.reset', { key, expectedSessionId: before })).rejects.toMatchObject({
      code: 'SESSION_CLOSED',
    })
    expect(await call('sessions.reset', { key: 'agent:main:fresh' })).toMatchObject({ ok: true })
    await expect(call('sessions.delete', { key: 'main' })).rejects.toThrow(
      'Cannot delete the main session (agent:main:main).',
    )
    expect(await call('sessions.compact', { key })).toMatchObject({ compacted: false, reason: expect.any(String) })
  })

  test('abort by key, by run, and of nothing', async () => {
    const key = 'agent:main:slow'
    await call('sessions.create', { key })
    const first = await call('sessions.send', { key, message: 'sleep 60000' })
    expect(await call('sessions.abort', { key })).toEqual({ ok: true, abortedRunId: first.runId, status: 'aborted' })
    const second = await call('sessions.send', { key, message: 'sleep 60000' })
    expect(await call('sessions.abort', { runId: second.runId })).toMatchObject({ abortedRunId: second.runId })
    expect(await call('sessions.abort', { key })).toEqual({ ok: true, abortedRunId: null, status: 'no-active-run' })
    await expect(call('sessions.abort', {})).rejects.toMatchObject({ code: 'INVALID_PARAMS' })
    expect((await call('sessions.describe', { key })).session).toMatchObject({ status: 'killed', abortedLastRun: true })
    await expect(call('sessions.send', { key: 'agent:main:nowhere', message: 'x' })).rejects.toMatchObject({
      code: 'UNKNOWN_SESSION',
    })
  })
})

describe('chat', () => {
  test('history has the session beside it, runs by their wire ids, and what the house told as nobody’s words', async () => {
    const key = 'agent:main:told'
    await call('sessions.create', { key })
    const end = await say(key, 'delegate to helper as "it":\n  sleep 200\n  say 42\nwait')
    expect(end).toMatchObject({ status: 'ok' })
    const history = await call('chat.history', { sessionKey: key })
    expect(history.sessionInfo).toMatchObject({ key, sessionId: history.sessionId })
    expect(history.defaults).toMatchObject({ modelProvider: 'rehearsal', contextTokens: expect.any(Number) })
    expect(history.thinkingLevel).toBe('off')
    const [asked, ...rest] = history.messages
    expect(asked).toMatchObject({ role: 'user', idempotencyKey: end.runId })
    const told = rest.find(message => message.role === 'system')!
    expect(told).toMatchObject({ __openclaw: { kind: 'child' } })
    expect(JSON.stringify(told.content)).toMatch(/Sub-agent helper · it · completed.*42/)
    const spoken = rest.filter(message => message.role === 'assistant')
    expect(spoken[0]!.__openclaw.runId).toBe(end.runId)
    expect(spoken.at(-1)!.__openclaw.runId).toMatch(/:1$/)
    expect(rest.filter(message => message.role === 'toolResult')[0]!.__openclaw.runId).toBe(end.runId)
    expect(await call('chat.startup', { sessionKey: key })).toEqual({
      ...history,
      sessionInfo: { ...history.sessionInfo, snapshotAt: expect.any(Number) },
    })
    const found = await call('chat.message.get', { sessionKey: key, messageId: spoken[0]!.__openclaw.id })
    expect(found).toMatchObject({ ok: true, message: { role: 'assistant' } })
    expect(await call('chat.message.get', { sessionKey: key, messageId: 'none' })).toMatchObject({ ok: false })
    expect(await call('chat.history', { sessionKey: 'agent:main:unspoken' })).toMatchObject({
      messages: [],
      sessionInfo: null,
    })
    // Its child is listed under it.
    expect((await call('sessions.list', { spawnedBy: key })).sessions).toMatchObject([
      { agentId: 'helper', spawnedBy: key, spawnDepth: 1, subagentRole: 'leaf', createdVia: 'spawn' },
    ])
  })

  test('injected words are in the history and told, and no model was asked', async () => {
    const key = 'agent:main:injected'
    await call('sessions.create', { key })
    const heard: unknown[] = []
    const off = owner().on('chat', (payload: unknown) => heard.push(payload))
    const { messageId } = await call('chat.inject', { sessionKey: key, message: 'from above', label: 'Zeus' })
    await until(
      () => heard.length,
      count => count === 1,
    )
    off()
    expect(heard[0]).toMatchObject({ state: 'final', sessionKey: key, message: { content: [{ text: 'from above' }] } })
    const { messages } = await call('chat.history', { sessionKey: key })
    expect(messages).toMatchObject([{ role: 'assistant', __openclaw: { id: messageId } }])
    await expect(call('chat.inject', { sessionKey: 'agent:main:none', message: 'x' })).rejects.toMatchObject({
      code: 'UNKNOWN_SESSION',
    })
  })
})

describe('events', () => {
  test('only those who asked hear of sessions, transcripts, tools and tasks', async () => {
    const key = 'agent:main:followed'
    await call('sessions.create', { key })
    const [follower, other] = [await as('operator.read'), await as('operator.read')]
    const heard = { follower: [] as string[], other: [] as string[] }
    const payloads: Record<string, unknown>[] = []
    for (const name of ['sessions.changed', 'session.message', 'session.tool', 'task']) {
      follower.on(name, (payload: never) => {
        heard.follower.push(name)
        payloads.push(payload)
      })
      other.on(name, () => heard.other.push(name))
    }
    expect(await follower.request('sessions.subscribe', { limit: 1 })).toMatchObject({ list: { count: 1 } })
    await follower.request('sessions.messages.subscribe', { key })
    await follower.request('tasks.list', {})
    await say(key, 'list .\nsay done')
    await until(
      () => heard.follower,
      names => names.filter(name => name === 'session.message').length === 4 && names.includes('task'),
    )
    const roles = payloads.flatMap(({ message }) => (message as { role?: string })?.role ?? [])
    expect(roles).toEqual(['user', 'assistant', 'toolResult', 'assistant'])
    const phases = payloads.flatMap(({ stream, data }) => (stream === 'tool' ? (data as { phase: string }).phase : []))
    expect(phases).toEqual(['start', 'result'])
    const last = await until(
      () => payloads.findLast(payload => 'phase' in payload),
      payload => payload?.['phase'] === 'end',
    )
    expect(last).toMatchObject({
      sessionKey: key,
      status: 'done',
      hasActiveRun: false,
      activeRunIds: [],
      session: { key, status: 'done' },
    })
    const task = payloads.findLast(payload => 'task' in payload)
    expect(task).toMatchObject({ action: 'upserted', task: { status: 'completed', sessionKey: key } })
    expect(heard.other).toEqual([])

    await follower.request('sessions.unsubscribe', {})
    await follower.request('sessions.messages.unsubscribe', { key })
    heard.follower.length = 0
    await say(key, 'say again')
    await new Promise(resolve => setTimeout(resolve, 150))
    expect(heard.follower.filter(name => name !== 'task')).toEqual([])
    follower.close()
    other.close()
  })
})
