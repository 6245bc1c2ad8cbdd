/** One transaction at a time over the Signal keys, whoever opens it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SignalKeyStoreWithTransaction } from 'baileys'
import { beforeEach, expect, test } from 'vitest'
import { keysInMemory, quiet, wa } from '../../../test/support/whatsapp/kit.ts'
import { oneAtATime } from './signal.ts'

let kept: ReturnType<typeof keysInMemory>
let keys: SignalKeyStoreWithTransaction
let whole: ReturnType<typeof oneAtATime>

beforeEach(() => {
  kept = keysInMemory()
  keys = wa.addTransactionCapability(kept, quiet, { maxCommitRetries: 1, delayBetweenTriesMs: 1 })
  whole = oneAtATime(keys)
})

const onDisk = async () => Buffer.from((await kept.get('session', ['s']))['s'] ?? []).toString()
async function append(sign: string): Promise<void> {
  const before = (await keys.get('session', ['s']))['s'] ?? Buffer.alloc(0)
  await sleep(5)
  await keys.set({ session: { s: Buffer.concat([before, Buffer.from(sign)]) } })
}

test('sending and reading at once: neither undoes the other', async () => {
  await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0 ? keys.transaction(() => append('w'), `person ${i}`) : whole(() => append('r')),
    ),
  )
  expect(await onDisk()).toBe('wr'.repeat(10))
})

test('what is read is kept at the end or not at all; what is sent is kept before it goes', async () => {
  await expect(
    whole(async () => {
      await append('r')
      throw new Error('no row')
    }),
  ).rejects.toThrow('no row')
  expect(await onDisk()).toBe('')
  await keys.transaction(async () => {
    await append('w')
    expect(await onDisk()).toBe('w')
  }, 'me')
})

test('one within another goes on in it; what outlives one takes its own turn', async () => {
  let later: Promise<void> = Promise.resolve()
  await whole(() => keys.transaction(() => append('a'), 'inner'))
  await keys.transaction(async () => {
    later = sleep(20).then(() => keys.transaction(() => append('c'), 'leaked'))
  }, 'outer')
  await Promise.all([later, sleep(18).then(() => whole(() => append('b')))])
  expect(await onDisk()).toBe('abc')
})
