/** A silent reply is shown nowhere, whichever way a client asks for it (openclaw-facts.md §C5, §D6). */
import { expect, test } from 'vitest'
import { until, useApp } from '../../../test/support/app.ts'

const { call, as } = useApp({ agents: { defaults: { model: 'rehearsal/rehearsal' }, entries: { main: {} } } })

const words = ['NO_REPLY', 'no_reply', 'ANNOUNCE_SKIP', 'REPLY_SKIP']

test.each(words)('%s is in no answer, history, preview or event', async word => {
  const sessionKey = `agent:main:silent-${words.indexOf(word)}`
  await call('agent', { message: 'say before', sessionKey, idempotencyKey: `${sessionKey}/1` })
  const client = await as('operator.read', 'operator.write')
  const events: unknown[] = []
  for (const name of ['chat', 'agent', 'session.message'])
    client.on(name, (event: { sessionKey: string }) => void (event.sessionKey === sessionKey && events.push(event)))
  await client.request('sessions.messages.subscribe', { key: sessionKey })
  const runId = `${sessionKey}/2`
  const done = await client.request('agent', { message: `say ${word}`, sessionKey, idempotencyKey: runId })
  expect(done).toMatchObject({ status: 'ok', result: { payloads: [] } })
  const waited = await call('agent.wait', { runId, timeoutMs: 0 })
  expect(waited).toMatchObject({ status: 'ok', outcome: 'succeeded' })
  expect(waited).not.toHaveProperty('text')
  await until(
    () => events,
    seen => JSON.stringify(seen).includes('"state":"final"') && JSON.stringify(seen).includes(`say ${word}`),
  )
  const said = (text: string) => JSON.stringify(text)
  const asked = said(`say ${word}`)
  const heard = JSON.stringify(events).replaceAll(asked, '')
  expect(heard).not.toContain(said(word))

  const { messages, totalMessages } = await call('chat.history', { sessionKey })
  expect(messages.map(({ role, content }) => [role, JSON.stringify(content).includes(word)])).toEqual([
    ['user', false],
    ['assistant', false],
    ['user', true],
  ])
  expect(totalMessages).toBe(4)
  expect((await call('sessions.get', { key: sessionKey })).messages).toHaveLength(3)
  const { session } = await call('sessions.describe', { key: sessionKey, includeLastMessage: true })
  expect(session?.lastMessagePreview).toBe(`say ${word}`)
  const { previews } = await call('sessions.preview', { keys: [sessionKey] })
  expect(previews[0]?.items).toHaveLength(3)
  // What another agent reads of it.
  const read = await call('agent', {
    message: `call sessions_history ${JSON.stringify({ sessionKey, limit: 3 })}`,
    sessionKey: `${sessionKey}-reader`,
    idempotencyKey: `${sessionKey}/3`,
  })
  expect(read.result?.payloads[0]?.text).toContain(`say ${word}`)
  expect(read.result?.payloads[0]?.text?.replaceAll(`say ${word}`, '')).not.toContain(word)
  // A page of nothing else still leads on to what is older.
  const page = await call('chat.history', { sessionKey, limit: 1 })
  expect(page).toMatchObject({ messages: [], hasMore: true, nextCursor: expect.any(String) })
  const older = await call('chat.history', { sessionKey, limit: 1, cursor: page.nextCursor! })
  expect(older.messages.map(({ role }) => role)).toEqual(['user'])
  client.close()
})

test('what the run has handed in stands in its journal as it was written', async () => {
  const sessionKey = 'agent:main:journal'
  await call('agent', { message: 'say NO_REPLY', sessionKey, idempotencyKey: 'journal' })
  const [run] = (await call('runs.list', { sessionKey })).runs
  expect(run?.lastLine).toBe('NO_REPLY')
  const { messages } = await call('chat.history', { sessionKey })
  expect(messages).toHaveLength(1)
})
