/**
 * Single values by name: what needs no table of its own.
 *
 * Owns the statements on `kv`. A value is text that its owner reads and writes whole; never a secret.
 */
import type { Kysely } from 'kysely'
import type { Tx } from './open.ts'
import type { Tables } from './tables.ts'

/** Null when there is none. Inside a write pass its `tx`. */
export async function getValue(db: Kysely<Tables>, key: string): Promise<string | null> {
  const row = await db.selectFrom('kv').select('value').where('key', '=', key).executeTakeFirst()
  return row?.value ?? null
}

/** Puts a value; null takes it away. */
export async function setValue(tx: Tx, key: string, value: string | null): Promise<void> {
  if (value === null) await tx.deleteFrom('kv').where('key', '=', key).execute()
  else
    await tx
      .insertInto('kv')
      .values({ key, value })
      .onConflict(conflict => conflict.column('key').doUpdateSet({ value }))
      .execute()
}
