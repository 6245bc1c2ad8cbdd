/**
 * Which process listens on a TCP port of this machine, from /proc, as far as it may be read. Owns nothing; best effort:
 * another user's process shows as null, and so does every process where there is no /proc.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface PortOwner {
  pid: number
  /** Its command line, cut to 200 characters. */
  command: string
}

/** State of a listening socket in /proc/net/tcp. */
const listening = '0A'

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Gone or not ours: as if it were not there.
    return ''
  }
}

function inodesOf(port: number): Set<string> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const inodes = new Set<string>()
  for (const line of `${read('/proc/net/tcp')}\n${read('/proc/net/tcp6')}`.split('\n')) {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
    if (state === listening && local.endsWith(`:${hex}`) && inode) inodes.add(`socket:[${inode}]`)
  }
  return inodes
}

function holds(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some(fd => inodes.has(linkOf(`/proc/${pid}/fd/${fd}`)))
  } catch {
    // Another user's process.
    return false
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    // Closed meanwhile.
    return ''
  }
}

export function portOwner(port: number): PortOwner | null {
  const inodes = inodesOf(port)
  if (inodes.size === 0) return null
  const pid = readdirSync('/proc').find(name => /^\d+$/.test(name) && holds(name, inodes))
  if (pid === undefined) return null
  const command = read(`/proc/${pid}/cmdline`).replace(/\0/g, ' ').trim().slice(0, 200)
  return { pid: Number(pid), command: command || read(`/proc/${pid}/comm`).trim() }
}
