/**
 * One process to a home: an SQLite file held in an exclusive transaction for the life of the process (decisions.md 27).
 *
 * Owns home.lock and the pidfile beside it. The kernel lets go of the lock when the process dies, however it dies; the
 * pidfile only says who. Never waits, never takes a lock from somebody.
 *
 * Nothing else in the process may open home.lock: closing any descriptor of it would let the lock go.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DeputyError } from '../protocol/errors.ts'
import { failureOf } from './trouble.ts'

export interface HomeLock {
  release(): void
}

/** `dir` is an existing home. Throws HOME_LOCKED, which names the holder's pid, HOME_UNWRITABLE and DISK_FULL. */
export function takeHomeLock(dir: string): HomeLock {
  const pidfile = join(dir, 'deputy.pid')
  const db = hold(join(dir, 'home.lock'), pidfile)
  try {
    writeFileSync(`${pidfile}.new`, `${process.pid}\n`, { mode: 0o600 })
    renameSync(`${pidfile}.new`, pidfile)
  } catch (cause) {
    db.close()
    throw unwritable(pidfile, cause)
  }
  return {
    release() {
      if (!db.isOpen) return
      rmSync(pidfile, { force: true })
      db.close()
    },
  }
}

function hold(path: string, pidfile: string): DatabaseSync {
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(path, { timeout: 0 })
    db.exec('begin exclusive')
    return db
  } catch (cause) {
    db?.close()
    if (!failureOf(cause)?.busy) throw unwritable(path, cause)
    const pid = holder(pidfile)
    throw new DeputyError('HOME_LOCKED', `Process ${pid ?? '(unknown)'} holds ${path}.`, {
      details: pid === null ? {} : { pid },
      cause,
    })
  }
}

/** Null for the moment between a process taking the lock and writing its pid. */
function holder(pidfile: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(pidfile, 'utf8'), 10)
    return Number.isSafeInteger(pid) ? pid : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function unwritable(path: string, cause: unknown): DeputyError {
  const failure = failureOf(cause)
  if (failure?.error.code === 'DISK_FULL') return failure.error
  return new DeputyError('HOME_UNWRITABLE', `${path} cannot be held: ${(cause as Error).message}`, { cause })
}
