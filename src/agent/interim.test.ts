/** What a person in a chat reads while its agent's sub-agents are at work. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { isChild } from '../../test/support/delegating.ts'
import { openTestHouse, type TestHouse } from '../../test/support/house.ts'
import type { Content } from '../core/chat.ts'

const route = { channel: 'telegram', account: 'default', to: '42' }
const open: TestHouse[] = []

afterEach(async () => {
  for (const it of open.splice(0)) await it.close()
})

const spawn = (task: string) => ({ name: 'sessions_spawn', args: { task } })

/** The parent answers by turns; a sub-agent is done when its parent waits. */
async function said(turns: { text?: string; calls?: { name: string; args: object }[] }[]): Promise<string[]> {
  let turn = 0
  const it: TestHouse = await openTestHouse({
    async script(request) {
      if (!isChild(request)) return turns[turn++]!
      while (!(await runs(it)).some(run => run.parent === null && run.state === 'waiting')) await sleep(2)
      return { text: 'child done' }
    },
  })
  open.push(it)
  const { wireId } = await it.say('go', { route })
  await it.done(wireId)
  const rows = await it.store.read.selectFrom('outbox').select('payload').orderBy('id').execute()
  return rows.map(row => (JSON.parse(row.payload) as Content).text)
}

const runs = (it: TestHouse) => it.store.read.selectFrom('runs').select(['parent', 'state']).execute()

test('words beside a spawn go out at once, those of the end once', async () => {
  expect(
    await said([
      { text: 'Two are sent out.', calls: [spawn('child task 1'), spawn('child task 2')] },
      { text: 'Both are at work.' },
      { text: 'Both are done.' },
    ]),
  ).toEqual(['Two are sent out.', 'Both are at work.', 'Both are done.'])
})

test('words before a yield go out, also when nothing was spawned beside them, and never twice', async () => {
  const rest = { name: 'sessions_yield', args: {} }
  expect(
    await said([{ calls: [spawn('child task')] }, { text: 'It is at work.', calls: [rest] }, { text: 'It is done.' }]),
  ).toEqual(['It is at work.', 'It is done.'])
  expect(await said([{ text: 'It is at work.', calls: [spawn('child task'), rest] }, { text: 'It is done.' }])).toEqual(
    ['It is at work.', 'It is done.'],
  )
  expect(
    await said([
      {
        text: 'It is at work.',
        calls: [
          spawn('child task'),
          { ...rest, args: { acknowledgment: 'I wait for it.', message: 'a note to itself' } },
        ],
      },
      { text: 'It is done.' },
    ]),
  ).toEqual(['It is at work.', 'I wait for it.', 'It is done.'])
})

test('words beside other calls, silence and refused spawns stay inside', async () => {
  expect(
    await said([
      { text: 'Let me look.', calls: [{ name: 'agents_list', args: {} }] },
      { text: 'I send one out.', calls: [{ name: 'sessions_spawn', args: { task: 'child task', agentId: 'nobody' } }] },
      { text: 'NO_REPLY', calls: [spawn('child task')] },
      { text: 'NO_REPLY' },
      { text: 'All done.' },
    ]),
  ).toEqual(['All done.'])
})
