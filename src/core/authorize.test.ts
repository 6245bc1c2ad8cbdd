import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { covers, type Scope, scopes } from '../protocol/scopes.ts'
import { authorize, meet } from './authorize.ts'

const some = fc.subarray([...scopes])

describe('authorize', () => {
  test.each<[Scope[], Parameters<typeof authorize>[1], Scope[] | null]>([
    [[], null, null],
    [[], 'operator.read', ['operator.read']],
    [['operator.read'], 'operator.read', null],
    [['operator.write'], 'operator.read', null],
    [
      ['operator.write'],
      ['operator.read', 'operator.admin', 'operator.pairing'],
      ['operator.admin', 'operator.pairing'],
    ],
    [['operator.admin'], ['operator.pairing', 'operator.talk.secrets'], null],
    [['operator.pairing'], [], null],
  ])('%j for %j', (held, needed, missing) => {
    const got = authorize(held, needed)
    if (!missing) expect(got).toEqual({ ok: true })
    else
      expect(got).toMatchObject({
        ok: false,
        code: 'MISSING_SCOPE',
        missing,
        message: `missing scope: ${missing.join(', ')}`,
      })
  })
})

describe('meet', () => {
  test('is exactly what both sides cover, in either order, without what is implied', () => {
    const property = fc.property(some, some, (one, other) => {
      const both = meet(one, other)
      for (const scope of scopes) expect(covers(both, scope)).toBe(covers(one, scope) && covers(other, scope))
      expect(meet(other, one)).toEqual(both)
      expect(
        both.filter(scope =>
          covers(
            both.filter(each => each !== scope),
            scope,
          ),
        ),
      ).toEqual([])
    })
    fc.assert(property, { numRuns: 1000 })
  })

  test('finds what neither side names', () => {
    expect(meet(['operator.read'], ['operator.sessions.write'])).toEqual(['operator.sessions.read'])
    expect(meet(['operator.admin'], ['operator.write'])).toEqual(['operator.write'])
  })
})
