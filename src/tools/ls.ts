/**
 * `ls`: what is in a folder of the workspace.
 *
 * Owns the listing and its limits. Names are read up to a fixed number however large the folder is; links are shown, not
 * followed.
 */
import { lstat, opendir, readlink } from 'node:fs/promises'
import type { Tool } from '../core/ports.ts'
import type { Zod } from '../protocol/zod.ts'
import { type Folder, kindOf, makeGuard, openFolder, shown } from './guard.ts'
import { makeTool, said } from './kit.ts'

const maxNames = 10_000
const maxShown = 1000

export function lsTool(stateDir: string, zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'ls',
      label: 'List a folder',
      group: 'fs',
      repeat: 'safe',
      description: 'List a folder: names, sizes in bytes.',
      aliases: { directory: 'path', dir: 'path', folder: 'path' },
      input: z => z.object({ path: z.string().optional(), limit: z.int().min(1).max(maxShown).optional() }),
      async run({ path = '.', limit = 500 }, context) {
        const guard = await makeGuard(context.workspace, stateDir, context.folder)
        await using folder = await openFolder(guard, path)
        const { names, more } = await namesOf(folder, context.signal)
        const lines = await Promise.all(names.slice(0, limit).map(name => lineOf(folder, name)))
        const hidden = names.length - lines.length
        const count = more ? `over ${maxNames}` : String(names.length)
        if (hidden > 0 || more)
          lines.push(`[${lines.length} of ${count} entries; give a deeper path or a higher limit.]`)
        return said(lines.join('\n') || '[The folder is empty.]', {
          path: shown(guard, folder.real),
          entries: names.length,
        })
      },
    },
    zod,
  )
}

async function namesOf(folder: Folder, signal: AbortSignal): Promise<{ names: string[]; more: boolean }> {
  const names: string[] = []
  for await (const entry of await opendir(folder.at('.'), { bufferSize: 256 })) {
    signal.throwIfAborted()
    if (names.length === maxNames) return { names: names.sort(), more: true }
    names.push(entry.name)
  }
  return { names: names.sort(), more: false }
}

async function lineOf(folder: Folder, name: string): Promise<string> {
  try {
    const stat = await lstat(folder.at(name))
    if (stat.isDirectory()) return `${name}/`
    if (stat.isSymbolicLink()) return `${name} -> ${await readlink(folder.at(name))}`
    return stat.isFile() ? `${name}  ${stat.size}` : `${name}  (${kindOf(stat)})`
  } catch (error) {
    // Removed since its name was read.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return `${name}  (gone)`
    throw error
  }
}
