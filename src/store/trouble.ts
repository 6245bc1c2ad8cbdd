/**
 * What an error of SQLite, or of the file of a long text, means for the house: which of the few kinds of trouble it is, and
 * what may go on.
 *
 * Owns the reading of SQLite's result codes and the system's. Never acts on them.
 */
import { DeputyError } from '../protocol/errors.ts'

export interface Failure {
  /** For the caller whose write was given up. */
  error: DeputyError
  /** The transaction can't be trusted any more, whatever the connection says of it. */
  group: boolean
  /** May mend by itself: it is tried again. */
  passing: boolean
  damaged: boolean
  /** Another connection holds the file; nothing was begun. */
  busy: boolean
}

/** Result codes, sqlite.org/rescode.html; the lower byte is the primary code. */
const BUSY = 5
const NOMEM = 7
const IOERR = 10
const CORRUPT = 11
const FULL = 13
const NOTADB = 26
const IOERR_SHMSIZE = IOERR | (19 << 8)

const none = { group: false, passing: false, damaged: false, busy: false }

/** Null for an error that concerns one statement only (a broken constraint, a mistake in SQL) or none of the disk's. */
export function failureOf(error: unknown): Failure | null {
  const code = sqliteCode(error)
  if (code === null) return fileFailure(error)
  const cause = error as Error
  switch (code & 0xff) {
    case BUSY:
      return { ...none, busy: true, error: locked(cause) }
    case FULL:
      return full(cause)
    case IOERR:
      // The one way in which SQLite meets a full disk without saying so: no room for the index of its log.
      return code === IOERR_SHMSIZE ? full(cause) : { ...none, group: true, passing: true, error: lost(cause) }
    case NOMEM:
      return { ...none, group: true, passing: true, error: lost(cause) }
    case CORRUPT:
    case NOTADB:
      return { ...none, group: true, damaged: true, error: damaged(cause.message, cause) }
    default:
      return null
  }
}

/** The file of a long text could not be written: as if the row could not. */
function fileFailure(error: unknown): Failure | null {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException
  if (!syscall) return null
  if (code === 'ENOSPC' || code === 'EDQUOT') return full(error)
  return { ...none, group: true, passing: true, error: lost(error as Error) }
}

function full(cause: unknown): Failure {
  return { ...none, group: true, passing: true, error: new DeputyError('DISK_FULL', 'The disk is full.', { cause }) }
}

export function damaged(what: string, cause?: unknown): DeputyError {
  return new DeputyError('STORE_DAMAGED', `The database is damaged: ${what}.`, { cause })
}

function lost(cause: Error): DeputyError {
  return new DeputyError('STORE_LOST_GROUP', `The database could not write: ${cause.message}.`, { cause })
}

function locked(cause: Error): DeputyError {
  return new DeputyError('STORE_LOST_GROUP', `The database could not write: ${cause.message}.`, {
    fix: 'Another program has the file open for writing: end it, the work goes on by itself.',
    cause,
  })
}

function sqliteCode(error: unknown): number | null {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : null
}
