/**
 * Who the gateway is, as devices are: an Ed25519 key, and its fingerprint as id (openclaw-facts.md §B1, §C4).
 *
 * Owns the derivation: the key follows from the home's own key, so there is one secret to keep and no second copy. Only the
 * public half leaves this function.
 */
import { createHmac, createPrivateKey, createPublicKey } from 'node:crypto'
import { deviceIdOf } from './crypto.ts'

/** What stands before the 32 bytes of a private Ed25519 key in PKCS #8. */
const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

export function gatewayIdentity(key: Buffer): { deviceId: string; publicKey: string } {
  const seed = createHmac('sha256', key).update('gateway identity').digest()
  const privateKey = createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' })
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  const publicKey = x ?? ''
  return { deviceId: deviceIdOf(Buffer.from(publicKey, 'base64url')), publicKey }
}
