/** Whole blocks: what is shown of words that are still being written, where they are to come block by block. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { wholeBlocks } from './growing.ts'

test.each([
  ['one line', ''],
  ['one line\n', ''],
  ['one\n\n', 'one'],
  ['one\n\ntwo', 'one'],
  ['one\n\ntwo\n\nthr', 'one\n\ntwo'],
  ['see\n\n```js\na()\n\nb()', 'see'],
  ['see\n\n```js\na()\n\nb()\n```\n\nand', 'see\n\n```js\na()\n\nb()\n```'],
  ['````\n```\n\nin', ''],
])('%j', (text, shown) => {
  expect(wholeBlocks(text)).toBe(shown)
})

test('what is shown only grows, ends at the end of a paragraph', () => {
  const piece = fc.constantFrom('word ', '\n', '\n\n', '```\n', '~~~\n', '```js\n', 'x')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), pieces => {
      let before = ''
      for (let n = 1; n <= pieces.length; n++) {
        const text = pieces.slice(0, n).join('')
        const shown = wholeBlocks(text)
        expect(text.startsWith(shown) && shown.startsWith(before)).toBe(true)
        expect(shown === '' || /^\s*\n[^\S\n]*\n/.test(text.slice(shown.length))).toBe(true)
        before = shown
      }
    }),
  )
})
