import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keepOutput } from './output.ts'

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  let at = 0
  for (let n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length]!
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

describe('kept output', () => {
  test('up to the limit it is what was written; beyond it, the two ends and an honest count', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 200 }),
        sizes,
        fc.integer({ min: 8, max: 300 }),
        (text, steps, limit) => {
          const bytes = Buffer.from(text)
          const output = keepOutput(limit)
          for (const piece of cut(bytes, steps)) output.add(piece)
          expect(output.bytes()).toBe(bytes.length)
          if (bytes.length <= limit) {
            expect(output.text()).toBe(text)
            return
          }
          const note = /\n\[… (\d+) of (\d+) bytes left out …\]\n/.exec(output.text())!
          const [before, after] = [output.text().slice(0, note.index), output.text().slice(note.index + note[0].length)]
          expect(text.startsWith(before) && text.endsWith(after)).toBe(true)
          const kept = Buffer.byteLength(before) + Buffer.byteLength(after)
          expect(Number(note[1])).toBe(bytes.length - kept)
          expect(kept).toBeLessThanOrEqual(limit)
          expect(kept).toBeGreaterThan(limit - 8)
        },
      ),
    )
  })

  test('a chunk of another size than the last does not lose the end', () => {
    const output = keepOutput(100)
    output.add(Buffer.alloc(1000, 'a'))
    output.add(Buffer.from('end'))
    expect(output.text().endsWith('aend')).toBe(true)
    expect(output.truncated()).toBe(true)
  })
})
