import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connectFrame, type Door, makeDevice, openDoor, openRaw, secret } from '../../test/support/door.ts'
import { tempDir } from '../../test/support/temp.ts'
import { type Client, type ConnectOptions, connect } from '../client/connect.ts'
import { pendingTtlMs } from '../core/pairing.ts'
import { devicePayload } from '../protocol/device.ts'
import type { DeputyError } from '../protocol/errors.ts'
import type { PendingDevice } from '../protocol/results.ts'
import type { Scope } from '../protocol/scopes.ts'
import { gatewayKey } from '../store/key.ts'
import { openStore, type Store } from '../store/open.ts'
import { endings } from '../store/pairing-rows.ts'
import { type DeviceRoom, openDevices } from './devices.ts'

let dir: string
let store: Store
let room: DeviceRoom
let door: Door
/** Null: the clock goes. */
let now: number | null
let ended: string[]
/** Runs before runs of a device are ended. */
let beforeEnd: () => Promise<void>
const clients: Client[] = []

async function open(): Promise<void> {
  store = await openStore({ dir, log: () => undefined })
  room = openDevices({
    store,
    key: await gatewayKey(dir),
    clock: { now: () => now ?? Date.now() },
    uuid: randomUUID,
    async endRuns({ device }) {
      await beforeEnd()
      ended.push(device)
      return 2
    },
    log: () => undefined,
  })
  await room.start()
  door = await openDoor({ devices: room })
}
async function close(): Promise<void> {
  for (const client of clients.splice(0)) client.close()
  await door.close()
  await room.stop()
  await store.close()
}
beforeEach(async () => {
  dir = tempDir()
  now = null
  ended = []
  beforeEnd = async () => undefined
  await open()
})
afterEach(close)

async function enter(options: Partial<ConnectOptions>): Promise<Client> {
  const where = 'socketPath' in options ? {} : { url: door.url }
  const client = await connect({ ...where, ...options })
  clients.push(client)
  return client
}
const owner = () => enter({ socketPath: door.socketPath })
const refused = (options: Partial<ConnectOptions>): Promise<DeputyError> =>
  enter(options).then(
    () => Promise.reject(new Error('was let in')),
    (error: DeputyError) => error,
  )

/** A device that is approved for `scopes`, and its open connection. */
async function paired(scopes: Scope[]) {
  const device = makeDevice()
  const { details } = await refused({ device, scopes })
  await (await owner()).request('device.pair.approve', { requestId: String(details['requestId']) })
  const client = await enter({ device, scopes })
  return { device, client, token: client.auth!.deviceToken! }
}
const send = (client: Client) =>
  client.request('chat.send', { sessionKey: 'main', message: 'x', idempotencyKey: randomUUID() })

