/**
 * The state directory: where everything under it is, and whether it is safe to use.
 *
 * Owns the names of files and directories under the home, its making and its modes. Never reads the configuration.
 * Invariants: a home belongs to the user of this process and nobody else can enter it (0700); a directory that is somebody
 * else's or holds other things is never changed.
 */
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { DeputyError } from '../protocol/errors.ts'

/** Absolute paths. Functions take an agent id as agentIds() gives it. */
export interface Home {
  dir: string
  /** The user's own home, for `~`. */
  user: string
  config: string
  lastGood: string
  envFile: string
  database: string
  lock: string
  pidfile: string
  socket: string
  logs: string
  /** Contents over 64 kB, named by hash. */
  bodies: string
  agents: string
  agentDir(id: string): string
  authProfiles(id: string): string
  /** Where an agent works unless the configuration says otherwise: `workspace`, or `workspace-<id>` beside it. */
  workspace(id: string, isDefault: boolean): string
}

type Env = Readonly<Record<string, string | undefined>>

/** `home` or `config` as given on the command line win over DEPUTY_HOME and DEPUTY_CONFIG_PATH; else `~/.deputy`. */
export function homeOf(options: { home?: string | undefined; config?: string | undefined; env: Env }): Home {
  const user = options.env['HOME'] || homedir()
  const dir = resolve(expand(options.home || options.env['DEPUTY_HOME'] || '~/.deputy', user, process.cwd()))
  const named = options.config || options.env['DEPUTY_CONFIG_PATH']
  const config = named ? resolve(expand(named, user, process.cwd())) : join(dir, 'deputy.json')
  const agents = join(dir, 'agents')
  return {
    dir,
    user,
    config,
    lastGood: join(dir, 'deputy.json.last-good'),
    envFile: join(dir, '.env'),
    database: join(dir, 'deputy.sqlite'),
    lock: join(dir, 'home.lock'),
    pidfile: join(dir, 'deputy.pid'),
    socket: join(dir, 'deputy.sock'),
    logs: join(dir, 'logs'),
    bodies: join(dir, 'bodies'),
    agents,
    agentDir: id => join(agents, id),
    authProfiles: id => join(agents, id, 'auth-profiles.json'),
    workspace: (id, isDefault) => join(dir, isDefault ? 'workspace' : `workspace-${id}`),
  }
}

/** Folder of what a service wants kept; ids are words of the configuration. */
export function accountDir(dir: string, channel: string, account: string): string {
  return join(dir, 'channels', channel, encodeURIComponent(account).replace(/^\.+/, '_'))
}

/** `~` and `~/…` are the user's home; anything else that is not absolute is taken from `from`. */
export function expand(path: string, user: string, from: string): string {
  if (path === '~' || path.startsWith('~/')) return join(user, path.slice(1))
  return isAbsolute(path) ? path : resolve(from, path)
}

const marks = ['deputy.json', 'deputy.sqlite', 'home.lock']

/**
 * Makes the home if it is missing (0700) and tightens a loose mode. Returns what was changed, in words, for the log.
 * Throws `HOME_UNWRITABLE` when it can't be made or written, is no directory, belongs to somebody else, or is shared and not ours.
 */
