/**
 * A disk that is truly full under the real process: whoever asks is told, work that was done waits and is not done again,
 * reads go on, and when there is room everything goes on by itself; also over a kill, and with nothing left at the start.
 */
import { copyFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Client } from '../../src/client/connect.ts'
import { type GatewayProcess, openGateways, stubConfig } from '../support/gateway.ts'
import { type Provider, type ProviderReply, startProvider } from '../support/provider.ts'
import { canMount, type SmallDisk, smallDisk } from '../support/small-disk.ts'

describe.skipIf(!canMount())('a full disk', () => {
  const gateways = openGateways()
  /** Answers that are held back, by the message that they answer. */
  const held = new Map<string, Promise<ProviderReply>>()
  let provider: Provider
  let disk: SmallDisk
  let home: string
  beforeAll(async () => {
    provider = await startProvider({ script: ({ user }) => held.get(user) ?? { text: `fine, ${user}` } })
  })
  afterAll(() => provider.close())
  afterEach(() => disk.remove())

  /** A home on a disk of its own. */
  async function newHome(): Promise<void> {
    const outside = gateways.home(stubConfig(provider.baseUrl))
    home = gateways.home('')
    disk = await smallDisk(home, '24m')
    copyFileSync(join(outside, 'deputy.json'), join(disk.path, 'deputy.json'))
  }

  const start = () => gateways.start(home, { wrap: disk.wrap, socket: () => join(disk.path, 'deputy.sock') })

  const hold = (user: string) => {
    const { promise, resolve } = Promise.withResolvers<ProviderReply>()
    held.set(user, promise)
    return resolve
  }

  const asked = (user: string) => provider.requests.filter(request => request.user === user).length

  async function problems(gateway: GatewayProcess): Promise<string[]> {
    const client = await gateway.client()
    return (await client.request('status', {})).problems.map(problem => problem.code)
  }

  /** Fills the disk and writes until there is truly no room; returns what was accepted before that, and the refusal. */
  async function exhaust(client: Client): Promise<{ accepted: string[]; refusal: unknown }> {
    disk.fill()
    const accepted: string[] = []
    for (;;) {
      const message = `m${accepted.length}`
      const sent = { sessionKey: `agent:main:${message}`, message, idempotencyKey: message }
      const refusal = await client.request('chat.send', sent).then(
        () => null,
        (error: unknown) => error,
      )
      if (refusal) return { accepted, refusal }
      accepted.push(message)
    }
  }

  /** Every message that was accepted has its answer. */
  async function answered(client: Client, accepted: readonly string[]): Promise<void> {
    for (const runId of accepted)
      expect(await client.request('agent.wait', { runId, until: 'done', timeoutMs: 30_000 })).toMatchObject({
        status: 'ok',
        text: `fine, ${runId}`,
      })
  }

  test('refuses what is asked, keeps what was done, answers reads, and goes on by itself', async () => {
    await newHome()
    const gateway = await start()
    const client = await gateway.client()
    expect(await gateway.say('one')).toMatchObject({ status: 'ok', text: 'fine, one' })
    const answer = hold('two')
    const two = gateway.say('two', { sessionKey: 'agent:main:two' })
    while (asked('two') === 0) await new Promise(resolve => setTimeout(resolve, 10))

    const { accepted, refusal } = await exhaust(client)
    const diskFull = {
      code: 'DISK_FULL',
      message: 'The disk is full.',
      fix: 'Free some space; the gateway goes on by itself. Nothing that was accepted is lost.',
    }
    expect(refusal).toMatchObject(diskFull)
    await expect(gateway.say('long '.repeat(50_000))).rejects.toMatchObject(diskFull)
    expect(readdirSync(disk.path)).not.toContainEqual(expect.stringContaining('.new'))
    answer({ text: 'kept all the same' })
    while ((await problems(gateway)).length === 0) await new Promise(resolve => setTimeout(resolve, 20))
    expect(await problems(gateway)).toEqual(['DISK_FULL'])
    const ready = await fetch(`${gateway.url}/readyz`)
    expect({ status: ready.status, body: await ready.json() }).toMatchObject({
      status: 503,
      body: { failing: ['store'] },
    })
    expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200)
    const { messages } = await client.request('chat.history', { sessionKey: 'main' })
    expect(messages).toHaveLength(2)

    disk.free()
    expect(await two).toMatchObject({ status: 'ok', text: 'kept all the same' })
    await answered(client, accepted)
    for (const message of ['two', ...accepted]) expect(`${message} ${asked(message)}`).toBe(`${message} 1`)
    expect(asked(`m${accepted.length}`)).toBe(0)
    expect(await gateway.say('four')).toMatchObject({ status: 'ok', text: 'fine, four' })
    expect(await problems(gateway)).toEqual([])
    expect(gateway.said()).not.toMatch(/INTERNAL|TypeError/)
    expect((await gateway.stop()).code).toBe(0)
  })

  test.each([
    ['kill', null],
    ['stop', 0],
  ] as const)(
    'after a %s while work waits for room it starts when there is some, and the work is there',
    async (how, code) => {
      await newHome()
      const gateway = await start()
      const five = `five ${how}`
      const answer = hold(five)
      const before = gateway.say(five, { idempotencyKey: five }).catch(() => null)
      while (asked(five) === 0) await new Promise(resolve => setTimeout(resolve, 10))
      const { accepted } = await exhaust(await gateway.client())
      answer({ text: 'done before it' })
      while ((await problems(gateway)).length === 0) await new Promise(resolve => setTimeout(resolve, 20))
      expect((await gateway[how]()).code).toBe(code)
      await before

      // With nothing left, or next to nothing, the start says so instead of standing there.
      for (const blocks of [0, 1, 2]) {
        disk.free()
        disk.fill(blocks)
        const refused = await start().catch((error: Error) => error.message)
        expect(refused).toMatch(/\[DISK_FULL\]\n {2}Free some space, then start again/)
      }
      disk.free()
      const next = await start()
      // The answer was never recorded, so the model is asked once more; the message was.
      held.set(five, Promise.resolve({ text: 'done after it' }))
      expect(await next.say(five, { idempotencyKey: five })).toMatchObject({ status: 'ok' })
      expect(asked(five)).toBe(2)
      await answered(await next.client(), accepted)
      expect((await next.stop()).code).toBe(0)
    },
  )
})
