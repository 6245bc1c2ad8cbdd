/**
 * What an account keeps on disk: small values by kind and id, in one file that only grows at its end.
 *
 * Owns the file (0600). A change is one line, whole or not there: it begins with a checksum of the rest, and whatever
 * follows a line that does not fit it was never written. When too much of the file is out of date, a new one takes its
 * place, written beside it. It knows nothing of what it keeps.
 *
 * Invariants: 1. a change that was told to be written is there after any crash; 2. of one change, all of it or nothing;
 * 3. what `get` gives is a copy: changing it changes nothing that is kept.
 */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  fdatasync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

/** Kind → id → value; null takes it away. Values are JSON, but for bytes. */
export type Changes = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export interface Keep {
  get(kind: string, id: string): unknown
  /** Oldest first. */
  ids(kind: string): string[]
  /** Resolves when it is on disk. */
  write(changes: Changes): Promise<void>
  /** On disk when it returns: for what must not be told before. */
  writeNow(changes: Changes): void
  /** Takes everything away. */
  clear(): void
  /** What was known is still given; nothing is written any more, so that another may open the file. */
  close(): Promise<void>
}

const sync = promisify(fdatasync)
/** Below this a file is not worth writing again. */
const small = 512 * 1024

export function openKeep(path: string): Keep {
  const kinds = new Map<string, Map<string, string>>()
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  let file = openSync(path, 'a+', 0o600)
  chmodSync(path, 0o600)
  let size = load(readFileSync(path), kinds)
  ftruncateSync(file, size)
  let waiting: { done: () => void; failed: (error: unknown) => void }[] = []
  let syncing: Promise<void> | null = null
  let closed = false

  function append(changes: Changes): void {
    if (closed) throw new Error('the login of this account is closed')
    const text = JSON.stringify(changes, asText)
    const line = Buffer.from(`${sum(text)} ${text}\n`)
    for (let at = 0; at < line.length; ) at += writeSync(file, line, at)
    size += line.length
    take(JSON.parse(text), kinds)
  }

  /** The lines of a turn of the loop share one sync. */
  async function syncAll(): Promise<void> {
    while (waiting.length > 0) {
      const these = waiting
      waiting = []
      try {
        await sync(file)
        compact()
        for (const one of these) one.done()
      } catch (error) {
        for (const one of these) one.failed(error)
      }
    }
    syncing = null
  }

  function compact(): void {
    if (size < small || size < 4 * liveSize(kinds)) return
    const fresh = `${path}.new`
    rmSync(fresh, { force: true })
    const next = openSync(fresh, 'a+', 0o600)
    const whole: Record<string, Record<string, unknown>> = {}
    for (const [kind, values] of kinds) {
      whole[kind] = Object.fromEntries([...values].map(([id, value]) => [id, JSON.parse(value)]))
    }
    const text = JSON.stringify(whole)
    const line = Buffer.from(`${sum(text)} ${text}\n`)
    for (let at = 0; at < line.length; ) at += writeSync(next, line, at)
    fsyncSync(next)
    renameSync(fresh, path)
    closeSync(file)
    file = next
    size = line.length
    const folder = openSync(dirname(path), 'r')
    fsyncSync(folder)
    closeSync(folder)
  }

  return {
    get(kind, id) {
      const text = kinds.get(kind)?.get(id)
      return text === undefined ? undefined : JSON.parse(text, asBytes)
    },
    ids: kind => [...(kinds.get(kind)?.keys() ?? [])],
    write(changes) {
      return new Promise((done, failed) => {
        append(changes)
        waiting.push({ done, failed })
        syncing ??= syncAll()
      })
    },
    writeNow(changes) {
      append(changes)
      fdatasyncSync(file)
    },
    clear() {
      kinds.clear()
      ftruncateSync(file, 0)
      size = 0
      fdatasyncSync(file)
    },
    async close() {
      if (closed) return
      closed = true
      await syncing
      closeSync(file)
    },
  }
}

/** Where an account's file lies in its folder. */
export const keepPath = (stateDir: string): string => join(stateDir, 'whatsapp.log')

/** The length of what is whole. */
function load(bytes: Buffer, kinds: Map<string, Map<string, string>>): number {
  let at = 0
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
    const line = bytes.toString('utf8', at, end)
    const text = line.slice(17)
    if (line.slice(0, 16) !== sum(text)) break
    take(JSON.parse(text), kinds)
    at = end + 1
  }
  return at
}

function take(changes: Changes, kinds: Map<string, Map<string, string>>): void {
  for (const [kind, values] of Object.entries(changes)) {
    const kept = kinds.get(kind) ?? new Map<string, string>()
    kinds.set(kind, kept)
    for (const [id, value] of Object.entries(values)) {
      if (value === null) kept.delete(id)
      else kept.set(id, JSON.stringify(value))
    }
  }
}

function liveSize(kinds: Map<string, Map<string, string>>): number {
  let size = 0
  for (const values of kinds.values()) for (const [id, value] of values) size += id.length + value.length
  return size
}

const sum = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)

/** Bytes, in whatever form they come (a Buffer turns itself into an object before it gets here). */
function asText(this: unknown, name: string, value: unknown): unknown {
  const raw = (this as Record<string, unknown>)[name]
  if (raw === undefined) return value === undefined ? null : value
  return raw instanceof Uint8Array ? { '~bytes': Buffer.from(raw).toString('base64') } : value
}

function asBytes(_name: string, value: unknown): unknown {
  const text = (value as { '~bytes'?: unknown } | null)?.['~bytes']
  return typeof text === 'string' ? Buffer.from(text, 'base64') : value
}
