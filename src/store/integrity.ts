/**
 * Whether the file can be trusted: a little at open, all of it in a thread after an unclean stop (decisions.md 28).
 *
 * Owns what counts as damage and its words. Never mends.
 */
import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { DeputyError } from '../protocol/errors.ts'
import { newestVersion } from './migrations.ts'
import { damaged, failureOf } from './trouble.ts'
import { startWorker } from './worker.ts'

/** 'Dpty' in the file's header. */
export const applicationId = 0x44707479

/**
 * Whose file it is, its version, whether its schema and one page can be read. Returns the version.
 * Throws STORE_FOREIGN, STORE_TOO_NEW, STORE_DAMAGED.
 */
export function inspect(db: DatabaseSync, path: string): number {
  try {
    if (statSync(path).size === 0) throw damaged(`${path} is empty`)
    const { application_id: id } = db.prepare('pragma application_id').get() as { application_id: number }
    if (id !== applicationId) throw new DeputyError('STORE_FOREIGN', `${path} was not written by Deputy.`)
    const { user_version: version } = db.prepare('pragma user_version').get() as { user_version: number }
    if (version > newestVersion)
      throw new DeputyError(
        'STORE_TOO_NEW',
        `${path} has version ${version}; this Deputy knows versions up to ${newestVersion}.`,
        { details: { version, known: newestVersion } },
      )
    if (version < 1) throw damaged(`${path} has no version`)
    db.prepare('select value from kv limit 1').get()
    return version
  } catch (error) {
    if (error instanceof DeputyError) throw error
    throw failureOf(error)?.error ?? damaged(`${path}: ${(error as Error).message}`, error)
  }
}

/**
 * Reads the whole file in a thread: seconds for a large one. Null when all is well or `signal` ended the reading, else
 * STORE_DAMAGED with `details.tables`.
 */
export async function findDamage(path: string, signal: AbortSignal): Promise<DeputyError | null> {
  const worker = startWorker(path)
  const stop = new Promise<null>(resolve => signal.addEventListener('abort', () => resolve(null), { once: true }))
  try {
    const damage = await Promise.race([worker.ask({ do: 'check' }), stop])
    if (!damage) return null
    const where = damage.tables.length > 0 ? damage.tables.join(', ') : 'outside the tables'
    return new DeputyError('STORE_DAMAGED', `The database is damaged: ${where}.`, { details: { ...damage } })
  } finally {
    await worker.end()
  }
}
