/**
 * AGENTS.md of a workspace, as it stands at the head of every conversation there.
 *
 * Owns the reading, its bound, and a copy for as long as the file is the same, since it is asked for at every claim. A file
 * that cannot be read says so to the model instead of failing the run. Never reads outside the workspace, wherever a link
 * leads: what a model's command puts there is shown to a provider.
 */
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { ensureDir } from '../config/home.ts'
import { makeGuard, openFile } from '../tools/guard.ts'

/** More than this of a workspace's AGENTS.md is not shown; it says so. */
const maxGuide = 20_000
const name = 'AGENTS.md'

/** The folder of a workspace is made when it is not there. */
export function openGuides(stateDir: string): (workspace: string) => Promise<string | null> {
  const known = new Map<string, { stamp: string; text: string }>()

  return async function guide(workspace) {
    try {
      ensureDir(workspace)
      const facts = lstatSync(join(workspace, name), { throwIfNoEntry: false })
      if (!facts) return null
      const stamp = `${facts.ino} ${facts.size} ${facts.mtimeMs} ${facts.ctimeMs}`
      const before = known.get(workspace)
      if (before?.stamp === stamp) return before.text
      const text = await read(workspace, stateDir)
      // What a link leads to may change without a trace in the link.
      if (facts.isFile()) known.set(workspace, { stamp, text })
      return text
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return null
      return `[${name} cannot be read: ${code}]`
    }
  }
}

async function read(workspace: string, stateDir: string): Promise<string> {
  const { file, size } = await openFile(await makeGuard(workspace, stateDir), name)
  try {
    const bytes = Buffer.alloc(Math.min(size, 4 * maxGuide))
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    const text = bytes.toString('utf8', 0, bytesRead)
    if (text.length <= maxGuide && bytesRead === size) return text
    return `${text.slice(0, maxGuide)}\n[${name} goes on; read the file.]`
  } finally {
    await file.close()
  }
}
