import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Outbound, OutboundMessage, SendOutcome } from '../core/ports.ts'
import { apply } from '../store/apply.ts'
import { noCrash } from '../store/crash.ts'
import { openStore, type Store } from '../store/open.ts'
import { type Deliverer, openDeliverer } from './deliver.ts'

let dir: string
let store: Store
const open: Deliverer[] = []

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-outbox-'))
  store = await openStore({ dir, log: () => undefined })
})

afterEach(async () => {
  for (const deliverer of open.splice(0)) await deliverer.stop()
  await store.close()
  rmSync(dir, { recursive: true, force: true })
})

/** A chat service: what its users see, and how it answers the nth send. */
function service(answer: (n: number) => SendOutcome | Promise<SendOutcome>, features: Partial<Outbound> = {}) {
  const seen: OutboundMessage[] = []
  const outbound: Outbound = {
    channel: 'fake',
    keyed: false,
    parts: content => [content],
    async send(message) {
      const outcome = await answer(seen.length + 1)
      if (outcome.sent || !outcome.certain) seen.push(message)
      return outcome
    },
    ...features,
  }
  return { seen, outbound }
}

function deliverer(outbound: Outbound | null): Deliverer {
  const made = openDeliverer({
    store,
    outbound: () => outbound,
    clock: { now: () => Date.now() },
    crash: noCrash,
    log: () => undefined,
  })
  open.push(made)
  return made
}

async function put(key: string, to = 'anna'): Promise<void> {
  await store.write('finish', tx =>
    apply(tx, [
      {
        do: 'outbox.put',
        session: 's',
        run: 'r',
        key,
        route: { channel: 'fake', account: '', to },
        text: `words ${key}`,
        at: Date.now(),
      },
    ]),
  )
}

async function states(): Promise<string[]> {
  return (await store.read.selectFrom('outbox').select('state').orderBy('id').execute()).map(row => row.state)
}

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await check()) return
    await sleep(10)
  }
  throw new Error(`never: ${await states()}`)
}

const ok: SendOutcome = { sent: true, remoteId: '1' }

test('messages of a chat go out in order, and each is sent once', async () => {
  const { seen, outbound } = service(() => ok)
  for (const key of ['a', 'b', 'c']) await put(key)
  await deliverer(outbound).start()
  await until(async () => (await states()).every(state => state === 'sent'))
  expect(seen.map(message => message.content.text)).toEqual(['words a', 'words b', 'words c'])
})

test('a message waits while its channel is not running, and other channels go on', async () => {
  await put('a')
  await deliverer(null).start()
  await sleep(50)
  expect(await states()).toEqual(['pending'])
})

test('a refusal that is final is a dead letter, the next message goes on, and an operator can try again', async () => {
  let refuse = true
  const { seen, outbound } = service(() =>
    refuse ? { sent: false, certain: true, retryable: false, code: 'gone', message: 'no such chat' } : ok,
  )
  await put('a')
  const box = deliverer(outbound)
  await box.start()
  await until(async () => (await states())[0] === 'dead')
  refuse = false
  await put('b')
  box.ring()
  await until(async () => (await states())[1] === 'sent')
  expect(await box.retry(1)).toBe(true)
  await until(async () => (await states())[0] === 'sent')
  expect(seen.map(message => message.content.text)).toEqual(['words b', 'words a'])
})

test('killed between send and answer: a keyed service sees the key again, another sees a marked repeat', async () => {
  for (const keyed of [true, false]) {
    const key = `k${keyed}`
    await put(key, `chat-${keyed}`)
    // As a process leaves it that died while the service was answering.
    await store.write('sending', tx =>
      tx.updateTable('outbox').set({ state: 'sending', attempt: 1 }).where('key', '=', key).execute(),
    )
    const { seen, outbound } = service(() => ok, { keyed })
    await deliverer(outbound).start()
    await until(async () => (await states()).at(-1) === 'sent')
    expect(seen.map(message => [message.key, message.maybeRepeat])).toEqual([[key, !keyed]])
  }
})

test('a service with a look-up is asked instead of told again', async () => {
  await put('a')
  await store.write('sending', tx =>
    tx.updateTable('outbox').set({ state: 'sending', attempt: 1 }).where('key', '=', 'a').execute(),
  )
  const { seen, outbound } = service(() => ok, { lookup: async () => 'sent' })
  await deliverer(outbound).start()
  await until(async () => (await states())[0] === 'sent')
  expect(seen).toEqual([])
})

test('a channel that throws leaves its message in doubt, never lost', async () => {
  const { outbound } = service(() => {
    throw new Error('line cut')
  })
  await put('a')
  await deliverer(outbound).start()
  await until(async () => (await states())[0] === 'uncertain')
  const row = await store.read.selectFrom('outbox').selectAll().executeTakeFirstOrThrow()
  expect(row.error).toBe('network: line cut')
})
