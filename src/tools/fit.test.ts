import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fitArguments, type ObjectSchema, signature } from './fit.ts'

const schema: ObjectSchema = {
  properties: {
    path: { type: 'string' },
    offset: { type: 'integer', minimum: 1 },
    deepFlag: { type: 'boolean' },
    names: { type: 'array', items: { type: 'string' } },
    budget: { type: 'object', properties: { usd: { type: 'number' } } },
    action: { type: 'string', enum: ['list', 'cancel'] },
  },
  required: ['path'],
}
const habits = {
  aliases: { file_path: 'path' },
  values: { action: { kill: 'cancel' } },
  fixed: { mode: ['run'], note: [] },
  refused: { channel: 'it is fixed' },
}
const meant = (raw: unknown) => fitArguments(raw, schema, habits)

describe('what models write', () => {
  test.each([
    [
      { path: 'a', offset: '12' },
      { path: 'a', offset: 12 },
    ],
    [
      { file_path: 'a', deep_flag: 'true' },
      { path: 'a', deepFlag: true },
    ],
    ['{"path":"a"}', { path: 'a' }],
    [{ path: 'a', offset: null, unknown: null }, { path: 'a' }],
    [{ path: 'a', action: '' }, { path: 'a' }],
    [
      { path: 'a', names: 'x' },
      { path: 'a', names: ['x'] },
    ],
    [
      { path: 'a', names: '["x", 2]' },
      { path: 'a', names: ['x', '2'] },
    ],
    [
      { path: 'a', budget: '{"usd":"0.5","tokens":null}' },
      { path: 'a', budget: { usd: 0.5 } },
    ],
    [
      { path: 'a', action: 'kill' },
      { path: 'a', action: 'cancel' },
    ],
    [{ path: 'a', mode: 'run', note: 'anything' }, { path: 'a' }],
    [{ path: 'a', file_path: 'a' }, { path: 'a' }],
    [{ path: 7 }, { path: '7' }],
  ])('%j is understood', (raw, args) => {
    expect(meant(raw)).toEqual({ ok: true, args })
  })

  test.each([
    [{}, 'path missing'],
    [null, 'path missing'],
    ['{"path":', 'not a JSON object'],
    [['a'], 'not a JSON object'],
    [{ path: 'a', recursive: true }, 'there is no parameter "recursive"'],
    [{ path: 'a', channel: 'telegram' }, 'channel is not allowed: it is fixed'],
    [{ path: 'a', mode: 'session' }, 'mode can only be "run" here'],
    [{ path: 'a', action: 'steer' }, 'action is "steer"; allowed: list, cancel'],
    [{ path: 'a', file_path: 'b' }, 'path is given twice'],
    [{ path: 'a', constructor: 1 }, 'there is no parameter'],
  ])('%j is refused', (raw, problem) => {
    const fitted = meant(raw)
    expect(fitted.ok ? 'taken' : fitted.problem).toContain(problem)
  })

  test('whatever is sent is answered, and what is taken has only known parameters', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue()), fc.string()), raw => {
        const fitted = meant(raw)
        if (!fitted.ok) return fitted.problem.length > 0 && fitted.problem.length < 400
        return Object.keys(fitted.args).every(name => name in schema.properties)
      }),
    )
  })

  test('the signature names every parameter', () => {
    expect(signature(schema)).toBe(
      'Parameters: path (string, required), offset (integer 1–), deepFlag (boolean), names (list of string), budget (object), action (list | cancel)',
    )
  })
})
