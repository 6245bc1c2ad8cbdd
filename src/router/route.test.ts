/** A place that is bound: what is written there is for its conversation, and nobody gets in who did not before. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { access, anyAccess, message, strangersMessage } from '../../test/support/arbitrary-chat.ts'
import type { Routing } from '../config/read-channels.ts'
import { openMentions } from './mention.ts'
import { type RouteFacts, route } from './route.ts'

const routing: Routing = {
  bindings: [],
  agents: ['main', 'extractor'],
  defaultAgent: 'main',
  dmScope: 'per-channel-peer',
  groupScope: 'per-group',
  links: {},
  accessGroups: {},
}
const bound = { id: 3, agent: 'extractor', sessionKey: 'agent:extractor:subagent:1' }
const facts = (more: Partial<RouteFacts> = {}): RouteFacts => ({
  access: access(),
  routing,
  approved: false,
  owners: [],
  queue: { mode: 'steer', debounceMs: 0 },
  bound: null,
  ...more,
})
const mentions = openMentions()

test('property: a binding changes where words go and that they are addressed, and nothing else', () => {
  const property = fc.property(anyAccess, strangersMessage, fc.boolean(), (given, said, approved) => {
    const without = route(facts({ access: given, approved }), mentions, said)
    const within = route(facts({ access: given, approved, bound }), mentions, said)
    if (within.to === 'session') {
      expect(within).toMatchObject({ agent: bound.agent, sessionKey: bound.sessionKey })
      const addressed =
        without.to === 'session'
          ? without
          : route(facts({ access: given, approved }), mentions, { ...said, mentioned: true })
      expect(addressed).toMatchObject({ to: 'session', sessionKey: within.bound!.home, sender: within.sender })
      expect(within.owner).toBe(false)
    } else expect(within).toEqual(without)
  })
  fc.assert(property, { numRuns: process.env['DEPUTY_LONG'] ? 100_000 : 3000 })
})

test('nobody needs to mention anybody there', () => {
  const given = access({ group: { policy: 'open', senders: [], requireMention: true } })
  const chat = { id: '-1', kind: 'group' as const, title: 'g', guild: null, thread: '7', parent: null }
  const said = message({ chat, text: 'dig on' })
  expect(route(facts({ access: given }), mentions, said)).toMatchObject({ to: 'drop', reason: 'not-addressed' })
  expect(route(facts({ access: given, bound }), mentions, said)).toMatchObject({
    to: 'session',
    sessionKey: bound.sessionKey,
    bound: { binding: 3, home: 'agent:main:telegram:group:-1:topic:7' },
  })
})
