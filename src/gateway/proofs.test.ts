import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deviceIdOf, equalSecrets, rawPublicKey, verifyDevice } from './crypto.ts'
import { makeLimiter } from './limiter.ts'
import type { Peer } from './peer.ts'
import type { Settings } from './types.ts'

/** Connects as real clients sent them to a throw-away gateway: the CLI signs v3, openclaw-node v2. */
const recorded = {
  cli: {
    minProtocol: 3,
    maxProtocol: 3,
    client: {
      id: 'cli',
      version: '2026.4.12',
      platform: 'linux',
      mode: 'cli',
      instanceId: '26cc312c-6f3f-4ef1-a269-2e602d0a3d74',
    },
    auth: { token: 'lab-token-0123456789abcdef0123456789abcdef' },
    scopes: [
      'operator.admin',
      'operator.read',
      'operator.write',
      'operator.approvals',
      'operator.pairing',
      'operator.talk.secrets',
    ],
    device: {
      id: '7bb38274d750d8ef930d4a298fb706dbea0424896062154925a0ac7bcb2ce2ca',
      publicKey: 'AfekY_DRQQ4JSs1rCPh8Zd33W6MOB6_Qy2-DKuKoFow',
      signature: 'u6Yg4JZ7y6Q9z-hudxpUSBFVim1cXkZ7Ix1qNZtm1aMnvhG4knQ9FgyNBOwvG61LL37TH2CrFqt5xuFeDHDlBg',
      signedAt: 1795346992731,
      nonce: 'e197bbe1-2378-493d-a5dd-4fcd59aba191',
    },
  },
  node: {
    minProtocol: 4,
    maxProtocol: 4,
    client: { id: 'gateway-client', version: '0.3.0', platform: 'linux', mode: 'backend' },
    auth: { token: 'lab-token-0123456789abcdef0123456789abcdef' },
    scopes: ['operator.read', 'operator.write'],
    device: {
      id: 'f4d0f2cfd48de3fcc7a3ada0cd7830c5ac0ef190533b7bda6f855096eb27df6a',
      publicKey: 'ulIPG9nIi7XGAFDwLKtciUjJuThX3Uo5dFjWGdEunYY',
      signature: '6Iz510zmyZWEZwFZP1tuVkkxdf1ckrhPDMocBNlNqoEylhHQHkKZLp0ZSH9U7CfwWszmaFKnvO6CYUeSt0VeAw',
      signedAt: 1795346813059,
      nonce: '511a9f98-9c3a-4b3b-ab96-7e58e881f323',
    },
  },
}

const expected = (who: keyof typeof recorded) => ({
  nonce: recorded[who].device.nonce,
  now: recorded[who].device.signedAt + 1000,
  skewMs: 120_000,
  role: 'operator',
})

describe('device signatures', () => {
  test.each(['cli', 'node'] as const)('what %s signed is verified, and nothing else in its connect', who => {
    const params = recorded[who]
    expect(verifyDevice(params, expected(who))).toEqual({ ok: true, publicKey: params.device.publicKey })
    const changes = [
      { ...params, scopes: [...params.scopes, 'operator.admin2'] },
      { ...params, scopes: [...params.scopes].reverse() },
      { ...params, auth: { token: 'x' } },
      { ...params, auth: {} },
      { ...params, client: { ...params.client, id: 'x' } },
      { ...params, client: { ...params.client, mode: 'x' } },
      { ...params, device: { ...params.device, signedAt: params.device.signedAt + 1 } },
    ]
    for (const changed of changes) {
      expect(verifyDevice(changed, expected(who))).toMatchObject({ code: 'DEVICE_AUTH_SIGNATURE_INVALID' })
    }
    expect(verifyDevice(params, { ...expected(who), role: 'node' })).toMatchObject({ ok: false })
    expect(verifyDevice(params, { ...expected(who), now: params.device.signedAt - 120_001 })).toMatchObject({
      code: 'DEVICE_AUTH_SIGNATURE_EXPIRED',
    })
  })

  test('v3 covers the platform, v2 does not', () => {
    const other = { platform: 'other' }
    const cli = { ...recorded.cli, client: { ...recorded.cli.client, ...other } }
    const node = { ...recorded.node, client: { ...recorded.node.client, ...other } }
    expect(verifyDevice(cli, expected('cli')).ok).toBe(false)
    expect(verifyDevice(node, expected('node')).ok).toBe(true)
  })

  test('a key is read from base64url, base64 and PEM, and nothing else passes for one', () => {
    const raw = rawPublicKey(recorded.cli.device.publicKey)!
    expect(deviceIdOf(raw)).toBe(recorded.cli.device.id)
    expect(rawPublicKey(raw.toString('base64'))).toEqual(raw)
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]).toString('base64')
    expect(rawPublicKey(`-----BEGIN PUBLIC KEY-----\n${der}\n-----END PUBLIC KEY-----\n`)).toEqual(raw)
    expect(rawPublicKey('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----')).toBeNull()
    fc.assert(fc.property(fc.string({ maxLength: 80 }), text => (rawPublicKey(text)?.length ?? 32) === 32))
  })
})

test('secrets are equal exactly when they are the same text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (left, right) => {
      return equalSecrets(left, right) === (left === right) && equalSecrets(left, left)
    }),
  )
})

describe('failed attempts', () => {
  const limit = { maxAttempts: 3, windowMs: 1000, lockoutMs: 5000, exemptLoopback: false }
  const settings = { rateLimit: () => limit } as Settings
  const remote: Peer = { via: 'tcp', address: '203.0.113.1', direct: false, origin: null, remote: '', header: () => '' }
  const local: Peer = { via: 'tcp', address: '127.0.0.1', direct: true, origin: null, remote: '', header: () => '' }
  const page: Peer = { ...local, origin: 'https://ui.example' }

  test('from elsewhere and from pages: a lockout after the third within the window, which ends', () => {
    for (const peer of [remote, page]) {
      const limiter = makeLimiter(settings)
      for (const now of [0, 10]) expect(limiter.failed(peer, now)).toBe(0)
      expect(limiter.lockedFor(peer, 20)).toBe(0)
      limiter.failed(peer, 20)
      expect(limiter.lockedFor(peer, 21)).toBe(4999)
      expect(limiter.lockedFor(local, 21)).toBe(0)
      expect(limiter.lockedFor(peer, 5020)).toBe(0)
    }
  })

  test('failures outside the window, and a success, start the count again', () => {
    const limiter = makeLimiter(settings)
    for (const now of [0, 900, 1901, 2800]) limiter.failed(remote, now)
    expect(limiter.lockedFor(remote, 2801)).toBe(0)
    limiter.passed(remote)
    for (const now of [2900, 2901]) limiter.failed(remote, now)
    expect(limiter.lockedFor(remote, 2902)).toBe(0)
  })

  test('on this machine: later and later, at most 5 s, never locked', () => {
    const limiter = makeLimiter(settings)
    const delays = [0, 1, 2, 3, 4, 5, 6].map(now => limiter.failed(local, now))
    expect(delays).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000])
    expect(limiter.lockedFor(local, 7)).toBe(0)
  })

  test('gateway.auth.rateLimit.exemptLoopback: programs of this machine do not wait, pages of it are counted as ever', () => {
    const limiter = makeLimiter({ rateLimit: () => ({ ...limit, exemptLoopback: true }) } as Settings)
    expect([0, 1, 2, 3].map(now => limiter.failed(local, now))).toEqual([0, 0, 0, 0])
    for (const now of [0, 1, 2]) limiter.failed(page, now)
    expect(limiter.lockedFor(page, 3)).toBe(4999)
  })
})
