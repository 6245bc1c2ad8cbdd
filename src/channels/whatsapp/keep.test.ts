/** What is kept on disk: whole or not there, whatever tears the file. */
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tempDir } from '../../../test/support/temp.ts'
import { openKeep } from './keep.ts'

const everything = (keep: ReturnType<typeof openKeep>) =>
  Object.fromEntries(
    ['a', 'b'].map(kind => [kind, Object.fromEntries(keep.ids(kind).map(id => [id, keep.get(kind, id)]))]),
  )

test('a file that was torn anywhere holds every change before the tear, and of the torn one nothing', async () => {
  const change = fc.dictionary(
    fc.constantFrom('a', 'b'),
    fc.dictionary(
      fc.constantFrom('x', 'y', 'z'),
      fc.option(
        fc.oneof(
          fc.string(),
          fc.uint8Array().map(b => Buffer.from(b)),
        ),
      ),
      {
        noNullPrototype: true,
      },
    ),
    { noNullPrototype: true },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 8 }),
      fc.nat(),
      fc.string(),
      async (changes, cut, junk) => {
        const path = join(tempDir(), 'kept', 'whatsapp.log')
        const keep = openKeep(path)
        const states: [number, unknown][] = [[0, everything(keep)]]
        for (const one of changes) {
          await keep.write(one)
          states.push([statSync(path).size, everything(keep)])
        }
        await keep.close()
        const at = cut % (statSync(path).size + 1)
        truncateSync(path, at)
        appendFileSync(path, junk)
        const again = openKeep(path)
        expect(everything(again)).toEqual(states.findLast(([size]) => size <= at)?.[1])
        await again.write({ a: { after: 1 } })
        await again.close()
        const last = openKeep(path)
        expect(last.get('a', 'after')).toBe(1)
        await last.close()
      },
    ),
    { numRuns: 60 },
  )
})

test('is for nobody else to read, and a copy is given out', async () => {
  const path = join(tempDir(), 'whatsapp.log')
  writeFileSync(path, '', { mode: 0o644 })
  const keep = openKeep(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  keep.writeNow({ a: { x: { key: Buffer.of(1, 2) } } })
  const given = keep.get('a', 'x') as { key: Buffer }
  given.key[0] = 9
  expect(keep.get('a', 'x')).toEqual({ key: Buffer.of(1, 2) })
  await keep.close()
})

test('a file that is mostly out of date is written again, and nothing of it is lost', async () => {
  const path = join(tempDir(), 'whatsapp.log')
  const keep = openKeep(path)
  const big = 'v'.repeat(20_000)
  for (let i = 0; i < 100; i++) await keep.write({ a: { x: `${big}${i}`, [`n${i % 5}`]: i } })
  expect(statSync(path).size).toBeLessThan(600_000)
  await keep.write({ b: { y: 1 } })
  const before = everything(keep)
  await keep.close()
  expect(readFileSync(path, 'utf8').endsWith('\n')).toBe(true)
  const again = openKeep(path)
  expect(everything(again)).toEqual(before)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  await again.close()
})
