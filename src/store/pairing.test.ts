import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { tempDir } from '../../test/support/temp.ts'
import { type About, pendingTtlMs } from '../core/pairing.ts'
import type { Scope } from '../protocol/scopes.ts'
import { importedHash } from './device-tokens.ts'
import { gatewayKey } from './key.ts'
import { openStore, type Store } from './open.ts'
import { assertStanding, openPairings, owner, type PairingDesk } from './pairing.ts'
import type { Ask, Connected } from './pairing-connect.ts'
import { type Decided, endings } from './pairing-rows.ts'
import { listDevices, showDevice } from './pairing-view.ts'
import { makeCode } from './setup-codes.ts'
import { sourceOf } from './sources.ts'

const about: About = {
  displayName: 'Phone',
  platform: 'ios',
  deviceFamily: 'iPhone',
  clientId: 'app',
  clientMode: 'ui',
  browserOrigin: 'https://page.example',
  remoteIp: '203.0.113.7',
}
const ask = (scopes: Scope[] | null, over: Partial<Ask> = {}): Ask => ({
  device: 'd1',
  publicKey: 'key-1',
  role: 'operator',
  scopes,
  about,
  tokens: [],
  ask: true,
  known: false,
  setupCode: null,
  ...over,
})
const by = { actor: owner, via: 'owner' }

let dir: string
let store: Store
let desk: PairingDesk
let now: number
/** What was told after commits. */
let told: Decided[]

async function open(): Promise<void> {
  store = await openStore({ dir, log: () => undefined })
  desk = openPairings({
    store,
    key: await gatewayKey(dir),
    clock: { now: () => now },
    uuid: randomUUID,
    decided: each => void told.push(each),
  })
}
async function restart(): Promise<void> {
  await store.close()
  await open()
}
beforeEach(async () => {
  dir = tempDir()
  now = 1_000_000
  told = []
  await open()
  onTestFinished(() => store.close())
})

const requestId = (answer: Connected) => answer.pending!.id
/** Pairs d1 for these scopes; its token. */
async function pair(scopes: Scope[], over: Partial<Ask> = {}): Promise<string> {
  await desk.approve(requestId(await desk.connect(ask(scopes, over))), by)
  return tokenOf(await desk.connect(ask(scopes, over)))
}
function tokenOf(answer: Connected): string {
  if (!answer.in) throw new Error(`not let in: ${answer.reason}`)
  return answer.token.value
}
const commits = () => store.health().commits
const list = () => listDevices(store.read, now, () => false)

