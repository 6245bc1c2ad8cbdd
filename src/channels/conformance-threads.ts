/**
 * The part of the channels' suite about threads: who says that it opens them opens one, once, and names it.
 *
 * Owns these tests; conformance.ts hands in the bench. Only tests import this.
 */
import { expect, test } from 'vitest'
import type { OutboundMessage, SendOutcome } from '../core/ports.ts'
import type { Account, AccountStatus } from './channel.ts'
import type { Bench } from './conformance-bench.ts'

export interface ThreadKit {
  bench(): Bench
  account(): Account
  connected(): Promise<void>
  is(state: AccountStatus['state']): Promise<unknown>
  words(from: string, text: string): OutboundMessage
  say(message: OutboundMessage): Promise<SendOutcome>
}

export function threadConformance({ bench, account, connected, is, words, say }: ThreadKit): void {
  /** As the outbox sends it. */
  function opener(): OutboundMessage {
    const text = 'somebody digs'
    const opens = { name: 'Digging', session: 's', by: '', back: null }
    return { ...words('ann', text), route: bench().threads!.route, content: { text, opens } }
  }

  test('says how a conversation gets a place of its own, and opens threads where it says so', async () => {
    const { binds } = bench().channel.capabilities
    const { threads } = bench()
    expect(threads !== undefined).toBe(typeof binds === 'object' && binds !== null)
    if (!threads) return
    await connected()
    const opened = await say(opener())
    if (!opened.sent || opened.remoteId === null) throw new Error('an opener must name its thread')
    const thread = opened.remoteId
    await say({ ...words('ann', 'found something'), route: { ...threads.route, thread } })
    expect(threads.seen(null)).toEqual(['somebody digs'])
    expect(threads.seen(thread)).toEqual(['found something'])
  })

  test('an opener that was never answered opens one thread, and which it is is found out', async () => {
    const { threads } = bench()
    if (!threads) return
    await connected()
    bench().service.failNext('lost')
    const message = opener()
    const first = await say(message)
    await is('connected')
    const found = await account().outbound.lookup?.(message, AbortSignal.timeout(15_000))
    const outcome = first.sent ? first : found?.is === 'sent' ? found : await say(message)
    const thread = 'remoteId' in outcome ? outcome.remoteId : null
    if (typeof thread !== 'string') throw new Error(`no thread: ${JSON.stringify(outcome)}`)
    expect(threads.seen(null)).toEqual(['somebody digs'])
    expect(await say({ ...words('ann', 'here'), route: { ...threads.route, thread } })).toMatchObject({ sent: true })
    expect(threads.seen(thread)).toEqual(['here'])
  })
}
