/** Threads on Discord: two calls for one opener, and what becomes of it when one of them fails. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DiscordBench, openDiscordBench } from '../../../test/support/discord/bench.ts'
import type { OutboundMessage, SendOutcome } from '../../core/ports.ts'
import type { Account } from '../channel.ts'
import { until } from '../conformance.ts'

let bench: DiscordBench
let account: Account

beforeEach(async () => {
  bench = await openDiscordBench()
  account = await bench.channel.open({
    account: 'default',
    settings: bench.settings,
    stateDir: bench.stateDir,
    ingest: async () => ({ done: 'accepted' }),
    changed: () => undefined,
    commands: () => [],
    clock: { now: () => Date.now() },
    log: () => undefined,
  })
  account.start()
  await until(
    () => account.status().state,
    state => state === 'connected',
  )
})
afterEach(async () => {
  await account.stop()
  await bench.close()
})

let n = 0
function opener(more: Partial<OutboundMessage> = {}): OutboundMessage {
  n += 1
  const opens = { name: `Digging ${'deep '.repeat(40)}`, session: 's', by: '', back: null }
  const content = { text: 'somebody digs', opens }
  return { id: '1', route: bench.threads!.route, content, key: `k${n}`, edit: null, maybeRepeat: false, ...more }
}
const say = (message: OutboundMessage): Promise<SendOutcome> =>
  account.outbound.send(message, AbortSignal.timeout(10_000))
const threads = () => [...bench.fake.world.channels.values()].filter(({ type }) => type === 11)

test('the thread has the id of its first message and a name that fits', async () => {
  const opened = await say(opener())
  const [thread] = threads()
  expect(opened).toEqual({ sent: true, remoteId: thread!.id })
  expect(thread!.name).toHaveLength(100)
  expect(bench.fake.world.messages.get(thread!.id)!.content).toBe('somebody digs')
})

test('a thread that was begun and never heard of is the one that a repeat finds, however late', async () => {
  bench.fake.failThread('lost')
  const message = opener()
  const first = await say(message)
  const starter = threads()[0]!.id
  expect(first).toMatchObject({ sent: false, certain: false, retryable: true, remoteId: starter })
  expect(await say({ ...message, key: 'long forgotten', edit: starter })).toEqual({ sent: true, remoteId: starter })
  expect([threads().length, bench.threads!.seen(null).length]).toEqual([1, 1])
})

test('a message that stands there is not said again, unless somebody has removed it', async () => {
  bench.fake.failThread('server')
  const message = opener()
  const first = await say(message)
  if (first.sent || first.remoteId === undefined) throw new Error('it must name what stands there')
  bench.fake.world.messages.delete(first.remoteId)
  const again = await say({ ...message, edit: first.remoteId })
  expect(again).toEqual({ sent: true, remoteId: threads()[0]!.id })
  expect(bench.threads!.seen(null)).toEqual(['somebody digs'])
})

test('who may not begin threads, or asks where there are none, is told so for good', async () => {
  bench.fake.failThread('refused')
  expect(await say(opener())).toMatchObject({ certain: true, retryable: false, code: 'blocked' })
  const direct = await say(opener({ route: bench.route('ann') }))
  expect(direct).toMatchObject({ certain: true, retryable: false, code: 'bad_request' })
  expect(threads()).toEqual([])
})
