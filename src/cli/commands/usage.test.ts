import { expect, test } from 'vitest'
import { openDesk } from '../../../test/support/cli.ts'
import { dayAt } from '../../config/budgets.ts'
import { openStore } from '../../store/open.ts'
import { samples } from '../../store/samples.ts'
import { usedBy } from '../../store/used.ts'

interface Report {
  rows: { label: string; nano: number; tokens: number; calls: number; open: number; unknown: number }[]
  limits: { of: string; key: string; used: { calls: number } }[]
}

/** Three calls of today: one that is paid, one in flight, one that a crash cut off. */
async function spent(dir: string): Promise<void> {
  const store = await openStore({ dir, log: () => undefined })
  const at = Date.now()
  const money = { reserved_nano: 50_000_000, reserved_tokens: 500, input: 0, output: 0, cache_read: 0, cache_write: 0 }
  const none = { charged_nano: 0, charged_tokens: 0, charged_calls: 0 }
  const rows = [
    {
      run: 'r1',
      agent: 'main',
      state: 'settled',
      charged_nano: 20_000_000,
      charged_tokens: 200,
      charged_calls: 1,
      sender: 'ann',
    },
    { run: 'r2', agent: 'main', state: 'reserved', ...none, sender: 'bob' },
    {
      run: 'r3',
      agent: 'other',
      state: 'unknown',
      charged_nano: 50_000_000,
      charged_tokens: 500,
      charged_calls: 1,
      sender: 'bob',
    },
  ]
  try {
    await store.write('usage', async tx => {
      await tx
        .insertInto('sessions')
        .values({ ...samples.sessions, id: 's1', key: 'agent:main:main' })
        .execute()
      for (const row of rows)
        await tx
          .insertInto('usage')
          .values({ ...samples.usage, ...money, session: 's1', tree: 's1', at, ...row })
          .execute()
      expect(await usedBy(tx, {}, 0)).toEqual({ nano: 120_000_000, tokens: 1200, calls: 3 })
      expect(await usedBy(tx, { sender: 'bob' }, 0)).toEqual({ nano: 100_000_000, tokens: 1000, calls: 2 })
      expect(await usedBy(tx, { agent: 'main' }, at + 1)).toEqual({ nano: 0, tokens: 0, calls: 0 })
    })
  } finally {
    await store.close()
  }
}

test('usage says what was spent, by whom, what is in flight or unknown, and what the limits leave', async () => {
  const desk = openDesk()
  desk.configure({ agents: { dailyBudget: { calls: 5 }, entries: { main: { default: true }, other: {} } } })
  await spent(desk.home)
  const usage = async (...more: string[]) => (await desk.json<Report>('usage', ...more)).document
  const agents = await usage('--by', 'agent')
  expect(agents.rows.map(({ label, nano, calls, open, unknown }) => [label, nano, calls, open, unknown])).toEqual([
    ['main', 70_000_000, 2, 1, 0],
    ['other', 50_000_000, 1, 0, 1],
  ])
  expect(agents.limits).toMatchObject([{ of: 'all agents', key: 'agents.dailyBudget', used: { calls: 3 } }])
  expect((await desk.deputy('usage')).out).toContain('Today, all agents: 3 of 5 calls  agents.dailyBudget')
  const store = await openStore({ dir: desk.home, log: () => undefined })
  await store.write('usage', async tx => {
    const row = { ...samples.budget_raises, whose: 'all', since: dayAt(Date.now(), null).from, field: 'calls' }
    await tx.insertInto('budget_raises').values(row).execute()
  })
  await store.close()
  expect((await desk.deputy('usage')).out).toContain('3 of 10 calls (5 calls of it allowed today)  agents.dailyBudget')
  expect((await usage('--by', 'sender')).rows.map(row => [row.label, row.tokens])).toEqual([
    ['bob', 1000],
    ['ann', 200],
  ])
  expect((await usage('--by', 'tree')).rows).toMatchObject([{ label: 'agent:main:main', calls: 3 }])
  expect((await usage()).rows).toMatchObject([{ label: expect.stringMatching(/^\d{4}-\d\d-\d\d$/), calls: 3 }])
})

test('a grouping that there is none of is a mistake of the command line', async () => {
  const desk = openDesk()
  const { code, document } = await desk.json<{ error: { code: string; fix: string } }>('usage', '--by', 'colour')
  expect(code).toBe(2)
  expect(document.error).toMatchObject({ code: 'USAGE', fix: expect.stringContaining('day, agent, session') })
})
