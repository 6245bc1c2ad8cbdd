import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeBench } from '../../test/support/tools.ts'

describe('read', () => {
  test('gives a small file as it is, and an empty one by name', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'a.txt'), 'één\r\ntwee\n')
    writeFileSync(join(bench.workspace, 'empty'), '')
    expect((await bench.call('read', { path: 'a.txt' })).text).toBe('één\r\ntwee\n')
    expect((await bench.call('read', { path: join(bench.workspace, 'a.txt') })).text).toBe('één\r\ntwee\n')
    expect((await bench.call('read', { path: 'empty' })).text).toBe('[The file is empty.]')
  })

  test('pages add up to the file, and each says what is left', async () => {
    await using bench = await makeBench()
    const lines = Array.from({ length: 5321 }, (_, n) => `line ${n + 1}`)
    writeFileSync(join(bench.workspace, 'long.txt'), lines.join('\n'))
    const seen: string[] = []
    for (let offset = 1; offset > 0; ) {
      const { text } = await bench.call('read', { path: 'long.txt', offset })
      const note = /\n?\[Lines (\d+)–(\d+) of 5321; (\d+) are left: offset (\d+)\.\]$/.exec(text)
      seen.push(...text.slice(0, note?.index).split('\n').filter(Boolean))
      if (note) expect(Number(note[3])).toBe(5321 - seen.length)
      offset = note ? Number(note[4]) : 0
    }
    expect(seen).toEqual(lines)
    const two = await bench.call('read', { path: 'long.txt', offset: '5320', limit: 1 })
    expect(two.text).toBe('line 5320\n[Lines 5320–5320 of 5321; 1 are left: offset 5321.]')
  })

  test('a page is never longer than its limit, whatever the lines are', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'wide.txt'), `${'ä'.repeat(50_000)}\nnext\n`)
    const { text } = await bench.call('read', { path: 'wide.txt' })
    expect(Buffer.byteLength(text)).toBeLessThan(50_000)
    expect(text).not.toContain('\ufffd')
    expect(text).toMatch(/Line 1 is longer than a page.*The next line is offset 2/)
    expect((await bench.call('read', { path: 'wide.txt', offset: 2 })).text).toBe('next\n')
  })

  test('a huge file is paged without being held, and what was not counted is told in bytes', async () => {
    await using bench = await makeBench()
    const path = join(bench.workspace, 'huge.txt')
    writeFileSync(path, `first\n${'second\n'.repeat(10_000)}`)
    truncateSync(path, 300 * 1024 * 1024)
    const before = process.memoryUsage.rss()
    const { text } = await bench.call('read', { path: 'huge.txt', limit: 1 })
    expect(text).toBe(`first\n[${300 * 1024 * 1024 - 6} bytes are left: offset 2.]`)
    expect(process.memoryUsage.rss() - before).toBeLessThan(50_000_000)
  })

  test('says why it cannot', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'a.txt'), 'one\ntwo')
    writeFileSync(join(bench.workspace, 'bin'), Buffer.from([1, 0, 2]))
    mkdirSync(join(bench.workspace, 'folder'))
    const why = async (args: object) => {
      const answer = await bench.call('read', args)
      return [answer.isError, answer.text]
    }
    expect(await why({ path: 'a.txt', offset: 3 })).toEqual([
      true,
      expect.stringContaining('has 2 lines; line 3 lies behind its end'),
    ])
    expect(await why({ path: 'bin' })).toEqual([true, expect.stringContaining('binary')])
    expect(await why({ path: 'folder' })).toEqual([true, expect.stringContaining('is a folder')])
    expect(await why({ path: 'nothing' })).toEqual([true, 'Failed: there is no such file or folder.'])
  })
})

describe('special files', () => {
  test('a named pipe, a socket and a device are refused at once by every tool', async () => {
    await using bench = await makeBench()
    execFileSync('mkfifo', [join(bench.workspace, 'pipe')])
    symlinkSync('/dev/zero', join(bench.workspace, 'zero'))
    const server = createServer().listen(join(bench.workspace, 'socket'))
    await once(server, 'listening')
    try {
      for (const name of ['pipe', 'socket', 'zero']) {
        for (const [tool, args] of [
          ['read', { path: name }],
          ['write', { path: name, content: 'x' }],
          ['edit', { path: name, oldText: 'a', newText: 'b' }],
          ['grep', { path: name, pattern: '.' }],
        ] as const) {
          const answer = await bench.call(tool, args)
          expect([tool, name, answer.isError]).toEqual([tool, name, true])
          expect(answer.text).toMatch(/named pipe|socket|outside the workspace/)
        }
      }
      expect((await bench.call('ls', {})).text).toBe('pipe  (named pipe)\nsocket  (socket)\nzero -> /dev/zero')
      expect((await bench.call('grep', { pattern: '.' })).text).toContain('0 matching lines')
    } finally {
      server.close()
    }
  })
})