describe('a device on rows', () => {
  test('asks, is approved, is let in; a restart changes nothing, and no file holds its token', async () => {
    const first = await desk.connect(ask(['operator.read']))
    expect(first).toMatchObject({ in: false, reason: 'not-paired', crowded: false })
    expect(first.decided.effects.map(effect => ('event' in effect ? effect.event : effect.do))).toContain(
      'device.pair.requested',
    )
    await restart()
    expect(await list()).toMatchObject({
      paired: [],
      pending: [
        {
          requestId: requestId(first),
          deviceId: 'd1',
          displayName: 'Phone',
          browserOrigin: 'https://page.example',
          role: 'operator',
          roles: ['operator'],
          scopes: ['operator.read'],
          newScopes: ['operator.read'],
          heldScopes: [],
          isRepair: false,
          silent: false,
          reason: 'not-paired',
          expiresAtMs: now + pendingTtlMs,
        },
      ],
    })
    await desk.approve(requestId(first), by)
    const before = await desk.connect(ask(['operator.read']))
    await restart()
    const after = await desk.connect(ask(['operator.read'], { tokens: [tokenOf(before)] }))
    expect(after).toMatchObject({ in: true, byToken: true, counters: { generation: 1, rotation: 0 }, pending: null })
    expect(tokenOf(after)).toBe(tokenOf(before))
    expect(tokenOf(after)).toMatch(/^[\w-]{43}$/)
    expect(JSON.stringify(await list())).not.toContain(tokenOf(after))
    await store.close()
    expect(readFileSync(join(dir, 'deputy.sqlite')).includes(tokenOf(after))).toBe(false)
    await open()
  })

  test('a connect that changes nothing writes nothing, a repeat is recorded once in a while', async () => {
    await pair(['operator.read'])
    const before = commits()
    for (let n = 0; n < 10; n++) await desk.connect(ask(['operator.read']))
    expect(commits()).toBe(before)
    const wider = await desk.connect(ask(['operator.write']))
    for (let n = 0; n < 10; n++) expect(requestId(await desk.connect(ask(['operator.write'])))).toBe(requestId(wider))
    expect(commits()).toBe(before + 1)
    now += 60_000
    await desk.connect(ask(['operator.write']))
    expect(commits()).toBe(before + 2)
    now += pendingTtlMs - 1
    await desk.approve(requestId(wider), by)
  })

  test('a probe, or a secret that is enough alone, leaves nothing behind', async () => {
    const before = commits()
    expect(await desk.connect(ask(['operator.admin'], { ask: false }))).toMatchObject({
      in: false,
      reason: 'not-paired',
      pending: null,
    })
    expect(commits()).toBe(before)
    await pair(['operator.read'])
    const paired = commits()
    expect(await desk.connect(ask(['operator.admin'], { ask: false }))).toMatchObject({ in: true, pending: null })
    expect(commits()).toBe(paired)
  })

  test('one that names no scopes gets what it holds, and asks to read and write when it holds nothing', async () => {
    expect((await desk.connect(ask(null))).pending?.scopes).toEqual(['operator.read', 'operator.write'])
    await pair(['operator.read'], { device: 'd2' })
    const again = await desk.connect(ask(null, { device: 'd2' }))
    expect(again).toMatchObject({ in: true, asked: null, pending: null })
  })

  test('who decided what is in the audit, refusals and repeats are not', async () => {
    await pair(['operator.read'])
    await desk.connect(ask(['operator.read']))
    const asking = requestId(await desk.connect(ask(['operator.write'])))
    const pairer = { name: 'device:p', scopes: ['operator.pairing' as const], device: 'p' }
    await expect(desk.approve(asking, { actor: pairer, via: 'owner' })).rejects.toMatchObject({
      code: 'MISSING_SCOPE',
      message: 'missing scope: operator.read',
    })
    await desk.reject(asking, { actor: pairer })
    await desk.rename('d1', { label: 'Desk', actor: owner })
    await desk.remove('d1', { actor: owner, keepRuns: false })
    await expect(desk.approve('none', by)).rejects.toMatchObject({
      code: 'UNKNOWN_REQUEST',
      message: 'unknown requestId',
    })
    await expect(desk.remove('d1', { actor: owner, keepRuns: false })).rejects.toMatchObject({ code: 'UNKNOWN_DEVICE' })
    const rows = await store.read.selectFrom('audit').select(['who', 'what', 'details']).orderBy('id').execute()
    expect(rows.map(({ who, what }) => `${who} ${what}`)).toEqual([
      'operator device.approve',
      'device:p device.reject',
      'operator device.rename',
      'operator device.remove',
    ])
    expect(JSON.parse(rows[0]!.details)).toMatchObject({ device: 'd1', via: 'owner' })
  })
})

