import { afterEach, describe, expect, test } from 'vitest'
import { connectFrame, type Door, makeDevice, noDevices, openDoor, openRaw, secret } from '../../test/support/door.ts'
import { connect } from '../client/connect.ts'
import { devicePayload } from '../protocol/device.ts'
import type { Scope } from '../protocol/scopes.ts'
import type { DeviceClaim, Devices } from './types.ts'

let door: Door
afterEach(() => door.close())

/** One device is known and holds what `cell` says; everybody else gets the request `req-1`. */
function fakeDevices(known: string | null = null, scopes: Scope[] = ['operator.read']) {
  const cell = {
    device: known ?? '',
    generation: 1,
    scopes: scopes as readonly Scope[],
    alive: true,
    need: async () => ({ requestId: 'req-2' }),
    upgrade: async () => ({ requestId: 'req-2' }),
  }
  const claims: DeviceClaim[] = []
  const watchers = new Set<Parameters<Devices['watch']>[0]>()
  const devices: Devices = {
    ...noDevices(),
    async admit(claim) {
      claims.push(claim)
      const requestId = claim.ask ? 'req-1' : null
      if (claim.id !== known) return { in: false, reason: 'not-paired', requestId, crowded: false }
      const byToken = claim.tokens.includes('device-token')
      if (claim.tokens.length > 0 && !byToken)
        return { in: false, reason: 'token-dead', requestId: null, crowded: false }
      const pending = { requestId: 'req-2', scopes: ['operator.admin' as const] }
      return { in: true, cell, byToken, token: { value: 'device-token', issuedAt: 5 }, pending }
    },
    watch(listener) {
      watchers.add(listener)
      return () => void watchers.delete(listener)
    },
  }
  const change = { change: 'closed', device: known ?? '', generation: 1, spare: null } as const
  return {
    devices,
    cell,
    claims,
    revoke: (reason: string) => watchers.forEach(tell => void tell({ ...change, reason })),
  }
}

/** Connects with exactly these params; the answer, and the close when it was refused. */
async function knock(
  params: Record<string, unknown> | ((nonce: string) => Record<string, unknown>),
  headers: Record<string, string> = {},
) {
  const raw = await openRaw(door.url, headers)
  const challenge = await raw.wait(frame => frame.event === 'connect.challenge')
  const nonce = String(challenge.payload!['nonce'])
  raw.send(connectFrame(typeof params === 'function' ? params(nonce) : params))
  const answer = await raw.wait(frame => frame.id === 'c')
  if (answer.ok) {
    raw.ws.close()
    return { answer, error: undefined, code: 0, reason: '' }
  }
  return { answer, error: answer.error!, ...(await raw.closed) }
}

/** A device block, signed for these params; `spoil` changes it after signing. */
function signed(
  device: ReturnType<typeof makeDevice>,
  nonce: string,
  {
    version = 3,
    token = null,
    spoil = {},
  }: { version?: 2 | 3; token?: string | null; spoil?: Record<string, unknown> } = {},
) {
  const signedAt = Date.now()
  const payload = devicePayload(version, {
    deviceId: device.id,
    clientId: 'test',
    clientMode: 'test',
    role: 'operator',
    scopes: [],
    signedAt,
    token,
    nonce,
    platform: 'linux',
  })
  return { id: device.id, publicKey: device.publicKey, signature: device.sign(payload), signedAt, nonce, ...spoil }
}

/** What makes a connection remote, whoever says it. */
const forwarded = { 'x-forwarded-for': '203.0.113.9' }

