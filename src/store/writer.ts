/**
 * The one writer: bodies queue up, run one after the other in savepoints and share a commit (decisions.md 10 and 11).
 *
 * Owns begin, commit and rollback. Never tells anybody anything before the commit that it depends on, not even a failure:
 * what a body saw may be undone together with the group.
 *
 * A long body rests between its statements, and callers are told in pieces (core/pace.ts): a crowd that shares a commit does
 * not keep everybody else waiting.
 *
 * Invariants:
 * 1. At most one body is under way, and only its handle runs statements.
 * 2. A body that throws, or awaits anything but its handle, undoes its own statements only.
 * 3. When the database gives up a group, nobody of it was told; every body runs again, alone. So bodies must be repeatable.
 * 4. Callers are told in the order in which they asked, except those that wait for the disk to have room.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Pace } from '../core/pace.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Bodies } from './bodies.ts'
import { type CrashPoints, type WriteName, type WritePoint, writes } from './crash.ts'
import { type Handle, makeConnection, makeHandles } from './dialect.ts'
import type { Tx } from './open.ts'
import { type Failure, failureOf } from './trouble.ts'

/** A group ends at this many bodies or at this age, and the loop gets a turn after as much work. */
const groupBodies = 128
const groupMs = 4
/** How soon a full disk is tried again. */
const retryMs = 500
/** How soon a database that another program has locked is tried again, and after how long that is trouble. */
const busyMs = 20
const longBusyMs = 1000

/** `is` adds a name: what the transaction turned out to be besides. */
export type Body<T> = (tx: Tx, is: (name: WriteName) => void) => Promise<T>

interface Job {
  name: WriteName
  body: Body<unknown>
  /** What this transaction is, `name` first: a reply may be the end of its run too. Each has its crash points. */
  is: WriteName[]
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
  /** Set after its group was lost: runs in a transaction of its own. */
  alone: boolean
}

type Ending = { job: Job; ok: true; value: unknown } | { job: Job; ok: false; error: unknown }

export interface WriterOptions {
  db: DatabaseSync
  bodies: Bodies
  crash: CrashPoints
  pace: Pace
  /** After every commit, before the callers are told. */
  committed(): void
  /** The database failed; null when it takes writes again. */
  trouble(failure: Failure | null): void
}

export interface Writer {
  write<T>(name: WriteName, body: Body<T>): Promise<T>
  /** Bodies that have not ended, those of them that wait for the disk, and transactions so far. */
  counts(): { queued: number; waiting: number; commits: number }
  /** Resolves when nothing is queued or under way; what waits for the disk does not count. */
  idle(): Promise<void>
  /** No group begins while `body` runs; waits for the one under way. */
  pause(body: () => Promise<void>): Promise<void>
  /** Ends what is queued, refuses what comes after and what waits for the disk. The connection stays open. */
  close(): Promise<void>
}

