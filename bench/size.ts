/**
 * How much disk an installation takes, in blocks as du counts them; a file with several names counts once.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Megabytes of 2^20 bytes below the given paths; a path that is not there weighs nothing. */
export function diskMb(paths: readonly string[]): number {
  const counted = new Set<number>()
  const bytesOf = (path: string): number => {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (!stat || counted.has(stat.ino)) return 0
    counted.add(stat.ino)
    const inside = stat.isDirectory() ? readdirSync(path).map(name => bytesOf(join(path, name))) : []
    return inside.reduce((total, bytes) => total + bytes, stat.blocks * 512)
  }
  return paths.reduce((total, path) => total + bytesOf(path), 0) / 2 ** 20
}

interface Lock {
  packages: Record<string, { dev?: boolean; devOptional?: boolean }>
}

/** Folders of the packages that an installation without development packages has, from the lock file. */
export function productionPackages(root: string): string[] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
  const wanted = Object.entries(lock.packages).filter(
    ([path, entry]) => path !== '' && !entry.dev && !entry.devOptional,
  )
  // A package nested in another is counted with it.
  return wanted
    .map(([path]) => path)
    .filter(path => path.split('node_modules/').length === 2)
    .map(path => join(root, path))
}
