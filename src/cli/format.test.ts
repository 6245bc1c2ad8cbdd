import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ago, clip, count, line, money, paint, plain, span, table, width, wrap } from './format.ts'

const bare = paint(false)

describe('words from outside', () => {
  test('lose what could move the cursor, colour the screen or set a title', () => {
    expect(plain('a\x1b[31mred\x1b[0m\x1b]0;title\x07b\x1b[2Jc\rd')).toBe('aredbc\nd')
    expect(plain('one\ttwo\x07\x00')).toBe('one  two')
    expect(plain('left\u202eright')).toBe('leftright')
    expect(line('  many\n  lines\there ')).toBe('many lines here')
  })

  test('never keep a control character but the newline', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('\x1b[', '\x1b]', '\x9b', '\x1b'), (text, start) => {
        const shown = plain(text + start + text)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
        expect(shown).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
      }),
    )
  })
})

describe('fitting', () => {
  test('clip never grows past its width and says that it cut', () => {
    expect(clip('twelve chars', 12)).toBe('twelve chars')
    expect(clip('twelve chars', 8)).toBe('twelve…')
    expect(clip('東京タワー', 5)).toBe('東京…')
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 0, max: 30 }), (text, columns) => {
        const shown = line(text)
        expect(width(clip(shown, columns))).toBeLessThanOrEqual(columns)
      }),
    )
  })

  test('wrap keeps every word and no line is wider than asked', () => {
    expect(wrap('a few words here', 8, '  ')).toBe('  a few\n  words\n  here')
    expect(wrap('> said by another\nend', 10)).toBe('> said by\n> another\nend')
    fc.assert(
      fc.property(fc.lorem({ maxCount: 30 }), fc.integer({ min: 10, max: 60 }), (text, columns) => {
        const wrapped = wrap(text, columns)
        for (const each of wrapped.split('\n')) expect(width(each)).toBeLessThanOrEqual(Math.max(columns, 8))
        expect(wrapped.replace(/\s+/g, '')).toBe(text.replace(/\s+/g, ''))
      }),
    )
  })

  test('a table stays within the line: the elastic column gives way', () => {
    const head = [{ title: 'id' }, { title: 'task', elastic: true }, { title: 'tokens', right: true }]
    const rows = [
      ['r1', 'count the errors of the whole week in every log that there is', '12'],
      ['r2', 'short', '1.2k'],
    ]
    const drawn = table(head, rows, 40, bare)
    expect(drawn).toEqual([
      'id  task                          tokens',
      'r1  count the errors of the who…      12',
      'r2  short                           1.2k',
    ])
  })

  test('painted cells are measured without their paint', () => {
    const p = paint(true)
    const [, row] = table([{ title: 'state' }, { title: 'next' }], [[p.green('ok'), 'x']], 40, bare)
    expect(row).toBe('\x1b[32mok\x1b[39m     x')
  })
})

describe('amounts', () => {
  test('times in the unit that is read at a glance', () => {
    expect([0, 340, 2140, 59_400, 200_000, 7_500_000, 180_000_000].map(span)).toEqual([
      '0 ms',
      '340 ms',
      '2.1 s',
      '59 s',
      '3 min 20 s',
      '2 h 5 min',
      '2 d 2 h',
    ])
    expect(ago(1000, 1500)).toBe('now')
    expect(ago(0, 300_000)).toBe('5 min ago')
  })

  test('tokens and money', () => {
    expect([9, 9999, 12_400, 3_200_000].map(count)).toEqual(['9', '9999', '12.4k', '3.2M'])
    expect([0, 10_000, 4_200_000, 1_230_000_000].map(money)).toEqual(['', '<$0.0001', '$0.0042', '$1.23'])
  })
})
