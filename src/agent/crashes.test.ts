import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { isChild, spawn } from '../../test/support/delegating.ts'
import { lastText, openTestHouse } from '../../test/support/house.ts'

const tries = process.env['DEPUTY_LONG'] ? 60 : 6

/** A child whose result has to be mended and checked, and a question to another agent: the gateway dies twice on the way. */
test.each(Array.from({ length: tries }, (_, i) => i))(
  'checks, repairs and replies come once, whenever it dies (%i)',
  async i => {
    const it = await openTestHouse({
      agents: { main: {}, other: {} },
      script: async request => {
        const users = request.messages.filter(message => message.role === 'user').length
        await sleep(5)
        if (request.system.includes('the agent "other"')) return { text: `answer ${users}` }
        if (isChild(request)) {
          if (users === 1) return { text: 'not yet' }
          const wrote = request.messages.some(message => message.role === 'tool')
          return wrote
            ? { text: '{"ok":true}' }
            : { calls: [{ name: 'write', args: { path: 'out.md', content: 'x' } }] }
        }
        const last = request.messages.at(-1)!
        if (lastText(request) === 'go') {
          const terms = {
            outputSchema: { type: 'object', required: ['ok'] },
            deliverables: { files: ['out.md'], command: 'sleep 0.02' },
          }
          return { calls: [spawn(terms), { name: 'sessions_send', args: { agentId: 'other', message: 'how many?' } }] }
        }
        return { text: last.role === 'tool' ? 'waiting' : `told: ${lastText(request)}` }
      },
    })
    try {
      const accepted = await it.say('go')
      for (const share of [0.4, 0.8]) {
        await sleep((i + share) * (150 / tries))
        await it.crash()
      }
      const end = await it.done(accepted.wireId)
      const [parent, child] = await it.house.tree(accepted.run)
      expect(end.outcome).toBe('succeeded')
      expect(child?.run).toMatchObject({ outcome: 'succeeded', result: '{"ok":true}', terms: { repaired: true } })
      const texts = async (session: string) =>
        (await it.house.history(session, { limit: 100 })).messages.map(
          row => `${row.role} ${row.parts.map(part => (part.type === 'text' ? part.text : '')).join('')}`,
        )
      const other = await texts((await it.house.sessionByKey('agent:other:main'))!.id)
      expect(other).toEqual(['user how many?', 'assistant answer 1'])
      const mine = await texts(parent!.run.session)
      expect(mine.filter(text => text.includes('answer 1') && text.startsWith('toolResult'))).toHaveLength(1)
      expect(mine.filter(text => text.startsWith('user '))).toEqual(['user go', 'user {"ok":true}'])
      expect((await texts(child!.run.session)).filter(text => text.includes('[Check of your result]'))).toHaveLength(1)
    } finally {
      await it.close()
    }
  },
)