export function prepareHome(home: Home): string[] {
  const { dir } = home
  try {
    makeDirectories(dir)
  } catch (cause) {
    throw unusable(dir, `It cannot be made: ${reason(cause)}.`, undefined, cause)
  }
  const changed = tighten(dir)
  try {
    accessSync(dir, constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw unusable(dir, `It cannot be written: ${reason(cause)}.`, undefined, cause)
  }
  return changed
}

function tighten(dir: string): string[] {
  const facts = statSync(dir)
  ownedByUs(facts, dir, 'HOME_UNWRITABLE')
  if (dirname(realpathSync(dir)) === realpathSync(dir)) throw unusable(dir, 'It is the root of the file system.')
  if ((facts.mode & 0o077) === 0 && (facts.mode & 0o700) === 0o700) return []
  const content = readdirSync(dir)
  if (content.length > 0 && !content.some(name => marks.includes(name)))
    throw unusable(
      dir,
      `Other users can enter it and it holds other things than Deputy's.`,
      `Name an empty or a new directory with --home, or close this one yourself: chmod 700 ${dir}`,
    )
  try {
    chmodSync(dir, 0o700)
  } catch (cause) {
    throw unusable(dir, `Its mode cannot be changed: ${reason(cause)}.`, undefined, cause)
  }
  return [`${dir} could be entered by other users (mode ${(facts.mode & 0o777).toString(8)}); it is 0700 now`]
}

/** Makes a directory under the home (0700). Throws `HOME_UNWRITABLE`. */
export function ensureDir(path: string): string {
  try {
    makeDirectories(path)
  } catch (cause) {
    throw unusable(path, `It cannot be made: ${reason(cause)}.`, undefined, cause)
  }
  return path
}

/** One by one and each 0700, since mkdir's own recursion never ends in a file system such as /proc. */
function makeDirectories(path: string): void {
  const facts = statSync(path, { throwIfNoEntry: false })
  if (facts?.isDirectory()) return
  if (!facts) makeDirectories(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    // Somebody else made it in between, or a file is there.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error
  }
}

/**
 * Closes a file to others (0600) when it is ours; says so in words, or returns null. A link is followed, since people keep
 * configuration files elsewhere; what counts is the file it leads to. Throws `CONFIG_UNREADABLE` when it is somebody else's.
 */
export function closeFile(path: string): string | null {
  const facts = statSync(path)
  if (!facts.isFile())
    throw new DeputyError('CONFIG_UNREADABLE', `${path} is not a file.`, {
      fix: 'Put a file there, or name another with --config.',
    })
  ownedByUs(facts, path, 'CONFIG_UNREADABLE')
  if ((facts.mode & 0o077) === 0 || facts.uid !== process.getuid?.()) return null
  chmodSync(path, 0o600)
  return `${path} could be read by other users (mode ${(facts.mode & 0o777).toString(8)}); it is 0600 now`
}

/** Our own or root's: whoever can write it decides what this process does. */
function ownedByUs(facts: Stats, path: string, code: 'HOME_UNWRITABLE' | 'CONFIG_UNREADABLE'): void {
  const us = process.getuid?.()
  if (us === undefined || facts.uid === us || (facts.uid === 0 && code === 'CONFIG_UNREADABLE')) return
  throw new DeputyError(code, `${path} belongs to user ${facts.uid}, and this process runs as user ${us}.`, {
    fix: `Run Deputy as user ${facts.uid}, or give it to this one: chown -R ${us} ${path}`,
    details: { path, owner: facts.uid, user: us },
  })
}

/** Whether anything is at `path`, a broken link included. Throws the system's error when the way there is blocked. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

export function reason(error: unknown): string {
  const code = (error as { code?: unknown }).code
  if (code === 'EACCES' || code === 'EPERM') return 'no permission'
  if (code === 'EROFS') return 'the file system is read-only'
  if (code === 'ENOSPC') return 'the disk is full'
  if (code === 'ENOTDIR' || code === 'EEXIST') return 'a file is in the way'
  if (code === 'ELOOP') return 'links lead in a circle'
  if (code === 'ENAMETOOLONG') return 'the path is too long'
  if (code === 'ENOENT') return 'it is not there'
  return error instanceof Error ? error.message : String(error)
}

function unusable(path: string, why: string, fix?: string, cause?: unknown): DeputyError {
  return new DeputyError('HOME_UNWRITABLE', `The state directory ${path} cannot be used. ${why}`, {
    details: { path },
    ...(fix && { fix }),
    ...(cause !== undefined && { cause }),
  })
}
