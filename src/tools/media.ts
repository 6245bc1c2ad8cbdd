/**
 * Files on their way out: copied from a workspace into the gateway's own media folder, where nothing changes them any more.
 *
 * Owns the copy: what may be read (guard.ts), how large it may be, what it truly is (by its content, not by its name).
 * Invariants: a copy is named by its hash, complete, and readable by the gateway only; the same file is kept once.
 */
import { createHash, randomUUID } from 'node:crypto'
import { link, mkdir, open, unlink, utimes } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import type { OutboundMedia } from '../core/chat.ts'
import { DeputyError } from '../protocol/errors.ts'
import { type Guard, openFile, shown } from './guard.ts'

/** The least that all services take. */
export const mostBytes = 50 * 1024 * 1024
export const mostFiles = 10

/** Types of texts, which have no signature: by their name. */
const texts: Readonly<Record<string, string>> = {
  '.txt': 'text/plain',
  '.log': 'text/plain',
  '.md': 'text/markdown',
  '.csv': 'text/csv',
  '.json': 'application/json',
  '.html': 'text/html',
  '.svg': 'image/svg+xml',
}

export async function copyOut(guard: Guard, stateDir: string, path: string, voice = false): Promise<OutboundMedia> {
  const { file, real, size } = await openFile(guard, path)
  try {
    if (size === 0) throw refused('is empty', path, 'Write it first.')
    if (size > mostBytes) throw refused(`has ${size} bytes`, path, `At most ${mostBytes} can be sent.`)
    const content = await file.readFile()
    if (content.length > mostBytes) throw refused('grows while it is read', path, 'Send it when it is finished.')
    const mimeType = await typeOf(content, real)
    const kind = kindOf(mimeType)
    return {
      path: await keep(stateDir, content),
      name: basename(shown(guard, real)),
      mimeType,
      bytes: content.length,
      kind,
      voice: voice && kind === 'audio',
    }
  } finally {
    await file.close()
  }
}

function refused(what: string, path: string, fix: string): DeputyError {
  return new DeputyError('TOOL_FAILED', `${JSON.stringify(path.slice(0, 200))} ${what}.`, { fix })
}

export const outboundFolder = (stateDir: string) => join(stateDir, 'media', 'outbound')

async function keep(stateDir: string, content: Buffer): Promise<string> {
  const folder = outboundFolder(stateDir)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, createHash('sha256').update(content).digest('hex'))
  const draft = `${path}.${randomUUID()}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  // Complete from the moment that it has its name; one that is there already is the same, and is made young again, so that
  // it is left to the row that comes now. One that was tidied away between the two is put there once more.
  while (!(await unless('EEXIST', link(draft, path)))) {
    const now = new Date()
    if (await unless('ENOENT', utimes(path, now, now))) break
  }
  await unlink(draft)
  return path
}

/** Whether it was done; false when it was not for this reason. */
async function unless(code: string, work: Promise<void>): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== code) throw error
    return false
  }
}

async function typeOf(content: Buffer, real: string): Promise<string> {
  const { fileTypeFromBuffer } = await import('file-type')
  const known = await fileTypeFromBuffer(content)
  if (known) return known.mime
  if (content.subarray(0, 8192).includes(0)) return 'application/octet-stream'
  return texts[extname(real).toLowerCase()] ?? 'text/plain'
}

/** A drawing with scripts in it is no picture to a service. */
function kindOf(mimeType: string): OutboundMedia['kind'] {
  if (/^image\/(?!svg)/.test(mimeType)) return 'image'
  const [family] = mimeType.split('/')
  return family === 'audio' || family === 'video' ? family : 'document'
}