describe('the shared secret', () => {
  test.each([{ token: secret }, { password: secret }, { token: 'wrong', password: secret }])(
    'lets in from this machine by itself, in either field',
    async auth => {
      door = await openDoor()
      expect((await knock({ auth, scopes: ['operator.read', 'no.such'] })).answer.payload).toMatchObject({
        auth: { method: 'token', scopes: ['operator.read'] },
      })
    },
  )

  test('wrong, missing, or not configured: each says which', async () => {
    door = await openDoor()
    expect(await knock({ auth: { token: 'wrong' } })).toMatchObject({
      error: {
        code: 'INVALID_REQUEST',
        message: 'unauthorized: gateway token mismatch',
        details: {
          code: 'AUTH_TOKEN_MISMATCH',
          authReason: 'token_mismatch',
          canRetryWithDeviceToken: false,
          recommendedNextStep: 'update_auth_credentials',
          fix: expect.stringContaining('deputy config get'),
        },
      },
      code: 1008,
      reason: 'unauthorized: gateway token mismatch',
    })
    expect(await knock({ auth: {} })).toMatchObject({
      error: { code: 'NOT_PAIRED', details: { code: 'DEVICE_IDENTITY_REQUIRED' } },
      code: 1008,
      reason: 'device identity required',
    })
    door.settings.auth = { mode: 'password', secret }
    expect((await knock({ auth: { password: 'x' } })).error?.details?.['code']).toBe('AUTH_PASSWORD_MISMATCH')
    for (const none of [null, '']) {
      door.settings.auth = { mode: 'token', secret: none }
      expect((await knock({ auth: { token: '' } })).error?.details?.['code']).toBe('AUTH_TOKEN_NOT_CONFIGURED')
    }
  })

  test('mode none lets anybody on this machine in, and nobody from elsewhere', async () => {
    door = await openDoor({ settings: { auth: { mode: 'none', secret: null } } })
    expect((await knock({ auth: undefined })).answer.payload).toMatchObject({ auth: { method: 'none' } })
    expect((await knock({ auth: undefined }, forwarded)).error?.details?.['code']).toBe('DEVICE_IDENTITY_REQUIRED')
  })

  test('from elsewhere it needs an approved device besides, unless that is optional', async () => {
    const device = makeDevice()
    const { devices, claims } = fakeDevices(device.id)
    door = await openDoor({ devices })
    const withDevice = (who: typeof device) => (nonce: string) => ({
      scopes: [],
      device: signed(who, nonce, { token: secret }),
    })
    expect((await knock({}, forwarded)).error?.details?.['code']).toBe('DEVICE_IDENTITY_REQUIRED')
    expect((await knock(withDevice(device), forwarded)).answer.payload).toMatchObject({ auth: { method: 'token' } })
    expect(await knock(withDevice(makeDevice()), forwarded)).toMatchObject({
      error: { code: 'NOT_PAIRED', details: { code: 'PAIRING_REQUIRED', requestId: 'req-1', reason: 'not-paired' } },
      reason: 'pairing required: not-paired (requestId: req-1)',
    })
    expect(claims.map(claim => claim.ask)).toEqual([true, true])
    const stale = (nonce: string) => ({ ...withDevice(device)(nonce), auth: { token: secret, deviceToken: 'stale' } })
    expect((await knock(stale, forwarded)).answer.ok).toBe(true)
    door.settings.remoteDevices = 'optional'
    expect((await knock({}, forwarded)).answer.ok).toBe(true)
  })

  test('a trusted proxy is believed about the address only: nobody becomes local by it', async () => {
    const { devices, claims } = fakeDevices()
    door = await openDoor({ devices, settings: { trustedProxies: ['127.0.0.0/8'] } })
    // Only what the trusted proxy itself saw counts; what stands before it may be anybody's invention.
    const headers = { 'x-forwarded-for': '127.0.0.1, 203.0.113.66, 198.51.100.7, 127.0.0.1' }
    const params = (nonce: string) => ({ scopes: [], device: signed(makeDevice(), nonce, { token: secret }) })
    expect((await knock(params, headers)).error?.details?.['code']).toBe('PAIRING_REQUIRED')
    expect(claims[0]!.about.address).toBe('198.51.100.7')
    door.settings.trustedProxies = []
    await knock(params, headers)
    expect(claims[1]!.about.address).toBe('127.0.0.1')
  })
})

