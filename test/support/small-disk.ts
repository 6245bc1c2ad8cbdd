/**
 * A small file system of its own over a folder, in a mount namespace that a helper process holds, so that it survives the
 * programs on it. Needs a kernel that lets users have namespaces: `canMount` says whether this one does.
 *
 * Owns the helper process. What is on the disk is reached from outside through the helper's root.
 */
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, fstatSync, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const holding = (folder: string, size: string) => [
  '-rm',
  'sh',
  '-c',
  `mount -t tmpfs -o size=${size},mode=700 none ${folder} && echo held && exec sleep 1000000`,
]

export function canMount(): boolean {
  return spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'none', '/mnt'], { stdio: 'ignore' }).status === 0
}

export interface SmallDisk {
  /** Put before a command that is to see it. */
  wrap: readonly string[]
  /** The folder as this process reaches it. */
  path: string
  /** Takes what is left but so many blocks of 4 kB. */
  fill(blocks?: number): void
  free(): void
  /** Bytes that are left. */
  left(): number
  remove(): void
}

export async function smallDisk(folder: string, size: string): Promise<SmallDisk> {
  const holder = spawn('unshare', holding(folder, size), { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve())
    holder.once('exit', code => reject(new Error(`no small disk: unshare ended with ${code}`)))
  })
  const path = `/proc/${holder.pid}/root${folder}`
  const filler = join(path, 'filler')
  return {
    wrap: ['nsenter', '-t', String(holder.pid), '-U', '-m', '--preserve-credentials', '--'],
    path,
    fill(blocks = 0) {
      const file = openSync(filler, 'a')
      try {
        for (const block of [Buffer.alloc(256 * 1024), Buffer.alloc(4096)]) while (wrote(file, block));
        ftruncateSync(file, fstatSync(file).size - blocks * 4096)
      } finally {
        closeSync(file)
      }
    },
    free: () => rmSync(filler, { force: true }),
    left() {
      const { bavail, bsize } = statfsSync(path)
      return bavail * bsize
    },
    remove: () => void holder.kill('SIGKILL'),
  }
}

function wrote(file: number, block: Buffer): boolean {
  try {
    return writeSync(file, block) > 0
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false
    throw error
  }
}
