/**
 * How configuration files reach the disk: whole or not at all, 0600, the versions before kept.
 *
 * Never checks content. Invariants: a reader sees the old file or the new one; a link stays a link and its target changes;
 * the five versions before stay as `.bak`, `.bak.1` … `.bak.4`.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, copyFile, open, realpath, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DeputyError } from '../protocol/errors.ts'
import { ensureDir, reason } from './home.ts'

const backups = 5

/** Throws `CONFIG_UNREADABLE` or `DISK_FULL`; the old file is untouched then. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const target = await targetOf(path)
  ensureDir(dirname(target))
  const part = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.part`)
  try {
    const file = await open(
      part,
      constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW,
      0o600,
    )
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, target)
    await syncDirectory(dirname(target))
  } catch (cause) {
    await rm(part, { force: true })
    throw unwritable(path, cause)
  }
}

/** Keeps the file as it is now as `.bak`, and the four before it. */
export async function keepBackup(path: string): Promise<void> {
  const name = (age: number) => (age === 0 ? `${path}.bak` : `${path}.bak.${age}`)
  try {
    for (let age = backups - 2; age >= 0; age--) await moveIfThere(name(age), name(age + 1))
    // A copy and not a rename: the file itself must never be missing.
    await copyFile(path, name(0), constants.COPYFILE_EXCL)
    await chmod(name(0), 0o600)
  } catch (cause) {
    throw unwritable(name(0), cause)
  }
}

async function moveIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
  }
}

async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return path
    throw unwritable(path, error)
  }
}

/** Without it the rename may be undone by a power cut. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function unwritable(path: string, cause: unknown): DeputyError {
  if ((cause as { code?: string }).code === 'ENOSPC')
    return new DeputyError(
      'DISK_FULL',
      `${path} cannot be written: the disk is full. The file before it is unchanged.`,
      { cause },
    )
  return new DeputyError(
    'CONFIG_UNREADABLE',
    `${path} cannot be written: ${reason(cause)}. The file before it is unchanged.`,
    {
      fix: 'Check that the file and its directory belong to you and can be written.',
      details: { path },
      cause,
    },
  )
}
