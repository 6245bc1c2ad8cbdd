/**
 * What every channel must do, as one suite of tests: each channel's author runs it against a fake of the service.
 *
 * Owns the invariants of channel.ts as tests. Only tests import this; it knows no service, a `Bench` hands it one. What a
 * service does not have (edits, reactions) is left out of its bench or its capabilities, and then not asked.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { InboundMessage, Ingested } from '../core/chat.ts'
import type { OutboundMessage, SendOutcome } from '../core/ports.ts'
import type { Bench } from './conformance-bench.ts'
import { threadConformance } from './conformance-threads.ts'
import type { Account, AccountOptions, AccountStatus } from './channel.ts'

/** How long anything may take before a test says that it did not come. Never a promise about speed. */
const patienceMs = 15_000

export async function until<T>(look: () => T, so: (seen: T) => boolean): Promise<T> {
  for (const end = Date.now() + patienceMs; ; await sleep(10)) {
    const seen = look()
    if (so(seen)) return seen
    if (Date.now() > end) throw new Error(`it did not come; last seen: ${JSON.stringify(seen)}`)
  }
}

export function channelConformance(name: string, openBench: () => Promise<Bench>): void {
  describe(`the channel ${name}`, () => {
    let bench: Bench
    let account: Account
    let taken: InboundMessage[]
    let logged: string[]
    /** What becomes of the next message; tests put their own in. */
    let ingest: (message: InboundMessage) => Promise<Ingested>

    async function open(): Promise<Account> {
      const options: AccountOptions = {
        account: 'default',
        settings: bench.settings,
        stateDir: bench.stateDir,
        ingest(message) {
          taken.push(message)
          return ingest(message)
        },
        changed: () => undefined,
        commands: () => [{ name: 'status', description: 'How things stand.' }],
        clock: { now: () => Date.now() },
        log: (level, message, fields) => void logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
      }
      return bench.channel.open(options)
    }
    const is = (state: AccountStatus['state']) =>
      until(
        () => account.status().state,
        seen => seen === state,
      )
    async function connected(): Promise<void> {
      account.start()
      await is('connected')
    }
    const texts = () => taken.map(message => message.text)
    let sent = 0
    function words(from: string, text: string, more: Partial<OutboundMessage> = {}): OutboundMessage {
      sent += 1
      const key = `key-${sent}`
      return {
        id: String(sent),
        route: bench.route(from),
        content: { text },
        key,
        edit: null,
        maybeRepeat: false,
        ...more,
      }
    }
    const say = (message: OutboundMessage): Promise<SendOutcome> =>
      account.outbound.send(message, AbortSignal.timeout(patienceMs))

    beforeEach(async () => {
      bench = await openBench()
      taken = []
      logged = []
      ingest = async () => ({ done: 'accepted' })
      account = await open()
    })
    afterEach(async () => {
      await account.stop()
      await bench.close()
      const lines = logged.join('\n')
      for (const secret of bench.secrets) expect(lines.includes(secret)).toBe(false)
    })

    test('is off until it is started, then connected and known by name, then off again', async () => {
      expect(account.status().state).toBe('off')
      await connected()
      expect(account.status()).toMatchObject({ problem: null, self: expect.any(String) })
      await account.stop()
      expect(account.status().state).toBe('off')
    })

    test('hands a message over with the ids of the service', async () => {
      await connected()
      const id = await bench.service.write({ from: 'ann', text: 'hello there' })
      await until(
        () => taken.length,
        n => n > 0,
      )
      const [message] = taken
      expect(message).toMatchObject({
        channel: bench.channel.id,
        account: 'default',
        id,
        edit: '',
        text: 'hello there',
      })
      expect(message).toMatchObject({ via: 'text', chat: { kind: 'direct', thread: null }, media: [], quoted: null })
      expect(message!.chat.id).toBe(bench.route('ann').to)
      expect(message!.sender).toMatchObject({ bot: false, self: false })
      expect(account.status().lastInboundAt).not.toBeNull()
    })

    test('tells the service that a message came only after it was taken', async () => {
      const held = Promise.withResolvers<Ingested>()
      ingest = () => held.promise
      await connected()
      const id = await bench.service.write({ from: 'ann', text: 'not yet' })
      await until(
        () => taken.length,
        n => n > 0,
      )
      await sleep(200)
      expect(bench.service.acknowledged(id)).toBe(false)
      held.resolve({ done: 'accepted' })
      await until(() => bench.service.acknowledged(id), Boolean)
    })

    test('brings a message again that could not be taken', async () => {
      let failures = 0
      ingest = async () => {
        failures += 1
        if (failures <= 2) throw new Error('the disk is full')
        return { done: 'accepted' }
      }
      await connected()
      const id = await bench.service.write({ from: 'ann', text: 'try again' })
      await until(
        () => failures,
        n => n > 2,
      )
      await until(() => bench.service.acknowledged(id), Boolean)
      expect(new Set(taken.map(message => message.id))).toEqual(new Set([id]))
    })

    test('a message dropped by the house is acknowledged too', async () => {
      ingest = async () => ({ done: 'dropped', reason: 'sender-not-allowed' })
      await connected()
      const id = await bench.service.write({ from: 'stranger', text: 'psst' })
      await until(() => bench.service.acknowledged(id), Boolean)
    })

    test('keeps the order of a chat, one message at a time', async () => {
      let open = 0
      let most = 0
      ingest = async () => {
        open += 1
        most = Math.max(most, open)
        await sleep(5)
        open -= 1
        return { done: 'accepted' }
      }
      await connected()
      const all = Array.from({ length: 20 }, (_, i) => `line ${i}`)
      for (const text of all) await bench.service.write({ from: 'ann', text })
      await until(
        () => taken.length,
        n => n >= all.length,
      )
      expect([...new Set(texts())]).toEqual(all)
      expect(most).toBe(1)
    })

    test('a redelivered message has the same ids', async () => {
      await connected()
      const id = await bench.service.write({ from: 'ann', text: 'once' })
      await until(() => bench.service.acknowledged(id), Boolean)
      await bench.service.redeliver(id)
      const next = await bench.service.write({ from: 'ann', text: 'after it' })
      await until(() => taken.some(message => message.id === next), Boolean)
      const again = taken.filter(message => message.text === 'once')
      expect(new Set(again.map(({ chat, id, edit }) => JSON.stringify([chat.id, id, edit]))).size).toBe(1)
    })

    test('an edit names the message, and which edit it is', async () => {
      if (!bench.service.edit) return
      await connected()
      const id = await bench.service.write({ from: 'ann', text: 'first words' })
      await until(
        () => taken.length,
        n => n > 0,
      )
      await bench.service.edit(id, 'second words')
      await until(() => texts().includes('second words'), Boolean)
      const edited = taken.find(message => message.text === 'second words')!
      expect(edited.id).toBe(id)
      expect(edited.edit).not.toBe('')
    })

    test('comes back after a drop, and nothing that was written meanwhile is lost', async () => {
      await connected()
      await bench.service.write({ from: 'ann', text: 'before' })
      await until(texts, seen => seen.includes('before'))
      await bench.service.outage(true)
      await until(
        () => account.status().state,
        state => state !== 'connected',
      )
      await bench.service.write({ from: 'ann', text: 'during' })
      await bench.service.outage(false)
      await until(texts, seen => seen.includes('during'))
      await is('connected')
      await bench.service.drop()
      await bench.service.write({ from: 'ann', text: 'after' })
      await until(texts, seen => seen.includes('after'))
      expect([...new Set(texts())]).toEqual(['before', 'during', 'after'])
      expect(account.status().reconnects).toBeGreaterThan(0)
    })

    test('nonsense from the service ends nothing', async () => {
      await connected()
      await bench.service.garbage()
      await bench.service.write({ from: 'ann', text: 'still there?' })
      await until(texts, seen => seen.includes('still there?'))
    })

    test('says sent when the service has answered, and the person sees it once', async () => {
      await connected()
      const outcome = await say(words('ann', 'good morning'))
      expect(outcome).toEqual({ sent: true, remoteId: expect.any(String) })
      expect(bench.service.seen('ann').map(({ text }) => text)).toEqual(['good morning'])
      expect(account.status().lastOutboundAt).not.toBeNull()
    })

    test('long words are cut into parts that fit, and none is lost', async () => {
      await connected()
      const { maxText } = bench.channel.capabilities
      const all = Array.from({ length: Math.ceil((maxText * 2.5) / 9) }, (_, i) => `word${String(i).padStart(5, '0')}`)
      const parts = account.outbound.parts({ text: all.join(' ') })
      expect(parts.length).toBeGreaterThan(1)
      expect(account.outbound.parts({ text: all.join(' ') })).toEqual(parts)
      for (const part of parts) {
        expect(part.text.length).toBeLessThanOrEqual(maxText)
        expect(await say(words('ann', part.text))).toMatchObject({ sent: true })
      }
      const shown = bench.service.seen('ann').map(({ text }) => text)
      expect(shown.join(' ').match(/word\d{5}/g)).toEqual(all)
    })

    test('a refusal of the service is certain and not to be repeated', async () => {
      await connected()
      bench.service.failNext('refused')
      expect(await say(words('ann', 'no'))).toMatchObject({ sent: false, certain: true, retryable: false })
      expect(bench.service.seen('ann')).toEqual([])
      expect(await say(words('ann', 'yes'))).toMatchObject({ sent: true })
    })

    test('too many at once is certain, and says when to try again', async () => {
      await connected()
      bench.service.failNext('rate_limit')
      const before = Date.now()
      const outcome = await say(words('ann', 'slow down'))
      expect(outcome).toMatchObject({ sent: false, certain: true, retryable: true, code: 'rate_limit' })
      expect('retryAtMs' in outcome && outcome.retryAtMs).toBeGreaterThan(before)
      expect(bench.service.seen('ann')).toEqual([])
    })

    test('an error of the service may be tried again', async () => {
      await connected()
      bench.service.failNext('server')
      expect(await say(words('ann', 'oops'))).toMatchObject({ sent: false, retryable: true })
    })

    test('what was shown and never answered is in doubt, or found out; a key makes it one', async () => {
      await connected()
      bench.service.failNext('lost')
      const message = words('ann', 'was it seen?')
      const outcome = await say(message)
      const shown = () => bench.service.seen('ann').filter(({ text }) => text.includes('was it seen?')).length
      expect(shown()).toBe(1)
      if (!outcome.sent) expect(outcome).toMatchObject({ certain: false, retryable: true })
      await is('connected')
      if (!outcome.sent && account.outbound.lookup)
        expect(await account.outbound.lookup(message, AbortSignal.timeout(patienceMs))).not.toEqual({ is: 'absent' })
      if (!outcome.sent && account.outbound.keyed) {
        await say({ ...message, maybeRepeat: true })
        expect(shown()).toBe(1)
      }
    })

    test('nothing is said to have been sent while there is no connection', async () => {
      await connected()
      await bench.service.outage(true)
      await until(
        () => account.status().state,
        state => state !== 'connected',
      )
      expect(await say(words('ann', 'into the void'))).toMatchObject({ sent: false, retryable: true })
      await bench.service.outage(false)
      await is('connected')
      expect(bench.service.seen('ann')).toEqual([])
    })

    test('changes its own words where the service can', async () => {
      if (!bench.channel.capabilities.edit) return
      await connected()
      const first = await say(words('ann', 'growing'))
      if (!first.sent || first.remoteId === null) throw new Error('a service that edits must name the message')
      expect(await say(words('ann', 'growing and done', { edit: first.remoteId }))).toMatchObject({ sent: true })
      expect(bench.service.seen('ann').map(({ text }) => text)).toEqual(['growing and done'])
    })

    threadConformance({ bench: () => bench, account: () => account, connected, is, words, say })

    test('stops only when nothing is at work any more', async () => {
      const held = Promise.withResolvers<Ingested>()
      let over = false
      ingest = async () => {
        const done = await held.promise
        over = true
        return done
      }
      await connected()
      await bench.service.write({ from: 'ann', text: 'wait for me' })
      await until(
        () => taken.length,
        n => n > 0,
      )
      const stopping = account.stop().then(() => expect(over).toBe(true))
      await sleep(50)
      held.resolve({ done: 'accepted' })
      await stopping
      const before = taken.length
      await bench.service.write({ from: 'ann', text: 'too late' })
      await sleep(200)
      expect(taken.length).toBe(before)
    })

    test('a restart goes on with what was not acknowledged', async () => {
      ingest = async () => {
        throw new Error('the process is about to die')
      }
      await connected()
      const id = await bench.service.write({ from: 'ann', text: 'survive this' })
      await until(
        () => taken.length,
        n => n > 0,
      )
      await account.stop()
      expect(bench.service.acknowledged(id)).toBe(false)
      ingest = async () => ({ done: 'accepted' })
      taken = []
      account = await open()
      await connected()
      await until(texts, seen => seen.includes('survive this'))
      await until(() => bench.service.acknowledged(id), Boolean)
    })
  })
}
