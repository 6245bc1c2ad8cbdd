/**
 * One-time codes that approve a device which has nobody at its screen: made by whoever may approve, typed or handed to the
 * device, shown by it as `auth.bootstrapToken` (openclaw-facts.md §A4, §B7).
 *
 * Owns the codes in `kv`, as hashes. A code works once, for ten minutes at most, for at most the scopes that its maker chose and
 * held. Never approves: pairing.ts does, in the transaction that consumes the code.
 */
import { hash, randomInt } from 'node:crypto'
import { DeputyError } from '../protocol/errors.ts'
import type { Scope } from '../protocol/scopes.ts'
import { setValue } from './kv.ts'
import type { Store, Tx } from './open.ts'

export interface SetupCode {
  scopes: readonly Scope[]
  /** Who made it, as in rows; the device when one did. */
  by: string
  device: string | null
  expiresAt: number
}

const prefix = 'setup:'
const longestMs = 600_000
/** More are not of use at once; the oldest goes. */
const most = 20
/** Without letters and digits that look alike. 12 of these are 59 bits. */
const signs = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ'

/** Makes a code, such as `K7QF-3M9P-W2XD`. */
export async function makeCode(
  store: Pick<Store, 'write'>,
  about: { scopes: readonly Scope[]; by: string; device: string | null; now: number; lifeMs?: number },
): Promise<{ id: string; code: string; expiresAt: number }> {
  const letters = Array.from({ length: 12 }, () => signs[randomInt(signs.length)]!).join('')
  const code = letters.match(/.{4}/g)!.join('-')
  const { scopes, by, device } = about
  const row: SetupCode = { scopes, by, device, expiresAt: about.now + (about.lifeMs ?? longestMs) }
  const id = idOf(code)
  await store.write('device', async tx => {
    const others = (await codes(tx)).sort((one, other) => one.expiresAt - other.expiresAt)
    const over = others.filter((each, n) => each.expiresAt <= about.now || n <= others.length - most)
    for (const each of over) await setValue(tx, each.key, null)
    await setValue(tx, prefix + id, JSON.stringify(row))
    const details = JSON.stringify({ setupId: id.slice(0, 16), scopes: about.scopes })
    await tx.insertInto('audit').values({ at: about.now, who: about.by, what: 'device.setup', details }).execute()
  })
  return { id: id.slice(0, 16), code, expiresAt: row.expiresAt }
}

/** Takes the code away and returns what it was good for. Throws AUTH_BOOTSTRAP_TOKEN_INVALID; then nothing changed. */
export async function consumeCode(tx: Tx, code: string, now: number): Promise<SetupCode> {
  const key = prefix + idOf(code)
  const found = await tx.selectFrom('kv').select('value').where('key', '=', key).executeTakeFirst()
  const row = found ? (JSON.parse(found.value) as SetupCode) : null
  if (row === null || row.expiresAt <= now) throw codeRefused()
  await setValue(tx, key, null)
  return row
}

export function codeRefused(): DeputyError {
  return new DeputyError('AUTH_BOOTSTRAP_TOKEN_INVALID', 'unauthorized: bootstrap token invalid or expired')
}

/** The hash by which a code is looked up, so that no comparison of codes takes a time that tells something. */
function idOf(code: string): string {
  return hash('sha256', code.toUpperCase().replace(/[^0-9A-Z]/g, ''), 'hex')
}

async function codes(tx: Tx): Promise<{ key: string; expiresAt: number }[]> {
  const rows = await tx
    .selectFrom('kv')
    .selectAll()
    .where('key', '>=', prefix)
    .where('key', '<', `${prefix}~`)
    .execute()
  return rows.map(({ key, value }) => ({ key, expiresAt: (JSON.parse(value) as SetupCode).expiresAt }))
}