describe('a device', () => {
  test('is turned away with its request, told to those who may decide, approved, and let in', async () => {
    const operator = await owner()
    const told: [string, unknown][] = []
    operator.on('*', (payload: PendingDevice, { event }) => {
      if (event.startsWith('device.')) told.push([event, payload])
    })
    const device = makeDevice()
    const scopes = ['operator.read', 'operator.write']
    const error = await refused({ device, scopes, client: { displayName: 'Desk', version: '1' } })
    const requestId = String(error.details['requestId'])
    expect(error).toMatchObject({
      code: 'PAIRING_REQUIRED',
      fix: `deputy devices approve ${requestId}`,
      details: { reason: 'not-paired', deviceId: device.id, requestedScopes: scopes },
    })
    expect((await operator.request('device.pair.list', {})).pending).toMatchObject([
      { requestId, deviceId: device.id, displayName: 'Desk', scopes, newScopes: scopes, remoteIp: '127.0.0.1' },
    ])
    expect(await operator.request('device.pair.approve', { requestId })).toMatchObject({
      requestId,
      device: { deviceId: device.id, scopes, connected: false, tokens: [{ role: 'operator', scopes }] },
    })
    const client = await enter({ device, scopes })
    const deviceToken = expect.stringMatching(/^[\w-]{43}$/)
    expect(client.auth).toMatchObject({ method: 'device-token', scopes, deviceToken })
    expect(client.auth).not.toHaveProperty('pending')
    await send(client)
    expect(told.map(([event]) => event)).toEqual(['device.pair.requested', 'device.pair.resolved'])
    expect(told[0]![1]).toMatchObject({ requestId, scopes })
    expect(told[1]![1]).toMatchObject({ requestId, deviceId: device.id, decision: 'approved' })
    expect((await operator.request('device.pair.list', {})).paired).toMatchObject([{ connected: true }])
  })

  test('comes back after a restart of the gateway with the token that it was given', async () => {
    const { device, token } = await paired(['operator.read'])
    await close()
    await open()
    const again = await enter({ device: { ...device, token }, scopes: ['operator.read'] })
    expect(again.auth).toMatchObject({ deviceToken: token, scopes: ['operator.read'] })
  })

  test('that asks for more is let in with what it has; approving widens its open connections at once', async () => {
    const { device, client } = await paired(['operator.read'])
    const wider = await enter({ device, scopes: ['operator.write'] })
    const { requestId, command, scopes } = wider.auth!.pending!
    expect({ scopes: wider.auth!.scopes, asks: scopes, command }).toEqual({
      scopes: ['operator.read'],
      asks: ['operator.write'],
      command: `deputy devices approve ${requestId}`,
    })
    await wider.request('status', {})
    await expect(send(wider)).rejects.toMatchObject({
      code: 'MISSING_SCOPE',
      fix: `deputy devices approve ${requestId}`,
      details: { missingScope: 'operator.write', requestId },
    })
    const operator = await owner()
    await operator.request('device.pair.approve', { requestId })
    await send(wider)
    // The other connection went on reading, and may use what its device holds by now.
    await client.request('status', {})
    await send(client)
    expect((await operator.request('device.pair.list', {})).pending).toEqual([])
  })

  test('a call that needs more asks for it once; what a person turned down is not asked again by itself', async () => {
    const { client } = await paired(['operator.read'])
    const operator = await owner()
    const pending = async () => (await operator.request('device.pair.list', {})).pending
    const refusal = () =>
      send(client).then(
        () => null,
        (error: DeputyError) => error.details['requestId'],
      )
    const requestId = await refusal()
    expect(await pending()).toMatchObject([{ requestId, newScopes: ['operator.write'], heldScopes: ['operator.read'] }])
    expect(await refusal()).toBe(requestId)
    // A method that is not there is nothing to ask for.
    await expect(client.call('no.such.method')).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
    expect(await pending()).toMatchObject([{ requestId }])
    await operator.request('device.pair.reject', { requestId: String(requestId) })
    expect(await refusal()).toBe(undefined)
    expect(await pending()).toEqual([])
    const asked = await client.request('device.scopes.requestUpgrade', { scopes: ['operator.write'] })
    expect(asked).toMatchObject({ status: 'pending', scopes: ['operator.read'] })
    const waiting = client.request('device.scopes.waitUpgrade', { requestId: asked.requestId! })
    await operator.request('device.pair.approve', { requestId: asked.requestId! })
    expect(await waiting).toMatchObject({ status: 'approved', scopes: ['operator.read', 'operator.write'] })
    await send(client)
    expect(await client.request('device.scopes.requestUpgrade', { scopes: ['operator.write'] })).toMatchObject({
      requestId: null,
      status: 'approved',
    })
  })

  test('beside a valid secret takes nothing away and leaves no request', async () => {
    const { device } = await paired(['operator.read'])
    const token = door.settings.auth.secret!
    const both = await enter({ device, token, scopes: ['operator.admin'] })
    expect(both.auth).toMatchObject({ method: 'token', scopes: ['operator.admin'] })
    const stranger = await enter({ device: makeDevice(), token, scopes: ['operator.write'] })
    await send(stranger)
    expect(stranger.auth).not.toHaveProperty('deviceToken')
    expect((await both.request('device.pair.list', {})).pending).toEqual([])
  })

  test('a probe creates nothing, whatever it asks', async () => {
    const error = await refused({ device: makeDevice(), scopes: ['operator.admin'], client: { mode: 'probe' } })
    expect(error).toMatchObject({ code: 'PAIRING_REQUIRED' })
    expect(error.details).not.toHaveProperty('requestId')
    const { device } = await paired(['operator.read'])
    const probe = await enter({ device, scopes: ['operator.admin'], client: { mode: 'probe' } })
    expect(probe.auth!.scopes).toEqual(['operator.read'])
    expect(probe.auth).not.toHaveProperty('pending')
    expect(await (await owner()).request('device.pair.list', {})).toMatchObject({
      pending: [],
      paired: [{ deviceId: device.id }],
    })
  })
})

