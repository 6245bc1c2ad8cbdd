/**
 * Which files a tool may touch: those of the workspace, never those of the state directory.
 *
 * Owns: resolving a model's path, refusing links that lead out, and opening without a gap between the check and the use.
 * Never reads or writes content.
 * Invariants: 1 what is opened is checked after it is open, by the kernel's own name for it (/proc/self/fd), so a folder
 * swapped for a link in between is refused. 2 a name is created, renamed or removed only inside a folder that is open and
 * checked, through that open folder. 3 a workspace may lie under the state directory, and then is all of it that can be
 * seen; a state directory under the workspace can't be seen at all.
 * Where there is no /proc (not Linux) the check after opening compares device and inode of the path instead.
 */
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readlink, realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { DeputyError } from '../protocol/errors.ts'

export interface Guard {
  /** Real path of the workspace. */
  root: string
  /** Real path of the state directory. */
  state: string
  /** The workspace as configured: models may write paths with it. */
  configured: string
  /** Who new files belong to when the gateway runs as root; null otherwise. */
  owner: { uid: number; gid: number } | null
}

const procfs = process.platform === 'linux'

/** `folder` narrows the workspace to a part of it. What the folder's name leads to is settled here, once. */
export async function makeGuard(workspace: string, stateDir: string, folder = ''): Promise<Guard> {
  const whole = await guardOf(resolve(workspace), stateDir)
  if (folder === '') return whole
  const root = await resolveInside(whole, folder)
  regularFolder(await lstat(root), folder)
  return { ...whole, root, configured: join(whole.configured, folder) }
}

function regularFolder(stat: Kinds, path: string): void {
  if (!stat.isDirectory())
    throw new DeputyError('TOOL_FAILED', `${JSON.stringify(path)} is a ${kindOf(stat)}, not a folder.`, {
      fix: 'Name a folder of the workspace.',
    })
}

async function guardOf(configured: string, stateDir: string): Promise<Guard> {
  const root = await realpath(configured).catch(error => {
    throw new DeputyError('TOOL_FAILED', 'The workspace folder is not there.', { cause: error })
  })
  const state = await realNearest(resolve(stateDir))
  if (root === state || root === dirname(root))
    throw new DeputyError('TOOL_OUTSIDE_WORKSPACE', 'The workspace is the state directory or the whole machine.', {
      fix: 'Give the agent a folder of its own: agents.entries.<agent>.workspace in the configuration.',
    })
  const { uid, gid } = await lstat(root)
  return { root, state, configured, owner: process.getuid?.() === 0 ? { uid, gid } : null }
}

/** True for the folder itself and for everything below it. */
export function within(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}

export function allows(guard: Guard, real: string): boolean {
  if (!within(guard.root, real)) return false
  return !within(guard.state, real) || within(guard.state, guard.root)
}

/** The path as people read it: relative to the workspace. */
export function shown(guard: Guard, real: string): string {
  return relative(guard.root, real) || '.'
}

/** Absolute, without `.` and `..`, and as far as names go inside the workspace; links are not looked at. */
export function lexical(guard: Guard, path: string): string {
  if (path.includes('\0')) throw outside(path)
  const full = isAbsolute(path) ? resolve(path) : resolve(guard.root, path)
  if (within(guard.root, full)) return full
  if (within(guard.configured, full)) return join(guard.root, relative(guard.configured, full))
  throw outside(path)
}

function outside(path: string): DeputyError {
  return new DeputyError('TOOL_OUTSIDE_WORKSPACE', `${JSON.stringify(path.slice(0, 200))} lies outside the workspace.`)
}

/** The real path of something that exists and may be touched. */
export async function resolveInside(guard: Guard, path: string): Promise<string> {
  const real = await realpath(lexical(guard, path))
  if (!allows(guard, real)) throw outside(path)
  return real
}

