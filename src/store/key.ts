/**
 * The gateway's own key, from which device tokens are made (decisions.md 18): 32 random bytes in `gateway.key`, mode 0600.
 *
 * Owns that file and nothing else. The key stands in no row, so that a copy of the database opens no door. The caller
 * holds the home lock.
 */
import { randomBytes } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { DeputyError } from '../protocol/errors.ts'

const keyBytes = 32

/** Reads the key of a home and makes it the first time. Throws HOME_UNWRITABLE when the file is not what it should be. */
export async function gatewayKey(dir: string): Promise<Buffer> {
  const path = join(dir, 'gateway.key')
  try {
    return (await read(path)) ?? (await make(path))
  } catch (cause) {
    if (cause instanceof DeputyError) throw cause
    throw new DeputyError('HOME_UNWRITABLE', `${path}: ${(cause as Error).message}`, { cause })
  }
}

async function read(path: string): Promise<Buffer | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return null
  const key = Buffer.from(text.trim(), 'base64url')
  if (key.length === keyBytes) return key
  throw new DeputyError('HOME_UNWRITABLE', `${path} does not hold a key.`, {
    fix: 'Put it back from a backup, or remove it: a new key is made, and every device pairs again.',
  })
}

async function make(path: string): Promise<Buffer> {
  const key = randomBytes(keyBytes)
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(`${key.toString('base64url')}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  return key
}