describe('devices', () => {
  test('a device beside a valid secret is checked and never narrows it', async () => {
    const device = makeDevice()
    door = await openDoor({ devices: fakeDevices(device.id).devices })
    const client = await connect({ url: door.url, token: secret, device, scopes: ['operator.admin'] })
    expect(client.auth).toMatchObject({ method: 'token', scopes: ['operator.admin'], deviceToken: 'device-token' })
    expect(client.auth).not.toHaveProperty('pending')
    client.close()
    const spoiled = await knock(nonce => ({ device: signed(device, nonce, { token: 'other' }) }))
    expect(spoiled.error?.details?.['code']).toBe('DEVICE_AUTH_SIGNATURE_INVALID')
  })

  test('alone it is what was approved for it, and is told what still waits', async () => {
    const device = makeDevice()
    const { devices, cell, revoke } = fakeDevices(device.id)
    door = await openDoor({ devices })
    const client = await connect({ url: door.url, device, scopes: ['operator.admin'] })
    expect(client.auth).toEqual({
      method: 'device-token',
      role: 'operator',
      scopes: ['operator.read'],
      deviceToken: 'device-token',
      issuedAtMs: 5,
      pending: { requestId: 'req-2', scopes: ['operator.admin'], command: 'deputy devices approve req-2' },
    })
    await expect(client.request('chat.send', { sessionKey: 'main', message: 'x' })).rejects.toMatchObject({
      code: 'MISSING_SCOPE',
      details: { requestId: 'req-2' },
      fix: expect.stringContaining('deputy devices approve req-2'),
    })
    // Approval widens the live connection.
    cell.scopes = ['operator.read', 'operator.write']
    expect(await client.request('chat.send', { sessionKey: 'main', message: 'x' })).toMatchObject({ status: 'started' })
    revoke('device-token-revoked')
    expect(await client.closed).toEqual({ code: 4001, reason: 'client invalidated: device-token-revoked' })
  })

  test('v2 and v3 signatures fit; anything else is refused by name', async () => {
    const device = makeDevice()
    const other = makeDevice()
    door = await openDoor({ devices: fakeDevices(device.id).devices })
    const code = async (block: (nonce: string) => unknown) =>
      (await knock(nonce => ({ auth: {}, scopes: [], device: block(nonce) }))).error?.details?.['code']
    expect(await code(nonce => signed(device, nonce, { version: 2 }))).toBeUndefined()
    expect(await code(nonce => signed(device, nonce, { version: 3 }))).toBeUndefined()
    expect(await code(nonce => signed(device, nonce, { spoil: { id: other.id } }))).toBe(
      'DEVICE_AUTH_DEVICE_ID_MISMATCH',
    )
    expect(await code(nonce => signed(device, nonce, { spoil: { publicKey: 'AAAA' } }))).toBe(
      'DEVICE_AUTH_PUBLIC_KEY_INVALID',
    )
    expect(await code(nonce => signed(device, nonce, { spoil: { signedAt: 5 } }))).toBe('DEVICE_AUTH_SIGNATURE_EXPIRED')
    expect(await code(nonce => signed(device, nonce, { spoil: { nonce: undefined } }))).toBe(
      'DEVICE_AUTH_NONCE_REQUIRED',
    )
    expect(await code(() => signed(device, 'replayed'))).toBe('DEVICE_AUTH_NONCE_MISMATCH')
    expect(await code(nonce => signed(device, nonce, { spoil: { signature: 'AAAA' } }))).toBe(
      'DEVICE_AUTH_SIGNATURE_INVALID',
    )
    expect(await code(nonce => ({ ...signed(other, nonce), id: device.id, publicKey: device.publicKey }))).toBe(
      'DEVICE_AUTH_SIGNATURE_INVALID',
    )
  })

  test('without a secret and unknown: pairing required, with the request; a probe makes no request', async () => {
    const { devices, claims } = fakeDevices()
    door = await openDoor({ devices })
    const device = makeDevice()
    expect(await knock(nonce => ({ auth: {}, scopes: [], device: signed(device, nonce) }))).toMatchObject({
      error: {
        code: 'NOT_PAIRED',
        message: 'pairing required: device is not approved yet',
        details: {
          code: 'PAIRING_REQUIRED',
          reason: 'not-paired',
          requestId: 'req-1',
          deviceId: device.id,
          requestedRole: 'operator',
          fix: 'deputy devices approve req-1',
        },
      },
      code: 1008,
      reason: 'pairing required: not-paired (requestId: req-1)',
    })
    await expect(connect({ url: door.url, device, client: { mode: 'probe' } })).rejects.toMatchObject({
      code: 'PAIRING_REQUIRED',
    })
    expect(claims.map(claim => claim.ask)).toEqual([true, false])
  })

  test('a stored device token works as auth.token and as auth.deviceToken, also beside a wrong token', async () => {
    const device = makeDevice()
    const { devices, claims } = fakeDevices(device.id)
    door = await openDoor({ devices })
    const auth = (auth: Record<string, string>) => (nonce: string) => ({
      auth,
      scopes: [],
      device: signed(device, nonce, { token: auth['token'] ?? auth['deviceToken'] ?? null }),
    })
    expect((await knock(auth({ token: 'device-token' }))).answer.ok).toBe(true)
    expect((await knock(auth({ deviceToken: 'device-token' }))).answer.ok).toBe(true)
    expect((await knock(auth({ token: 'wrong', deviceToken: 'device-token' }))).answer.ok).toBe(true)
    expect((await knock(auth({ token: 'wrong' }))).error?.details).toMatchObject({
      code: 'AUTH_TOKEN_MISMATCH',
      canRetryWithDeviceToken: true,
      recommendedNextStep: 'retry_with_device_token',
    })
    expect((await knock(auth({ deviceToken: 'wrong' }))).error?.details).toMatchObject({
      code: 'AUTH_DEVICE_TOKEN_MISMATCH',
      canRetryWithDeviceToken: false,
    })
    expect(claims.some(claim => claim.ask && claim.tokens.length > 0)).toBe(false)
  })
})

