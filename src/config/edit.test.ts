import fc from 'fast-check'
import JSON5 from 'json5'
import { describe, expect, test } from 'vitest'
import { anyObject, runs } from '../../test/support/arbitrary-config.ts'
import { rewrite } from './edit.ts'
import { mergePatch } from './merge.ts'

const text = `// my file
{
  gateway: {
    port: 1, // the door
    auth: { mode: 'token', token: "abc" }, /* secret */
  },
  // who works here
  agents: {
    list: [
      { id: "main" }, // me
    ],
  },
}
`
const edit = (change: Record<string, unknown>, from = text) => {
  const before = JSON5.parse(from)
  return rewrite(from, before, mergePatch(before, change) as Record<string, unknown>)
}

describe('changing a text', () => {
  test('a value is replaced where it stands', () => {
    expect(edit({ gateway: { port: 2, auth: { token: 'new' } } })).toEqual({
      text: text.replace('port: 1', 'port: 2').replace('"abc"', '"new"'),
      kept: true,
    })
  })

  test('a member is added at the end of its object, in its style', () => {
    expect(edit({ gateway: { bind: 'lan', auth: { password: 'p' } }, tools: { deny: ['exec'] } }).text).toBe(`// my file
{
  gateway: {
    port: 1, // the door
    auth: { mode: 'token', token: "abc", password: "p" }, /* secret */
    bind: "lan",
  },
  // who works here
  agents: {
    list: [
      { id: "main" }, // me
    ],
  },
  tools: { deny: ["exec"] },
}
`)
  })

  test('a member is taken away with its line', () => {
    expect(edit({ gateway: { port: null }, agents: null }).text).toBe(`// my file
{
  gateway: {
    auth: { mode: 'token', token: "abc" }, /* secret */
  },
  // who works here
}
`)
  })

  test('comments in an empty object stay', () => {
    const from = '{\n  agents: {\n    // nobody yet\n  },\n}\n'
    expect(edit({ agents: { a: 1 } }, from).text).toBe('{\n  agents: {\n    // nobody yet\n    a: 1,\n  },\n}\n')
  })

  test('strict JSON stays strict', () => {
    const { text: edited } = edit({ b: { c: 2 } }, '{\n    "a": 1\n}')
    expect(edited).toBe('{\n    "a": 1,\n    "b": {\n        "c": 2\n    }\n}\n')
  })

  test('an empty file gets a first member', () => {
    expect(JSON5.parse(rewrite('', {}, { a: 1 }).text)).toEqual({ a: 1 })
    expect(rewrite('// nothing\n{}', {}, { a: 1 })).toEqual({ text: '// nothing\n{\n  a: 1,\n}', kept: true })
  })

  test('a key that is there twice is the later one, as in reading', () => {
    const from = '{ a: 1, /* x */ a: 2 }'
    expect(JSON5.parse(rewrite(from, { a: 2 }, { a: 3 }).text)).toEqual({ a: 3 })
  })
})

/** JSON5 with comments and strange spacing wherever they may stand. */
function decorated(value: unknown, noise: () => string): string {
  const gap = noise
  if (Array.isArray(value))
    return `[${gap()}${value.map(item => `${decorated(item, noise)}${gap()}`).join(`,${gap()}`)}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(
    ([key, item]) => `${JSON.stringify(key)}${gap()}:${gap()}${decorated(item, noise)}${gap()}`,
  )
  return `{${gap()}${members.join(`,${gap()}`)}${members.length > 0 && gap() !== '' ? ',' : ''}${gap()}}`
}

describe('properties', () => {
  const noises = fc.infiniteStream(fc.constantFrom('', ' ', '\n', '\n  ', '/* , } " */', "// { ] ' :\n", '\t'))

  test('the text means what was asked for, whatever it looked like', () => {
    fc.assert(
      fc.property(anyObject, anyObject, noises, (before, after, noise) => {
        const from = `// top\n${decorated(before, () => noise.next().value)}`
        const { text: edited } = rewrite(from, before, after)
        expect(JSON5.parse(edited)).toEqual(after)
      }),
      { numRuns: runs(300) },
    )
  })

  test('and comments are kept when members are replaced, added and taken away', () => {
    let kept = 0
    let all = 0
    fc.assert(
      fc.property(anyObject, anyObject, noises, (before, patch, noise) => {
        const from = `// top\n${decorated(before, () => noise.next().value)}`
        const result = rewrite(from, before, mergePatch(before, patch) as Record<string, unknown>)
        all++
        if (result.kept) kept++
        if (result.kept) expect(result.text).toMatch(/^\/\/ top\n/)
      }),
      { numRuns: runs(300) },
    )
    expect(kept / all).toBeGreaterThan(0.95)
  })
})
