/**
 * What a command sees of this machine: the arguments for bubblewrap.
 *
 * Owns the list of what is visible and what is not. Never starts anything but `bwrap --version`.
 *
 * A command gets: the workspace, writable, at its own path; /usr and its like, read-only; the few files of /etc that
 * programs need and that hold no secret; /dev, /proc and /tmp of its own; its own process, IPC, host name and user
 * namespace, no capability, no way to another namespace, and no network unless allowed. Home, the state directory, the
 * gateway's processes and environment don't exist for it.
 *
 * Invariants: 1 /proc is read-only: as root the sandboxed user is the machine's root without capabilities, and the kernel
 * lets that user write /proc/sys by file mode alone, which is a way out (kernel.core_pattern). 2 the state directory is
 * covered where it lies under the workspace. 3 the environment goes through a file descriptor, never through bwrap's own
 * environment (LD_PRELOAD would run outside) and never through its command line (other users could read it there).
 *
 * Who it runs as: an ordinary user stays that user. Root becomes uid 65534 in a namespace that maps it onto root, so it
 * still owns the workspace; when the workspace belongs to another user, bwrap itself runs as that user. What a command
 * writes as root's stand-in belongs to root, set-user-id bits included: such a workspace must be out of the reach of other
 * users, as it is under the state directory (0700). The limit on processes does not bind root's stand-in; time does.
 * An allowed network is the machine's own: loopback services and abstract sockets can then be reached.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, lstat, readlink, realpath } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'
import { type Guard, within } from './guard.ts'

export interface Sandbox {
  /** Path of bwrap. */
  program: string
  /** Arguments that stay the same for every command of this machine. */
  fixed: readonly string[]
}

/** Looks for bwrap in PATH; undefined when it is not there. */
export async function findSandbox(): Promise<Sandbox | undefined> {
  for (const folder of (process.env['PATH'] ?? '/usr/bin:/bin').split(delimiter)) {
    const program = join(folder, 'bwrap')
    const there =
      isAbsolute(folder) &&
      (await access(program, constants.X_OK).then(
        () => true,
        () => false,
      ))
    if (!there) continue
    const { stdout } = await promisify(execFile)(program, ['--version'], { env: {} })
    const [major = 0, minor = 0] = (/\d+(\.\d+)*/.exec(stdout)?.[0] ?? '0').split('.').map(Number)
    return { program, fixed: await machineArguments(major > 0 ? 99 : minor) }
  }
  return undefined
}

const systemFolders = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']

const etc = [
  'alternatives',
  'ca-certificates.conf',
  'group',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'mime.types',
  'nsswitch.conf',
  'os-release',
  'passwd',
  'perl',
  'pki/ca-trust/extracted',
  'pki/tls/certs',
  'protocols',
  'services',
  'ssl/certs',
  'ssl/openssl.cnf',
  'timezone',
]
const etcOfNetwork = ['hosts', 'resolv.conf']

/** `minor` of version 0.x: older ones lack two of the options. */
async function machineArguments(minor: number): Promise<string[]> {
  const folders = await Promise.all(systemFolders.map(systemFolder))
  return [
    '--die-with-parent',
    '--new-session',
    '--unshare-user',
    '--unshare-pid',
    '--unshare-ipc',
    '--unshare-uts',
    '--unshare-cgroup-try',
    ...(minor >= 8 ? ['--disable-userns'] : []),
    '--cap-drop',
    'ALL',
    '--ro-bind',
    '/usr',
    '/usr',
    ...folders.flat(),
    ...visible(etc),
    '--proc',
    '/proc',
    '--remount-ro',
    '/proc',
    '--dev',
    '/dev',
    ...scratch(minor, '/tmp'),
    ...scratch(minor, '/var/tmp'),
  ]
}

/** Memory that a command may fill with temporary files, where this bwrap can say it. */
function scratch(minor: number, path: string): string[] {
  return [...(minor >= 7 ? ['--size', String(512 * 1024 * 1024)] : []), '--tmpfs', path]
}

async function systemFolder(path: string): Promise<string[]> {
  const stat = await lstat(path).catch(() => null)
  if (!stat) return []
  return stat.isSymbolicLink() ? ['--symlink', await readlink(path), path] : ['--ro-bind', path, path]
}

function visible(names: readonly string[]): string[] {
  return names.flatMap(name => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`])
}

export interface Inside {
  cwd: string
  env: Readonly<Record<string, string>>
  network: boolean
  /** Folders to show read-only besides; one that holds the state directory, or lies in it, is not shown. */
  tools: readonly string[]
}

/** All arguments for one command. */
export async function commandArguments(sandbox: Sandbox, guard: Guard, inside: Inside): Promise<string[]> {
  const tools = await Promise.all(inside.tools.map(folder => showable(guard, folder)))
  return [
    ...sandbox.fixed,
    ...(inside.network ? visible(etcOfNetwork) : ['--unshare-net']),
    ...(guard.owner?.uid === 0 ? ['--uid', '65534', '--gid', '65534'] : []),
    ...tools.flat().flatMap(folder => ['--ro-bind-try', folder, folder]),
    '--bind',
    guard.root,
    guard.root,
    ...(within(guard.root, guard.state) ? ['--tmpfs', guard.state, '--remount-ro', guard.state] : []),
    '--remount-ro',
    '/',
    '--chdir',
    inside.cwd,
    ...Object.entries(inside.env).flatMap(([name, value]) => ['--setenv', name, value]),
  ]
}

/** The folder, unless it is not there or would show the state directory. */
async function showable(guard: Guard, folder: string): Promise<string[]> {
  const real = await realpath(folder).catch(() => null)
  return real && !within(real, guard.state) && !within(guard.state, real) ? [folder] : []
}
