import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { CompiledQuery } from 'kysely'
import { expect, test } from 'vitest'
import { bindable, makeConnection } from './dialect.ts'

test('what is bound is well-formed text without NUL, and comes back as it was bound', () => {
  const connection = makeConnection(new DatabaseSync(':memory:'))
  const text = fc.string({
    unit: fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\0', '\uD800', '\uDFFF', '😀')),
  })
  fc.assert(
    fc.property(text, value => {
      const bound = bindable(value, 0, '') as string
      expect(bound.isWellFormed() && !bound.includes('\0')).toBe(true)
      expect(bound).toBe(value.toWellFormed().replaceAll('\0', ''))
      const { rows } = connection.run(CompiledQuery.raw('select ? as text', [value]))
      expect(rows).toMatchObject([{ text: bound }])
    }),
  )
})

test('what is not text, a whole number or null is refused by name and place', () => {
  for (const [value, name] of [
    [undefined, 'type undefined'],
    [true, 'type boolean'],
    [1n, 'type bigint'],
    [new Date(0), 'a Date'],
    [0.5, 'the number 0.5'],
    [2 ** 53, 'the number 9007199254740992'],
    [Number.NaN, 'the number NaN'],
    [[], 'type object'],
  ])
    expect(() => bindable(value, 2, 'select ?')).toThrow(
      expect.objectContaining({
        code: 'INTERNAL',
        message: expect.stringContaining(String(name)),
        details: { parameter: 3, sql: 'select ?' },
      }),
    )
})

test('statements are kept by text, the ones that are used stay, and there is an end to them', () => {
  const db = new DatabaseSync(':memory:')
  const prepared: string[] = []
  const counting = {
    prepare(sql: string) {
      prepared.push(sql)
      return db.prepare(sql)
    },
  } as DatabaseSync
  const connection = makeConnection(counting)
  const ask = (n: number) => connection.run(CompiledQuery.raw(`select ${n} as n`)).rows
  const used = 'select 0 as n'
  for (let n = 0; n < 1000; n++) {
    expect(ask(n)).toMatchObject([{ n }])
    expect(ask(0)).toMatchObject([{ n: 0 }])
  }
  expect(prepared.filter(sql => sql === used)).toHaveLength(1)
  expect(prepared).toHaveLength(1000)
  ask(999)
  expect(prepared).toHaveLength(1000)
  // One of long ago was let go.
  ask(1)
  expect(prepared).toHaveLength(1001)
})

test('a write with returning gives rows, another gives a count', () => {
  const connection = makeConnection(new DatabaseSync(':memory:'))
  const run = (sql: string) => connection.run(CompiledQuery.raw(sql))
  run('create table t (a integer primary key, b text)')
  expect(run("insert into t (b) values ('x') returning a")).toMatchObject({ rows: [{ a: 1 }] })
  expect(run("insert into t (b) values ('y'), ('z')")).toMatchObject({ rows: [], numAffectedRows: 2n, insertId: 3n })
  expect(run("update t set b = 'w' where a > 1")).toMatchObject({ numAffectedRows: 2n })
})