describe('device tokens', () => {
  test('rotating kills one, revoking all; coming back needs another approval and is another generation', async () => {
    const first = await pair(['operator.read'])
    await desk.rotate('d1', { role: 'operator', scopes: null, actor: owner })
    const dead = (token: string) => desk.connect(ask(['operator.read'], { tokens: [token] }))
    expect(await dead(first)).toMatchObject({ in: false, reason: 'token-dead', pending: null })
    const second = tokenOf(await desk.connect(ask(['operator.read'])))
    expect(await dead(second)).toMatchObject({ in: true, byToken: true, counters: { rotation: 1 } })
    await desk.revoke('d1', { role: 'operator', actor: owner, keepRuns: true })
    expect(await dead(second)).toMatchObject({ in: false, reason: 'token-dead' })
    const third = await pair(['operator.read'])
    expect(new Set([first, second, third]).size).toBe(3)
    expect(await dead(second)).toMatchObject({ in: false, reason: 'token-dead' })
    expect(await dead(third)).toMatchObject({ in: true, counters: { generation: 2, rotation: 0 } })
  })

  test('are worth nothing to another device, another role or another home', async () => {
    const token = await pair(['operator.read'])
    await pair(['operator.read'], { device: 'd2' })
    expect(await desk.connect(ask([], { device: 'd2', tokens: [token] }))).toMatchObject({ reason: 'token-dead' })
    expect(desk.token({ device: 'd1', role: 'operator', generation: 1, rotation: 0 })).toBe(token)
    expect(desk.token({ device: 'd1', role: 'node', generation: 1, rotation: 0 })).not.toBe(token)
    const other = openPairings({ store, key: await gatewayKey(tempDir()), clock: { now: () => now }, uuid: randomUUID })
    expect(await other.connect(ask([], { tokens: [token] }))).toMatchObject({ in: false, reason: 'token-dead' })
  })

  test('an imported one works until it rotates, is answered as it was shown, and survives an approval', async () => {
    await pair(['operator.read'])
    await store.write('device', async tx => {
      await tx
        .updateTable('device_tokens')
        .set({ imported_hash: importedHash('from-elsewhere') })
        .execute()
    })
    const show = () => desk.connect(ask(['operator.write'], { tokens: ['wrong', 'from-elsewhere'] }))
    const shown = await show()
    expect(shown).toMatchObject({ in: true, byToken: true, token: { value: 'from-elsewhere' } })
    await desk.approve(requestId(shown), by)
    expect(await show()).toMatchObject({ in: true, byToken: true })
    await desk.rotate('d1', { role: 'operator', scopes: null, actor: owner })
    expect(await show()).toMatchObject({ in: false, reason: 'token-dead' })
  })

  test('what writes under a device asks again in its own transaction', async () => {
    const stands = (generation: number, scope: Scope) =>
      store.write('accept', tx => assertStanding(tx, { device: 'd1', generation }, scope))
    await pair(['operator.read'])
    await stands(1, 'operator.read')
    await expect(stands(1, 'operator.write')).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
    await expect(stands(2, 'operator.read')).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
    const [removed, asked] = await Promise.allSettled([
      desk.remove('d1', { actor: owner, keepRuns: false }),
      stands(1, 'operator.read'),
    ])
    expect([removed.status, asked.status]).toEqual(['fulfilled', 'rejected'])
  })
})

describe('what a decision leaves for later', () => {
  test('runs to be ended are a row of the same transaction, unless they are kept', async () => {
    await pair(['operator.write'])
    await desk.remove('d1', { actor: owner, keepRuns: true })
    expect(await endings(store.read)).toEqual([])
    await pair(['operator.write'])
    now += 5
    await desk.revoke('d1', { role: 'operator', actor: owner, keepRuns: false })
    await restart()
    expect(await endings(store.read)).toEqual([{ device: 'd1', at: now, by: 'operator' }])
  })

  test('what ran out is closed and told once; the next moment is known', async () => {
    expect(await desk.expire()).toBe(null)
    const first = await desk.connect(ask(['operator.read']))
    now += 1000
    await desk.connect(ask(['operator.read'], { device: 'd2' }))
    expect(await desk.expire()).toBe(now - 1000 + pendingTtlMs)
    told = []
    now += pendingTtlMs - 1000
    expect(await desk.expire()).toBe(now + 1000)
    expect(told.map(({ device }) => device)).toEqual(['d1'])
    expect(told[0]!.effects.at(-1)).toMatchObject({ event: 'device.pair.resolved', request: { state: 'expired' } })
    await expect(desk.approve(requestId(first), by)).rejects.toMatchObject({ code: 'REQUEST_CLOSED' })
    now += pendingTtlMs
    expect(await desk.expire()).toBe(null)
  })

  test('last seen is kept with the device', async () => {
    await pair(['operator.read'])
    await desk.seen(new Map([['d1', 77]]))
    expect(await showDevice(store.read, 'd1', true)).toMatchObject({
      connected: true,
      lastSeenAtMs: 77,
      tokens: [{ role: 'operator', lastUsedAtMs: 77 }],
    })
  })
})

