import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startChild } from './child.ts'
import { callPoints, calls, makeCrashPoints, type WriteName, type WritePoint, writePoints, writes } from './crash.ts'
import { openStore, type Store } from './open.ts'

const quiet = { log: () => undefined }
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'deputy-crash-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

async function keys(store: Store): Promise<string[]> {
  return (await store.read.selectFrom('kv').select('key').orderBy('key').execute()).map(row => row.key)
}

async function keysOnDisk(): Promise<string[]> {
  const store = await openStore({ dir, ...quiet })
  try {
    return await keys(store)
  } finally {
    await store.close()
  }
}

describe('the list', () => {
  test('is pinned', () => {
    expect(Object.keys(writes).join(' ')).toBe(
      'accept claim intent reply result wait finish cancel answer recover sending sent approve slot device pair rpc ' +
        'config sweep usage timer session drop bind audit',
    )
    expect([writePoints, calls, callPoints]).toEqual([
      ['before', 'after', 'resolve'],
      ['model', 'tool', 'send'],
      ['before', 'after'],
    ])
  })

  for (const wrong of [
    'finish',
    'finish:after:0',
    'finish:never:1',
    'nothing:after:1',
    'model:resolve:1',
    'finish:after:1:2',
    'finish:after:x',
  ])
    test(`refused: ${wrong}`, () => {
      expect(() => makeCrashPoints(wrong)).toThrow(expect.objectContaining({ code: 'USAGE' }))
    })

  test('a call dies at the count given and at no other point', () => {
    let deaths = 0
    const crash = makeCrashPoints('model:before:2', () => deaths++)
    crash.hit('model', 'before')
    crash.hit('model', 'after')
    crash.hit('tool', 'before')
    expect(deaths).toBe(0)
    crash.hit('model', 'before')
    expect(deaths).toBe(1)
    crash.hit('model', 'before')
    expect(deaths).toBe(1)
  })

  test('nothing set, nothing dies', () => {
    makeCrashPoints(undefined, () => expect.fail()).hit('model', 'before')
    makeCrashPoints('', () => expect.fail()).hit('finish', 'after')
  })
})

describe('the points of a write', () => {
  test('each write passes all three, and what is known at each is what it says', async () => {
    const seen: unknown[] = []
    let told = 0
    const hit = (name: string, point: string) =>
      void seen.push([name, point, { told, commits: store.health().commits }])
    const store = await openStore({ dir, crash: { hit }, ...quiet })
    for (const name of Object.keys(writes) as WriteName[]) {
      await store.write(name, async tx => void (await tx.insertInto('kv').values({ key: name, value: '' }).execute()))
      told++
    }
    expect(seen).toEqual(
      Object.keys(writes).flatMap((name, i) => [
        [name, 'before', { told: i, commits: i }],
        [name, 'after', { told: i, commits: i + 1 }],
        [name, 'resolve', { told: i, commits: i + 1 }],
      ]),
    )
    await store.close()
  })

  test('a body that failed passes none', async () => {
    const crash = makeCrashPoints('finish:before:1', () => expect.fail())
    const store = await openStore({ dir, crash, ...quiet })
    await expect(store.write('finish', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    await store.close()
  })

  test('a write that turns out to be more passes the points of all it is', async () => {
    let deaths = 0
    const crash = makeCrashPoints('finish:after:1', () => deaths++)
    const store = await openStore({ dir, crash, ...quiet })
    await store.write('reply', async () => undefined)
    expect(deaths).toBe(0)
    await store.write('reply', async (_tx, is) => is('finish'))
    expect(deaths).toBe(1)
    await store.close()
  })
})

describe('a process that dies there', () => {
  /** Writes k1 … k5 one after the other, or all at once, and says what it was told. */
  const script = `
    import { writeSync } from 'node:fs'
    const { openStore } = await import(store('open.ts'))
    const { makeCrashPoints } = await import(store('crash.ts'))
    const house = await openStore({ dir: process.env.DIR, log: () => {}, crash: makeCrashPoints(process.env.DEPUTY_CRASH) })
    const put = n => house
      .write('finish', async tx => { await tx.insertInto('kv').values({ key: 'k' + n, value: '' }).execute() })
      .then(() => writeSync(1, 'k' + n + '\\n'))
    if (process.env.AT_ONCE) await Promise.all([1, 2, 3, 4, 5].map(put))
    else for (const n of [1, 2, 3, 4, 5]) await put(n)
    writeSync(1, 'end\\n')
  `
  const all = ['k1', 'k2', 'k3', 'k4', 'k5']
  const cases: [WritePoint, string[], string[]][] = [
    ['before', all.slice(0, 2), all.slice(0, 2)],
    ['after', all.slice(0, 2), all.slice(0, 3)],
    ['resolve', all.slice(0, 2), all.slice(0, 3)],
  ]
  for (const [point, told, kept] of cases) {
    test(`finish:${point}:3, one after the other: told ${told.length}, kept ${kept.length}`, async () => {
      const end = await startChild(script, { DIR: dir, DEPUTY_CRASH: `finish:${point}:3` }).end
      expect(end).toMatchObject({ signal: 'SIGKILL', errors: '' })
      expect(end.lines).toEqual(told)
      expect(await keysOnDisk()).toEqual(kept)
    })

    test(`finish:${point}:3, all at once: what was told is kept, and what is kept are the first`, async () => {
      const end = await startChild(script, { DIR: dir, DEPUTY_CRASH: `finish:${point}:3`, AT_ONCE: 'yes' }).end
      expect(end).toMatchObject({ signal: 'SIGKILL', errors: '' })
      // How many share a commit is a matter of time.
      const left = await keysOnDisk()
      expect(left).toEqual(all.slice(0, left.length))
      expect(end.lines).toEqual(all.slice(0, end.lines.length))
      expect(end.lines.length).toBeLessThanOrEqual(Math.min(2, left.length))
      if (point === 'before') expect(left.length).toBeLessThanOrEqual(2)
      else expect(left.length).toBeGreaterThanOrEqual(3)
    })
  }

  test('and without a point it lives', async () => {
    const end = await startChild(script, { DIR: dir, DEPUTY_CRASH: '' }).end
    expect(end.lines).toEqual([...all, 'end'])
    expect(await keysOnDisk()).toEqual(all)
  })

  test('killed from outside under load: whatever was told is kept, in whole transactions', async () => {
    const child = startChild(
      `
      import { writeSync } from 'node:fs'
      const { openStore } = await import(store('open.ts'))
      const house = await openStore({ dir: process.env.DIR, log: () => {} })
      let n = 0
      const row = (tx, key) => tx.insertInto('kv').values({ key, value: 'x'.repeat(2000) }).execute()
      const write = async () => {
        for (;;) {
          const id = ++n
          await house.write('finish', async tx => { await row(tx, id + 'a'); await row(tx, id + 'b') })
          writeSync(1, id + '\\n')
        }
      }
      await Promise.all(Array.from({ length: 20 }, write))`,
      { DIR: dir },
    )
    for (let i = 0; i < 2000; i++) await child.line()
    child.kill()
    const { lines } = await child.end
    const kept = new Set(await keysOnDisk())
    expect(lines.filter(id => !kept.has(`${id}a`) || !kept.has(`${id}b`))).toEqual([])
    for (const key of kept) expect(kept.has(key.replace(/[ab]$/, end => (end === 'a' ? 'b' : 'a')))).toBe(true)
  })
})
