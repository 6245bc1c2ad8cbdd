/**
 * What the supervisor itself does in an agent's workspace: finds the folder a sub-agent is to work in, puts files there that
 * come with a task, looks whether what a task had to hand in is there.
 *
 * Never does anything a tool of that agent could not do: the same guard holds. Never runs a command.
 */
import { lstat, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Attachment } from '../core/ports.ts'
import type { Findings } from '../core/run/check.ts'
import { DeputyError } from '../protocol/errors.ts'
import { makeGuard, openFile, resolveInside, shown } from './guard.ts'
import { save } from './save.ts'

export interface Workspaces {
  /** A folder, as seen from the folder `kept`, as a path of the workspace; '' is the whole. Throws what the file tools throw. */
  folder(workspace: string, kept: string, path: string): Promise<string>
  /** Writes files into a new folder `into`; a repeat writes the same. Resolves with their sizes. */
  put(workspace: string, folder: string, into: string, files: readonly Attachment[]): Promise<{ bytes: number }>
  /** Takes back what was put there. */
  drop(workspace: string, folder: string, into: string): Promise<void>
  /** Whether each of these files is there and not empty. A file older than `since` is named as such. */
  look(workspace: string, folder: string, files: readonly string[], since: number): Promise<Findings>
}

export function openWorkspaces(stateDir: string): Workspaces {
  return {
    async folder(workspace, kept, path) {
      const whole = await makeGuard(workspace, stateDir)
      const guard = await makeGuard(workspace, stateDir, kept)
      const real = await resolveInside(guard, path).catch(error => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR')
          throw new DeputyError('TOOL_FAILED', `There is no folder ${JSON.stringify(path)} in the workspace.`, {
            fix: 'Make it first, or leave cwd out.',
          })
        throw error
      })
      const name = shown(whole, real)
      if (name === '.') return ''
      await makeGuard(workspace, stateDir, name)
      return name
    },

    async put(workspace, folder, into, files) {
      const guard = await makeGuard(workspace, stateDir, folder)
      let bytes = 0
      for (const { name, content, encoding } of files) {
        const body = Buffer.from(content, encoding)
        bytes += body.length
        await save(guard, join(into, name), body, AbortSignal.timeout(30_000))
      }
      return { bytes }
    },

    async drop(workspace, folder, into) {
      const guard = await makeGuard(workspace, stateDir, folder)
      await rm(await resolveInside(guard, into), { recursive: true, force: true })
    },

    async look(workspace, folder, files, since) {
      const guard = await makeGuard(workspace, stateDir, folder)
      const faults: string[] = []
      const evidence: string[] = []
      for (const path of files) {
        const size = await sizeOf(path)
        if (typeof size === 'string') faults.push(`${path}: ${size}`)
        else if (size === 0) faults.push(`${path} is empty`)
        else evidence.push(`${path}: ${size} bytes${(await isOlder(path)) ? ', unchanged since before the task' : ''}`)
      }
      return { faults, evidence }

      async function sizeOf(path: string): Promise<number | string> {
        try {
          const { file, size } = await openFile(guard, path)
          await file.close()
          return size
        } catch (error) {
          const { code, message } = error as NodeJS.ErrnoException
          if (error instanceof DeputyError) return message
          if (code === 'ENOENT' || code === 'ENOTDIR') return 'there is no such file'
          if (code) return `it cannot be read (${code})`
          throw error
        }
      }

      async function isOlder(path: string): Promise<boolean> {
        return (await lstat(await resolveInside(guard, path))).mtimeMs < since
      }
    },
  }
}
