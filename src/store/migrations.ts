/**
 * The steps by which a database of any released version becomes today's: append-only, numbered from 1.
 *
 * Owns the list and the order. A released migration is never edited: its schema dump is held by migrations.test.ts.
 * The caller holds the transaction and writes the version in it.
 */
import type { Kysely } from 'kysely'
import { createSchema, type Spelling } from './schema.ts'
import type { Tables } from './tables.ts'

type Migration = (db: Kysely<Tables>, spelling: Spelling) => Promise<void>

const migrations: readonly Migration[] = [createSchema]

/** Version of a database that has every migration. */
export const newestVersion = migrations.length

/** Brings a database from `version` to the newest, one migration after the other. */
export async function migrate(db: Kysely<Tables>, spelling: Spelling, version: number): Promise<void> {
  for (const migration of migrations.slice(version)) await migration(db, spelling)
}
