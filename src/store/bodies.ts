/**
 * Long texts as files (decisions.md 29): what is over 64 kB stands in `bodies/`, named by its sha-256, and the column holds
 * `{"body":"<hash>"}`. The connections fold and unfold (dialect.ts), so nobody above the store ever sees a reference.
 *
 * Owns the folder. A file is whole and on the disk before the statement that names it runs, is never changed, and goes only
 * when no row has named it for a day. Synchronous like every statement: a body of a transaction waits for nothing else, and
 * what is written in an order is recorded in that order. Never knows what a text means.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  futimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type { Clock } from '../core/ports.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Tables } from './tables.ts'

/** Bytes of UTF-8 that a row may hold itself. */
const rowBytes = 64 * 1024
/** A file younger than this may belong to a row that is still to be committed. */
const graceMs = 24 * 3600_000

export interface Bodies {
  /**
   * What the column holds: the text itself, or a reference to a file that is on the disk now. Throws the file system's own
   * error (trouble.ts reads it) when there is no room.
   */
  fold(text: string): string
  /** The text of a column. Throws STORE_DAMAGED when the file is gone or is not what its name says. */
  unfold(column: string): string
  /** Removes files that no row names; returns how many. Lets the loop go round, and ends early on `signal`. */
  sweep(read: Kysely<Tables>, signal: AbortSignal): Promise<number>
}

/** `dir` is the home. Makes nothing before the first long text. */
export function openBodies(dir: string, clock: Clock): Bodies {
  const folder = join(dir, 'bodies')

  function fold(text: string): string {
    // A UTF-16 unit is at most three bytes, so most texts need no counting.
    if (text.length * 3 <= rowBytes || Buffer.byteLength(text) <= rowBytes) return text
    const hash = hashOf(text)
    keep(join(folder, hash), text)
    return referenceTo(hash)
  }

  function keep(path: string, text: string): void {
    const now = clock.now() / 1000
    try {
      // Known already: young again, so that a sweep leaves it to the row that comes now.
      utimesSync(path, now, now)
      return
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
    if (mkdirSync(folder, { recursive: true, mode: 0o700 })) syncFolder(dir)
    const fresh = `${path}.${randomBytes(6).toString('hex')}.new`
    try {
      const file = openSync(fresh, 'wx', 0o600)
      try {
        writeFileSync(file, text)
        futimesSync(file, now, now)
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
      renameSync(fresh, path)
    } catch (error) {
      // Half a file on a full disk would only make it fuller.
      rmSync(fresh, { force: true })
      throw error
    }
    syncFolder(folder)
  }

  function unfold(column: string): string {
    const hash = column.length === referenceLength ? reference.exec(column)?.[1] : undefined
    if (!hash) return column
    const text = read(join(folder, hash))
    if (hashOf(text) !== hash) throw lost(`The long text ${join(folder, hash)} is not what was written.`)
    return text
  }

  function read(path: string): string {
    try {
      return readFileSync(path, 'utf8')
    } catch (cause) {
      throw lost(`A long text cannot be read: ${(cause as Error).message}.`, cause)
    }
  }

  async function sweep(read: Kysely<Tables>, signal: AbortSignal): Promise<number> {
    let removed = 0
    for (const [i, name] of (await readdir(folder).catch(absent)).entries()) {
      if (i % 50 === 0) await nextTurn()
      if (signal.aborted) break
      const hash = name.slice(0, 64)
      const path = join(folder, name)
      if (!old(path) || (name === hash && (await named(read, hash)))) continue
      // Looked at once more in the same tick: it may have become young while the rows were asked.
      if (!old(path)) continue
      unlinkSync(path)
      removed++
    }
    return removed
  }

  function old(path: string): boolean {
    const stat = statSync(path, { throwIfNoEntry: false })
    return stat !== undefined && clock.now() - stat.mtimeMs > graceMs
  }

  return { fold, unfold, sweep }
}

async function named(read: Kysely<Tables>, hash: string): Promise<boolean> {
  const row = await read
    .selectFrom('messages')
    .select('id')
    // The first condition is the one that the index messages_body has.
    .where(sql<boolean>`substr(parts, 1, 9) = '{"body":"'`)
    .where('parts', '=', referenceTo(hash))
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

function lost(what: string, cause?: unknown): DeputyError {
  return new DeputyError('STORE_DAMAGED', what, {
    fix: 'Put the file back from a backup of the home, or start a new session.',
    cause,
  })
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')
const referenceTo = (hash: string) => `{"body":"${hash}"}`
const reference = /^\{"body":"([0-9a-f]{64})"\}$/
const referenceLength = referenceTo('0'.repeat(64)).length
const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code

function absent(error: unknown): string[] {
  if (codeOf(error) === 'ENOENT') return []
  throw error
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
