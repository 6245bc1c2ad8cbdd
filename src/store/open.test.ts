import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startChild } from './child.ts'
import { newestVersion } from './migrations.ts'
import { openStore, type Store } from './open.ts'
import { openReader } from './reader.ts'
import { samples } from './samples.ts'

let dir: string
let path: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-open-'))
  path = join(dir, 'deputy.sqlite')
})
afterEach(() => rmSync(dir, { recursive: true }))

const open = (log: (line: string) => void = () => undefined) => openStore({ dir, log })
const hash = () => createHash('sha256').update(readFileSync(path)).digest('hex')
const put = (store: Store, key: string) =>
  store.write('config', async tx => void (await tx.insertInto('kv').values({ key, value: key }).execute()))

async function closed(change: (db: DatabaseSync) => void = () => undefined): Promise<void> {
  const store = await open()
  await put(store, 'a')
  await store.close()
  const db = new DatabaseSync(path)
  change(db)
  db.close()
}

async function refused(code: string): Promise<void> {
  const before = hash()
  await expect(open()).rejects.toMatchObject({ code })
  expect(() => openReader(dir)).toThrow(expect.objectContaining({ code }))
  expect(hash()).toBe(before)
}

describe('a fresh file', () => {
  test('has the settings that cannot be changed later, and belongs to its owner alone', async () => {
    const store = await open()
    await store.write('config', async tx => {
      const pragma = async (name: string) =>
        Object.values((await sql.raw<object>(`pragma ${name}`).execute(tx)).rows[0]!)[0]
      const settings = ['page_size', 'auto_vacuum', 'application_id', 'user_version', 'journal_mode', 'synchronous']
      const values = []
      for (const name of settings) values.push(await pragma(name))
      expect(values).toEqual([8192, 2, 0x44707479, newestVersion, 'wal', 2])
      expect([await pragma('wal_autocheckpoint'), await pragma('journal_size_limit')]).toEqual([0, 64 * 1024 * 1024])
    })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600)
    await store.close()
  })

  test('left half made by a crash is made anew', async () => {
    writeFileSync(`${path}.new`, 'half')
    writeFileSync(`${path}.new-journal`, 'half')
    const store = await open()
    await put(store, 'a')
    await store.close()
  })

  test('in a folder that is not there is refused', async () => {
    await expect(openStore({ dir: join(dir, 'none'), log: () => undefined })).rejects.toMatchObject({
      code: 'HOME_UNWRITABLE',
    })
  })
})

describe('a file that is refused stays as it is', () => {
  test('of another program', async () => {
    const db = new DatabaseSync(path)
    db.exec('create table t (a)')
    db.close()
    await refused('STORE_FOREIGN')
  })
  test('of a newer version', async () => {
    await closed(db => db.exec('pragma user_version = 1000'))
    await refused('STORE_TOO_NEW')
  })
  test('that is no database', async () => {
    writeFileSync(path, 'not a database, but long enough to be taken for one'.repeat(100))
    await refused('STORE_DAMAGED')
  })
  test('that is empty', async () => {
    writeFileSync(path, '')
    await refused('STORE_DAMAGED')
  })
  test('that was cut off', async () => {
    await closed()
    truncateSync(path, 3 * 8192)
    await refused('STORE_DAMAGED')
  })
  test('whose header was overwritten', async () => {
    await closed()
    const bytes = readFileSync(path)
    bytes.fill(7, 0, 100)
    writeFileSync(path, bytes)
    await refused('STORE_DAMAGED')
  })
  test('whose tables are gone', async () => {
    await closed(db => db.exec('drop table kv'))
    await refused('STORE_DAMAGED')
  })
  test('that is gone but for its log', async () => {
    writeFileSync(`${path}-wal`, 'rows')
    await expect(open()).rejects.toMatchObject({ code: 'STORE_DAMAGED' })
    expect(readFileSync(`${path}-wal`, 'utf8')).toBe('rows')
  })
})