describe('taking it away', () => {
  test('closes its connections at once and ends its runs; another device notices nothing', async () => {
    const { device, client, token } = await paired(['operator.read'])
    const other = await paired(['operator.read'])
    const operator = await owner()
    expect(await operator.request('device.pair.remove', { deviceId: device.id })).toEqual({
      deviceId: device.id,
      endedRuns: 2,
    })
    expect(await client.closed).toEqual({ code: 4001, reason: 'client invalidated: device-pair-removed' })
    await other.client.request('status', {})
    expect(ended).toEqual([device.id])
    expect(await endings(store.read)).toEqual([])
    expect(await refused({ device: { ...device, token }, scopes: ['operator.read'] })).toMatchObject({
      code: 'AUTH_DEVICE_TOKEN_MISMATCH',
    })
    expect(await refused({ device, scopes: ['operator.read'] })).toMatchObject({
      code: 'PAIRING_REQUIRED',
      details: { reason: 'not-paired' },
    })
  })

  test('while it connects: no connection outlives the approval, however the two fall together', async () => {
    const { device } = await paired(['operator.read'])
    const operator = await owner()
    const entering = Array.from({ length: 30 }, async (_, n) => {
      await new Promise(resolve => setTimeout(resolve, n / 3))
      return connect({ url: door.url, device, scopes: ['operator.read'] }).catch(() => null)
    })
    await new Promise(resolve => setTimeout(resolve, 8))
    await operator.request('device.pair.remove', { deviceId: device.id })
    const entered = (await Promise.all(entering)).filter(client => client !== null)
    for (const client of entered) expect((await client.closed).code).toBe(4001)
    expect((await operator.request('device.pair.list', {})).paired).toEqual([])
  })

  test('from itself: the answer comes first, then the close', async () => {
    const { device, client } = await paired(['operator.read', 'operator.pairing'])
    const role = 'operator'
    const answer = await client.request('device.token.rotate', { deviceId: device.id, role })
    expect(answer).toMatchObject({ tokenDelivery: 'in-band', token: expect.any(String) })
    expect(await client.closed).toEqual({ code: 4001, reason: 'client invalidated: device-token-rotated' })
    const again = await enter({ device: { ...device, token: answer.token! }, scopes: ['operator.pairing'] })
    const revoked = await again.request('device.token.revoke', { deviceId: device.id, role, keepRuns: true })
    expect(revoked).toMatchObject({ endedRuns: 0 })
    expect(await again.closed).toEqual({ code: 4001, reason: 'client invalidated: device-token-revoked' })
    expect(ended).toEqual([])
  })

  test('a token is told to the device that it is for, and to nobody else', async () => {
    const { device } = await paired(['operator.read'])
    const operator = await owner()
    const answer = await operator.request('device.token.rotate', { deviceId: device.id, role: 'operator' })
    expect(answer).toMatchObject({ tokenDelivery: 'withheld-cross-device' })
    expect(answer).not.toHaveProperty('token')
  })

  test('whoever knows the secret may remove any device, even when it asked for pairing only, and still hands out no more', async () => {
    const admin = await paired(['operator.admin'])
    const { details } = await refused({ device: makeDevice(), scopes: ['operator.write'] })
    const narrow = await enter({ token: secret, scopes: ['operator.pairing'] })
    expect(await narrow.request('device.pair.remove', { deviceId: admin.device.id })).toMatchObject({
      deviceId: admin.device.id,
    })
    const approval = narrow.request('device.pair.approve', { requestId: String(details['requestId']) })
    await expect(approval).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
  })

  test('whoever holds pairing alone cannot remove an administrator, nor approve what it does not hold', async () => {
    const pairer = await paired(['operator.pairing'])
    const admin = await paired(['operator.admin'])
    await expect(pairer.client.request('device.pair.remove', { deviceId: admin.device.id })).rejects.toMatchObject({
      code: 'MISSING_SCOPE',
    })
    const { details } = await refused({ device: makeDevice(), scopes: ['operator.write'] })
    await expect(
      pairer.client.request('device.pair.approve', { requestId: String(details['requestId']) }),
    ).rejects.toMatchObject({ code: 'MISSING_SCOPE', details: { missingScope: 'operator.read' } })
    // It sees what is its own.
    expect(await pairer.client.request('device.pair.list', {})).toMatchObject({
      pending: [],
      paired: [{ deviceId: pairer.device.id }],
    })
  })

  test('runs that were to end are ended by the next process when this one dies before', async () => {
    const { device } = await paired(['operator.write'])
    const dies = Promise.withResolvers<void>()
    beforeEnd = () => dies.promise
    const operator = await owner()
    operator.request('device.pair.remove', { deviceId: device.id }).catch(() => undefined)
    await expect.poll(() => endings(store.read)).toMatchObject([{ device: device.id, by: 'operator' }])
    dies.reject(new Error('killed'))
    await close()
    expect(ended).toEqual([])
    beforeEnd = async () => undefined
    await open()
    expect(ended).toEqual([device.id])
    expect(await endings(store.read)).toEqual([])
  })

  test('from elsewhere, where the secret needs the device, its connection ends with it', async () => {
    const { device } = await paired(['operator.read'])
    const raw = await openRaw(door.url, { 'x-forwarded-for': '203.0.113.9' })
    const challenge = await raw.wait(frame => frame.event === 'connect.challenge')
    const nonce = String(challenge.payload!['nonce'])
    const signedAt = Date.now()
    const client = { clientId: 'test', clientMode: 'test', role: 'operator' }
    const scopes = ['operator.admin']
    const token = door.settings.auth.secret
    const signature = device.sign(devicePayload(2, { deviceId: device.id, ...client, scopes, signedAt, token, nonce }))
    raw.send(
      connectFrame({ scopes, device: { id: device.id, publicKey: device.publicKey, signature, signedAt, nonce } }),
    )
    const hello = await raw.wait(frame => frame.id === 'c')
    expect(hello.payload).toMatchObject({ auth: { method: 'token', scopes } })
    await (await owner()).request('device.pair.remove', { deviceId: device.id })
    expect((await raw.closed).code).toBe(4001)
  })
})