describe('a user whom a proxy names', () => {
  const proxy = {
    userHeader: 'x-user',
    requiredHeaders: ['x-checked'],
    allowUsers: ['ann', 'bob'],
    allowLoopback: true,
    identityScopes: {},
  }
  const named = (user: string) => ({ 'x-user': user, 'x-checked': 'yes', 'x-forwarded-for': '203.0.113.4' })
  const open = async (
    rules: Partial<typeof proxy> & { identityScopes?: Record<string, Scope[]> } = {},
    trusted = true,
  ) => {
    door = await openDoor({
      settings: {
        auth: { mode: 'trusted-proxy', secret: null, proxy: { ...proxy, ...rules } },
        trustedProxies: trusted ? ['127.0.0.1'] : ['192.0.2.1'],
      },
    })
  }
  const code = (got: Awaited<ReturnType<typeof knock>>) => got.error?.details?.['authReason']

  test('comes in without a device, with what it asks', async () => {
    await open()
    expect((await knock({ auth: {}, scopes: ['operator.write'] }, named('ann'))).answer.payload).toMatchObject({
      auth: { method: 'trusted-proxy', scopes: ['operator.write'] },
    })
  })

  test('gets at most what is set down for it; who is not set down does not come in', async () => {
    await open({ identityScopes: { ann: ['operator.read'] } })
    const ann = await knock({ auth: {}, scopes: ['operator.admin', 'operator.read'] }, named('ann'))
    expect(ann.answer.payload).toMatchObject({ auth: { scopes: ['operator.read'] } })
    expect(await knock({ auth: {} }, named('bob'))).toMatchObject({
      error: { details: { code: 'AUTH_UNAUTHORIZED', authReason: 'trusted_proxy_user_without_scopes' } },
      code: 1008,
    })
  })

  test('is believed from a trusted proxy only, whole, and by name', async () => {
    await open()
    expect(code(await knock({ auth: {} }, named('eve')))).toBe('trusted_proxy_user_not_allowed')
    expect(code(await knock({ auth: {} }, { 'x-user': 'ann' }))).toBe('trusted_proxy_missing_header_x-checked')
    expect(code(await knock({ auth: {} }, { 'x-checked': 'yes' }))).toBe('trusted_proxy_missing_header_x-user')
    // A token of some other time changes nothing, and is not held against anybody.
    expect(code(await knock({}))).toBe('trusted_proxy_missing_header_x-checked')
    await door.close()
    await open({}, false)
    expect(code(await knock({ auth: {} }, named('ann')))).toBe('trusted_proxy_untrusted_source')
    await door.close()
    await open({ allowLoopback: false })
    expect(code(await knock({ auth: {} }, named('ann')))).toBe('trusted_proxy_loopback_source')
  })
})