describe('strangers', () => {
  const stranger = (n: number, remoteIp: string, known = false) =>
    desk.connect(ask(['operator.read'], { device: `s${n}`, about: { ...about, remoteIp }, known }))

  test('of one address only few may wait, and others still can', async () => {
    const all = []
    for (let n = 0; n < 8; n++) all.push(await stranger(n, '203.0.113.9'))
    expect(all.map(answer => answer.pending !== null)).toEqual([...Array(5).fill(true), ...Array(3).fill(false)])
    expect(all[7]).toMatchObject({ in: false, reason: 'not-paired', crowded: true, pending: null })
    expect(await stranger(9, '203.0.113.10')).toMatchObject({ crowded: false })
    expect(await stranger(10, '203.0.113.9', true)).toMatchObject({ crowded: false })
    // Those who wait may repeat themselves, and one that is paired may ask for more.
    expect(requestId(await stranger(0, '203.0.113.9'))).toBe(requestId(all[0]!))
    await pair(['operator.read'], { about: { ...about, remoteIp: '203.0.113.11' } })
    for (let n = 20; n < 25; n++) await stranger(n, '203.0.113.7')
    expect(requestId(await desk.connect(ask(['operator.admin'])))).toBeTruthy()
    now += pendingTtlMs
    expect(await stranger(8, '203.0.113.9')).toMatchObject({ crowded: false })
  })

  test('in all they are bounded however they come, and never keep out who knows the secret', async () => {
    for (let n = 0; n < 120; n++) await stranger(n, `2001:db8:0:${(n % 40).toString(16)}::${n}`)
    expect((await list()).pending).toHaveLength(100)
    expect(await stranger(200, '203.0.113.1', true)).toMatchObject({ crowded: false })
    await desk.expire()
    now += pendingTtlMs
    await desk.expire()
    const rows = () => store.read.selectFrom('pairing_requests').select('id').execute()
    expect((await rows()).length).toBe(101)
    for (let round = 0; round < 6; round++) {
      await Promise.all(Array.from({ length: 100 }, (_, n) => stranger(1000 * round + n, `10.0.${round}.${n}`)))
      now += pendingTtlMs
      await desk.expire()
    }
    expect((await rows()).length).toBeLessThanOrEqual(601)
    now += 8 * 24 * 3_600_000
    await desk.expire()
    expect(await rows()).toEqual([])
  })

  test('an IPv6 host is its network', () => {
    expect(sourceOf('2001:db8::1')).toBe(sourceOf('2001:0DB8:0:0:ffff::2'))
    expect(sourceOf('2001:db8:0:1::1')).not.toBe(sourceOf('2001:db8::1'))
    expect(sourceOf('::1')).toBe('0:0:0:0')
    expect(sourceOf('203.0.113.7')).toBe('203.0.113.7')
    expect(sourceOf(null)).toBe('')
  })
})

describe('one-time codes', () => {
  const code = (scopes: Scope[] = ['operator.read', 'operator.write']) =>
    makeCode(store, { scopes, by: 'operator', device: null, now })

  test('approve one device once, for what it asks and at most what the code says; the rest waits', async () => {
    const made = await code()
    expect(made.code).toMatch(/^[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}$/)
    // Asked for before, too widely: it does not keep the code from working.
    await desk.connect(ask(['operator.admin']))
    const typed = made.code.toLowerCase().replaceAll('-', ' ')
    const answer = await desk.connect(ask(['operator.admin'], { setupCode: typed }))
    expect(answer).toMatchObject({
      in: true,
      pending: { scopes: ['operator.admin', 'operator.read', 'operator.write'] },
    })
    expect(await showDevice(store.read, 'd1', false)).toMatchObject({
      scopes: ['operator.read', 'operator.write'],
      approvedVia: 'bootstrap',
    })
    const again = desk.connect(ask(['operator.read'], { device: 'd2', setupCode: made.code }))
    await expect(again).rejects.toMatchObject({ code: 'AUTH_BOOTSTRAP_TOKEN_INVALID' })
    expect(await showDevice(store.read, 'd2', false)).toBe(null)
  })

  test('run out, are bounded in number, and stand nowhere in plain', async () => {
    const first = await code()
    for (let n = 0; n < 20; n++) {
      now += 1
      await code()
    }
    const show = (setupCode: string) => desk.connect(ask(['operator.read'], { setupCode }))
    await expect(show(first.code)).rejects.toMatchObject({ code: 'AUTH_BOOTSTRAP_TOKEN_INVALID' })
    const last = await code()
    const kv = await store.read.selectFrom('kv').selectAll().where('key', 'like', 'setup:%').execute()
    expect(kv).toHaveLength(20)
    expect(JSON.stringify(kv)).not.toContain(last.code.replaceAll('-', ''))
    now = last.expiresAt
    await expect(show(last.code)).rejects.toMatchObject({ code: 'AUTH_BOOTSTRAP_TOKEN_INVALID' })
  })
})