describe('write', () => {
  test('makes folders, replaces, keeps the mode, leaves nothing behind', async () => {
    await using bench = await makeBench()
    expect((await bench.call('write', { path: 'a/b/c.sh', content: 'one' })).text).toBe('Created a/b/c.sh (3 bytes).')
    chmodSync(join(bench.workspace, 'a/b/c.sh'), 0o750)
    expect((await bench.call('write', { path: 'a/b/c.sh', content: '' })).text).toBe('Replaced a/b/c.sh (0 bytes).')
    expect(statSync(join(bench.workspace, 'a/b/c.sh')).mode & 0o777).toBe(0o750)
    expect(readdirSync(join(bench.workspace, 'a/b'))).toEqual(['c.sh'])
  })

  test('a reader sees the old file or the new one, never half of it', async () => {
    await using bench = await makeBench()
    const path = join(bench.workspace, 'f')
    const old = 'a'.repeat(2_000_000)
    const fresh = 'b'.repeat(2_000_000)
    writeFileSync(path, old)
    const writing = bench.call('write', { path: 'f', content: fresh })
    const done = { is: false }
    void writing.finally(() => (done.is = true))
    while (!done.is) {
      const text = readFileSync(path, 'utf8')
      expect(text === old || text === fresh).toBe(true)
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(readFileSync(path, 'utf8')).toBe(fresh)
  })

  test('another name of the same file keeps its content, a set-user-id bit is not kept, a read-only file is left alone', async () => {
    await using bench = await makeBench()
    const path = join(bench.workspace, 'f')
    writeFileSync(path, 'old')
    linkSync(path, join(bench.workspace, 'other'))
    chmodSync(path, 0o4755)
    await bench.call('write', { path: 'f', content: 'new' })
    expect(readFileSync(join(bench.workspace, 'other'), 'utf8')).toBe('old')
    expect(statSync(path).mode & 0o7777).toBe(0o755)
    chmodSync(path, 0o444)
    expect((await bench.call('write', { path: 'f', content: 'again' })).text).toContain('read-only')
    expect(readFileSync(path, 'utf8')).toBe('new')
  })

  test('a folder, the workspace itself, too much and a cancelled call change nothing', async () => {
    await using bench = await makeBench()
    mkdirSync(join(bench.workspace, 'folder'))
    writeFileSync(join(bench.workspace, 'f'), 'old')
    expect((await bench.call('write', { path: 'folder', content: 'x' })).text).toContain('is a folder')
    expect((await bench.call('write', { path: '.', content: 'x' })).text).toContain('the workspace itself')
    expect((await bench.call('write', { path: 'f', content: 'x'.repeat(8 * 1024 * 1024 + 1) })).text).toContain(
      '8388608 are allowed',
    )
    const late = await bench.call('write', { path: 'f', content: 'x' }, { signal: AbortSignal.abort() })
    expect([late.isError, late.details['code']]).toEqual([true, 'RUN_CANCELLED'])
    expect(readFileSync(join(bench.workspace, 'f'), 'utf8')).toBe('old')
    expect(readdirSync(bench.workspace).sort()).toEqual(['f', 'folder'])
  })
})

describe('ls', () => {
  test('names, sizes and kinds, up to a limit that is told', async () => {
    await using bench = await makeBench()
    mkdirSync(join(bench.workspace, 'sub'))
    for (let n = 0; n < 30; n++) writeFileSync(join(bench.workspace, `f${String(n).padStart(2, '0')}`), 'x'.repeat(n))
    const all = (await bench.call('ls', { path: '' })).text.split('\n')
    expect([all.length, all[3], all.at(-1)]).toEqual([31, 'f03  3', 'sub/'])
    const some = (await bench.call('ls', { limit: '5' })).text.split('\n')
    expect([some.length, some.at(-1)]).toEqual([6, '[5 of 31 entries; give a deeper path or a higher limit.]'])
    expect((await bench.call('ls', { path: 'sub' })).text).toBe('[The folder is empty.]')
    expect((await bench.call('ls', { path: 'f01' })).isError).toBe(true)
  })
})