export function makeWriter({ db, bodies, crash, pace, committed, trouble }: WriterOptions): Writer {
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const savepoint = db.prepare('savepoint body')
  const release = db.prepare('release body')
  const back = db.prepare('rollback to body')

  const queue: Job[] = []
  const waiting: Job[] = []
  const idlers: (() => void)[] = []
  let running = false
  let paused = false
  let closed = false
  /** Work done since the loop last had a turn. */
  let spentMs = 0
  let commits = 0
  let turnComes = false
  let retry: NodeJS.Timeout | null = null
  /** There is some room again; the next commit of what waited shows whether it is enough. */
  let proving = false
  /** Since when another program has had the file locked. */
  let busySince: number | null = null
  let standingBack: NodeJS.Timeout | null = null
  /** The database error that ended the group under way. */
  let lost: unknown = null
  let current: Handle | null = null
  /** Gives up the body under way; set while one runs. */
  let abandon: (() => void) | null = null
  /** Statements that let the loop turn first. */
  let resting = 0
  /** Endings that have been committed and not told. */
  let untold = 0

  const newHandle = makeHandles(
    makeConnection(db, {
      rest: () => (pace.due() ? rest() : null),
      bodies,
      onError(error) {
        const failure = failureOf(error)
        if (failure?.damaged) trouble(failure)
        if (failure?.group || !db.isTransaction) lose(error)
      },
    }),
  )

  async function rest(): Promise<void> {
    resting += 1
    await pace.turn()
    resting -= 1
  }

  function lose(error: unknown): void {
    lost ??= error
    // Outside a transaction each further statement would commit by itself.
    current?.end(() => lostGroup(error))
  }

  function write<T>(name: WriteName, body: Body<T>): Promise<T> {
    if (closed) return Promise.reject(new DeputyError('STORE_CLOSED', `The store is closed; ${name} was not written.`))
    return new Promise<T>((resolve, reject) => {
      queue.push({ name, body, is: [name], resolve: resolve as (value: unknown) => void, reject, alone: false })
      // With others before it there is a group under way or a turn coming, which takes it along.
      if (queue.length === 1 && spentMs < groupMs) start()
    })
  }

  function start(): void {
    if (!running && !paused && !standingBack && queue.length > 0) void group()
  }

  /** One transaction and the telling of it. Never rejects. */
  async function group(): Promise<void> {
    running = true
    lost = null
    const began = performance.now()
    if (!tryBegin(began)) return done(began)
    const watch = watchBodies()
    const endings: Ending[] = []
    do endings.push(await runBody(queue.shift()!))
    while (lost === null && goesOn(endings, began))
    watch.stop()
    if (lost === null) tryCommit(endings)
    // What the callers write next may begin at once, so the group is over before they are told.
    done(began)
    if (lost === null) tell(endings)
    else again(endings.map(ending => ending.job))
  }

  function done(began: number): void {
    running = false
    spentMs += performance.now() - began
    if (turnComes) return
    turnComes = true
    setImmediate(() => {
      turnComes = false
      spentMs = 0
      if (queue.length > 0) start()
      else tellIdle()
    })
  }

  function tellIdle(): void {
    if (!running && queue.length === 0 && untold === 0) for (const tell of idlers.splice(0)) tell()
  }

  function goesOn(endings: readonly Ending[], began: number): boolean {
    const next = queue[0]
    if (!next || next.alone || endings[0]!.job.alone) return false
    return endings.length < groupBodies && performance.now() - began < groupMs
  }

  /** A body runs in microtasks but for its rests: when the loop comes round otherwise, it waits for something else. */
  function watchBodies(): { stop(): void } {
    const look = () => {
      if (resting === 0) abandon?.()
      timer = setImmediate(look)
    }
    let timer = setImmediate(look)
    return { stop: () => clearImmediate(timer) }
  }

  function tryBegin(began: number): boolean {
    try {
      begin.run()
      if (busySince !== null && began - busySince >= longBusyMs) trouble(null)
      busySince = null
      return true
    } catch (error) {
      const failure = failureOf(error)
      if (failure?.busy) standBack(failure, began)
      else giveUp(queue.shift()!, error)
      return false
    }
  }

  /** Nothing was begun: the queue waits for the other program, but a store that closes does not for ever. */
  function standBack(failure: Failure, began: number): void {
    busySince ??= began
    const long = began - busySince >= longBusyMs
    if (long) trouble(failure)
    if (long && closed) giveUp(queue.shift()!, failure.error.cause)
    standingBack = setTimeout(() => {
      standingBack = null
      start()
    }, busyMs)
  }

  async function runBody(job: Job): Promise<Ending> {
    try {
      savepoint.run()
    } catch (error) {
      lose(error)
      return { job, ok: false, error }
    }
    const handle = newHandle()
    current = handle
    const ending = await new Promise<Ending>(end => {
      abandon = () => end({ job, ok: false, error: awaited(job.name) })
      const fail = (error: unknown) => end({ job, ok: false, error })
      try {
        job.is = [job.name]
        job.body(handle.db, name => void job.is.push(name)).then(value => end({ job, ok: true, value }), fail)
      } catch (error) {
        fail(error)
      }
    })
    abandon = null
    current = null
    handle.end(() => awaited(job.name))
    if (lost !== null) return ending
    try {
      if (!ending.ok) back.run()
      release.run()
    } catch (error) {
      lose(error)
    }
    return ending
  }

  function hit(ending: Ending, point: WritePoint): void {
    if (ending.ok) for (const name of ending.job.is) crash.hit(name, point)
  }

  function tryCommit(endings: readonly Ending[]): void {
    for (const ending of endings) hit(ending, 'before')
    try {
      commit.run()
      commits++
    } catch (error) {
      lose(error)
      return
    }
    if (proving) trouble(null)
    proving = false
  }

  function tell(endings: readonly Ending[]): void {
    for (const ending of endings) hit(ending, 'after')
    committed()
    untold += endings.length
    pace.pass(endings.map(ending => () => tellOne(ending)))
  }

  function tellOne(ending: Ending): void {
    untold -= 1
    if (ending.ok) {
      hit(ending, 'resolve')
      ending.job.resolve(ending.value)
    } else ending.job.reject(ending.error)
    tellIdle()
  }

  function again(jobs: readonly Job[]): void {
    if (db.isTransaction) db.exec('rollback')
    if (jobs[0]!.alone) giveUp(jobs[0]!, lost)
    else queue.unshift(...jobs.map(job => ({ ...job, alone: true })))
  }

  /** A body that the database gave up although it ran alone. */
  function giveUp(job: Job, error: unknown): void {
    const failure = failureOf(error)
    proving = false
    if (failure) trouble(failure)
    if (failure?.passing) retry ??= setTimeout(retryAll, retryMs)
    if (failure?.passing && writes[job.name] === 'waits' && !closed) waiting.push(job)
    else job.reject(failure?.error ?? lostGroup(error))
  }

  function retryAll(): void {
    retry = null
    if (running || paused || !takesWrites()) {
      retry = setTimeout(retryAll, retryMs)
      return
    }
    if (waiting.length === 0) trouble(null)
    else proving = true
    queue.unshift(...waiting.splice(0))
    start()
  }

  /** Writes eight pages and takes them back; with room for the one and not for the other they are there the next time. */
  function takesWrites(): boolean {
    const failed = [
      "insert into kv (key, value) values ('store.probe', hex(zeroblob(32768))) on conflict (key) do update set value = excluded.value",
      "delete from kv where key = 'store.probe'",
    ].find(sql => {
      try {
        db.exec(sql)
        return false
      } catch {
        return true
      }
    })
    return failed === undefined
  }

  function whenIdle(): Promise<void> {
    if (!running && queue.length === 0 && untold === 0) return Promise.resolve()
    return new Promise(resolve => idlers.push(resolve))
  }

  return {
    write,
    counts: () => ({ queued: queue.length + waiting.length, waiting: waiting.length, commits }),
    idle: whenIdle,
    async pause(body) {
      while (running) await new Promise<void>(resolve => setImmediate(resolve))
      paused = true
      try {
        await body()
      } finally {
        paused = false
        start()
      }
    },
    async close() {
      closed = true
      await whenIdle()
      if (retry) clearTimeout(retry)
      for (const job of waiting.splice(0))
        job.reject(
          new DeputyError(
            'STORE_CLOSED',
            `The store was closed before the disk had room; ${job.name} was not written.`,
          ),
        )
    },
  }
}

function awaited(name: WriteName): DeputyError {
  return new DeputyError(
    'STORE_BODY_AWAITED',
    `The body of ${name} waited for something other than its own statements, or used them after it had ended.`,
    { details: { write: name } },
  )
}

function lostGroup(cause: unknown): DeputyError {
  return new DeputyError('STORE_LOST_GROUP', 'The database gave up a group of transactions.', { cause })
}
