import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { gatewayIdentity } from './identity.ts'

test('the same home is the same gateway, another home another; the id is the fingerprint of the key', () => {
  const one = gatewayIdentity(Buffer.alloc(32, 1))
  expect(gatewayIdentity(Buffer.alloc(32, 1))).toEqual(one)
  expect(gatewayIdentity(Buffer.alloc(32, 2)).deviceId).not.toBe(one.deviceId)
  const raw = Buffer.from(one.publicKey, 'base64url')
  expect(raw).toHaveLength(32)
  expect(one.deviceId).toBe(hash('sha256', raw, 'hex'))
})
