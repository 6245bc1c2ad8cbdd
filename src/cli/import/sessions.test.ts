/** Conversations of OpenClaw come over once, under their keys, as what was said; and the agent goes on from there. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { openApp } from '../../app.ts'
import { connect } from '../../client/connect.ts'
import { homeOf } from '../../config/home.ts'
import { put } from '../../../test/support/openclaw-home.ts'
import { stubConfig } from '../../../test/support/gateway.ts'
import { startProvider } from '../../../test/support/provider.ts'
import { tempDir } from '../../../test/support/temp.ts'
import { bring } from './bring.ts'
import { readTranscript } from './transcripts.ts'

const line = (value: object) => JSON.stringify(value)
const head = line({ type: 'session', version: 3, id: 's1', timestamp: '2026-04-12T08:00:00.000Z', cwd: '/w' })
const entry = (id: string, parentId: string | null, message: object, n = 0) =>
  line({ type: 'message', id, parentId, timestamp: `2026-04-12T08:00:0${n}.000Z`, message })
const user = (content: unknown) => ({ role: 'user', content, timestamp: 1_775_980_800_000 })
const agent = (...content: object[]) => ({ role: 'assistant', content, provider: 'x', model: 'y', stopReason: 'stop' })

const transcript = [
  head,
  entry('a1', null, user('plan the trip')),
  entry('a2', 'a1', agent({ type: 'text', text: 'a way that was given up' }), 1),
  entry(
    'b2',
    'a1',
    agent({ type: 'thinking', thinking: 'hm' }, { type: 'toolCall', id: 'c', name: 'read', arguments: {} }),
    2,
  ),
  entry(
    'b3',
    'b2',
    { role: 'toolResult', toolCallId: 'c', toolName: 'read', content: [{ type: 'text', text: 'secret file' }] },
    3,
  ),
  line({ type: 'model_change', id: 'b4', parentId: 'b3', provider: 'x', modelId: 'z' }),
  entry('b5', 'b4', agent({ type: 'text', text: 'we go to Lisbon' }), 5),
  entry(
    'b6',
    'b5',
    user([
      { type: 'text', text: 'and this?' },
      { type: 'image', data: 'iVBORw0KGgo=', mimeType: 'image/png' },
    ]),
    6,
  ),
  entry('b7', 'b6', agent({ type: 'text', text: 'a tower' }), 7),
  '{"type":"message","id":"torn',
].join('\n')

test('what was said comes over once, with the dry run telling the same; a next turn is shown it', async () => {
  const [source, dir] = [tempDir(), tempDir()]
  const provider = await startProvider()
  onTestFinished(() => provider.close())
  put(source, 'openclaw.json', stubConfig(provider.baseUrl))
  put(source, 'cron/jobs.json', { version: 1, jobs: [{ id: 'j1', name: 'Morning brief' }, { id: 'j2' }] })
  const folder = 'agents/main/sessions'
  put(source, `${folder}/s1.jsonl`, transcript)
  put(source, `${folder}/s2.jsonl`, 'nothing of the kind')
  put(source, `${folder}/sessions.json`, {
    'agent:main:main': { sessionId: 's1', updatedAt: 1_775_980_900_000, label: 'Trip' },
    'agent:main:telegram:direct:7': { sessionId: 's2', sessionFile: '/elsewhere/agents/main/sessions/s2.jsonl' },
    'agent:main:whatsapp:direct:+49': { sessionId: 'gone', sessionFile: '../../../openclaw.json' },
    'agent:main:subagent:1234': { sessionId: 's1' },
    'agent:other:main': { sessionId: 's1' },
  })
  const before = readFileSync(join(source, folder, 's1.jsonl'))
  const home = homeOf({ home: dir, env: { HOME: dir } })
  const about = { source, home, env: {}, dry: false, force: false }
  const of = async (dry: boolean) =>
    (await bring({ ...about, dry }, () => undefined))
      .filter(({ what }) => what.startsWith('conversation'))
      .map(({ what, state, why }) => `${state}: ${what}: ${why.replace(/^(\d+).*/, '$1')}`)
  const expected = [
    'failed: conversation agent:main:telegram:direct:7: it does not begin as a transcript',
    'failed: conversation agent:main:whatsapp:direct:+49: it cannot be read (ENOENT)',
    'taken: conversations of main: 1',
    'left: conversations of main: 2',
  ]
  expect(await of(true)).toEqual(expected)
  const items = await bring(about, () => undefined)
  expect(items.find(({ what }) => what.startsWith('schedules'))?.what).toBe('schedules: Morning brief, j2')
  expect(await of(false)).toEqual(expected.map(one => one.replace('taken: conv', 'there: conv')))
  expect(readFileSync(join(source, folder, 's1.jsonl'))).toEqual(before)

  writeFileSync(join(dir, 'deputy.json'), JSON.stringify(stubConfig(provider.baseUrl)), { mode: 0o600 })
  const app = await openApp({ home: dir, env: {}, log: () => undefined, tcp: false, version: '9.9.9' })
  const client = await connect({ socketPath: app.ready.socket })
  onTestFinished(async () => {
    client.close()
    await app.stop()
  })
  const { sessions } = await client.request('sessions.list', {})
  expect(sessions).toMatchObject([{ key: 'agent:main:main', label: 'Trip' }])
  const { runId } = await client.request('sessions.send', { key: 'agent:main:main', message: 'and then?' })
  expect(await client.request('agent.wait', { runId, until: 'done', timeoutMs: 20_000 })).toMatchObject({
    status: 'ok',
  })
  const { turns, body } = provider.requests[0]!
  expect(turns.slice(0, 6).map(({ role, text }) => [role, text])).toEqual([
    ['user', 'plan the trip'],
    ['assistant', '[used: read]'],
    ['assistant', 'we go to Lisbon'],
    ['user', 'and this?'],
    ['assistant', 'a tower'],
    ['user', 'and then?'],
  ])
  expect(JSON.stringify(body)).toContain('iVBORw0KGgo=')
  expect(JSON.stringify(body)).not.toContain('secret file')
})

test('whatever stands in a file, reading it never throws and never goes round', () => {
  const path = join(tempDir(), 'x.jsonl')
  const id = fc.constantFrom('a', 'b', 'c', null, 5)
  const odd = fc.record({
    type: fc.constantFrom('message', 'custom', 'session', null),
    id,
    parentId: id,
    message: fc.oneof(fc.anything(), fc.record({ role: fc.constantFrom('user', 'assistant'), content: fc.anything() })),
  })
  fc.assert(
    fc.property(fc.array(fc.oneof(odd, fc.anything())), entries => {
      const lines = entries.map(
        one => JSON.stringify(one, (_key, value) => (typeof value === 'bigint' ? 1 : value)) ?? '{',
      )
      writeFileSync(path, [head, ...lines].join('\n'))
      expect(Array.isArray(readTranscript(path))).toBe(true)
    }),
  )
})
