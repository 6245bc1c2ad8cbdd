/**
 * A login in baileys' folder of many files, taken over into the one file of an account, once.
 *
 * Owns the names of that folder's files (useMultiFileAuthState) and reads them; takes part only where no file of ours is.
 * Invariant: the file of ours is there whole, written beside and renamed, or not there and the folder is read again.
 */
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openKeep } from './keep.ts'
import type { Library } from './library.ts'

/** Longer names first: one begins with another. */
const named =
  /^(app-state-sync-key|app-state-sync-version|sender-key-memory|sender-key|pre-key|session|device-list|lid-mapping|identity-key|tctoken)-(.+)\.json$/

export interface Taking {
  /** The folder is our own copy, and of no use afterwards. */
  remove: boolean
  log(words: string): void
}

/** `path` is the file of ours; the folder is the one it lies in. Never throws for what is in the folder. */
export function takeFolder(path: string, lib: Library, { remove, log }: Taking): void {
  const folder = dirname(path)
  if (existsSync(path)) {
    // Killed before the copies were gone: keys that nobody needs any more.
    if (remove) removeAll(folder)
    return
  }
  if (!existsSync(join(folder, 'creds.json'))) return
  const read = (name: string): unknown => {
    try {
      return JSON.parse(readFileSync(join(folder, name), 'utf8'), lib.BufferJSON.reviver)
    } catch {
      log(`the file ${name} of an imported login cannot be read; it is left out`)
      return undefined
    }
  }
  const creds = read('creds.json') as { account?: unknown; noiseKey?: unknown } | null | undefined
  if (!creds?.account || !creds.noiseKey) return
  const changes: Record<string, Record<string, unknown>> = { creds: { me: creds } }
  for (const name of readdirSync(folder)) {
    const found = nameOf(name)
    if (!found) continue
    const value = read(name)
    if (value !== undefined && value !== null) changes[found.kind] = { ...changes[found.kind], [found.id]: value }
  }
  const part = `${path}.part`
  rmSync(part, { force: true })
  const keep = openKeep(part)
  keep.writeNow(changes)
  void keep.close()
  renameSync(part, path)
  const entry = openSync(folder, 'r')
  fsyncSync(entry)
  closeSync(entry)
  if (remove) removeAll(folder)
}

function removeAll(folder: string): void {
  for (const name of readdirSync(folder))
    if (name === 'creds.json' || nameOf(name)) rmSync(join(folder, name), { force: true })
}

/** baileys writes `__` for `/` and `-` for `:`; only some ids have these at all. */
export function nameOf(file: string): { kind: string; id: string } | null {
  const [, kind = '', name = ''] = named.exec(file) ?? []
  if (kind === '') return null
  if (kind === 'app-state-sync-key') return { kind, id: name.replaceAll('__', '/') }
  // group::user::device, and an old group's name has a dash of its own.
  if (kind === 'sender-key') return { kind, id: name.replace(/--(.+)--(\d+)$/, '::$1::$2') }
  return { kind, id: name }
}
