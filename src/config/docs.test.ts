/** The page for users says what is so: its examples are valid, its keys and defaults are those of the table. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import JSON5 from 'json5'
import { expect, test } from 'vitest'
import { check } from './check.ts'
import { configSchema } from './jsonschema.ts'
import { root } from './schema.ts'

const docs = join(import.meta.dirname, '../../docs')
const page = readFileSync(join(docs, 'configuration.md'), 'utf8')
const chats = readFileSync(join(docs, 'channels.md'), 'utf8')
const { uiHints } = configSchema()

test('every example is valid and has no key that would be ignored', () => {
  const examples = [...`${page}${chats}`.matchAll(/```json5\n([\s\S]*?)```/g)].map(match => match[1]!)
  expect(examples.length).toBeGreaterThan(5)
  for (const example of examples) {
    const { issues, warnings } = check(root, JSON5.parse(`{${example}}`))
    const ignored = warnings.filter(({ path }) => !path.endsWith('$include'))
    expect([example, issues, ignored]).toEqual([example, [], []])
  }
})

test('every key that it names exists', () => {
  const keys = [...page.matchAll(/[`\s]((?:gateway|agents|tools|models|secrets|store)\.[\w.<>]*\w>?)[`\s]/g)].map(
    match =>
      match[1]!.replace('entries.main', 'entries.*').replace('entries.extractor', 'entries.*').replace('<id>', '*'),
  )
  expect(keys.length).toBeGreaterThan(20)
  const known = [...Object.keys(uiHints), 'tools.exec.timeoutSec']
  expect(keys.filter(key => !known.includes(key))).toEqual([])
})

test('the limits on delegation are the defaults of the table', () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+|false) \| /gm)].map(
    ([, key, value]) => [key!, JSON.parse(value!)] as const,
  )
  const { subagents } = (check(root, {}).value as { agents: { defaults: { subagents: Record<string, unknown> } } })
    .agents.defaults
  expect(rows.length).toBeGreaterThan(5)
  for (const [key, value] of rows) expect([key, subagents[key]]).toEqual([key, value])
})
