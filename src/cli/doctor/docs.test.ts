import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../..')

function findings(): string[] {
  const files = readdirSync(import.meta.dirname).filter(name => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  const text = files.map(name => readFileSync(join(import.meta.dirname, name), 'utf8')).join('\n')
  const first = [...text.matchAll(/finding\(\s*'([a-z.-]+)'/g)].map(([, id]) => id!)
  // One is chosen among two where it is made.
  const chosen = [...text.matchAll(/finding\(\s*\w+ \? '([a-z.-]+)' : '([a-z.-]+)'/g)].flatMap(([, one, two]) => [
    one!,
    two!,
  ])
  return [...new Set([...first, ...chosen])].sort()
}

test('every finding stands in docs/doctor.md, and nothing else does', () => {
  const table = readFileSync(join(root, 'docs/doctor.md'), 'utf8').match(/^\| `.*$/gm)!
  const told = table.flatMap(row => [...row.split('|')[1]!.matchAll(/`([a-z.-]+)`/g)].map(([, id]) => id!))
  expect(findings().length).toBeGreaterThan(25)
  expect([...new Set(told)].sort()).toEqual(findings())
})
