/**
 * AGENTS.md of a workspace, as it stands at the head of every conversation there.
 * Owns the reading and its bound; a file that cannot be read says so to the model instead of failing the run.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureDir } from '../config/home.ts'

/** More than this of a workspace's AGENTS.md is not shown; it says so. */
const maxGuide = 20_000

/** AGENTS.md of a workspace, at the head of every conversation there. The folder is made when it is not there. */
export async function readGuide(workspace: string): Promise<string | null> {
  try {
    ensureDir(workspace)
    const text = await readFile(join(workspace, 'AGENTS.md'), 'utf8')
    return text.length > maxGuide
      ? `${text.slice(0, maxGuide)}\n[AGENTS.md goes on: ${text.length - maxGuide} characters more; read the file.]`
      : text
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    return `[AGENTS.md cannot be read: ${code}]`
  }
}