/** Opens a regular file for reading. Special files are refused before they are opened and again after. */
export async function openFile(
  guard: Guard,
  path: string,
): Promise<{ file: FileHandle; real: string; size: number; mode: number }> {
  const real = await resolveInside(guard, path)
  regular(await lstat(real), path)
  const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    await pinned(guard, file, real, path)
    const stat = await file.stat()
    regular(stat, path)
    return { file, real, size: stat.size, mode: stat.mode }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Throws with the kind of thing it is, unless it is a regular file. */
export function regular(stat: Kinds, path: string): void {
  if (stat.isFile()) return
  const fix = stat.isDirectory() ? 'Use ls for a folder.' : 'Only regular files can be read or written.'
  throw new DeputyError('TOOL_FAILED', `${JSON.stringify(path)} is a ${kindOf(stat)}.`, { fix })
}

interface Kinds {
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
  isFIFO(): boolean
  isSocket(): boolean
}

export function kindOf(stat: Kinds): string {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'folder'
  if (stat.isSymbolicLink()) return 'link'
  if (stat.isFIFO()) return 'named pipe'
  return stat.isSocket() ? 'socket' : 'device'
}

/** A folder that is open and checked; `at(name)` names an entry of it whatever happens to its path. */
export interface Folder extends AsyncDisposable {
  handle: FileHandle
  real: string
  at(name: string): string
}

const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

async function pin(guard: Guard, real: string, path: string, openAs = real): Promise<Folder> {
  const handle = await open(openAs, folderFlags)
  try {
    await pinned(guard, handle, real, path)
  } catch (error) {
    await handle.close()
    throw error
  }
  return {
    handle,
    real,
    at: name => (procfs ? `/proc/self/fd/${handle.fd}/${name}` : join(real, name)),
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

export async function openFolder(guard: Guard, path: string): Promise<Folder> {
  return pin(guard, await resolveInside(guard, path), path)
}

/**
 * The folder that a file is or will be in, open, and the file's name there. Makes missing folders when `create` is set.
 * A link to a file inside the workspace is followed, so writing through it keeps the link.
 */
export async function openParent(
  guard: Guard,
  path: string,
  create: boolean,
): Promise<{ folder: Folder; name: string }> {
  const full = lexical(guard, path)
  if (full === guard.root)
    throw new DeputyError('TOOL_FAILED', 'The path is the workspace itself.', { fix: 'Name a file in it.' })
  const real = await realpath(full).catch(missing)
  if (real) {
    if (!allows(guard, real)) throw outside(path)
    return { folder: await pin(guard, dirname(real), path), name: basename(real) }
  }
  if (await lstat(full).catch(missing))
    throw new DeputyError('TOOL_FAILED', `${JSON.stringify(path)} is a link to nothing.`, {
      fix: 'Name the file itself.',
    })
  const steps: string[] = []
  let there = dirname(full)
  let base = await realpath(there).catch(missing)
  while (!base) {
    // A dangling link in the middle must not be taken for a missing folder.
    if (!create || (await lstat(there).catch(missing))) throw outside(path)
    steps.unshift(basename(there))
    there = dirname(there)
    base = await realpath(there).catch(missing)
  }
  if (!allows(guard, base)) throw outside(path)
  let folder = await pin(guard, base, path)
  for (const step of steps) {
    await using above = folder
    await mkdir(above.at(step)).then(
      () => own(guard, above, step),
      error => {
        if (error.code !== 'EEXIST') throw error
      },
    )
    folder = await pin(guard, join(above.real, step), path, above.at(step))
  }
  return { folder, name: basename(full) }
}

async function own(guard: Guard, above: Folder, name: string): Promise<void> {
  if (!guard.owner) return
  await using made = await pin(guard, join(above.real, name), name, above.at(name))
  await made.handle.chown(guard.owner.uid, guard.owner.gid)
}

function missing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}

/** Checks an open file by where it truly is now. */
async function pinned(guard: Guard, handle: FileHandle, real: string, path: string): Promise<void> {
  if (procfs) {
    if (!allows(guard, await readlink(`/proc/self/fd/${handle.fd}`))) throw outside(path)
    return
  }
  const [opened, named] = await Promise.all([handle.stat(), lstat(await realpath(real))])
  if (opened.ino !== named.ino || opened.dev !== named.dev) throw outside(path)
}

/** Real path of the nearest ancestor that exists, and the rest as it is written. */
async function realNearest(path: string): Promise<string> {
  const real = await realpath(path).catch(missing)
  if (real || path === dirname(path)) return real ?? path
  return join(await realNearest(dirname(path)), basename(path))
}
