import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anyObject, runs } from '../../test/support/arbitrary-config.ts'
import { differences, mergePatch } from './merge.ts'
import { getAt, joinPath, parsePath, setAt } from './path.ts'

describe('merge patch', () => {
  // The examples of RFC 7396, appendix A, that have an object as their target.
  test.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ a: ['b'] }, { a: { b: 1 } }, { a: { b: 1 } }],
    [{ a: 'foo' }, { a: { b: 1 } }, { a: { b: 1 } }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j', (target, patch, expected) => {
    expect(mergePatch(target, patch)).toEqual(expected)
  })

  test('lists of things with an id merge by id, unless they are to be replaced', () => {
    const target = { agents: { list: [{ id: 'a', model: 'x', name: 'A' }, { id: 'b' }] } }
    const patch = { agents: { list: [{ id: 'a', model: 'y', name: null }, { id: 'c' }] } }
    const before = structuredClone(target)
    expect(mergePatch(target, patch)).toEqual({ agents: { list: [{ id: 'a', model: 'y' }, { id: 'b' }, { id: 'c' }] } })
    expect(mergePatch(target, patch, ['agents.list'])).toEqual(patch)
    expect(target).toEqual(before)
  })

  test('properties: again changes nothing; what the patch does not name stays; what it sets is there', () => {
    fc.assert(
      fc.property(anyObject, anyObject, (target, patch) => {
        const before = structuredClone([target, patch])
        const once = mergePatch(target, patch) as Record<string, unknown>
        expect(mergePatch(once, patch)).toEqual(once)
        for (const key of Object.keys(target)) if (!Object.hasOwn(patch, key)) expect(once[key]).toEqual(target[key])
        for (const [key, value] of Object.entries(patch)) {
          expect(Object.hasOwn(once, key)).toBe(value !== null)
          if (typeof value !== 'object') expect(once[key]).toEqual(value)
        }
        expect([target, patch]).toEqual(before)
      }),
      { numRuns: runs(300) },
    )
  })

  test('differences lead from the one to the other', () => {
    fc.assert(
      fc.property(anyObject, anyObject, (before, after) => {
        const led = differences(before, after).reduce<unknown>(
          (value, { path, value: item }) => setAt(value, path, item),
          before,
        )
        expect(led).toEqual(after)
        expect(differences(after, structuredClone(after))).toEqual([])
      }),
      { numRuns: runs(300) },
    )
  })
})

describe('names of keys', () => {
  test.each([
    ['gateway.port', ['gateway', 'port']],
    ['agents.list[0].model', ['agents', 'list', 0, 'model']],
    ['models.providers["my.host"].baseUrl', ['models', 'providers', 'my.host', 'baseUrl']],
    ['agents.defaults.models.openai/gpt-5', ['agents', 'defaults', 'models', 'openai/gpt-5']],
  ])('%s', (written, path) => {
    expect(parsePath(written)).toEqual(path)
    expect(parsePath(joinPath(path))).toEqual(path)
  })

  test.each(['', '.', 'a..b', 'a[', 'a["b]', '__proto__.x', 'a[-1]', 'a b'])('%j is refused', written => {
    expect(() => parsePath(written)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  test('what is set is read, and setting nothing takes it away', () => {
    const key = fc.oneof(fc.constantFrom('a', 'b', 'constructor', 'x.y'), fc.string({ minLength: 1, maxLength: 4 }))
    const path = fc.array(
      key.filter(part => part !== '__proto__'),
      { minLength: 1, maxLength: 4 },
    )
    fc.assert(
      fc.property(anyObject, path, fc.jsonValue(), (root, path, value) => {
        fc.pre(!path.some((_, index) => Array.isArray(getAt(root, path.slice(0, index)))))
        const written = parsePath(joinPath(path))
        expect(written.map(String)).toEqual(path)
        expect(getAt(setAt(root, path, value), path)).toEqual(value)
        expect(getAt(setAt(root, path, undefined), path)).toBeUndefined()
      }),
      { numRuns: runs(300) },
    )
  })
})
