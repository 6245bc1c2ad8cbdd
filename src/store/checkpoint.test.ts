import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStore, type Store } from './open.ts'
import { startWorker } from './worker.ts'

let dir: string
let path: string
let store: Store
const lines: string[] = []
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-wal-'))
  path = join(dir, 'deputy.sqlite')
  lines.length = 0
  store = await openStore({ dir, log: line => lines.push(line) })
})
afterEach(async () => {
  await store.close()
  rmSync(dir, { recursive: true })
})

const size = (end: string) => statSync(path + end).size
const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
async function until(what: () => boolean): Promise<void> {
  while (!what()) await pause(20)
}
/** Eight megabytes over and over in the same hundred rows, so that only the log can grow. */
const fill = () =>
  store.write('config', async tx => {
    for (let i = 0; i < 100; i++)
      await tx
        .insertInto('kv')
        .values({ key: `k${i}`, value: 'x'.repeat(80_000) })
        .onConflict(conflict => conflict.column('key').doUpdateSet({ value: `${Math.random()}`.repeat(4500) }))
        .execute()
  })
/** Frames in the log, and those of them that are in the file. */
function frames(): { log: number; checkpointed: number } {
  const db = new DatabaseSync(path)
  const row = db.prepare('pragma wal_checkpoint(noop)').get()
  db.close()
  return { log: Number(row?.['log']), checkpointed: Number(row?.['checkpointed']) }
}
const moved = () => until(() => frames().checkpointed === frames().log)

test('a log that has grown goes into the file while the store works, and begins again', async () => {
  await fill()
  const { log } = frames()
  expect(log).toBeGreaterThan(900)
  await moved()
  await fill()
  await moved()
  // The second eight megabytes lie where the first were.
  expect(frames().log).toBeLessThan(log * 1.5)
  expect(lines).toEqual([])
})

test('a log that could not be moved for long is moved whole as soon as it can be', async () => {
  const reader = new DatabaseSync(path, { readOnly: true })
  // Nothing can be moved past the state that somebody reads.
  reader.exec('begin; select * from kv')
  for (let i = 0; i < 9; i++) await fill()
  expect(frames().log - frames().checkpointed).toBeGreaterThan(8192)
  reader.exec('commit')
  reader.close()
  // The writer is busy all the while, and is held for a moment only.
  let over = false
  const busy = (async () => {
    for (let i = 0; !over; i++)
      await store.write(
        'config',
        async tx =>
          void (await tx
            .insertInto('kv')
            .values({ key: `b${i}`, value: '' })
            .execute()),
      )
  })()
  await until(() => frames().log < 8192)
  over = true
  await busy
  expect(lines).toEqual([])
})

test('when the store is quiet the log is in the file, and keeps its size for the next commits', async () => {
  for (let i = 0; i < 40; i++)
    await store.write(
      'config',
      async tx =>
        void (await tx
          .insertInto('kv')
          .values({ key: `k${i}`, value: 'x'.repeat(120_000) })
          .execute()),
    )
  const log = size('-wal')
  await until(() => frames().checkpointed === frames().log)
  await pause(1500)
  expect(size('-wal')).toBe(log)
  await store.write('config', async tx => void (await tx.insertInto('kv').values({ key: 'more', value: '' }).execute()))
  expect(size('-wal')).toBe(log)
  expect(await store.read.selectFrom('kv').select('key').execute()).toHaveLength(41)
})

test('the log is given its size, and what is in it already stays', async () => {
  await store.write('config', async tx => void (await tx.insertInto('kv').values({ key: 'a', value: '' }).execute()))
  await store.grow()
  const grown = size('-wal')
  expect(grown).toBeGreaterThan(4_000_000)
  await store.write('config', async tx => void (await tx.insertInto('kv').values({ key: 'b', value: '' }).execute()))
  expect(size('-wal')).toBe(grown)
  // As after a kill: another process reads the log from the disk.
  const copy = join(dir, 'copy')
  mkdirSync(copy)
  for (const end of ['', '-wal']) copyFileSync(`${path}${end}`, join(copy, `deputy.sqlite${end}`))
  const other = await openStore({ dir: copy, log: () => undefined })
  expect((await other.read.selectFrom('kv').select('key').execute()).map(row => row.key)).toEqual(
    expect.arrayContaining(['a', 'b']),
  )
  await other.close()
})

test('a store with little to do leaves its log alone', async () => {
  await store.write('config', async tx => void (await tx.insertInto('kv').values({ key: 'a', value: '' }).execute()))
  const log = size('-wal')
  await pause(100)
  expect(size('-wal')).toBe(log)
})

test('a task that fails is told, and so is a thread that ended', async () => {
  const worker = startWorker(join(dir, 'none', 'x'))
  await expect(worker.ask({ do: 'check' })).rejects.toThrow(/open/)
  const other = startWorker(path)
  expect(await other.ask({ do: 'checkpoint', truncate: false })).toMatchObject({ busy: false })
  await other.end()
  await expect(other.ask({ do: 'check' })).rejects.toThrow(/ended/)
})
