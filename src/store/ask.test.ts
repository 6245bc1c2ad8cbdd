import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import type { CompiledQuery, Updateable } from 'kysely'
import { expect, test } from 'vitest'
import { DeputyError } from '../protocol/errors.ts'
import { makeTexts, type Query } from './ask.ts'
import { type Db, makeConnection, makeHandles } from './dialect.ts'
import type { RunsTable } from './tables.ts'

const { db } = makeHandles(makeConnection(new DatabaseSync(':memory:')))()
const plain = ({ sql, parameters }: Pick<CompiledQuery, 'sql' | 'parameters'>) => ({ sql, parameters })

const change = (on: Db, to: Updateable<RunsTable>, ids: readonly string[], turn: number) =>
  on
    .updateTable('runs')
    .set(to)
    .set({ state: 'queued' })
    .where('id', 'in', ids)
    .where('turn', '<', turn)
    .where('epoch', '<>', turn)
    .where('state', '<>', 'done')

test('a kept text with its values is what building it anew gives, whatever was asked before', () => {
  const text = makeTexts()
  const columns = fc.record(
    { task: fc.string(), label: fc.option(fc.string()), turn: fc.nat(), result: fc.option(fc.string()) },
    { requiredKeys: ['task'] },
  )
  const asked = fc.tuple(columns, fc.array(fc.string(), { minLength: 1, maxLength: 4 }), fc.nat())
  fc.assert(
    fc.property(fc.array(asked, { minLength: 1, maxLength: 20 }), all => {
      for (const values of all) {
        const kept = text(db, change as Query<never, unknown>, values)
        expect(kept).toEqual(plain(change(db, ...values).compile()))
      }
    }),
  )
})

test('a text is made once for a shape, and columns in another order are another shape', () => {
  const text = makeTexts()
  let made = 0
  const counted = (on: Db, to: Updateable<RunsTable>, id: string) => {
    made++
    return on.updateTable('runs').set(to).where('id', '=', id)
  }
  const ask = (to: Updateable<RunsTable>) => text(db, counted as Query<never, unknown>, [to, 'r'])
  expect(ask({ task: 'a', label: 'b' }).parameters).toEqual(['a', 'b', 'r'])
  expect(ask({ task: 'c', label: null }).parameters).toEqual(['c', null, 'r'])
  expect(made).toBe(1)
  expect(ask({ label: 'd', task: 'e' }).parameters).toEqual(['d', 'e', 'r'])
  expect(made).toBe(2)
})

test('however many shapes there are, what is kept has a bound and stays right', () => {
  const text = makeTexts()
  const listed = (on: Db, ids: readonly string[]) => on.selectFrom('runs').select('id').where('id', 'in', ids)
  for (let n = 1; n < 1000; n++) {
    const ids = Array.from({ length: n }, (_, i) => `${i}`)
    expect(text(db, listed as Query<never, unknown>, [ids])).toEqual(plain(listed(db, ids).compile()))
  }
})

test('an argument that is not bound is refused: its value would be kept in the text', () => {
  const branching = (on: Db, id: string, limit: number) =>
    limit > 1 ? on.selectFrom('runs').select('id').where('id', '=', id) : on.selectFrom('runs').select('turn')
  expect(() => makeTexts()(db, branching as Query<never, unknown>, ['r', 2])).toThrow(
    expect.objectContaining({ code: 'INTERNAL' }),
  )
})

test('nothing is asked of a handle that has ended', async () => {
  const handle = makeHandles(makeConnection(new DatabaseSync(':memory:')))()
  handle.end(() => new DeputyError('STORE_CLOSED', 'ended'))
  const one = (on: Db, id: string) => on.selectFrom('runs').select('id').where('id', '=', id)
  await expect(handle.db.ask(one, 'r')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
})
