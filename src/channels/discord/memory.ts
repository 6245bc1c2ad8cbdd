/**
 * What an account remembers over a restart: the session of its line, how far what came was taken, and the newest message of
 * each chat.
 *
 * Owns the file (0600, replaced whole). It may lag behind what was taken, never run ahead of it: what is told again is
 * recognised by its id, what is never told again would be lost.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeWhole } from '../whole.ts'

export interface LineSession {
  sessionId: string
  resumeURL: string
  shardCount: number
  shardId: number
}

export interface Memory {
  session: LineSession | null
  /** Everything up to this event was taken, or was nothing to take. */
  sequence: number
  /** Newest message taken, by channel of the service; the one heard of last stands last. */
  newest: Map<string, string>
}

export interface Remembering {
  memory: Memory
  /** Something changed: written soon. */
  changed(): void
  /** Written now. */
  flush(): void
}

/** Chats whose missed messages are asked for after a line was lost for good. */
const maxChats = 500
const soonMs = 50

export function openMemory(dir: string, failed: (why: string) => void): Remembering {
  const file = join(dir, 'session.json')
  const memory = read(file)
  let timer: NodeJS.Timeout | null = null

  function flush(): void {
    if (timer) clearTimeout(timer)
    timer = null
    const { session, sequence, newest } = memory
    for (const id of [...newest.keys()].slice(0, Math.max(0, newest.size - maxChats))) newest.delete(id)
    const text = JSON.stringify({ version: 1, session, sequence, newest: [...newest] })
    try {
      writeWhole(file, text)
    } catch (error) {
      failed((error as NodeJS.ErrnoException).code ?? String(error))
    }
  }

  return {
    memory,
    changed() {
      timer ??= setTimeout(flush, soonMs).unref()
    },
    flush,
  }
}

/** Nothing, when there is no file or none that can be read: a new session begins. */
function read(file: string): Memory {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as {
      session: LineSession | null
      sequence: number
      newest: [string, string][]
    }
    if (!Array.isArray(found.newest) || !Number.isInteger(found.sequence)) throw new TypeError('not a memory')
    return { session: found.session ?? null, sequence: found.sequence, newest: new Map(found.newest) }
  } catch {
    return { session: null, sequence: 0, newest: new Map() }
  }
}