describe('after a stop', () => {
  test('by close, nothing is left beside the file and the next start is clean', async () => {
    const store = await open()
    await put(store, 'a')
    expect(store.health().unclean).toBe(false)
    await store.close()
    await store.close()
    expect(statSync(`${path}-wal`, { throwIfNoEntry: false })).toBeUndefined()
    const next = await open()
    expect(next.health().unclean).toBe(false)
    await next.close()
  })

  test('by a kill, the next start has every row and knows that it was no clean one', async () => {
    const child = startChild(
      `const { openStore } = await import(store('open.ts'))
       const house = await openStore({ dir: process.env.DIR, log: () => {} })
       await house.write('config', async tx => { await tx.insertInto('kv').values({ key: 'a', value: 'b' }).execute() })
       console.log('told')
       setInterval(() => {}, 1000)`,
      { DIR: dir },
    )
    expect(await child.line()).toBe('told')
    child.kill()
    await child.end
    // A command that only reads sees it too and leaves the log where it is.
    const reader = openReader(dir)
    expect(await reader!.read.selectFrom('kv').select('key').execute()).toMatchObject([{ key: 'a' }])
    reader!.close()
    const store = await open()
    expect(store.health().unclean).toBe(true)
    await store.check()
    expect(store.health()).toMatchObject({ claiming: true, trouble: null })
    expect(await store.read.selectFrom('kv').select('key').execute()).toMatchObject([{ key: 'a' }])
    await store.close()
  })
})

describe('damage', () => {
  /** Overwrites the pages of one table, all but its root. */
  async function damagedRuns(): Promise<void> {
    const store = await open()
    await store.write('config', async tx => {
      for (let i = 0; i < 200; i++)
        await tx
          .insertInto('runs')
          .values({ ...samples.runs, id: `r${i}`, session: `s${i}`, task: 'x'.repeat(2000) })
          .execute()
    })
    await store.close()
    const db = new DatabaseSync(path)
    const pages = db.prepare("select pageno from dbstat where name = 'runs' and path <> '/'").all()
    db.close()
    const bytes = readFileSync(path)
    for (const row of pages.slice(0, 20))
      bytes.fill(0xff, (Number(row['pageno']) - 1) * 8192, Number(row['pageno']) * 8192)
    writeFileSync(path, bytes)
  }

  test('found by the check ends claiming and names the table; the rest goes on', async () => {
    await damagedRuns()
    const lines: string[] = []
    const store = await open(line => lines.push(line))
    const heard: unknown[] = []
    store.onTrouble(trouble => heard.push(trouble?.code))
    await store.check()
    expect(store.health()).toMatchObject({
      claiming: false,
      trouble: { code: 'STORE_DAMAGED', message: 'The database is damaged: runs.', details: { tables: ['runs'] } },
    })
    expect(heard).toEqual(['STORE_DAMAGED'])
    expect(lines.join()).toContain('damaged: runs')
    await put(store, 'still')
    await store.close()
  })

  for (const by of ['a read', 'a write'])
    test(`met by ${by} does the same`, async () => {
      await damagedRuns()
      const store = await open()
      const named = new Promise<void>(resolve =>
        store.onTrouble(trouble => {
          if (trouble?.details?.['tables']) resolve()
        }),
      )
      const all = (db: Store['read']) => db.selectFrom('runs').selectAll().execute()
      await expect(by === 'a read' ? all(store.read) : store.write('claim', all)).rejects.toThrow()
      expect(store.health()).toMatchObject({ claiming: false, trouble: { code: 'STORE_DAMAGED' } })
      await named
      expect(store.health().trouble?.details?.['tables']).toEqual(['runs'])
      await store.close()
    })

  test('is not looked for any more by a store that closes', async () => {
    await damagedRuns()
    const store = await open()
    const check = store.check()
    await store.close()
    await check
    expect(statSync(`${path}-wal`, { throwIfNoEntry: false })).toBeUndefined()
  })
})
