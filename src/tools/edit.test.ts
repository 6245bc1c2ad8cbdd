import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeBench } from '../../test/support/tools.ts'
import { replace } from './replace.ts'

describe('what an edit replaces', () => {
  test('one exact place, or all of them', () => {
    expect(replace('a\nb\nc\n', 'b', 'x', false)).toEqual({ ok: true, text: 'a\nx\nc\n', lines: [2] })
    expect(replace('b\nb b\n', 'b', '$&', true)).toEqual({ ok: true, text: '$&\n$& $&\n', lines: [1, 2, 2] })
  })

  test('what is not there, is there twice, or changes nothing is refused in words that help', () => {
    const why = (text: string, old: string, fresh = 'z') => {
      const result = replace(text, old, fresh, false)
      return result.ok ? 'replaced' : result.problem
    }
    expect(why('b\nx\nb', 'b')).toContain('2 times (lines 1, 3)')
    expect(why('b', '')).toBe('oldText is empty.')
    expect(why('b', 'b', 'b')).toContain('the same')
    expect(why('if (a) {\n\treturn  1\n}\n', '  if (a) {\n  Return 1')).toContain(
      'Lines 1–2 differ from it in white space or case only; they are:\nif (a) {\n\treturn  1',
    )
    expect(why('const total = sum(list)\nnext\n', 'let x\nconst total = sum(list)\nother')).toContain(
      'Near line 1 it reads:\nconst total = sum(list)',
    )
    expect(why('abc', 'something else')).toContain('Nothing like it is there')
  })

  test('a file with CRLF keeps it', () => {
    expect(replace('a\r\nb\r\nc\r\n', 'a\nb', 'x\ny', false)).toMatchObject({ ok: true, text: 'x\r\ny\r\nc\r\n' })
  })

  test('replacing there and back gives the file again', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string({ minLength: 1 }), (before, after, wanted) => {
        fc.pre(!wanted.includes('\r') && !before.includes('\r') && !after.includes('\r'))
        const text = `${before}${wanted}${after}`
        fc.pre(text.split(wanted).length === 2)
        const there = replace(text, wanted, 'REPLACED\u0001', false)
        return there.ok && there.text === `${before}REPLACED\u0001${after}`
      }),
    )
  })

  test('a near miss in a large file costs no time worth speaking of', () => {
    const text = 'a\n'.repeat(2_000_000)
    const result = replace(text, `${'a\n'.repeat(2000)}b`, 'x', false)
    expect(result.ok ? '' : result.problem).toContain('Read the file')
    expect(replace(text, 'a', 'b', true).ok).toBe(false)
  })
})

describe('edit', () => {
  test('changes the file and says where', async () => {
    await using bench = await makeBench()
    const path = join(bench.workspace, 'f')
    writeFileSync(path, '\ufeffone\ntwo\n')
    expect((await bench.call('edit', { file_path: 'f', old_string: 'two', new_string: '' })).text).toBe(
      'Changed f at line 2.',
    )
    expect(readFileSync(path, 'utf8')).toBe('\ufeffone\n\n')
    const miss = await bench.call('edit', { path: 'f', oldText: 'three', newText: 'x' })
    expect([miss.isError, miss.text]).toEqual([true, expect.stringContaining('Nothing was changed.')])
  })

  test('a file that is not UTF-8, or missing, is left alone', async () => {
    await using bench = await makeBench()
    writeFileSync(join(bench.workspace, 'latin'), Buffer.from([0x61, 0xe9, 0x62]))
    expect((await bench.call('edit', { path: 'latin', oldText: 'a', newText: 'x' })).text).toContain('not UTF-8')
    expect(readFileSync(join(bench.workspace, 'latin'))).toEqual(Buffer.from([0x61, 0xe9, 0x62]))
    expect((await bench.call('edit', { path: 'none/f', oldText: 'a', newText: 'x' })).isError).toBe(true)
  })

  test('of many edits of one file at once none is lost', async () => {
    await using bench = await makeBench()
    const path = join(bench.workspace, 'f')
    const marks = Array.from({ length: 20 }, (_, n) => `<${n}>`)
    writeFileSync(path, marks.join('\n'))
    const answers = await Promise.all(
      marks.map(mark => bench.call('edit', { path: 'f', oldText: mark, newText: `${mark}!` })),
    )
    const text = readFileSync(path, 'utf8')
    expect(text).toBe(marks.map(mark => `${mark}!`).join('\n'))
    expect(answers.filter(answer => answer.isError)).toEqual([])
  })
})