describe('refusals', () => {
  test('no common protocol closes with 1002; another role is not served', async () => {
    door = await openDoor()
    expect(await knock({ minProtocol: 5, maxProtocol: 9 })).toMatchObject({
      error: { message: 'protocol mismatch', details: { code: 'PROTOCOL_MISMATCH', expectedProtocol: 4 } },
      code: 1002,
      reason: 'protocol mismatch',
    })
    expect((await knock({ minProtocol: 1, maxProtocol: 3 })).answer.payload?.['protocol']).toBe(3)
    expect((await knock({ minProtocol: 3, maxProtocol: 9 })).answer.payload?.['protocol']).toBe(4)
    const node = { code: 'ROLE_NOT_SERVED', role: 'node', fix: expect.stringContaining('role operator') }
    expect(await knock({ role: 'node' })).toMatchObject({ error: { details: node }, reason: 'invalid role: node' })
    expect((await knock({ surprise: 1 })).error?.message).toBe(
      `invalid connect params: at root: unexpected property 'surprise'`,
    )
  })

  test('from elsewhere failures lock the address out, even for the right secret, and nobody else', async () => {
    door = await openDoor({ settings: { remoteDevices: 'optional', trustedProxies: ['127.0.0.1'] } })
    const from = (address: string, token: string) => knock({ auth: { token } }, { 'x-forwarded-for': address })
    for (let n = 0; n < 3; n++) {
      expect((await from('203.0.113.1', 'wrong')).error?.details?.['code']).toBe('AUTH_TOKEN_MISMATCH')
    }
    expect((await from('203.0.113.1', secret)).error).toMatchObject({
      details: { code: 'AUTH_RATE_LIMITED', authReason: 'rate_limited', recommendedNextStep: 'wait_then_retry' },
      retryable: true,
      retryAfterMs: expect.any(Number),
    })
    expect((await from('203.0.113.2', secret)).answer.ok).toBe(true)
    expect((await knock({})).answer.ok).toBe(true)
  })

  test('a lockout keeps out who guesses, not an approved device that comes from the same address', async () => {
    const device = makeDevice()
    const { devices } = fakeDevices(device.id)
    door = await openDoor({ devices })
    for (let n = 0; n < 3; n++) await knock({ auth: { token: 'wrong' } }, forwarded)
    const alone = await knock(nonce => ({ auth: {}, scopes: [], device: signed(device, nonce) }), forwarded)
    expect(alone.answer.ok).toBe(true)
    const stranger = makeDevice()
    expect(
      await knock(nonce => ({ scopes: [], device: signed(stranger, nonce, { token: secret }) }), forwarded),
    ).toMatchObject({ error: { details: { code: 'AUTH_RATE_LIMITED' } } })
  })

  test('on this machine a failure is answered late and never locks the owner out', async () => {
    door = await openDoor()
    const began = performance.now()
    await Promise.all([1, 2, 3].map(() => knock({ auth: { token: 'wrong' } })))
    expect(performance.now() - began).toBeGreaterThan(900)
    expect((await knock({})).answer.ok).toBe(true)
  })
})
