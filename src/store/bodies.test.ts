import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Bodies, openBodies } from './bodies.ts'
import { openStore, type Store } from './open.ts'
import { samples } from './samples.ts'

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
const files = () => readdirSync(join(dir, 'bodies'))
const message = (seq: number, parts: string) =>
  store.write('accept', async tx => {
    await tx
      .insertInto('messages')
      .values({ ...samples.messages, seq, id: `m${seq}`, parts })
      .execute()
  })

test('a text of 64 kB stays in the row, one more byte makes it a file', async () => {
  const kb64 = 'x'.repeat(64 * 1024)
  expect(await bodies.fold(kb64)).toBe(kb64)
  // Bytes count, not letters.
  expect(await bodies.fold('é'.repeat(32 * 1024))).toHaveLength(32 * 1024)
  for (const text of [`${kb64}x`, 'é'.repeat(32 * 1024 + 1), '😀'.repeat(20_000)]) {
    const column = await bodies.fold(text)
    expect(column).toMatch(/^\{"body":"[0-9a-f]{64}"\}$/)
    expect(await bodies.unfold(column)).toBe(text)
  }
  expect(await bodies.unfold(kb64)).toBe(kb64)
  expect(statSync(join(dir, 'bodies', files()[0]!)).mode & 0o777).toBe(0o600)
})

test('one text is one file, however often and at once it is kept', async () => {
  const columns = await Promise.all([1, 2, 3, 4].map(() => bodies.fold(long('a'))))
  expect(new Set([...columns, await bodies.fold(long('a'))]).size).toBe(1)
  expect(files()).toHaveLength(1)
})

test('a file that is gone or was changed is damage, not another text', async () => {
  const column = await bodies.fold(long('a'))
  const path = join(dir, 'bodies', files()[0]!)
  writeFileSync(path, readFileSync(path, 'utf8').replace('aaaa', 'aaab'))
  await expect(bodies.unfold(column)).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
  rmSync(path)
  await expect(bodies.unfold(column)).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
})

test('the sweep takes what no row has named for a day, and nothing else', async () => {
  expect(await bodies.sweep(store.read)).toBe(0)
  const kept = await bodies.fold(long('a'))
  await message(1, kept)
  await bodies.fold(long('b'))
  expect(await bodies.sweep(store.read)).toBe(0)
  now += day + 1000
  const young = await bodies.fold(long('c'))
  // Half a file, of a process that died.
  writeFileSync(join(dir, 'bodies', `${'0'.repeat(64)}.ab.new`), 'half')
  utimesSync(join(dir, 'bodies', `${'0'.repeat(64)}.ab.new`), now / 1000 - 90_000, now / 1000 - 90_000)
  expect(await bodies.sweep(store.read)).toBe(2)
  expect(files()).toHaveLength(2)
  expect(await bodies.unfold(kept)).toBe(long('a'))
  expect(await bodies.unfold(young)).toBe(long('c'))
})

test('an old file that is kept again is young again: its row may come after the sweep', async () => {
  await bodies.fold(long('a'))
  now += day + 1000
  const again = await bodies.fold(long('a'))
  expect(await bodies.sweep(store.read)).toBe(0)
  await message(1, again)
  expect(await bodies.unfold(again)).toBe(long('a'))
})

test('kept again while the sweep asks the rows: it stays', async () => {
  await bodies.fold(long('a'))
  now += day + 1000
  const [removed, column] = await Promise.all([bodies.sweep(store.read), bodies.fold(long('a'))])
  expect(removed).toBeLessThanOrEqual(1)
  expect(await bodies.unfold(column)).toBe(long('a'))
})
