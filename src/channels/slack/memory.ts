/**
 * What an account remembers over a restart: until when all was heard, and the threads in which somebody may go on.
 *
 * Owns the file (0600, replaced whole). The time lags behind what was taken and never runs ahead of it: what is fetched once
 * more is recognised by its time, what is not fetched is lost.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeWhole } from '../whole.ts'

export interface Memory {
  /** Everything that happened before was heard; null: never connected. Epoch ms. */
  heard: number | null
  /** Hears of a thread; the one heard of last stands last. */
  thread(channel: string, ts: string): void
  threads(): readonly { channel: string; ts: string }[]
  /** All is heard until now. */
  hear(now: number): void
}

/** Threads whose missed messages are asked for. */
const mostThreads = 100

export function openMemory(dir: string, failed: (why: string) => void): Memory {
  const path = join(dir, 'seen.json')
  const { heard, threads } = read(path)
  const known = new Map(threads)

  function write(heard: number): void {
    try {
      writeWhole(path, JSON.stringify({ version: 1, heard, threads: [...known.values()] }))
    } catch (error) {
      failed((error as NodeJS.ErrnoException).code ?? String(error))
    }
  }

  const memory: Memory = {
    heard,
    thread(channel, ts) {
      const fresh = !known.delete(`${channel} ${ts}`)
      known.set(`${channel} ${ts}`, { channel, ts })
      for (const oldest of known.keys()) {
        if (known.size <= mostThreads) break
        known.delete(oldest)
      }
      if (fresh && memory.heard !== null) write(memory.heard)
    },
    threads: () => [...known.values()],
    hear(now) {
      memory.heard = now
      write(now)
    },
  }
  return memory
}

/** Nothing, when there is no file or none that can be read: then nothing is fetched. */
function read(path: string): { heard: number | null; threads: [string, { channel: string; ts: string }][] } {
  try {
    const found = JSON.parse(readFileSync(path, 'utf8')) as {
      heard: unknown
      threads: { channel: string; ts: string }[]
    }
    if (typeof found.heard !== 'number') throw new TypeError('not a memory')
    const threads = found.threads.filter(({ channel, ts }) => typeof channel === 'string' && typeof ts === 'string')
    return { heard: found.heard, threads: threads.map(one => [`${one.channel} ${one.ts}`, one]) }
  } catch {
    return { heard: null, threads: [] }
  }
}
