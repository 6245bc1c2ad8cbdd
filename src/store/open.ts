/**
 * The store: what is true, in one SQLite file of the home. One connection writes, one reads what is committed.
 *
 * Owns the two connections and the health of the file. Never opens a home that another process holds: whoever calls this
 * has taken the home lock (lock.ts).
 *
 * Invariants:
 * 1. `read` sees committed rows only and never waits for a body.
 * 2. What `write` resolves with has been committed and is on the disk.
 */
import { type Pace, unpaced } from '../core/pace.ts'
import type { Clock } from '../core/ports.ts'
import type { DeputyError, ErrorShape } from '../protocol/errors.ts'
import { openBodies } from './bodies.ts'
import { makeCheckpoints } from './checkpoint.ts'
import { type CrashPoints, noCrash, type WriteName } from './crash.ts'
import { type Db, makeConnection, makeHandles } from './dialect.ts'
import { databasePath, openFiles } from './files.ts'
import { findDamage } from './integrity.ts'
import { failureOf } from './trouble.ts'
import { type Body, makeWriter } from './writer.ts'

/** Bound to the writing connection for as long as the body of one write lasts. Never call `transaction()` on it. */
export type Tx = Db

export interface StoreHealth {
  /** False while nothing can be recorded or the file is damaged: claim no run. */
  claiming: boolean
  /** What is wrong, since when (epoch ms); null when all is well. */
  trouble: (ErrorShape & { since: number }) | null
  /** True when the process before this one stopped without closing the store. */
  unclean: boolean
  /** Writes that have not ended, and those of them that wait for the disk. */
  queued: number
  waiting: number
  /** Transactions since the store was opened; a commit carries as many writes as came together. */
  commits: number
}

export interface StoreOptions {
  /** The home; the file in it is deputy.sqlite. */
  dir: string
  clock?: Clock
  crash?: CrashPoints
  /** Default: a body and what follows from a commit take as long as they take. */
  pace?: Pace
  /** One line for the operator. */
  log: (line: string) => void
}

export interface Store {
  /** Committed rows only. */
  read: Tx
  /**
   * Queues `body` and resolves with its value after the commit. The body awaits nothing but statements of its `tx`, has no
   * other effect and takes ids and times from outside: it may run more than once. Rejects with what the body threw, or
   * STORE_BODY_AWAITED, STORE_LOST_GROUP, STORE_DAMAGED, STORE_CLOSED, DISK_FULL.
   */
  write<T>(name: WriteName, body: Body<T>): Promise<T>
  health(): StoreHealth
  /** Called when trouble begins, changes or is over (null). */
  onTrouble(listener: (trouble: StoreHealth['trouble']) => void): void
  /** Reads the whole file for damage, in a thread; a finding is trouble, names the tables and ends claiming. For after an unclean stop. */
  check(): Promise<void>
  /** Removes files of long texts that no row has named for a day; returns how many. Rarely worth while, never at the start. */
  sweep(): Promise<number>
  /** Gives the log its size on the disk, so that commits are quicker. For soon after the start. */
  grow(): Promise<void>
  /** Resolves when no write is queued or under way. */
  idle(): Promise<void>
  /** Ends what is queued, then closes the file cleanly. */
  close(): Promise<void>
}

/** Throws STORE_FOREIGN, STORE_TOO_NEW, STORE_DAMAGED, HOME_UNWRITABLE; the file is as it was then. */
export async function openStore({ dir, clock, crash = noCrash, pace = unpaced, log }: StoreOptions): Promise<Store> {
  const path = databasePath(dir)
  const files = await openFiles(dir)
  const listeners: ((trouble: StoreHealth['trouble']) => void)[] = []
  let trouble: StoreHealth['trouble'] = null
  let closing: Promise<void> | null = null
  let checking: Promise<unknown> | null = null
  let sweeping: Promise<unknown> | null = null
  const closed = new AbortController()

  function setTrouble(error: DeputyError | null): void {
    // Damage stays until the file is replaced; only the tables it was found in may still become known.
    if (trouble?.code === 'STORE_DAMAGED' && !(error?.code === 'STORE_DAMAGED' && error.details['tables'])) return
    if (trouble?.code === error?.code && !error?.details['tables']) return
    trouble = error && { ...error.shape(), since: (clock ?? Date).now() }
    log(error ? `store: ${error.message} ${error.fix}` : 'store: writes are recorded again')
    for (const listener of listeners) listener(trouble)
  }

  const bodies = openBodies(dir, clock ?? Date)
  const writer = makeWriter({
    db: files.writer,
    bodies,
    crash,
    pace,
    committed: () => checkpoints.committed(),
    trouble(failure) {
      if (failure?.damaged) return found(failure.error)
      if (!failure) checkpoints.again()
      setTrouble(failure?.error ?? null)
    },
  })
  const checkpoints = makeCheckpoints({ db: files.writer, path, pause: writer.pause, log })
  const reading = makeHandles(
    makeConnection(files.reader, {
      bodies,
      onError(error) {
        const failure = failureOf(error)
        if (failure?.damaged) found(failure.error)
      },
    }),
  )()

  /** A statement met damage: claiming ends at once, the tables are named when the whole file was read. */
  function found(error: DeputyError): void {
    if (trouble?.code === 'STORE_DAMAGED') return
    setTrouble(error)
    check().catch((reason: Error) => log(`store: the damage could not be looked for: ${reason.message}`))
  }

  function check(): Promise<void> {
    const reading = findDamage(path, closed.signal)
    checking = Promise.allSettled([checking, reading])
    return reading.then(damage => (damage ? setTrouble(damage) : undefined))
  }

  return {
    read: reading.db,
    write: writer.write,
    health: () => ({ claiming: trouble === null, trouble, unclean: files.unclean, ...writer.counts() }),
    onTrouble: listener => void listeners.push(listener),
    check,
    sweep() {
      const swept = bodies.sweep(reading.db, closed.signal)
      sweeping = Promise.allSettled([sweeping, swept])
      return swept
    },
    grow: checkpoints.grow,
    idle: writer.idle,
    close() {
      closing ??= close()
      return closing
    },
  }

  async function close(): Promise<void> {
    closed.abort()
    await writer.close()
    await checkpoints.close()
    await checking
    await sweeping
    // The writer goes last: closing the last connection empties the log, which marks the stop as clean.
    files.reader.close()
    files.writer.close()
  }
}
