/**
 * What the store costs on this disk: `node bench/store.ts`. Writes a second with few and many in flight, what one commit
 * adds to the bare fsync, and how long a start takes. `synchronous=FULL`, as always.
 *
 * One write is a transaction of four statements as a run makes them: a read, two inserts, an update, 400 bytes.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, type Store } from '../src/store/open.ts'
import { samples } from '../src/store/samples.ts'
import { percentile } from './stats.ts'

const rounds = 5
const text = JSON.stringify([{ type: 'text', text: 'x'.repeat(360) }])

async function prepare(store: Store, sessions: number): Promise<void> {
  await store.write('session', async tx => {
    for (let i = 0; i < sessions; i++) {
      const session = `s${i}`
      await tx
        .insertInto('sessions')
        .values({ ...samples.sessions, id: session, key: session, seq: 0 })
        .onConflict(conflict => conflict.column('id').doNothing())
        .execute()
    }
  })
}

function message(store: Store, session: string): Promise<void> {
  return store.write('accept', async tx => {
    const found = await tx.selectFrom('sessions').select('seq').where('id', '=', session).executeTakeFirstOrThrow()
    const seq = found.seq + 1
    const id = `${session}-${seq}`
    await tx
      .insertInto('messages')
      .values({ ...samples.messages, session, seq, id, parts: text })
      .execute()
    await tx
      .insertInto('inbox')
      .values({ ...samples.inbox, session, seq, key: id })
      .execute()
    await tx.updateTable('sessions').set({ seq }).where('id', '=', session).execute()
  })
}

interface Load {
  perSecond: number
  times: number[]
  commits: number
}

async function load(store: Store, inFlight: number, writes: number): Promise<Load> {
  const times: number[] = []
  let left = writes
  const commits = store.health().commits
  const began = performance.now()
  await Promise.all(
    Array.from({ length: inFlight }, async (_, i) => {
      while (left-- > 0) {
        const asked = performance.now()
        await message(store, `s${i}`)
        times.push(performance.now() - asked)
      }
    }),
  )
  const perSecond = (writes / (performance.now() - began)) * 1000
  return { perSecond, times, commits: store.health().commits - commits }
}

/** What the disk alone takes for 8 kB. */
function bareSync(dir: string): number[] {
  const file = openSync(join(dir, 'sync'), 'w')
  const page = Buffer.alloc(8192)
  const times = Array.from({ length: 300 }, () => {
    const began = performance.now()
    writeSync(file, page)
    fdatasyncSync(file)
    return performance.now() - began
  })
  closeSync(file)
  return times
}

async function timed(dir: string): Promise<number> {
  const began = performance.now()
  const store = await openStore({ dir, log: console.error })
  const took = performance.now() - began
  await store.close()
  return took
}

const show = (value: number) => value.toFixed(2).padStart(9)
const line = (name: string, ...values: string[]) => console.log(name.padEnd(28) + values.join(''))

const home = mkdtempSync(join(tmpdir(), 'deputy-bench-'))
try {
  console.log(`load ${loadavg()[0]!.toFixed(1)}, node ${process.version}`)
  line('', '       /s', '   p50 ms', '   p99 ms', '  commits')
  const store = await openStore({ dir: home, log: console.error })
  await prepare(store, 1000)
  await load(store, 10, 2000)
  for (const [inFlight, writes] of [
    [1, 1000],
    [10, 5000],
    [100, 20_000],
    [1000, 20_000],
  ] as const) {
    const all: Load[] = []
    for (let i = 0; i < rounds; i++) all.push(await load(store, inFlight, writes))
    const median = (of: (load: Load) => number) => percentile(all.map(of), 0.5)
    line(
      `writes, ${inFlight} in flight`,
      Math.round(median(one => one.perSecond))
        .toString()
        .padStart(9),
      show(median(one => percentile(one.times, 0.5))),
      show(median(one => percentile(one.times, 0.99))),
      Math.round(median(one => one.commits))
        .toString()
        .padStart(9),
    )
  }
  const bare = bareSync(home)
  line('write and fdatasync alone', ''.padStart(9), show(percentile(bare, 0.5)), show(percentile(bare, 0.99)))
  await store.close()
  const existing: number[] = []
  for (let i = 0; i < 20; i++) existing.push(await timed(home))
  line('open, existing', ''.padStart(9), show(percentile(existing, 0.5)), show(percentile(existing, 0.99)))
  const fresh: number[] = []
  for (let i = 0; i < 10; i++) {
    const dir = mkdtempSync(join(tmpdir(), 'deputy-bench-'))
    fresh.push(await timed(dir))
    rmSync(dir, { recursive: true })
  }
  line('open, fresh', ''.padStart(9), show(percentile(fresh, 0.5)), show(percentile(fresh, 0.99)))
} finally {
  rmSync(home, { recursive: true })
}
