import fc from 'fast-check'
import JSON5 from 'json5'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { runs, validConfig } from '../../test/support/arbitrary-config.ts'
import { check } from './check.ts'
import { firstText } from './first.ts'
import { configSchema } from './jsonschema.ts'
import { root, type Settings } from './schema.ts'

const { schema, uiHints } = configSchema()
const parser = z.fromJSONSchema(schema as z.core.JSONSchema.JSONSchema)

test('the schema is plain JSON and takes the first file', () => {
  expect(JSON.parse(JSON.stringify(schema))).toEqual(schema)
  expect(parser.safeParse(JSON5.parse(firstText('token'))).error).toBeUndefined()
})

test('the limits that the first file names in its comments are the defaults, and it sets none itself', () => {
  const written = JSON5.parse(firstText('token')).agents.defaults.subagents
  expect(written).toEqual({})
  const limits = /^( *)\/\/ (max\w+: \d+,)$/gm
  const named = JSON5.parse(firstText('token').replace(limits, '$1$2')).agents.defaults.subagents
  expect(Object.keys(named)).toEqual(['maxSpawnDepth', 'maxChildrenPerAgent', 'maxConcurrent'])
  expect((check(root, {}).value as Settings).agents.defaults.subagents).toMatchObject(named)
})

test.each([
  { gateway: { port: 'x' } },
  { gateway: { bind: 'everywhere' } },
  { agents: { list: {} } },
  { gateway: { auth: { token: 5 } } },
  { agents: { defaults: { model: 5 } } },
])('it refuses %j', value => {
  expect(parser.safeParse(value).success).toBe(false)
})

test('hints name what is secret and what each key is for', () => {
  expect(uiHints['gateway.auth.token']).toMatchObject({ sensitive: true })
  expect(uiHints['models.providers.*.apiKey']).toMatchObject({ sensitive: true })
  expect(uiHints['gateway.port']!.sensitive).toBeUndefined()
  expect(Object.values(uiHints).every(({ help }) => help.length > 1)).toBe(true)
})

test('property: what the check takes, the schema takes', () => {
  fc.assert(
    fc.property(validConfig, value => {
      expect(parser.safeParse(value).error).toBeUndefined()
    }),
    { numRuns: runs(60) },
  )
})
