/**
 * Files that people send: fetched once the message is let in, looked at, kept where the agent's tools can read them.
 *
 * Owns the folder `inbox` of an agent's workspace: one file a content, named by its hash, 0600, never unpacked and never run.
 * What a file is, its content says: names and claimed types are words of a stranger. Invariants: nothing beyond the limit is
 * read; a file is whole on the disk before the message that names it is a row.
 */
import { createHash } from 'node:crypto'
import { open, rename, stat, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { InboundMedia } from '../core/chat.ts'
import type { Part } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { plainName } from '../router/words.ts'
import type { Log } from './types.ts'

/** Of one message; further ones are only named. */
const mostFiles = 10
/** Providers take no larger pictures, and sound of that length is long enough. */
const largestShown = 5_000_000
const pictures = ['image/png', 'image/jpeg', 'image/webp', 'image/gif']
const sounds = ['audio/ogg', 'audio/mpeg', 'audio/wav', 'audio/aac', 'audio/flac', 'audio/aiff']
const fetchMs = 60_000

export interface Inbox {
  /** What the agent is told and shown of the files of one message. Never rejects for a file: what went wrong is said. */
  take(media: readonly InboundMedia[], at: { workspace: string; maxBytes: number }): Promise<Part[]>
}

export function openInbox(log: Log): Inbox {
  async function one(media: InboundMedia, at: { workspace: string; maxBytes: number }): Promise<Part[]> {
    const name = plainName(media.name, media.kind)
    const what = media.voice ? 'voice message' : media.kind === 'document' ? 'file' : media.kind
    const tooLarge = [note(what, name, `it is too large: at most ${megabytes(at.maxBytes)} are taken`)]
    if (media.bytes !== null && media.bytes > at.maxBytes) return tooLarge
    let data: Uint8Array
    try {
      data = await media.read(at.maxBytes, AbortSignal.timeout(fetchMs))
    } catch (error) {
      if (error instanceof DeputyError && error.code === 'MEDIA_TOO_LARGE') return tooLarge
      log('warn', 'a file of a message could not be fetched', { error: words(error) })
      return [note(what, name, 'it could not be fetched')]
    }
    if (data.byteLength > at.maxBytes) return tooLarge
    const type = await typeOf(data)
    const path = await keep(at.workspace, data, type.ext)
    const claimed = media.mimeType.split(';')[0]?.trim().toLowerCase() ?? ''
    const odd = claimed !== '' && kindOf(claimed) !== kindOf(type.mime) ? `, sent as ${plainName(claimed, '?')}` : ''
    const told = note(what, name, `${type.mime}${odd}, ${size(data.byteLength)}, saved as ${path}`)
    const shown = pictures.includes(type.mime) ? 'image' : sounds.includes(type.mime) ? 'audio' : null
    if (shown === null || data.byteLength > largestShown) return [told]
    return [told, { type: shown, mimeType: type.mime, data: Buffer.from(data).toString('base64') }]
  }

  return {
    async take(media, at) {
      const parts: Part[] = []
      for (const each of media.slice(0, mostFiles)) parts.push(...(await one(each, at)))
      for (const each of media.slice(mostFiles))
        parts.push(note('file', plainName(each.name, each.kind), `it was not read: ${mostFiles} of one message are`))
      return parts
    },
  }
}

function note(what: string, name: string, about: string): Part {
  return { type: 'text', text: `\n[${what}: ${name}: ${about}]` }
}

/** By content. Text has no mark of its own: it is what can be read as such. */
async function typeOf(data: Uint8Array): Promise<{ mime: string; ext: string }> {
  const { fileTypeFromBuffer } = await import('file-type')
  const found = await fileTypeFromBuffer(data)
  // Without what follows: `audio/ogg; codecs=opus`.
  if (found) return { mime: found.mime.split(';')[0]!, ext: found.ext }
  return isText(data) ? { mime: 'text/plain', ext: 'txt' } : { mime: 'application/octet-stream', ext: 'bin' }
}

function isText(data: Uint8Array): boolean {
  if (data.includes(0)) return false
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(data)
    return true
  } catch {
    return false
  }
}

async function keep(workspace: string, data: Uint8Array, ext: string): Promise<string> {
  const name = `${createHash('sha256').update(data).digest('hex').slice(0, 24)}.${ext}`
  const folder = join(workspace, 'inbox')
  const path = join(folder, name)
  const known = await stat(path).catch(() => null)
  if (known?.isFile() && known.size === data.byteLength) return `inbox/${name}`
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const draft = `${path}.part`
  // A link that a tool has put there is not followed.
  await rm(draft, { force: true })
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(data)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  return `inbox/${name}`
}

function kindOf(mime: string): string {
  return mime.split('/')[0] ?? mime
}

function size(bytes: number): string {
  return bytes < 1000 ? `${bytes} bytes` : bytes < 1_000_000 ? `${Math.round(bytes / 1000)} kB` : megabytes(bytes)
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 100_000) / 10} MB`
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
