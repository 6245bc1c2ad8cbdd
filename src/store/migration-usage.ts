/**
 * The ledger knows for which conversation and for whom a call was made, so that limits over many runs are one sum
 * each; and the runs of one tree are found by an index.
 */
import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

export async function sumOverRuns(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .alterTable('usage')
    .addColumn('tree', 'text', column => column.notNull().defaultTo(''))
    .execute()
  await db.schema.alterTable('usage').addColumn('sender', 'text').execute()
  await sql`update usage set tree = coalesce((select tree from runs where runs.id = usage.run), '')`.execute(db)
  await db.schema.createIndex('usage_agent').on('usage').columns(['agent', 'at']).execute()
  await db.schema.createIndex('usage_tree').on('usage').columns(['tree', 'at']).execute()
  await db.schema.createIndex('usage_sender').on('usage').columns(['sender', 'at']).execute()
  await db.schema.createIndex('runs_tree').on('runs').columns(['tree', 'created_at']).execute()
}
