import { expect, test } from 'vitest'
import { openTestHouse, type Script, type TestHouse } from '../../test/support/house.ts'
import { type Caps, dayAt, noCaps } from '../config/budgets.ts'
import { unlimited } from '../core/budget.ts'
import type { Principal } from '../core/principal.ts'

type Which = 'gateway' | 'agent' | 'sender' | 'session'

function calls(which: Which, most: number): Caps {
  return { ...noCaps, [which]: { key: noCaps[which].key, limit: { ...unlimited, calls: most }, seconds: null } }
}

async function inHouse(caps: Caps, script: Script, body: (house: TestHouse) => Promise<void>): Promise<void> {
  const house = await openTestHouse({ script, caps, lanes: { main: 20, subagent: 20 } })
  try {
    await body(house)
  } finally {
    await house.close()
  }
}

const sender = (name: string): Principal => ({
  kind: 'sender',
  channel: 'stub',
  account: 'a',
  sender: name,
  scopes: ['operator.write'],
})

test('runs at work at once never pass a limit of the day together: what is set aside counts', async () => {
  const gate = Promise.withResolvers<void>()
  await inHouse(
    calls('gateway', 3),
    () => ({ text: 'words', wait: gate.promise }),
    async house => {
      const said = await Promise.all(
        Array.from({ length: 12 }, (_, i) => house.say('hello', { sessionKey: `agent:main:s${i}` })),
      )
      const refused = async () =>
        (await house.house.runs({ limit: 50 })).filter(({ run }) => run.outcome === 'budget_exhausted')
      await expect.poll(refused).toHaveLength(9)
      gate.resolve()
      const ends = await Promise.all(said.map(({ run }) => house.done(run)))
      expect(ends.filter(end => end.outcome === 'succeeded')).toHaveLength(3)
      expect(house.requests).toHaveLength(3)
      const [one] = await refused()
      expect(one!.run).toMatchObject({ errorCode: 'RUN_CAP', spent: { nano: 0, tokens: 0, calls: 0 } })
      expect(one!.run.error).toContain('all agents today (agents.dailyBudget) is used up')
    },
  )
})

test('a limit that leaves no call at all ends what comes in once, and starts nothing for it again', async () => {
  await inHouse(
    calls('agent', 0),
    () => ({ text: 'words' }),
    async house => {
      const { run } = await house.say('hello')
      expect(await house.done(run)).toMatchObject({ outcome: 'budget_exhausted' })
      expect(await house.house.runs({ limit: 50 })).toHaveLength(1)
    },
  )
})

test('a conversation pays for what it delegates; /new begins another', async () => {
  const script: Script = request => {
    const first = request.messages[0]?.parts.map(part => (part.type === 'text' ? part.text : '')).join('')
    if (first === 'child') return { text: 'done' }
    const asked = request.messages.at(-1)?.role === 'user'
    return asked ? { calls: [{ name: 'sessions_spawn', args: { task: 'child' } }] } : { text: 'handed on' }
  }
  await inHouse(calls('session', 2), script, async house => {
    const { run } = await house.say('delegate')
    // Its two calls are the conversation's: nothing is left for the child, and for reading that.
    expect(await house.done(run)).toMatchObject({ outcome: 'budget_exhausted' })
    const [child] = (await house.house.runs({ limit: 9 })).filter(view => view.run.parent === run)
    expect(child!.run).toMatchObject({ outcome: 'budget_exhausted', errorCode: 'RUN_CAP' })
    expect(house.requests).toHaveLength(2)
    await house.house.reset({ principal: house.operator, sessionKey: 'main', reason: 'new' })
    const again = await house.say('child')
    expect(await house.done(again.run)).toMatchObject({ outcome: 'succeeded' })
  })
})

test('each who writes has a limit of their own, which their sub-agents count towards', async () => {
  await inHouse(
    calls('sender', 1),
    () => ({ text: 'words' }),
    async house => {
      const say = async (name: string, chat: string) =>
        house.done((await house.say('hello', { principal: sender(name), sessionKey: `agent:main:${chat}` })).run)
      expect(await say('ann', 'one')).toMatchObject({ outcome: 'succeeded' })
      expect(await say('ann', 'two')).toMatchObject({ outcome: 'budget_exhausted' })
      expect(await say('bob', 'two')).toMatchObject({ outcome: 'succeeded' })
      const rows = await house.store.read.selectFrom('usage').select(['sender', 'tree', 'session']).execute()
      expect(rows.map(row => row.sender).sort()).toEqual(['sender:stub:a:ann', 'sender:stub:a:bob'])
      expect(rows.every(row => row.tree === row.session)).toBe(true)
    },
  )
})

test('a crash charges what was set aside in full, and the limit counts it', async () => {
  await inHouse(
    calls('gateway', 2),
    (_, n) => (n === 1 ? { wait: new Promise(() => undefined) } : { text: 'words' }),
    async house => {
      const { run } = await house.say('hello')
      await expect.poll(() => house.requests.length).toBe(1)
      await house.crash()
      expect(await house.done(run)).toMatchObject({ outcome: 'succeeded' })
      const next = await house.say('again')
      expect(await house.done(next.run)).toMatchObject({ outcome: 'budget_exhausted' })
      const states = await house.store.read.selectFrom('usage').select(['state', 'charged_calls']).execute()
      expect(states.map(row => row.state).sort()).toEqual(['settled', 'unknown'])
    },
  )
})

test('a day begins at midnight where the operator lives', () => {
  const noon = Date.UTC(2026, 5, 10, 12)
  expect(dayAt(noon, 'UTC')).toEqual({ from: Date.UTC(2026, 5, 10), until: Date.UTC(2026, 5, 11) })
  expect(dayAt(noon, 'Asia/Tokyo')).toEqual({ from: Date.UTC(2026, 5, 9, 15), until: Date.UTC(2026, 5, 10, 15) })
  expect(dayAt(Date.UTC(2026, 5, 10, 2), 'America/New_York').from).toBe(Date.UTC(2026, 5, 9, 4))
})
