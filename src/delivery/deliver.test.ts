import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { interimKey } from '../core/ids.ts'
import type { Content } from '../core/chat.ts'
import { opener, openingThread } from '../core/opening.ts'
import type { Growth, HouseEvent, Outbound, OutboundMessage, SendOutcome } from '../core/ports.ts'
import type { Route, Run } from '../core/types.ts'
import { apply } from '../store/apply.ts'
import { boundAt } from '../store/bindings.ts'
import { noCrash } from '../store/crash.ts'
import { loadRun, loadSession, runOf, sessionOf } from '../store/facts.ts'
import { openStore, type Store } from '../store/open.ts'
import { samples } from '../store/samples.ts'
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

function deliverer(outbound: Outbound | null, growth: Growth = 'partial'): Deliverer {
  const made = openDeliverer({
    store,
    outbound: () => outbound,
    grows: () => growth,
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
        content: { text: `words ${key}` },
        at: Date.now(),
      },
    ]),
  )
}

/** As a process leaves it that died while the service was answering. */
async function diesWhileSending(key: string): Promise<void> {
  await store.write('sending', tx =>
    tx.updateTable('outbox').set({ state: 'sending', attempt: 1 }).where('key', '=', key).execute(),
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
    await diesWhileSending(key)
    const { seen, outbound } = service(() => ok, { keyed })
    await deliverer(outbound).start()
    await until(async () => (await states()).at(-1) === 'sent')
    expect(seen.map(message => [message.key, message.maybeRepeat])).toEqual([[key, !keyed]])
  }
})

test('a service that forgets its keys: in time it recognises the message, later the repeat is marked', async () => {
  for (const [key, ago] of [
    ['soon', 10_000],
    ['late', 600_000],
  ] as const) {
    await put(key, `chat-${key}`)
    await store.write('sending', tx =>
      tx
        .updateTable('outbox')
        .set({ state: 'uncertain', attempt: 1, doubt_since: Date.now() - ago })
        .where('key', '=', key)
        .execute(),
    )
  }
  const { seen, outbound } = service(() => ok, { keyed: true, keyedForMs: 120_000 })
  await deliverer(outbound).start()
  await until(async () => (await states()).every(state => state === 'sent'))
  expect(new Map(seen.map(message => [message.key, message.maybeRepeat]))).toEqual(
    new Map([
      ['soon', false],
      ['late', true],
    ]),
  )
})

