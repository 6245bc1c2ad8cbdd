/**
 * When the log goes into the database file (decisions.md 29): in a thread, begun when the log has grown, ended when the
 * store has been quiet for a while. A store with little to do has no thread.
 *
 * Owns the thread and the moments. Never blocks the loop; holds the writer only while the last frames are moved.
 *
 * The log's file keeps its size up to a few megabytes, and is given it at the start: a commit into blocks that are there
 * already costs half of one that makes the file grow (measured: 0.20 against 0.42 ms).
 */
import { open, statfs } from 'node:fs/promises'
import type { DatabaseSync } from 'node:sqlite'
import { walLimit } from './files.ts'
import { type StoreWorker, startWorker } from './worker.ts'
import type { Writer } from './writer.ts'

/** Frames of 8 kB that are not in the file yet when the thread is asked to move them: 4 MB. */
const pendingFrames = 512
/** A look at the log costs more than many a statement: one for all commits of so long. */
const lookMs = 20
/** Frames of a log that never came to be moved whole, so that it could not begin again: the writer is held for that. */
const longFrames = walLimit / 8192
/** The log's file is kept at this size; a larger one is cut down when the store is quiet. */
const keptBytes = 8 * 1024 * 1024
/** After this long without a commit the log is emptied and the thread ended. */
const quietMs = 1000
/** Somewhat more than is pending when the log is moved, so that it seldom grows. */
const grownBytes = 6 * 1024 * 1024
/** Only with so much room left on the disk is any of it given to the log beforehand. */
const roomForZeros = 512 * 1024 * 1024
/** After a failure, as on a full disk. */
const againMs = 5000

export interface Checkpoints {
  /** To be called after each commit. */
  committed(): void
  /** Gives the log's file its size. Not before the store is wanted for more than a moment. */
  grow(): Promise<void>
  /** The disk takes writes again: a move that failed need not wait its time. */
  again(): void
  close(): Promise<void>
}

interface Options {
  db: DatabaseSync
  path: string
  pause: Writer['pause']
  log: (line: string) => void
}

export function makeCheckpoints({ db, path, pause, log }: Options): Checkpoints {
  /** Asks and moves nothing. */
  const look = db.prepare('pragma wal_checkpoint(noop)')
  let worker: StoreWorker | null = null
  let busy: Promise<void> | null = null
  let looking: NodeJS.Timeout | null = null
  let growing: Promise<void> | null = null
  let commits = 0
  let commitsAtLook = 0
  let notBefore = 0
  let closed = false

  function committed(): void {
    commits++
    if (!busy && !closed) looking ??= setTimeout(lookNow, lookMs).unref()
  }

  function lookNow(): void {
    looking = null
    // A body rests in the middle of a transaction: its commit asks again.
    if (busy || closed || db.isTransaction) return
    const { log: frames, checkpointed } = look.get() as { log: number; checkpointed: number }
    if (frames - checkpointed >= pendingFrames && performance.now() >= notBefore) go(() => move(frames))
  }

  async function move(frames: number): Promise<void> {
    worker ??= begin()
    const thread = worker
    if (frames < longFrames) await thread.ask({ do: 'checkpoint', truncate: false })
    else await pause(async () => void (await thread.ask({ do: 'checkpoint', truncate: false })))
  }

  function begin(): StoreWorker {
    const quiet = setInterval(() => {
      if (busy || commits !== commitsAtLook) {
        commitsAtLook = commits
        return
      }
      clearInterval(quiet)
      go(rest)
    }, quietMs)
    quiet.unref()
    const started = startWorker(path)
    return {
      ask: started.ask,
      end() {
        clearInterval(quiet)
        return started.end()
      },
    }
  }

  /** Empties the log, gives back the memory of the writer's pages and ends the thread. */
  async function rest(): Promise<void> {
    const thread = worker
    if (!thread) return
    try {
      await pause(async () => {
        const { log: frames } = look.get() as { log: number }
        await thread.ask({ do: 'checkpoint', truncate: frames * 8192 > keptBytes })
      })
    } finally {
      worker = null
      db.exec('pragma shrink_memory')
      await thread.end()
    }
  }

  function go(what: () => Promise<void>): void {
    busy = what()
      .catch(async (error: Error) => {
        notBefore = performance.now() + againMs
        log(`store: the log could not be moved into the database file: ${error.message}`)
        const thread = worker
        worker = null
        await thread?.end()
      })
      .finally(() => {
        busy = null
      })
  }

  async function grow(): Promise<void> {
    const { bavail, bsize } = await statfs(path)
    // Where room is scarce, commits have it, not zeros.
    if (closed || bavail * bsize < roomForZeros) return
    // Behind the last frame there are only zeros, which are no frame: whoever reads the log stops there. No frame is written
    // meanwhile, since the writer is held.
    await pause(async () => {
      const file = await open(`${path}-wal`, 'r+')
      try {
        const { size } = await file.stat()
        if (size < grownBytes) await file.write(Buffer.alloc(grownBytes - size), 0, grownBytes - size, size)
        await file.sync()
      } finally {
        await file.close()
      }
    })
  }

  return {
    committed,
    again() {
      notBefore = 0
    },
    grow() {
      growing = grow().catch((error: Error) => log(`store: the log could not be given its size: ${error.message}`))
      return growing
    },
    async close() {
      closed = true
      if (looking) clearTimeout(looking)
      await busy
      await growing
      await worker?.end()
      worker = null
    },
  }
}
