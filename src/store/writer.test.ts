import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { startChild } from './child.ts'
import { unpaced } from '../core/pace.ts'
import { openBodies } from './bodies.ts'
import { noCrash } from './crash.ts'
import { openStore, type Tx } from './open.ts'
import { makeWriter } from './writer.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-writer-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const insert = async (tx: Tx, key: string) => {
  await tx.insertInto('kv').values({ key, value: '' }).execute()
}
const turn = () => new Promise(resolve => setImmediate(resolve))

describe('when a write runs', () => {
  test('with nobody before it: at once, and it is on the disk before the loop turns', async () => {
    const store = await openStore({ dir, log: () => undefined })
    await turn()
    const order: string[] = []
    setImmediate(() => order.push('turn'))
    const write = store.write('config', async tx => {
      order.push('body')
      await insert(tx, 'a')
    })
    order.push('asked')
    await write
    order.push('told')
    await turn()
    expect(order).toEqual(['body', 'asked', 'told', 'turn'])
    await store.close()
  })

  test('a chain of writes leaves the loop its turns', async () => {
    const store = await openStore({ dir, log: () => undefined })
    let turns = 0
    let over = false
    const count = () => {
      turns++
      if (!over) setImmediate(count)
    }
    setImmediate(count)
    const began = performance.now()
    let writes = 0
    while (performance.now() - began < 100) await store.write('config', tx => insert(tx, `k${writes++}`))
    over = true
    expect(writes).toBeGreaterThan(3)
    expect(turns).toBeGreaterThan(3)
    await store.close()
  })

  test('a burst of bodies that compute leaves the loop its turns between groups', async () => {
    const store = await openStore({ dir, log: () => undefined })
    let turns = 0
    const busy = async () => {
      const until = performance.now() + 3
      while (performance.now() < until);
    }
    let over = false
    const count = () => {
      turns++
      if (!over) setImmediate(count)
    }
    setImmediate(count)
    await Promise.all(Array.from({ length: 20 }, () => store.write('config', busy)))
    over = true
    // Two bodies of 3 ms fill a group of 4 ms, so twenty take ten groups, or more on a slow machine.
    expect(turns).toBeGreaterThanOrEqual(9)
    await store.close()
  })
})

describe('a body that takes long', () => {
  const due = { ...unpaced, due: () => true, turn: () => new Promise<void>(resolve => setImmediate(resolve)) }

  test('lets the loop turn between its statements, and nobody sees half of it', async () => {
    const store = await openStore({ dir, pace: due, log: () => undefined })
    const seen: number[] = []
    let over = false
    const looking = (async () => {
      while (!over) {
        seen.push((await store.read.selectFrom('kv').select('key').where('key', 'like', 'k%').execute()).length)
        await turn()
      }
    })()
    await Promise.all(
      ['a', 'b'].map(name =>
        store.write('config', async tx => {
          for (let i = 0; i < 10; i++) await insert(tx, `k${name}${i}`)
        }),
      ),
    )
    over = true
    await looking
    expect(seen.filter(count => count === 0).length).toBeGreaterThan(9)
    expect([...new Set(seen)].filter(count => count % 10 !== 0)).toEqual([])
    await store.close()
  })

  test('is still taken back when it awaits anything else', async () => {
    const store = await openStore({ dir, pace: due, log: () => undefined })
    const other = store.write('config', async tx => {
      await insert(tx, 'a')
      await new Promise(resolve => setTimeout(resolve, 20))
      await insert(tx, 'b')
    })
    await expect(other).rejects.toMatchObject({ code: 'STORE_BODY_AWAITED' })
    await store.write('config', tx => insert(tx, 'c'))
    const rows = await store.read.selectFrom('kv').select('key').where('key', 'in', ['a', 'b', 'c']).execute()
    expect(rows).toEqual([{ key: 'c' }])
    await store.close()
  })

  test('is left alone by the look at the log', async () => {
    // The look comes 20 ms after a commit, which falls into a rest of the next body.
    const slow = { ...due, turn: () => new Promise<void>(resolve => setTimeout(resolve, 30)) }
    const store = await openStore({ dir, pace: slow, log: () => undefined })
    await store.write('config', tx => insert(tx, 'a'))
    await store.write('config', async tx => {
      for (const key of ['b', 'c', 'd']) await insert(tx, key)
    })
    await store.close()
  })
})

describe('who is told', () => {
  test('hears in the order of asking and one after the other, and a store that closes waits for it', async () => {
    const held: (() => void)[] = []
    const pace = { ...unpaced, pass: (pieces: readonly (() => void)[]) => void held.push(...pieces) }
    const store = await openStore({ dir, pace, log: () => undefined })
    const told: string[] = []
    for (const key of ['a', 'b', 'c']) void store.write('config', tx => insert(tx, key)).then(() => told.push(key))
    while (held.length < 3) await turn()
    let closed = false
    const closing = store.close().then(() => (closed = true))
    await turn()
    expect([told, closed]).toEqual([[], false])
    for (const piece of held) {
      piece()
      await turn()
    }
    expect(told).toEqual(['a', 'b', 'c'])
    await closing
  })
})

