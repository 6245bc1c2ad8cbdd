import fc from 'fast-check'
import { z } from 'zod'
import { describe, expect, test } from 'vitest'
import { misfits, schemaProblem } from './shape.ts'

const fits = (schema: object, value: unknown) =>
  misfits(schema as Record<string, unknown>, JSON.stringify(value)).length === 0

describe('a result against its schema', () => {
  test('says what is wrong, and where', () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', minLength: 2 },
        counts: { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 1 },
        level: { enum: ['low', 'high'] },
      },
      required: ['name', 'counts'],
      additionalProperties: false,
    }
    expect(misfits(schema, '{"name":"ab","counts":[1,2],"level":"low"}')).toEqual([])
    expect(misfits(schema, '{"name":"a","counts":[1,-2,"x"],"level":"mid","more":1}')).toEqual([
      '.name must have at least 2 characters',
      '.counts[1] must be at least 0',
      '.counts[2] must be integer, not string',
      '.level must be one of "low", "high", not "mid"',
      '.more is not allowed',
    ])
    expect(misfits(schema, '{}')).toEqual(['the result lacks "name", "counts"'])
    expect(misfits(schema, 'Here it is: {}')[0]).toMatch(/^the result is not one JSON value/)
    expect(misfits(schema, '```json\n{"name":"ab","counts":[1]}\n```')).toEqual([])
    expect(misfits(schema, '[]')).toEqual(['the result must be object, not array'])
  })

  test('follows references, and unions, and what is excluded', () => {
    const tree = {
      $ref: '#/$defs/node',
      $defs: { node: { properties: { below: { items: { $ref: '#/$defs/node' } } } } },
    }
    expect(fits(tree, { below: [{ below: [] }] })).toBe(true)
    expect(fits(tree, { below: [{ below: [1] }] })).toBe(true)
    const typed = { ...tree, $defs: { node: { type: 'object', ...tree.$defs.node } } }
    expect(fits(typed, { below: [{ below: [1] }] })).toBe(false)
    expect(fits({ anyOf: [{ type: 'string' }, { const: 3 }] }, 3)).toBe(true)
    expect(fits({ oneOf: [{ minimum: 1 }, { maximum: 5 }] }, 3)).toBe(false)
    expect(fits({ allOf: [{ minimum: 1 }, { maximum: 5 }] }, 3)).toBe(true)
    expect(fits({ not: { type: 'null' } }, null)).toBe(false)
    expect(
      fits({ uniqueItems: true }, [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ]),
    ).toBe(false)
    expect(fits({ prefixItems: [{ type: 'string' }], items: false }, ['a', 1])).toBe(false)
    expect(fits({ multipleOf: 0.1 }, 0.3)).toBe(true)
  })

  test('a schema that goes round, or a value that goes deep, ends', () => {
    expect(misfits({ $ref: '#' }, '1')[0]).toMatch(/too deeply/)
    const twice = { anyOf: [{ $ref: '#' }, { $ref: '#' }] }
    expect(misfits(twice, '1')[0]).toMatch(/too large/)
    const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
    expect(misfits({ items: { $ref: '#' } }, deep)[0]).toMatch(/too deeply/)
  })

  test('a schema with what is not checked here is refused by name', () => {
    expect(schemaProblem({ type: 'object', properties: { a: { type: 'string', pattern: '^x$' } } })).toMatch(
      /outputSchema\.properties\.a has the keyword "pattern", which is not checked here; known: type, enum/,
    )
    expect(schemaProblem({ type: 'text' })).toBe('outputSchema.type is not what JSON Schema allows')
    expect(schemaProblem({ $ref: '#/$defs/a' })).toBe('outputSchema.$ref points to nothing')
    expect(schemaProblem({ $ref: 'http://example.com' })).toMatch(/\$ref is not/)
    expect(schemaProblem([])).toMatch(/must be a JSON Schema object/)
    expect(schemaProblem({ title: 'x'.repeat(30_000) })).toMatch(/longer than/)
    expect(schemaProblem({ $schema: 'x', title: 't', type: ['string', 'null'], description: 'd' })).toBeNull()
  })

  test('agrees with another reader of JSON Schema on random schemas and values', () => {
    const leaf = fc.oneof(
      fc.record({ type: fc.constantFrom('string', 'number', 'integer', 'boolean', 'null') }),
      fc.record({ type: fc.constant('string'), minLength: fc.nat(3), maxLength: fc.integer({ min: 3, max: 6 }) }),
      fc.record({ type: fc.constant('number'), minimum: fc.integer({ min: -3, max: 3 }) }),
      fc.record({
        enum: fc.array(fc.oneof(fc.string({ maxLength: 2 }), fc.boolean()), { minLength: 1, maxLength: 3 }),
      }),
    )
    const { schema } = fc.letrec<{ schema: object }>(tie => ({
      schema: fc.oneof(
        { maxDepth: 2 },
        leaf,
        fc.record({ type: fc.constant('array'), items: tie('schema'), minItems: fc.nat(1) }),
        // The other reader asks for names that are among the properties only.
        fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('schema'), { maxKeys: 2 }).chain(properties =>
          fc.record({
            type: fc.constant('object'),
            properties: fc.constant(properties),
            required: fc.subarray(Object.keys(properties)),
            additionalProperties: fc.boolean(),
          }),
        ),
        fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
      ),
    }))
    const value = fc.letrec(tie => ({
      value: fc.oneof(
        { maxDepth: 2 },
        fc.oneof(
          fc.string({ maxLength: 3 }),
          fc.integer({ min: -4, max: 4 }),
          fc.double({ min: -2, max: 2, noNaN: true }),
          fc.boolean(),
          fc.constant(null),
        ),
        fc.array(tie('value'), { maxLength: 2 }),
        fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3 }),
      ),
    })).value
    fc.assert(
      fc.property(schema, value, (rule, item) => {
        expect(schemaProblem(rule)).toBeNull()
        const theirs = z
          .fromJSONSchema(rule as z.core.JSONSchema.JSONSchema)
          .safeParse(JSON.parse(JSON.stringify(item)))
        expect([rule, item, fits(rule, item)]).toEqual([rule, item, theirs.success])
      }),
      { numRuns: process.env['DEPUTY_LONG'] ? 20_000 : 1000 },
    )
  })
})
