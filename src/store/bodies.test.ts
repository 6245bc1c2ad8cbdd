import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Bodies, openBodies } from './bodies.ts'
import { openStore, type Store } from './open.ts'
import { samples } from './samples.ts'
import type { LongText } from './tables.ts'

const day = 24 * 3600_000
let dir: string
let now: number
let store: Store
let bodies: Bodies
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-bodies-'))
  now = Date.now()
  store = await openStore({ dir, log: () => undefined })
  bodies = openBodies(dir, { now: () => now })
})
afterEach(async () => {
  await store.close()
  rmSync(dir, { recursive: true })
})

const long = (letter: string) => JSON.stringify([{ type: 'text', text: letter.repeat(70_000) }])
const going = new AbortController().signal
const files = () => readdirSync(join(dir, 'bodies'))
const message = (seq: number, parts: string | LongText) =>
  store.write('accept', async tx => {
    await tx
      .insertInto('messages')
      .values({ ...samples.messages, seq, id: `m${seq}`, parts })
      .execute()
  })

test('a text of 64 kB stays in the row, one more byte makes it a file', () => {
  const kb64 = 'x'.repeat(64 * 1024)
  expect(bodies.fold(kb64)).toBe(kb64)
  // Bytes count, not letters.
  expect(bodies.fold('é'.repeat(32 * 1024))).toHaveLength(32 * 1024)
  for (const text of [`${kb64}x`, 'é'.repeat(32 * 1024 + 1), '😀'.repeat(20_000)]) {
    const column = bodies.fold(text)
    expect(column).toMatch(/^\{"body":"[0-9a-f]{64}"\}$/)
    expect(bodies.unfold(column)).toBe(text)
  }
  expect(bodies.unfold(kb64)).toBe(kb64)
  expect(statSync(join(dir, 'bodies', files()[0]!)).mode & 0o777).toBe(0o600)
})

test('one text is one file, however often it is kept', () => {
  expect(new Set([1, 2, 3].map(() => bodies.fold(long('a')))).size).toBe(1)
  expect(files()).toHaveLength(1)
})

test('whoever writes and reads a message knows nothing of the file, and the database holds its name only', async () => {
  await message(1, { long: long('a') })
  await message(2, { long: '[]' })
  const rows = await store.read.selectFrom('messages').select(['seq', 'parts']).orderBy('seq').execute()
  expect(rows).toEqual([
    { seq: 1, parts: long('a') },
    { seq: 2, parts: '[]' },
  ])
  expect(await store.write('reply', tx => tx.selectFrom('messages').selectAll().execute())).toHaveLength(2)
  const raw = new DatabaseSync(join(dir, 'deputy.sqlite'), { readOnly: true })
  expect(raw.prepare('select parts from messages where seq = 1').get()).toEqual({
    parts: `{"body":"${files()[0]}"}`,
  })
  raw.close()
})

test('a transaction that is taken back leaves a file that nobody names, and nothing else', async () => {
  const failing = store.write('reply', async tx => {
    await tx
      .insertInto('messages')
      .values({ ...samples.messages, parts: { long: long('a') } })
      .execute()
    throw new Error('not this one')
  })
  await expect(failing).rejects.toThrow('not this one')
  expect(await store.read.selectFrom('messages').selectAll().execute()).toEqual([])
  now += day + 1000
  expect(await bodies.sweep(store.read, going)).toBe(1)
})

test('a message whose file is gone is an error that names the file; the others can be read', async () => {
  await message(1, { long: long('a') })
  await message(2, { long: '[]' })
  rmSync(join(dir, 'bodies', files()[0]!))
  const read = (seq: number) => store.read.selectFrom('messages').select('parts').where('seq', '=', seq).execute()
  await expect(read(1)).rejects.toMatchObject({ code: 'STORE_DAMAGED', message: expect.stringContaining('bodies/') })
  expect(await read(2)).toEqual([{ parts: '[]' }])
  // It concerns one conversation: the house goes on.
  expect(store.health().claiming).toBe(true)
})

test('no room for the file is a full disk: what asks is refused, what was done waits for room', async () => {
  writeFileSync(join(dir, 'bodies'), 'in the way of the folder, as no room would be')
  await expect(message(1, { long: long('a') })).rejects.toMatchObject({ code: 'STORE_LOST_GROUP' })
  const done = store.write('reply', async tx => {
    await tx
      .insertInto('messages')
      .values({ ...samples.messages, parts: { long: long('a') } })
      .execute()
  })
  await store.idle()
  expect(store.health()).toMatchObject({ claiming: false, waiting: 1 })
  rmSync(join(dir, 'bodies'))
  await done
  expect(store.health()).toMatchObject({ claiming: true, waiting: 0 })
})

test('a file that is gone or was changed is damage, not another text', () => {
  const damage = expect.objectContaining({ code: 'STORE_DAMAGED' })
  const column = bodies.fold(long('a'))
  const path = join(dir, 'bodies', files()[0]!)
  writeFileSync(path, readFileSync(path, 'utf8').replace('aaaa', 'aaab'))
  expect(() => bodies.unfold(column)).toThrow(damage)
  rmSync(path)
  expect(() => bodies.unfold(column)).toThrow(damage)
})

test('the sweep takes what no row has named for a day, and nothing else', async () => {
  expect(await bodies.sweep(store.read, going)).toBe(0)
  const kept = bodies.fold(long('a'))
  await message(1, kept)
  bodies.fold(long('b'))
  expect(await bodies.sweep(store.read, going)).toBe(0)
  now += day + 1000
  const young = bodies.fold(long('c'))
  // Half a file, of a process that died.
  writeFileSync(join(dir, 'bodies', `${'0'.repeat(64)}.ab.new`), 'half')
  utimesSync(join(dir, 'bodies', `${'0'.repeat(64)}.ab.new`), now / 1000 - 90_000, now / 1000 - 90_000)
  expect(await bodies.sweep(store.read, going)).toBe(2)
  expect(files()).toHaveLength(2)
  expect(bodies.unfold(kept)).toBe(long('a'))
  expect(bodies.unfold(young)).toBe(long('c'))
})

test('an old file that is kept again is young again: its row may come after the sweep', async () => {
  bodies.fold(long('a'))
  now += day + 1000
  const again = bodies.fold(long('a'))
  expect(await bodies.sweep(store.read, going)).toBe(0)
  await message(1, again)
  expect(bodies.unfold(again)).toBe(long('a'))
})

test('a store that closes ends the sweep', async () => {
  bodies.fold(long('a'))
  now += day + 1000
  expect(await bodies.sweep(store.read, AbortSignal.abort())).toBe(0)
  const sweep = store.sweep()
  await store.close()
  expect(await sweep).toBe(0)
})

test('kept again while the sweep asks the rows: it stays', async () => {
  bodies.fold(long('a'))
  now += day + 1000
  const sweep = bodies.sweep(store.read, going)
  const column = bodies.fold(long('a'))
  const removed = await sweep
  expect(removed).toBeLessThanOrEqual(1)
  expect(bodies.unfold(column)).toBe(long('a'))
})
