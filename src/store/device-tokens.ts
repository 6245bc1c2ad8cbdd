/**
 * Device tokens (decisions.md 18): HMAC(gateway key, device | role | generation | rotation), computed when one is needed.
 *
 * Owns how a token is made and compared. No row holds a token: rows hold the counters, and of a token that was imported
 * its hash, until it rotates. Comparing takes the same time whatever was shown.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import type { Counters, Role } from '../core/pairing.ts'

export interface TokenOf extends Counters {
  device: string
  role: Role
}

/** 32 bytes, base64url: 43 characters, as OpenClaw's are (openclaw-facts.md §B7). */
export function deviceToken(key: Buffer, { device, role, generation, rotation }: TokenOf): string {
  return createHmac('sha256', key).update(`${device}|${role}|${generation}|${rotation}`).digest('base64url')
}

/** As it stands in `imported_hash`. */
export function importedHash(token: string): string {
  return hash('sha256', token, 'hex')
}

/** Whether `shown` is the token that these counters make, or the imported one that they still stand for. */
export function isToken(key: Buffer, row: TokenOf, imported: string | null, shown: string): boolean {
  const made = same(shown, deviceToken(key, row))
  const brought = imported !== null && same(importedHash(shown), imported)
  return made || brought
}

/** Digests are compared, so that the length tells nothing either. */
function same(one: string, other: string): boolean {
  return timingSafeEqual(hash('sha256', one, 'buffer'), hash('sha256', other, 'buffer'))
}
