/**
 * The proofs: equal secrets, device signatures, random ids. Owns the arithmetic; never decides what a proof is worth.
 * Comparing takes the same time whatever was sent.
 */
import { createPublicKey, hash, randomUUID, timingSafeEqual, verify } from 'node:crypto'
import type { ConnectParams } from '../protocol/connect.ts'
import { devicePayload } from '../protocol/device.ts'
import type { ErrorCode } from '../protocol/errors.ts'

export function newId(): string {
  return randomUUID()
}

/** Compares secrets in constant time, whatever their lengths: their digests are compared, and a digest tells nothing. */
export function equalSecrets(left: string, right: string): boolean {
  return timingSafeEqual(hash('sha256', left, 'buffer'), hash('sha256', right, 'buffer'))
}

/** DER prefix of an Ed25519 SubjectPublicKeyInfo; the 32 raw bytes follow. */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex')

/** The raw key out of base64url, base64 or PEM; null when it is none (openclaw-facts.md §B1). */
export function rawPublicKey(text: string): Buffer | null {
  if (text.includes('BEGIN PUBLIC KEY')) {
    try {
      const der = createPublicKey(text).export({ type: 'spki', format: 'der' })
      return der.length === 44 && der.subarray(0, 12).equals(spkiPrefix) ? der.subarray(12) : null
    } catch {
      return null
    }
  }
  const raw = Buffer.from(text, 'base64url')
  return raw.length === 32 ? raw : null
}

/** Lower-case hex SHA-256 of the raw key. */
export function deviceIdOf(raw: Buffer): string {
  return hash('sha256', raw, 'hex')
}

export type Proof =
  | { ok: true; publicKey: string }
  /** `reason` and `message` are OpenClaw's words (§A7); the message is the close reason too. */
  | { ok: false; code: ErrorCode; reason: string; message: string }

const refusals = {
  id: ['DEVICE_AUTH_DEVICE_ID_MISMATCH', 'device-id-mismatch', 'device identity mismatch'],
  key: ['DEVICE_AUTH_PUBLIC_KEY_INVALID', 'device-public-key', 'device public key invalid'],
  stale: ['DEVICE_AUTH_SIGNATURE_EXPIRED', 'device-signature-stale', 'device signature expired'],
  noNonce: ['DEVICE_AUTH_NONCE_REQUIRED', 'device-nonce-missing', 'device nonce required'],
  nonce: ['DEVICE_AUTH_NONCE_MISMATCH', 'device-nonce-mismatch', 'device nonce mismatch'],
  signature: ['DEVICE_AUTH_SIGNATURE_INVALID', 'device-signature', 'device signature invalid'],
} as const

function refuse(why: keyof typeof refusals): Proof {
  const [code, reason, message] = refusals[why]
  return { ok: false, code, reason, message }
}

/** Whether the device block of a connect was signed by the key that it names, now, for this connection. v3 first, then v2. */
export function verifyDevice(
  params: ConnectParams,
  expected: { nonce: string; now: number; skewMs: number; role: string },
): Proof {
  const { device, client, auth = {} } = params
  if (!device) return refuse('id')
  const raw = rawPublicKey(device.publicKey)
  if (!raw) return refuse('key')
  if (deviceIdOf(raw) !== device.id) return refuse('id')
  if (Math.abs(expected.now - device.signedAt) > expected.skewMs) return refuse('stale')
  if (!device.nonce) return refuse('noNonce')
  if (device.nonce !== expected.nonce) return refuse('nonce')
  const proof = {
    deviceId: device.id,
    clientId: client.id,
    clientMode: client.mode,
    role: expected.role,
    scopes: params.scopes ?? [],
    signedAt: device.signedAt,
    token: auth.token ?? auth.deviceToken ?? auth.bootstrapToken ?? null,
    nonce: device.nonce,
    ...(client.platform === undefined ? {} : { platform: client.platform }),
    ...(client.deviceFamily === undefined ? {} : { deviceFamily: client.deviceFamily }),
  }
  const signature = Buffer.from(device.signature, 'base64url')
  if (signature.length !== 64) return refuse('signature')
  const key = createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' })
  for (const version of [3, 2] as const) {
    if (verify(null, Buffer.from(devicePayload(version, proof)), key, signature)) {
      return { ok: true, publicKey: raw.toString('base64url') }
    }
  }
  return refuse('signature')
}
