import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { openTestHouse, type TestHouse } from '../../test/support/house.ts'
import type { Principal } from '../core/principal.ts'
import { gatewayKey } from '../store/key.ts'
import { openPairings, owner, type PairingDesk } from '../store/pairing.ts'

const device: Principal = { kind: 'device', device: 'd1', generation: 1, scopes: ['operator.write'] }
const about = {
  displayName: null,
  platform: 'linux',
  deviceFamily: null,
  clientId: null,
  clientMode: null,
  browserOrigin: null,
  remoteIp: null,
}

let house: TestHouse
let desk: PairingDesk
let hold: PromiseWithResolvers<void>

/** Pairs d1 for writing. */
async function pair(): Promise<void> {
  const { pending } = await desk.connect({
    device: 'd1',
    publicKey: 'k',
    role: 'operator',
    scopes: ['operator.write'],
    about,
    tokens: [],
    ask: true,
    known: true,
    setupCode: null,
  })
  await desk.approve(pending!.id, { actor: owner, via: 'owner' })
}
const end = (before = Date.now()) =>
  house.house.cancel({ principal: house.operator, target: { device: 'd1', before }, reason: 'the device was revoked' })
const outcome = async (run: string) => {
  const { run: row } = (await house.house.run(run))!
  return [row.state, row.outcome, row.errorCode]
}

beforeEach(async () => {
  hold = Promise.withResolvers()
  house = await openTestHouse({
    script: (request, n) => {
      const spawns = n === 1 && JSON.stringify(request.messages).includes('delegate')
      return spawns
        ? { calls: [{ name: 'sessions_spawn', args: { task: 'part' } }] }
        : { text: 'words', wait: hold.promise }
    },
  })
  onTestFinished(() => house.close())
  const { store, dir } = house
  desk = openPairings({ store, key: await gatewayKey(dir), clock: { now: () => Date.now() }, uuid: randomUUID })
  await pair()
})

describe('a device that lost its authority', () => {
  test('ends what it began and all below it, and nothing of anybody else', async () => {
    const mine = await house.say('delegate', { principal: device, sessionKey: 'agent:main:device' })
    const other = await house.say('hello', { sessionKey: 'agent:main:other' })
    await expect.poll(() => house.requests.length).toBeGreaterThan(2)
    await desk.remove('d1', { actor: owner, keepRuns: false })
    const report = await end()
    expect(report.runs.map(({ run }) => run)).toContain(mine.run)
    expect(report.runs).toHaveLength(2)
    for (const { run } of report.runs) expect(await outcome(run)).toEqual(['done', 'cancelled', 'RUN_REVOKED'])
    hold.resolve()
    expect(await house.done(other.run)).toMatchObject({ outcome: 'succeeded' })
    expect((await end()).runs).toEqual([])
  })

  test('is not heard any more: what it wrote and nobody read is taken back, the words of others go on', async () => {
    const mine = await house.say('first', { principal: device })
    await expect.poll(() => house.requests.length).toBe(1)
    await house.say('mine, unread', { principal: device, mode: 'followup' })
    await house.say('yours, unread', { mode: 'followup' })
    const report = await end()
    expect(report).toMatchObject({ runs: [{ run: mine.run }], dropped: ['mine, unread'] })
    hold.resolve()
    const next = (await house.house.runs({ limit: 5 })).find(({ run }) => run.id !== mine.run)!.run
    expect(next.grant).not.toHaveProperty('device')
    expect(await house.done(next.id)).toMatchObject({ outcome: 'succeeded' })
    const shown = JSON.stringify(house.requests.at(-1)!.messages.at(-1))
    expect(shown).toContain('yours, unread')
    expect((await end()).runs).toEqual([])
  })

  test('what it begins after it was approved again is not ended with what was before', async () => {
    const before = Date.now() - 1
    const later = await house.say('later', { principal: device })
    expect((await end(before)).runs).toEqual([])
    hold.resolve()
    expect(await house.done(later.run)).toMatchObject({ outcome: 'succeeded' })
  })

  test('is refused in the transaction itself, however late the revocation came', async () => {
    const [removed, said, spawned] = await Promise.allSettled([
      desk.remove('d1', { actor: owner, keepRuns: false }),
      house.say('too late', { principal: device }),
      house.house.spawn({ principal: device, agent: 'main', task: 'too late', idempotencyKey: 'k' }),
    ])
    expect(removed.status).toBe('fulfilled')
    for (const late of [said, spawned])
      expect(late).toMatchObject({ status: 'rejected', reason: { code: 'MISSING_SCOPE' } })
    await pair()
    // The generation of before is not this one's.
    await expect(house.say('old', { principal: device })).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
    const accepted = await house.say('new', { principal: { ...device, generation: 2 } })
    hold.resolve()
    expect(await house.done(accepted.run)).toMatchObject({ outcome: 'succeeded' })
  })
})
