/** After a long absence: what Slack brings no more is fetched, once, in order, from where the app is, and within bounds. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { openOne } from '../../../test/support/open-account.ts'
import { openSlack } from '../../../test/support/slack/service.ts'
import { tempDir } from '../../../test/support/temp.ts'
import { until } from '../conformance.ts'
import { slack } from './index.ts'
import { openGate } from './missed.ts'

const day = 24 * 3600_000

async function world() {
  const fake = await openSlack()
  onTestFinished(() => fake.close())
  const stateDir = tempDir()
  const settings = { botToken: fake.botToken, appToken: fake.appToken, apiRoot: fake.url }
  // Slack's own time in this world stands still; ours goes on.
  const start = Number(fake.world.ts()) * 1000
  const begin = async (later: number, ready = true) => {
    const clock = { now: () => start + later }
    const opened = await openOne(slack, settings, [], { stateDir, clock })
    const connected = () => opened.account.status().state
    if (ready) await until(connected, state => state === 'connected')
    return opened
  }
  /** Written, and never told to anybody. */
  const unheard = <T>(write: () => T): T => {
    const made = write()
    fake.world.pending = []
    return made
  }
  return { fake, begin, unheard }
}

test('nothing is fetched at the first start, and nothing after a moment', async () => {
  const { fake, begin, unheard } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  unheard(() => fake.world.say(ann, 'long ago'))
  await (await begin(0)).account.stop()
  await (await begin(30_000)).account.stop()
  expect(fake.calls.filter(({ method }) => method === 'users.conversations')).toEqual([])
})

test('direct messages, channels and threads: each once, in order, before what is written now', async () => {
  const { fake, begin, unheard } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  fake.world.channel('C0TALK', 'talk')
  fake.world.channel('C0ELSE', 'elsewhere', { member: false })
  fake.world.channel('G0FEW', 'few', { kind: 'mpim' })
  const first = await begin(0)
  const heard = fake.world.say(ann, 'heard')
  const begun = fake.world.say(ann, '<@U0DEPUTY> begin', 'C0TALK')
  fake.world.say(ann, 'go on', 'C0TALK', { thread_ts: begun.ts })
  await until(
    () => first.taken.length,
    n => n === 3,
  )
  await until(
    () => fake.world.pending.length,
    n => n === 0,
  )
  await first.account.stop()

  for (const [text, where, more] of [
    ['one', undefined, {}],
    ['<@U0DEPUTY> two', 'C0TALK', {}],
    ['three', 'C0TALK', { thread_ts: begun.ts }],
    ['four', 'G0FEW', {}],
    ['five', undefined, {}],
    ['not for us', 'C0ELSE', {}],
  ] as const)
    unheard(() => fake.world.say(ann, text, where, more))
  unheard(() => fake.world.put('C0TALK', { text: 'our own', bot_id: fake.world.bot.id, user: fake.world.bot.user }))

  // A new one lies ready when the app comes: it waits for those before it.
  fake.world.say(ann, 'six')
  fake.fault({ method: 'users.conversations', retryAfter: 1 })
  const second = await begin(day)
  await until(
    () => second.taken.filter(({ text }) => text === 'six').length,
    n => n === 2,
  )
  await until(
    () => second.taken.filter(({ chat }) => chat.kind !== 'direct').length,
    n => n === 5,
  )
  const said = (where: string) => second.taken.filter(({ chat }) => chat.id === where)
  // What was heard shortly before is brought once more; the house knows it by its id.
  expect(said('D0ANN').map(({ text }) => text)).toEqual(['heard', 'one', 'five', 'six', 'six'])
  expect(said('D0ANN')[0]!.id).toBe(heard.ts)
  expect(said('C0TALK').map(({ text, chat, mentioned }) => [text, chat.thread, mentioned])).toEqual([
    ['begin', null, true],
    ['go on', begun.ts, false],
    ['two', null, true],
    ['three', begun.ts, false],
  ])
  expect(second.taken.find(({ text }) => text === 'four')).toMatchObject({ chat: { id: 'G0FEW', kind: 'group' } })
  expect(second.taken.map(({ text }) => text)).not.toContain('not for us')
  expect(second.taken.map(({ text }) => text)).not.toContain('our own')
})

test('a message that the house could not take is fetched after the restart', async () => {
  const { fake, begin } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  await (await begin(0)).account.stop()
  const failing = await begin(1000)
  failing.ingest = async () => Promise.reject(new Error('the disk is full'))
  fake.world.say(ann, 'never taken')
  await until(
    () => failing.taken.length,
    n => n > 0,
  )
  await failing.account.stop()
  fake.world.pending = []
  const second = await begin(day)
  expect((await second.came(0)).text).toBe('never taken')
})

test('an app without the scopes is told so in the log, and works on', async () => {
  const { fake, begin } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  await (await begin(0)).account.stop()
  fake.fault({ method: 'users.conversations', refuse: 'missing_scope' })
  const second = await begin(day)
  fake.world.say(ann, 'hello')
  await second.came(0)
  expect(second.lines.join('\n')).toContain('missing_scope')
})

test('the gate holds a conversation up until it is done, and no longer than it has patience', async () => {
  const gate = openGate(50)
  gate.openAll()
  await gate.pass('A')
  gate.close()
  const order: string[] = []
  const through = (channel: string) => gate.pass(channel).then(() => order.push(channel))
  const [a, b, late] = [through('A'), through('B'), through('late')]
  gate.open('B')
  await b
  gate.open('A')
  await a
  expect(order).toEqual(['B', 'A'])
  await late
  expect(order).toEqual(['B', 'A', 'late'])
  gate.openAll()
  await Promise.race([gate.pass('C'), sleep(1000).then(() => Promise.reject(new Error('still closed')))])
})
