import { expect, test } from 'vitest'
import { check } from './check.ts'
import type { Config } from './config.ts'
import { root } from './schema.ts'
import { sharingOf } from './sharing.ts'

test('who meets whom, and how far, unless the file says otherwise', () => {
  const config = (tools: object, session = {}) => sharingOf(check(root, { tools, session }).value as Config)
  expect(config({})).toMatchObject({ visibility: null, maxPingPongTurns: 5, maxForkTokens: 100_000, attachments: null })
  expect(config({}).agentsMeet('a', 'a')).toBe(true)
  expect(config({}).agentsMeet('a', 'b')).toBe(false)
  const some = config({ agentToAgent: { enabled: true, allow: ['team-*', 'boss'] } })
  expect([some.agentsMeet('team-a', 'boss'), some.agentsMeet('team-a', 'guest')]).toEqual([true, false])
  const on = config(
    { sessions_spawn: { attachments: { enabled: true, maxFiles: 3 } }, sessions: { visibility: 'tree' } },
    { agentToAgent: { maxPingPongTurns: 0 } },
  )
  expect(on).toMatchObject({
    visibility: 'tree',
    maxPingPongTurns: 0,
    attachments: { maxFiles: 3, maxFileBytes: 1_048_576 },
  })
})
