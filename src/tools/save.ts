/**
 * Writing a file of the workspace so that a reader sees the old one or the new one, never half of it.
 *
 * Owns `write` and `edit`. The new content is a file of its own, flushed to the disk and renamed over the old one, with the
 * old one's mode and owner; set-user-id bits are not kept. Never follows a link out, never replaces a special file.
 * Changes of one file take turns; a change from elsewhere in between is noticed by its inode, size and time.
 * `write` repeated with the same arguments leaves the same file, so it is safe to repeat; `edit` is not: after it the text
 * that it looks for is gone.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open, realpath, rename, unlink } from 'node:fs/promises'
import type { Tool } from '../core/ports.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Zod } from '../protocol/zod.ts'
import { type Guard, lexical, makeGuard, openFile, openParent, regular, shown } from './guard.ts'
import { makeTool, said } from './kit.ts'
import { replace } from './replace.ts'
import type { Turns } from './turns.ts'

const maxWrite = 8 * 1024 * 1024
const maxEdit = 2 * 1024 * 1024
const paths = { file_path: 'path', filename: 'path', file: 'path' }

export function writeTool(stateDir: string, turns: Turns, zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'write',
      label: 'Write a file',
      group: 'fs',
      repeat: 'safe',
      description: 'Write a whole text file; makes missing folders, replaces what was there.',
      aliases: { ...paths, text: 'content', contents: 'content' },
      input: z => z.object({ path: z.string(), content: z.string() }),
      async run({ path, content }, context) {
        const guard = await makeGuard(context.workspace, stateDir, context.folder)
        const bytes = Buffer.from(content)
        if (bytes.length > maxWrite)
          throw new DeputyError('TOOL_FAILED', `The content has ${bytes.length} bytes; ${maxWrite} are allowed.`, {
            fix: 'Write it in parts with exec.',
          })
        const saved = await turns(await sameFile(guard, path), () => save(guard, path, bytes, context.signal))
        return said(`${saved.created ? 'Created' : 'Replaced'} ${saved.path} (${bytes.length} bytes).`, {
          path: saved.path,
        })
      },
    },
    zod,
  )
}

export function editTool(stateDir: string, turns: Turns, zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'edit',
      label: 'Edit a file',
      group: 'fs',
      repeat: 'never',
      description: 'Replace text in a file. oldText must be there exactly once, unless replaceAll is set.',
      aliases: { ...paths, old_string: 'oldText', new_string: 'newText', old: 'oldText', new: 'newText' },
      input: z =>
        z.object({ path: z.string(), oldText: z.string(), newText: z.string(), replaceAll: z.boolean().optional() }),
      async run({ path, oldText, newText, replaceAll = false }, context) {
        const guard = await makeGuard(context.workspace, stateDir, context.folder)
        const { saved, edited } = await turns(await sameFile(guard, path), async () => {
          const before = await slurp(guard, path)
          const edited = replace(before.text, oldText, newText, replaceAll)
          if (!edited.ok) throw new DeputyError('TOOL_FAILED', edited.problem, { fix: 'Nothing was changed.' })
          return { edited, saved: await save(guard, path, Buffer.from(edited.text), context.signal, before.version) }
        })
        const where = edited.lines.slice(0, 10).join(', ') + (edited.lines.length > 10 ? ', …' : '')
        const times = edited.lines.length === 1 ? `line ${where}` : `${edited.lines.length} places, lines ${where}`
        return said(`Changed ${saved.path} at ${times}.`, { path: saved.path, places: edited.lines.length })
      },
    },
    zod,
  )
}

/** The real path where there is one, so that two names of a file share their turns. */
async function sameFile(guard: Guard, path: string): Promise<string> {
  const full = lexical(guard, path)
  return realpath(full).catch(error => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return full
    throw error
  })
}

async function slurp(guard: Guard, path: string): Promise<{ text: string; version: string }> {
  const { file, size } = await openFile(guard, path)
  try {
    if (size > maxEdit)
      throw new DeputyError('TOOL_FAILED', `The file has ${size} bytes; edit takes up to ${maxEdit}.`, {
        fix: 'Use exec with sed.',
      })
    const stat = await file.stat({ bigint: true })
    return { text: decode(await file.readFile()), version: versionOf(stat) }
  } finally {
    await file.close()
  }
}

/** Text that comes out as the same bytes again, a byte order mark included. */
function decode(bytes: Buffer): string {
  try {
    if (!bytes.includes(0)) return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new DeputyError('TOOL_FAILED', 'The file is not UTF-8 text.', {
      fix: 'Use exec with a program that knows its encoding.',
      cause,
    })
  }
  throw new DeputyError('TOOL_FAILED', 'The file is binary.', { fix: 'Use exec with a program that knows its format.' })
}

function versionOf(stat: { ino: bigint; size: bigint; mtimeNs: bigint }): string {
  return `${stat.ino}:${stat.size}:${stat.mtimeNs}`
}

/** `version`: what the file must still be just before it is replaced. */
export async function save(guard: Guard, path: string, bytes: Buffer, signal: AbortSignal, version?: string) {
  const { folder, name } = await openParent(guard, path, version === undefined)
  await using parent = folder
  const target = parent.at(name)
  const old = await lstat(target, { bigint: true }).catch(error => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (old) {
    regular(old, path)
    if ((old.mode & 0o222n) === 0n)
      throw new DeputyError('TOOL_FAILED', `${JSON.stringify(path)} is read-only.`, {
        fix: 'Change its mode first, if that is meant.',
      })
  }
  const fresh = parent.at(`.deputy-${randomBytes(8).toString('hex')}.tmp`)
  const file = await open(
    fresh,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o666,
  )
  try {
    try {
      await file.writeFile(bytes, { signal })
      if (guard.owner) await file.chown(Number(old?.uid ?? guard.owner.uid), Number(old?.gid ?? guard.owner.gid))
      if (old) await file.chmod(Number(old.mode) & 0o777)
      await file.datasync()
    } finally {
      await file.close()
    }
    signal.throwIfAborted()
    if (version !== undefined && versionOf(await lstat(target, { bigint: true })) !== version)
      throw new DeputyError('TOOL_FAILED', 'The file changed while it was edited.', {
        fix: 'Read it again and repeat the edit.',
      })
    await rename(fresh, target)
  } catch (error) {
    await unlink(fresh)
    throw error
  }
  return { path: shown(guard, `${parent.real}/${name}`), created: !old }
}
