/**
 * Long texts as files (decisions.md 29): what is over 64 kB stands in `bodies/`, named by its sha-256, and the row holds
 * `{"body":"<hash>"}`.
 *
 * Owns the folder. A file is whole and on the disk before anybody can make a row of it, is never changed, and goes only
 * when no row has named it for a day. Never knows what a text means.
 */
import { createHash, randomBytes } from 'node:crypto'
import { statSync, unlinkSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, utimes } from 'node:fs/promises'
import { join } from 'node:path'
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
  /** What the column holds: the text itself, or a reference to a file that is on the disk when this resolves. */
  fold(text: string): Promise<string>
  /** The text of a column. Throws STORE_DAMAGED when the file is gone or is not what its name says. */
  unfold(column: string): Promise<string>
  /** Removes files that no row names; returns how many. */
  sweep(read: Kysely<Tables>): Promise<number>
}

export function openBodies(dir: string, clock: Clock): Bodies {
  const folder = join(dir, 'bodies')

  async function fold(text: string): Promise<string> {
    // A UTF-16 unit is at most three bytes, so most texts need no counting.
    if (text.length * 3 <= rowBytes || Buffer.byteLength(text) <= rowBytes) return text
    const hash = hashOf(text)
    await keep(join(folder, hash), text)
    return referenceTo(hash)
  }

  async function keep(path: string, text: string): Promise<void> {
    const now = clock.now() / 1000
    try {
      // Known already: young again, so that a sweep leaves it to the row that comes now.
      await utimes(path, now, now)
      return
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
    if (await mkdir(folder, { recursive: true, mode: 0o700 })) await syncFolder(dir)
    const fresh = `${path}.${randomBytes(6).toString('hex')}.new`
    const file = await open(fresh, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.utimes(now, now)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(fresh, path)
    await syncFolder(folder)
  }

  async function unfold(column: string): Promise<string> {
    const hash = /^\{"body":"([0-9a-f]{64})"\}$/.exec(column)?.[1]
    if (!hash) return column
    const text = await readFile(join(folder, hash), 'utf8').catch(cause => {
      throw new DeputyError('STORE_DAMAGED', `The text ${hash} cannot be read: ${cause.message}`, { cause })
    })
    if (hashOf(text) !== hash) throw new DeputyError('STORE_DAMAGED', `The text ${hash} is not what was written.`)
    return text
  }

  async function sweep(read: Kysely<Tables>): Promise<number> {
    let removed = 0
    for (const name of await readdir(folder).catch(absent)) {
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

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')
const referenceTo = (hash: string) => `{"body":"${hash}"}`
const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code

function absent(error: unknown): string[] {
  if (codeOf(error) === 'ENOENT') return []
  throw error
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
