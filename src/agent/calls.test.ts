import { expect, test } from 'vitest'
import type { Run } from '../core/types.ts'
import { distinct, parseCall } from './calls.ts'

const run = { grant: { tools: ['read'] } } as unknown as Run
const view = { agents: [], canSpawn: false }
const call = (args: string) => parseCall({ id: 'c1', name: 'read', args }, run, () => undefined, view)

test('calls of one id are told apart, and no two get the same one', () => {
  const ids = (...given: string[]) => distinct(given.map(id => ({ id, name: 'read', args: '' }))).map(one => one.id)
  expect(ids('a', 'b')).toEqual(['a', 'b'])
  expect(ids('a', 'a', 'a-2', 'a', '')).toEqual(['a', 'a-2', 'a-2-2', 'a-3', ''])
})

test.each([
  [64, 'There is no tool'],
  [65, 'nested deeper than 64 levels'],
  [100_000, 'nested deeper than 64 levels'],
])('arguments of %i levels', (levels, words) => {
  const lists = call(`${'['.repeat(levels)}${']'.repeat(levels)}`)
  expect(lists.refused).toContain(words)
  expect(call(`${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`).refused).toContain(words)
  if (levels > 64) expect(String(lists.args).length).toBeLessThanOrEqual(2000)
})