describe('in the course of time', () => {
  test('a request that nobody decides about is closed and told', async () => {
    now = Date.now() - pendingTtlMs + 400
    const { details } = await refused({ device: makeDevice(), scopes: ['operator.read'] })
    now = null
    await close()
    await open()
    const operator = await owner()
    const resolved = await new Promise(resolve => operator.on('device.pair.resolved', payload => resolve(payload)))
    expect(resolved).toMatchObject({ requestId: details['requestId'], decision: 'rejected', state: 'expired' })
  })

  test('last seen is written later, together', async () => {
    const { device } = await paired(['operator.read'])
    now = Date.now() + 5000
    await enter({ device, scopes: ['operator.read'] })
    await close()
    await open()
    const { paired: rows } = await (await owner()).request('device.pair.list', {})
    expect(rows).toMatchObject([{ lastSeenAtMs: now, tokens: [{ lastUsedAtMs: now }] }])
  })
})

describe('approving by code', () => {
  test('a code approves one device, for at most what it says', async () => {
    const operator = await owner()
    const { setupCode } = await operator.request('device.pair.setupCode', { scopes: ['operator.read'] })
    const device = makeDevice()
    const client = await enter({ device, scopes: ['operator.read', 'operator.write'], setupCode })
    expect(client.auth).toMatchObject({ scopes: ['operator.read'], pending: { scopes: ['operator.write'] } })
    expect(await refused({ device: makeDevice(), scopes: ['operator.read'], setupCode })).toMatchObject({
      code: 'AUTH_BOOTSTRAP_TOKEN_INVALID',
    })
    const pairer = await paired(['operator.pairing'])
    await expect(pairer.client.request('device.pair.setupCode', {})).rejects.toMatchObject({ code: 'MISSING_SCOPE' })
  })

  test('a code dies with the device that made it', async () => {
    const maker = await paired(['operator.admin'])
    const { setupCode } = await maker.client.request('device.pair.setupCode', {})
    await (await owner()).request('device.pair.remove', { deviceId: maker.device.id })
    expect(await refused({ device: makeDevice(), scopes: ['operator.read'], setupCode })).toMatchObject({
      code: 'AUTH_BOOTSTRAP_TOKEN_INVALID',
    })
  })
})
