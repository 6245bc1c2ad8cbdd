import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { makeConnection, makeHandles } from './dialect.ts'

const { db } = makeHandles(makeConnection(new DatabaseSync(':memory:')))()

test('words of the house that indexes speak of stand in the text', () => {
  const query = db
    .selectFrom('runs')
    .select('id')
    .where('session', '=', 's')
    .where('state', '<>', 'done')
    .where('detached', '=', 0)
    .compile()
  expect(query.sql).toBe(`select "id" from "runs" where "session" = ? and "state" <> 'done' and "detached" = 0`)
  expect(query.parameters).toEqual(['s'])
  const list = db.selectFrom('steps').select('n').where('state', 'in', ['open', 'asking']).compile()
  expect(list.sql).toBe(`select "n" from "steps" where "state" in ('open', 'asking')`)
})

test('a limit stands in the text, unless it is no whole number', () => {
  const limited = db.selectFrom('runs').select('id').limit(2).compile()
  expect(limited).toMatchObject({ sql: 'select "id" from "runs" limit 2', parameters: [] })
  const hostile = db
    .selectFrom('runs')
    .select('id')
    .limit('1; drop table runs' as never)
    .compile()
  expect(hostile.sql).toBe('select "id" from "runs" limit ?')
})

test('anything else is bound, whatever it says', () => {
  const hostile = db.selectFrom('runs').select('id').where('state', '=', `done' or '1'='1`).compile()
  expect(hostile.sql).toBe(`select "id" from "runs" where "state" = ?`)
  const list = db.selectFrom('runs').select('id').where('state', 'in', ['done', `'; drop table runs`]).compile()
  expect(list.sql).toBe(`select "id" from "runs" where "state" in (?, ?)`)
  expect(db.selectFrom('runs').select('id').where('agent', '=', 'done').compile().sql).toContain('= ?')
})