test('a service with a look-up is asked instead of told again', async () => {
  await put('a')
  await diesWhileSending('a')
  const { seen, outbound } = service(() => ok, { lookup: async () => ({ is: 'sent', remoteId: null }) })
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

const cut = (content: Content) => content.text.split(' ').map(text => ({ text }))

test('a long message goes out in parts; what was sent before a kill is not sent again, and the cut stays', async () => {
  await put('a')
  let down = true
  const first = service(n => (n === 2 && down ? new Promise(() => undefined) : ok), { parts: cut })
  await deliverer(first.outbound).start()
  await until(async () => {
    const { state, part } = await store.read.selectFrom('outbox').select(['state', 'part']).executeTakeFirstOrThrow()
    return state === 'sending' && part === 1
  })
  const row = await store.read.selectFrom('outbox').selectAll().executeTakeFirstOrThrow()
  expect([row.part, row.remote_ids, row.parts]).toEqual([1, '["1"]', '[{"text":"words"},{"text":"a"}]'])
  down = false
  open.splice(0)
  // Another version would cut it otherwise.
  const second = service(() => ok, { parts: () => [{ text: 'x' }, { text: 'y' }, { text: 'z' }] })
  await deliverer(second.outbound).start()
  await until(async () => (await states())[0] === 'sent')
  expect(second.seen.map(message => [message.content.text, message.key, message.maybeRepeat])).toEqual([
    ['a', 'a/2', true],
  ])
})

test('a row of an earlier version, with words only, is sent', async () => {
  await put('a')
  await store.write('sending', tx => tx.updateTable('outbox').set({ payload: '{"text":"old"}' }).execute())
  const { seen, outbound } = service(() => ok)
  await deliverer(outbound).start()
  await until(async () => (await states())[0] === 'sent')
  expect(seen[0]!.content).toEqual({ text: 'old' })
})

test('an account that is away, with more messages than are looked at in one pass, hides nobody else', async () => {
  await store.write('finish', tx =>
    apply(
      tx,
      Array.from({ length: 700 }, (_, i) => ({
        do: 'outbox.put' as const,
        session: 's',
        run: null,
        key: `x${i}`,
        route: { channel: 'fake', account: 'away', to: `chat ${i}` },
        content: { text: 'x' },
        at: 1,
      })),
    ),
  )
  await put('a', 'zoe')
  const { seen, outbound } = service(() => ok)
  const box = openDeliverer({
    store,
    outbound: place => (place.account === 'away' ? null : outbound),
    grows: () => 'off',
    clock: { now: () => Date.now() },
    crash: noCrash,
    log: () => undefined,
  })
  open.push(box)
  await box.start()
  await until(async () => seen.length === 1)
  expect(seen[0]!.route.to).toBe('zoe')
})

test('an account that is told to slow down says one thing at a time until it may go on', async () => {
  let atWork = 0
  let most = 0
  let slow = false
  const { seen, outbound } = service(async () => {
    if (!slow) {
      slow = true
      const retryAtMs = Date.now() + 2000
      return { sent: false, certain: true, retryable: true, code: 'rate_limit', message: 'slow', retryAtMs }
    }
    most = Math.max(most, ++atWork)
    await sleep(5)
    atWork--
    return ok
  })
  const box = deliverer(outbound)
  await box.start()
  await put('first', 'chat 0')
  box.ring()
  await until(async () => slow && (await states())[0] === 'pending')
  for (let i = 1; i <= 10; i++) await put(`k${i}`, `chat ${i}`)
  box.ring()
  await until(async () => seen.length >= 5)
  expect(most).toBe(1)
  await until(async () => (await states()).every(state => state === 'sent'))
})

describe('words that grow in the chat', () => {
  const route = { channel: 'fake', account: '', to: 'anna' }
  const delta = (text: string, step = 1): HouseEvent => ({
    on: 'run.delta',
    run: 'r',
    step,
    session: 's',
    sessionKey: 'k',
    agent: 'main',
    wireId: 'w',
    text,
    delta: text,
    replace: false,
  })

  async function run(state: 'running' | 'done' = 'running'): Promise<void> {
    const row = {
      ...samples.runs,
      id: 'r',
      session: 's',
      state,
      turn: 1,
      route: JSON.stringify(route),
      return_to: null,
    }
    await store.write('claim', tx =>
      tx
        .insertInto('runs')
        .values(row as never)
        .execute(),
    )
  }

  async function finish(text: string, key = 'r:final'): Promise<void> {
    await store.write('finish', tx =>
      apply(tx, [{ do: 'outbox.put', session: 's', run: 'r', key, route, content: { text }, grown: true, at: 5 }]),
    )
  }

  test('come a whole block at a time where they are to', async () => {
    await run()
    const { seen, outbound } = service(() => ok)
    const box = deliverer(outbound, 'block')
    await box.start()
    box.hear(delta('The first paragraph of it'))
    box.hear(delta('The first paragraph of it\n\nand the beginn'))
    await until(async () => seen.length === 1)
    box.hear(delta('The first paragraph of it\n\nand the beginning of a second'))
    await finish('The first paragraph of it\n\nand the beginning of a second one')
    box.ring()
    await until(async () => seen.length === 2)
    expect(seen.map(({ content }) => content.text)).toEqual([
      'The first paragraph of it',
      'The first paragraph of it\n\nand the beginning of a second one',
    ])
  })

  test('are one message: shown first, and edited to the final words under the row that was there before', async () => {
    await run()
    const { seen, outbound } = service(() => ok)
    const box = deliverer(outbound)
    await box.start()
    box.hear(delta('The beginning of a long answer'))
    await until(async () => seen.length === 1)
    expect(await states()).toEqual(['streaming'])
    await finish('The beginning and the end')
    box.ring()
    await until(async () => (await states())[0] === 'sent')
    expect(seen.map(message => [message.content.text, message.edit])).toEqual([
      ['The beginning of a long answer', null],
      ['The beginning and the end', '1'],
    ])
    const rows = await store.read.selectFrom('outbox').select(['key', 'state']).execute()
    expect(rows).toEqual([{ key: 'r:final', state: 'sent' }])
  })

  test('never pass what was said before and has not reached the chat', async () => {
    await run()
    const { seen, outbound } = service(n =>
      n === 1 ? { sent: false, certain: false, retryable: true, code: 'network', message: 'no answer' } : ok,
    )
    const box = deliverer(outbound)
    await box.start()
    await put('interim')
    box.ring()
    await until(async () => (await states())[0] === 'uncertain')
    box.hear(delta('The beginning of a long answer'))
    await sleep(200)
    expect(await states()).toEqual(['uncertain'])
    await finish('The beginning and the end')
    box.ring()
    await until(async () => (await states()).every(state => state === 'sent'))
    expect(seen.map(message => message.content.text)).toEqual([
      'words interim',
      'words interim',
      'The beginning and the end',
    ])
  })

  test('that become final while they are shown for the first time are edited, not said again', async () => {
    await run()
    let answer: (outcome: SendOutcome) => void = () => undefined
    const { seen, outbound } = service(n => (n === 1 ? new Promise(resolve => (answer = resolve)) : ok))
    const box = deliverer(outbound)
    await box.start()
    box.hear(delta('The beginning of a long answer'))
    await until(async () => (await states())[0] === 'streaming')
    await sleep(20)
    await finish('All of it')
    box.ring()
    await sleep(20)
    answer(ok)
    await until(async () => (await states())[0] === 'sent')
    expect(seen.map(message => [message.edit, message.maybeRepeat])).toEqual([
      [null, false],
      ['1', false],
    ])
  })

  test('of a reply that went out with its calls stay as they are; the next reply is a message of its own', async () => {
    await run()
    const { seen, outbound } = service(n => ({ ...ok, remoteId: String(n) }))
    const box = deliverer(outbound)
    await box.start()
    box.hear(delta('Two of them are sent'))
    await until(async () => seen.length === 1)
    await finish('Two of them are sent out', interimKey('r', 1))
    box.ring()
    await until(async () => (await states())[0] === 'sent')
    // What was heard before is told again late, and is not shown again.
    box.hear(delta('Two of them are sent out'))
    await sleep(50)
    box.hear(delta('Both of them are at work', 3))
    await until(async () => seen.length === 3)
    await finish('Both of them are at work now')
    box.ring()
    await until(async () => (await states()).every(state => state === 'sent'))
    expect(seen.map(message => [message.content.text, message.edit])).toEqual([
      ['Two of them are sent', null],
      ['Two of them are sent out', '1'],
      ['Both of them are at work', null],
      ['Both of them are at work now', '3'],
    ])
  })

  test('are marked when nobody knows whether their beginning stands there', async () => {
    await run()
    const first = service(() => new Promise<never>(() => undefined))
    const dying = deliverer(first.outbound)
    await dying.start()
    dying.hear(delta('The beginning of a long answer'))
    await until(async () => (await states())[0] === 'streaming')
    await until(
      async () => (await store.read.selectFrom('outbox').select('attempt').executeTakeFirstOrThrow()).attempt === 1,
    )
    open.splice(0)
    const second = service(() => ok)
    const box = deliverer(second.outbound)
    await box.start()
    box.hear(delta('The beginning once more, longer'))
    await sleep(50)
    await finish('All of it')
    box.ring()
    await until(async () => (await states())[0] === 'sent')
    expect(second.seen.map(message => [message.content.text, message.edit, message.maybeRepeat])).toEqual([
      ['All of it', null, true],
    ])
  })

  test('replace a beginning whose id a dead process never learnt, where the service can look it up', async () => {
    await run()
    const first = service(() => new Promise<never>(() => undefined))
    const dying = deliverer(first.outbound)
    await dying.start()
    dying.hear(delta('The beginning of a long answer'))
    await until(async () =>
      (await store.read.selectFrom('outbox').select('attempt').execute()).some(({ attempt }) => attempt === 1),
    )
    const { key: shownUnder } = await store.read.selectFrom('outbox').select('key').executeTakeFirstOrThrow()
    open.splice(0)
    const second = service(n => ({ ...ok, remoteId: String(n) }), {
      lookup: async ({ key }) => (key === shownUnder ? { is: 'sent', remoteId: 'm7' } : { is: 'absent' }),
    })
    const box = deliverer(second.outbound)
    await box.start()
    await finish('Something else altogether')
    box.ring()
    await until(async () => (await states())[0] === 'sent')
    expect(second.seen.map(message => [message.content.text, message.edit, message.maybeRepeat])).toEqual([
      ['Something else altogether', 'm7', false],
    ])
  })

  test('are not shown of a turn that is over, nor when they may turn out to be silence', async () => {
    await run('done')
    const { seen, outbound } = service(() => ok)
    const box = deliverer(outbound)
    await box.start()
    box.hear(delta('The beginning of a long answer'))
    await sleep(50)
    expect(await states()).toEqual([])
    await store.write('claim', tx => tx.updateTable('runs').set({ state: 'running' }).execute())
    box.hear(delta('NO_REPLY'))
    await sleep(50)
    expect([await states(), seen]).toEqual([[], []])
  })

  test('stay as they are when no final words come, also when that happens while the gateway is down', async () => {
    await run()
    const { seen, outbound } = service(() => ok)
    const box = deliverer(outbound)
    await box.start()
    box.hear(delta('The beginning of a long answer'))
    await until(async () => seen.length === 1)
    await until(async () => {
      const row = await store.read.selectFrom('outbox').select('remote_id').executeTakeFirstOrThrow()
      return row.remote_id === '1'
    })
    open.splice(0)
    await store.write('finish', tx => tx.updateTable('runs').set({ state: 'done' }).execute())
    await deliverer(outbound).start()
    expect([await states(), seen.length]).toEqual([['sent'], 1])
  })
})

describe('an opener and what is said for its thread', () => {
  const chat = { channel: 'fake', account: '', to: 'square' }
  const place = { ...chat, thread: openingThread('r.1') }
  const thread = { ...chat, thread: 't1' }
  const opened: SendOutcome = { sent: true, remoteId: 't1' }
  const blocked: SendOutcome = { sent: false, certain: true, retryable: false, code: 'blocked', message: '403' }

  /** As a spawn leaves it: the child's conversation, its run, its opener, and words of it already. */
  async function spawned(to: Partial<Run> = {}): Promise<void> {
    const session = {
      ...sessionOf(samples.sessions as never),
      id: 's-r.1',
      key: 'agent:a:subagent:1',
      closedAt: null,
      route: place,
    }
    const started = runOf({ ...samples.runs, id: 'r.1', session: session.id } as never)
    const run: Run = { ...started, state: 'running', route: place, returnTo: 's', terms: { thread: 'thread' }, ...to }
    const put = (key: string) =>
      ({
        do: 'outbox.put',
        session: session.id,
        run: run.id,
        key,
        route: place,
        content: { text: key },
        at: 1,
      }) as const
    await store.write('reply', tx =>
      apply(tx, [
        { do: 'session.put', session },
        { do: 'run.put', run },
        opener(run, 'Digging', chat, 'run:r', 1),
        put('interim'),
        put('r.1/final'),
      ]),
    )
  }
  /** It answers so the first time, and well from then on. */
  const once = (first: SendOutcome) => {
    let n = 0
    return () => (n++ === 0 ? first : opened)
  }
  const rows = async () => {
    const found = await store.read.selectFrom('outbox').selectAll().orderBy('id').execute()
    return found.map(({ key, state, route }) => [key, state, (JSON.parse(route) as Route).thread ?? null])
  }
  const child = async () => (await loadRun(store.read, 'r.1'))!

  test('nothing is said there before it is open; then all of it, in order, and the place is theirs', async () => {
    const held = Promise.withResolvers<void>()
    const seen: OutboundMessage[] = []
    const { outbound } = service(() => opened, {
      async send(message) {
        if (message.content.opens) await held.promise
        seen.push(message)
        return opened
      },
    })
    await spawned()
    const box = deliverer(outbound)
    await box.start()
    await put('in the square', 'square')
    box.ring()
    // The chat that the thread is opened in goes on meanwhile.
    await until(async () => (await states())[3] === 'sent')
    expect(seen.map(({ content }) => content.text)).toEqual(['words in the square'])
    held.resolve()
    await until(async () => (await states()).every(state => state === 'sent'))
    expect(seen.map(({ route }) => route)).toEqual([chat, chat, thread, thread])
    expect((await child()).route).toEqual(thread)
    expect((await loadSession(store.read, 's-r.1'))!.route).toEqual(thread)
    expect(await boundAt(store.read, thread)).toMatchObject({
      sessionKey: 'agent:a:subagent:1',
      run: 'r.1',
      place: thread,
    })
  })

  test('words that grow wait for the thread, and grow there', async () => {
    const held = Promise.withResolvers<void>()
    const seen: OutboundMessage[] = []
    const { outbound } = service(() => opened, {
      async send(message) {
        if (message.content.opens) await held.promise
        seen.push(message)
        return opened
      },
    })
    await spawned()
    await store.write('claim', tx => tx.deleteFrom('outbox').where('key', '<>', 'r.1/opener').execute())
    const box = deliverer(outbound)
    await box.start()
    const { id: run, session } = await child()
    const hear = (text: string) =>
      box.hear({
        on: 'run.delta',
        run,
        session,
        sessionKey: 'k',
        agent: 'a',
        wireId: run,
        step: 1,
        text,
        delta: text,
        replace: false,
      })
    hear('words that are long enough to be shown')
    await sleep(100)
    expect(seen).toEqual([])
    held.resolve()
    await until(async () => (await states())[0] === 'sent')
    hear('words that are long enough to be shown, and more of them')
    await until(async () => seen.length > 1)
    expect(seen[1]!.route).toEqual(thread)
    expect(await rows()).toEqual([
      ['r.1/opener', 'sent', openingThread('r.1')],
      [expect.stringContaining('growing'), 'streaming', 't1'],
    ])
  })

  test('words whose place was read before it was open find the thread', async () => {
    const { outbound } = service(() => opened)
    await spawned()
    const box = deliverer(outbound)
    await box.start()
    await until(async () => (await states()).every(state => state === 'sent'))
    await store.write('finish', tx =>
      apply(tx, [
        { do: 'outbox.put', session: 's', run: 'r', key: 'late', route: place, content: { text: 'x' }, at: 9 },
      ]),
    )
    expect((await rows()).at(-1)).toEqual(['late', 'pending', 't1'])
  })

  test('it cannot be opened: a word of it, nothing lost, the result told by who asked for it', async () => {
    const { seen, outbound } = service(once(blocked))
    await spawned()
    const box = deliverer(outbound)
    await box.start()
    await until(async () => (await states()).every(state => state === 'sent' || state === 'dead'))
    expect(await rows()).toEqual([
      ['r.1/opener', 'dead', openingThread('r.1')],
      ['interim', 'sent', null],
      ['r.1/final', 'dead', null],
      ['r.1/opener/failed', 'sent', null],
    ])
    expect(seen.map(({ content }) => content.text)).toEqual([
      'interim',
      expect.stringMatching(/^No thread could be opened for “Digging” \(blocked: 403\)/),
    ])
    expect(await child()).toMatchObject({ route: null, terms: {} })
    expect((await loadSession(store.read, 's-r.1'))!.route).toBeNull()
    expect(await boundAt(store.read, chat)).toBeNull()
    expect(await box.retry(1)).toBe(false)
  })

  test('nobody else would tell its words: all of them are said where it was asked for', async () => {
    const { seen, outbound } = service(once(blocked))
    await spawned({ returnTo: null })
    await deliverer(outbound).start()
    await until(async () => (await states()).every(state => state === 'sent' || state === 'dead'))
    expect(seen.map(({ content }) => content.text).slice(0, 2)).toEqual(['interim', 'r.1/final'])
    expect((await child()).route).toEqual(chat)
  })

  test('its place was being opened itself: what falls back waits for that', async () => {
    await spawned()
    const asks = { id: 'r.1.2', session: 's-r.1', agent: 'a' }
    await store.write('reply', tx => apply(tx, [opener(asks, 'Deeper', place, 'run:r.1', 2)]))
    const deeper = { ...chat, thread: openingThread('r.1.2') }
    await store.write('finish', tx =>
      apply(tx, [
        { do: 'outbox.put', session: 'x', run: null, key: 'below', route: deeper, content: { text: 'b' }, at: 3 },
      ]),
    )
    let first = true
    const { seen, outbound } = service(() => opened, {
      async send(message) {
        seen.push(message)
        if (message.content.opens?.name === 'Deeper') return blocked
        if (message.content.opens && first) {
          first = false
          return { ...blocked, retryable: true }
        }
        return opened
      },
    })
    await deliverer(outbound).start()
    await until(async () => (await states()).every(state => state === 'sent' || state === 'dead'))
    const below = seen.find(({ content }) => content.text === 'b')
    expect(below?.route).toEqual(thread)
  })
})
