import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeBench } from '../../test/support/tools.ts'

/** Forty letters that a nested repeat tries in a million million ways. */
const trap = `${'a'.repeat(40)}!`

describe('grep', () => {
  test('finds lines with their files and numbers', async () => {
    await using bench = await makeBench()
    mkdirSync(join(bench.workspace, 'src/.git'), { recursive: true })
    writeFileSync(join(bench.workspace, 'src/a.ts'), 'one\r\nTwo (x)\nthree\nfour\nfive two\n')
    writeFileSync(join(bench.workspace, 'b.md'), 'two\n')
    writeFileSync(join(bench.workspace, 'src/.git/c'), 'two\n')
    writeFileSync(join(bench.workspace, 'bin'), Buffer.from('two\0'))
    const text = async (args: object) => (await bench.call('grep', args)).text
    expect(await text({ pattern: 'two' })).toBe('b.md:1:two\nsrc/a.ts:5:five two\n[Left out: src/.git/.]')
    expect(await text({ pattern: 'two', path: 'src/a.ts', ignoreCase: 'true' })).toBe(
      'src/a.ts:2:Two (x)\nsrc/a.ts:5:five two',
    )
    expect(await text({ pattern: '(?i)^two', glob: '*.ts' })).toContain('src/a.ts:2:Two (x)')
    expect(await text({ pattern: '(x)', literal: true, glob: 'src/*.ts' })).toContain('a.ts:2:')
    expect(await text({ pattern: 'three', path: 'src/a.ts', context: 1 })).toBe(
      'src/a.ts-2-Two (x)\nsrc/a.ts:3:three\nsrc/a.ts-4-four',
    )
    expect(await text({ pattern: 'two', path: 'src/.git' })).toBe('src/.git/c:1:two')
    expect(await text({ pattern: 'nowhere', path: 'b.md' })).toBe('[0 matching lines in 0 of 1 files searched.]')
    expect(await text({ pattern: '(' })).toMatch(/Invalid regular expression.*Mend the expression/s)
  })

  test('counts per file and in all', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'a'), 'x\nx x\ny\n')
    writeFileSync(join(bench.workspace, 'b'), 'x')
    expect((await bench.call('grep', { pattern: 'x', count: true })).text).toBe(
      'a: 2\nb: 1\n[3 matching lines in 2 of 2 files searched.]',
    )
    for (let n = 0; n < 1200; n++)
      writeFileSync(join(bench.workspace, `file-with-a-long-name-that-fills-the-output-${n}`), 'x')
    const many = (await bench.call('grep', { pattern: 'x', count: true })).text
    expect(many).toContain('[1203 matching lines in 1202 of 1202 files searched.')
    expect(many).toMatch(/\d+ of these files are counted and not listed\./)
    expect(many.length).toBeLessThan(50_000)
  })

  test('stops where it says, and cuts long lines around the match', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'many'), 'match\n'.repeat(3000))
    writeFileSync(join(bench.workspace, 'wide'), `${'-'.repeat(5000)}needle${'-'.repeat(5000)}`)
    const limited = (await bench.call('grep', { pattern: 'match', limit: 3 })).text
    expect(limited.split('\n')).toHaveLength(4)
    expect(limited).toContain('Stopped after 3 matches; there may be more.')
    const wide = (await bench.call('grep', { pattern: 'needle' })).text
    expect(wide).toMatch(/^wide:1:….*needle.*…$/)
    expect(wide.length).toBeLessThan(450)
    writeFileSync(join(bench.workspace, 'many'), `${'match '.repeat(60)}\n`.repeat(1000))
    const cut = (await bench.call('grep', { pattern: 'match', limit: 2000 })).text
    expect(cut).toContain('Stopped after 48 kB of output')
    expect(cut.length).toBeLessThan(50_000)
  })

  test('every line of a file is met once, wherever its blocks are cut', async () => {
    await using bench = await makeBench()
    const lines = Array.from({ length: 40_000 }, (_, n) => `${n} ${'é'.repeat(n % 97)}`)
    writeFileSync(join(bench.workspace, 'blocks'), lines.join('\n'))
    const all = await bench.call('grep', { pattern: '^\\d+ é*$', count: true })
    expect(all.text).toContain('[40000 matching lines')
    expect((await bench.call('grep', { pattern: '^39999 ' })).text).toContain('blocks:40000:39999 ')
  })

  test('a line that is too long to search is named, and the next one is right again', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'long'), `first\nhere${'-'.repeat(3_000_000)}there\nlast`)
    const { text } = await bench.call('grep', { pattern: 'first|here|last' })
    expect(text).toMatch(/^long:1:first\nlong:2:here-+…\nlong:3:last\n\[Left out: long line 2 behind its first MB\.\]$/)
  })

  test('an expression that never ends is ended, and the house goes on meanwhile', async () => {
    await using bench = await makeBench({ searchSeconds: 0.4 })
    writeFileSync(join(bench.workspace, 'f'), trap)
    const ticks = { n: 0 }
    const ticker = setInterval(() => ticks.n++, 10)
    const answers = await Promise.all(Array.from({ length: 5 }, () => bench.call('grep', { pattern: '^(a+)+$' })))
    clearInterval(ticker)
    for (const answer of answers) {
      expect([answer.isError, answer.details['code']]).toEqual([true, 'TOOL_TIMEOUT'])
      expect(answer.text).toContain('nested repeats')
    }
    expect((await bench.call('grep', { pattern: 'a!' })).text).toContain('f:1:')
    // The expression ran all the time, so this thread did not.
    expect(ticks.n).toBeGreaterThan(5)
  })

  test('an abort ends it at once, running or waiting for its turn', async () => {
    await using bench = await makeBench({ searchSeconds: 30 })
    writeFileSync(join(bench.workspace, 'f'), trap)
    const abort = new AbortController()
    const searches = Array.from({ length: 4 }, () =>
      bench.call('grep', { pattern: '^(a+)+$' }, { signal: abort.signal }),
    )
    setTimeout(() => abort.abort(), 150)
    for (const answer of await Promise.all(searches)) expect(answer.details['code']).toBe('RUN_CANCELLED')
    expect((await bench.call('grep', { pattern: 'a!' })).isError).toBe(false)
  })

  test('memory grows neither with the lines of a file nor with its length', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'lines'), '\n'.repeat(4 * 1024 * 1024))
    truncateSync(join(bench.workspace, 'lines'), 60 * 1024 * 1024)
    const before = process.memoryUsage.rss()
    const { text } = await bench.call('grep', { pattern: '^$', count: true })
    expect(text).toContain(`lines: ${4 * 1024 * 1024}\n`)
    expect(process.memoryUsage.rss() - before).toBeLessThan(200_000_000)
  })
})