describe('a commit that fails', () => {
  test('tells nobody, undoes all, and each body runs again alone', async () => {
    const db = new DatabaseSync(join(dir, 'x.sqlite'))
    db.exec(`pragma journal_mode = wal; pragma foreign_keys = on;
      create table kv (key text primary key, value text);
      create table child (parent text references kv (key) deferrable initially deferred)`)
    let commits = 0
    const bodies = openBodies(dir, Date)
    const writer = makeWriter({
      db,
      bodies,
      crash: noCrash,
      pace: unpaced,
      committed: () => commits++,
      trouble: () => expect.fail(),
    })
    // What is asked together runs together, however slow the machine.
    const clock = vi.spyOn(performance, 'now').mockReturnValue(0)
    onTestFinished(() => clock.mockRestore())
    const ran: string[] = []
    const write = (name: string, also?: (tx: Tx) => Promise<unknown>) =>
      writer.write('config', async tx => {
        ran.push(name)
        await insert(tx, name)
        await also?.(tx)
      })
    const results = await Promise.allSettled([
      write('a'),
      // Seen only at the commit, which then ends nothing by itself.
      write('b', tx => sql`insert into child values ('nobody')`.execute(tx)),
      write('c'),
    ])
    expect(results.map(r => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((results[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'STORE_LOST_GROUP' })
    expect(ran).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
    expect(commits).toBe(2)
    expect(db.prepare('select key from kv order by key').all()).toMatchObject([{ key: 'a' }, { key: 'c' }])
    await writer.close()
    db.close()
  })
})

describe('a file that another program has locked', () => {
  test('holds up the writes and not the loop; they go on when it is free', async () => {
    const lines: string[] = []
    const store = await openStore({ dir, log: line => lines.push(line) })
    const other = new DatabaseSync(join(dir, 'deputy.sqlite'))
    other.exec('begin immediate')
    let told = 0
    const writes = ['a', 'b', 'c'].map(key => store.write('config', tx => insert(tx, key)).then(() => told++))
    let turns = 0
    const until = performance.now() + 1200
    while (performance.now() < until) {
      await new Promise(resolve => setTimeout(resolve, 10))
      turns++
    }
    expect(told).toBe(0)
    expect(turns).toBeGreaterThan(20)
    expect(await store.read.selectFrom('kv').selectAll().execute()).toEqual([])
    expect(store.health()).toMatchObject({ claiming: false, queued: 3, trouble: { code: 'STORE_LOST_GROUP' } })
    expect(lines.join()).toContain('locked')
    other.exec('rollback')
    other.close()
    await Promise.all(writes)
    expect(store.health()).toMatchObject({ claiming: true, trouble: null })
    await store.close()
  })
})

test('a probe that was left behind, with room for it and not for taking it back, does not keep the store waiting', async () => {
  const db = new DatabaseSync(join(dir, 'probe.sqlite'))
  db.exec(`pragma journal_mode = wal; create table kv (key text primary key, value text);
    insert into kv values ('store.probe', 'left behind')`)
  const heard: (string | null)[] = []
  const trouble = (failure: { error: { code: string } } | null) => void heard.push(failure?.error.code ?? null)
  const writer = makeWriter({
    db,
    bodies: openBodies(dir, Date),
    crash: noCrash,
    pace: unpaced,
    committed: () => undefined,
    trouble,
  })
  const { page_count } = db.prepare('pragma page_count').get() as { page_count: number }
  db.exec(`pragma max_page_count = ${page_count}`)
  const done = writer.write('reply', tx => insert(tx, 'long '.repeat(5000)))
  await writer.idle()
  expect(heard).toEqual(['DISK_FULL'])
  db.exec('pragma max_page_count = 1000000')
  await done
  expect(heard).toEqual(['DISK_FULL', null])
  await writer.close()
  db.close()
})

/** A small file system of its own at /mnt; not every machine lets a user have one. */
const onSmallDisk = (then: string) => [
  'unshare',
  '-rm',
  'sh',
  '-c',
  `mount -t tmpfs -o size=3m none /mnt && ${then}`,
  'sh',
]
const canMount = spawnSync(onSmallDisk('true')[0]!, onSmallDisk('true').slice(1)).status === 0

describe.skipIf(!canMount)('a disk that is truly full', () => {
  test('refuses what is asked, keeps what was done, goes on when there is room', async () => {
    const child = startChild(
      `
      import { rmSync, writeFileSync } from 'node:fs'
      const { openStore } = await import(store('open.ts'))
      const heard = []
      writeFileSync('/mnt/filler', 'x'.repeat(1500 * 1024))
      const house = await openStore({ dir: '/mnt', log: () => {} })
      house.onTrouble(trouble => heard.push(trouble?.code ?? null))
      const put = (name, key) => house.write(name, async tx => {
        await tx.insertInto('kv').values({ key, value: 'x'.repeat(5000) }).execute()
      })
      let n = 0
      const refused = await (async () => { for (;;) await Promise.all([1, 2, 3].map(() => put('accept', 'k' + n++))) })().catch(e => e)
      const kept = async () => (await house.read.selectFrom('kv').select(e => e.fn.countAll().as('n')).executeTakeFirst()).n
      const before = await kept()
      const reply = put('reply', 'reply')
      await house.idle()
      const during = house.health()
      rmSync('/mnt/filler')
      await reply
      const after = house.health()
      console.log(JSON.stringify({ code: refused.code, before, asked: n, during, heard, added: await kept() - before, after }))
      await house.close()`,
      {},
      [...onSmallDisk('exec "$@"'), process.execPath],
    )
    const { lines, errors } = await child.end
    expect(errors).toBe('')
    const said = JSON.parse(lines[0]!)
    expect(said).toMatchObject({
      code: 'DISK_FULL',
      during: { claiming: false, waiting: 1, trouble: { code: 'DISK_FULL' } },
      after: { claiming: true, waiting: 0, trouble: null },
      heard: ['DISK_FULL', null],
    })
    // A neighbour of the one that was refused may still have found room.
    expect(said.before).toBeGreaterThan(said.asked - 4)
    expect(said.added).toBe(1)
  })
})
