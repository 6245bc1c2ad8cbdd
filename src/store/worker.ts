/**
 * The thread that does what would block the loop: moving the log into the database file, and reading the whole file for
 * damage. It has a connection of its own.
 *
 * Owns nothing but that connection. `work` is handed over as source text, so that a bundle needs no second file: it may
 * use its parameters and nothing else of this module.
 */
import { Worker } from 'node:worker_threads'

export type Task = { do: 'checkpoint'; truncate: boolean } | { do: 'check' }

/** Frames in the log and those of them that are in the database file; `busy` when a reader or the writer was in the way. */
export interface Checkpoint {
  busy: boolean
  log: number
  done: number
}

export interface Damage {
  /** Tables in which it was found; empty when it lies outside all of them. */
  tables: string[]
  /** SQLite's own words, at most ten lines. */
  found: string[]
}

interface Answers {
  checkpoint: Checkpoint
  check: Damage | null
}

export interface StoreWorker {
  /** Rejects when the task failed or the thread ended. One at a time. */
  ask<T extends Task>(task: T): Promise<Answers[T['do']]>
  end(): Promise<void>
}

export function startWorker(path: string): StoreWorker {
  const source = `(${work})(require('node:sqlite'), require('node:worker_threads'))`
  const thread = new Worker(source, { eval: true, workerData: path, name: 'deputy-store', execArgv: [] })
  // A thread with nothing to do must not hold up the end of the process.
  thread.unref()
  let settle: { resolve(value: never): void; reject(error: unknown): void } | null = null
  let ended: Error | null = null

  function finish(act: (waiting: NonNullable<typeof settle>) => void): void {
    const waiting = settle
    settle = null
    if (waiting) act(waiting)
  }
  thread.on('message', ({ answer, error }: { answer?: never; error?: string }) =>
    finish(waiting => (error === undefined ? waiting.resolve(answer as never) : waiting.reject(new Error(error)))),
  )
  thread.on('error', error => {
    ended = error instanceof Error ? error : new Error(String(error))
    finish(waiting => waiting.reject(ended))
  })
  thread.on('exit', () => {
    ended ??= new Error('the thread of the store ended')
    finish(waiting => waiting.reject(ended))
  })
  return {
    ask: task =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended)
        settle = { resolve, reject }
        thread.postMessage(task)
      }),
    async end() {
      await thread.terminate()
    },
  }
}

function work(sqlite: typeof import('node:sqlite'), threads: typeof import('node:worker_threads')): void {
  const db = new sqlite.DatabaseSync(threads.workerData, { timeout: 0 })
  db.exec('pragma synchronous = full')

  function checkpoint(truncate: boolean): Checkpoint {
    const row = db.prepare(`pragma wal_checkpoint(${truncate ? 'truncate' : 'passive'})`).get()
    return { busy: row?.['busy'] !== 0, log: Number(row?.['log']), done: Number(row?.['checkpointed']) }
  }

  /** Lines of SQLite's quick check, of one table or of all; the error's words when it could not go on. */
  function lines(table: string | null): string[] {
    try {
      const rows = db.prepare(table === null ? 'pragma quick_check(10)' : `pragma quick_check("${table}")`).all()
      return rows.map(row => String(row['quick_check'])).filter(line => line !== 'ok')
    } catch (error) {
      return [(error as Error).message]
    }
  }

  function check(): Damage | null {
    const found = lines(null)
    if (found.length === 0) return null
    const names = db.prepare("select name from sqlite_schema where type = 'table'").all()
    return { tables: names.map(row => String(row['name'])).filter(name => lines(name).length > 0), found }
  }

  threads.parentPort?.on('message', (task: Task) => {
    try {
      threads.parentPort?.postMessage({ answer: task.do === 'check' ? check() : checkpoint(task.truncate) })
    } catch (error) {
      threads.parentPort?.postMessage({ error: (error as Error).message })
    }
  })
}
