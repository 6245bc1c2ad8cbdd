/**
 * A home's database for reading only, while no gateway is there to ask: what the CLI shows then.
 *
 * Owns one read-only connection. Never makes, upgrades, checkpoints or locks a file: what was there is there afterwards, the
 * log of an unclean stop included.
 */
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { DeputyError } from '../protocol/errors.ts'
import { openBodies } from './bodies.ts'
import { type Db, makeConnection, makeHandles } from './dialect.ts'
import { databasePath } from './files.ts'
import { inspect } from './integrity.ts'
import { newestVersion } from './migrations.ts'

export interface Reader {
  read: Db
  close(): void
}

/** Null when the home has no database yet. Throws STORE_FOREIGN, STORE_TOO_NEW, STORE_DAMAGED. */
export function openReader(dir: string): Reader | null {
  const path = databasePath(dir)
  if (!existsSync(path)) return null
  const db = new DatabaseSync(path, { readOnly: true, timeout: 1000 })
  try {
    const version = inspect(db, path)
    if (version < newestVersion)
      throw new DeputyError('GATEWAY_UNREACHABLE', `${path} was written by an older Deputy, and no gateway runs.`, {
        fix: 'Start the gateway once, it brings the file up to date: deputy gateway run',
        details: { version, known: newestVersion },
      })
  } catch (error) {
    db.close()
    throw error
  }
  return { read: makeHandles(makeConnection(db, { bodies: openBodies(dir, Date) }))().db, close: () => db.close() }
}
