/**
 * The database file: made whole or not at all, looked at before it is written to, opened with the settings that can't be
 * changed later (decisions.md 28 and 29).
 *
 * Owns pragmas and the reasons not to open. Never mends, empties or replaces a file: what it refuses stays byte-identical.
 */
import { closeSync, existsSync, fsyncSync, lstatSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DeputyError } from '../protocol/errors.ts'
import { makeConnection, makeHandles } from './dialect.ts'
import { applicationId, inspect } from './integrity.ts'
import { migrate, newestVersion } from './migrations.ts'
import { sqliteSpelling } from './schema.ts'
import { damaged, failureOf } from './trouble.ts'

/** The log may keep this much after a checkpoint. */
export const walLimit = 64 * 1024 * 1024
/** How long a read may block for a lock: a checkpoint's last moment holds one. The writer never blocks, it comes again. */
const busyMs = 100

export const databasePath = (dir: string) => join(dir, 'deputy.sqlite')

export interface Files {
  writer: DatabaseSync
  reader: DatabaseSync
  /** The last stop was no clean one: what the log held was kept, and the file deserves a look. */
  unclean: boolean
}

/** Opens the database of an existing home, making it first if there is none. Throws STORE_* and HOME_UNWRITABLE. */
export async function openFiles(dir: string): Promise<Files> {
  const path = databasePath(dir)
  const unclean = sizeOf(`${path}-wal`) > 0
  checkKind(path)
  if (!existsSync(path)) {
    // A log without its file: what it holds would be mixed into a new file.
    if (unclean) throw damaged(`${path} is gone and its log is still there`)
    await create(path)
  }
  const open: DatabaseSync[] = []
  try {
    const reader = new DatabaseSync(path, { readOnly: true, timeout: busyMs })
    open.push(reader)
    const version = inspect(reader, path)
    const writer = openWriter(path)
    open.push(writer)
    if (version < newestVersion) await upgrade(writer, version)
    return { writer, reader, unclean }
  } catch (error) {
    for (const db of open) db.close()
    throw failureOf(error)?.error ?? error
  }
}

/** A link to a disk that is not there must not become a new, empty database. */
function checkKind(path: string): void {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there && !there.isFile()) throw damaged(`${path} is not a file`)
  if (!there && lstatSync(path, { throwIfNoEntry: false })) throw damaged(`${path} is a link to what is not there`)
}

/** Under another name until it is whole, so that an empty file under the right name is always damage. */
async function create(path: string): Promise<void> {
  const fresh = `${path}.new`
  for (const end of ['', '-wal', '-shm', '-journal']) rmSync(fresh + end, { force: true })
  try {
    closeSync(openSync(fresh, 'wx', 0o600))
  } catch (cause) {
    throw new DeputyError('HOME_UNWRITABLE', `${fresh} cannot be written: ${(cause as Error).message}`, { cause })
  }
  const db = new DatabaseSync(fresh)
  try {
    // Nobody relies on the file before it has its name, so it goes to the disk once, as a whole.
    db.exec('pragma synchronous = off; pragma journal_mode = memory')
    db.exec(`pragma page_size = 8192; pragma auto_vacuum = incremental; pragma application_id = ${applicationId}`)
    await upgrade(db, 0)
    db.exec('pragma journal_mode = wal')
  } finally {
    db.close()
  }
  sync(fresh)
  renameSync(fresh, path)
  sync(dirname(path))
}

function openWriter(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: false })
  // Sixteen megabytes of pages: what a full group changes, so that none is written before its commit.
  // What a savepoint would put back stays in memory too: SQLite makes a file for more than 64 kB of it.
  db.exec('pragma synchronous = full; pragma cache_size = -16000; pragma temp_store = memory')
  db.exec(`pragma wal_autocheckpoint = 0; pragma journal_size_limit = ${walLimit}`)
  return db
}

async function upgrade(db: DatabaseSync, version: number): Promise<void> {
  const handle = makeHandles(makeConnection(db))()
  db.exec('begin immediate')
  try {
    await migrate(handle.db, sqliteSpelling, version)
    db.exec(`pragma user_version = ${newestVersion}; commit`)
  } catch (error) {
    if (db.isTransaction) db.exec('rollback')
    throw error
  } finally {
    handle.end(() => new DeputyError('STORE_CLOSED', 'The migration has ended.'))
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function sync(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
