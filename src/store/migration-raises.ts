/**
 * Questions whether to go on past a budget: what each is about, found by that, and what was allowed besides a limit over many
 * runs, once at each limit that it has had.
 */
import { type Kysely, sql } from 'kysely'
import { createTable, type Spelling } from './schema.ts'
import type { Tables } from './tables.ts'

export async function addBudgetRaises(db: Kysely<Tables>, spelling: Spelling): Promise<void> {
  await db.schema.alterTable('approvals').addColumn('subject', 'text').execute()
  await db.schema
    .createIndex('approvals_subject')
    .on('approvals')
    .columns(['subject', 'created_at'])
    .where(sql<boolean>`subject is not null`)
    .execute()
  await createTable(db, spelling, 'budget_raises', {
    columns: 'whose since# field was# amount# approval allowed_by allowed_at#',
    key: ['whose', 'since', 'field', 'was'],
    keyed: true,
  })
}
