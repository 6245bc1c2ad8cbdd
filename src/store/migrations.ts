/**
 * The steps by which a database of any released version becomes today's: append-only, numbered from 1.
 *
 * Owns the list and the order. A released migration is never edited: its schema dump is held by migrations.test.ts.
 * The caller holds the transaction and writes the version in it.
 */
import type { Kysely } from 'kysely'
import { addThreadBindings } from './migration-bindings.ts'
import { addBudgetRaises } from './migration-raises.ts'
import { sumOverRuns } from './migration-usage.ts'
import { createSchema, createTable, type Spelling } from './schema.ts'
import type { Tables } from './tables.ts'

type Migration = (db: Kysely<Tables>, spelling: Spelling) => Promise<void>

const migrations: readonly Migration[] = [
  createSchema,
  addViews,
  addOutboxParts,
  addApprovalGrants,
  sumOverRuns,
  addTreeIndex,
  addThreadBindings,
  addBudgetRaises,
]

/** Version of a database that has every migration. */
export const newestVersion = migrations.length

/** Brings a database from `version` to the newest (or to `until`), one migration after the other. */
export async function migrate(
  db: Kysely<Tables>,
  spelling: Spelling,
  version: number,
  until = newestVersion,
): Promise<void> {
  for (const migration of migrations.slice(version, until)) await migration(db, spelling)
}

/** What a model is shown instead of the older part of a conversation, and the wish for it (decisions.md 31). */
async function addViews(db: Kysely<Tables>, spelling: Spelling): Promise<void> {
  await createTable(db, spelling, 'views', {
    columns: 'id session run step# after# summary pinned base? why messages# tokens_before# tokens_after# at#',
    key: ['id'],
  })
  await db.schema.createIndex('views_session').on('views').columns(['session', 'at']).execute()
  await db.schema.alterTable('sessions').addColumn('view', 'text').execute()
  await db.schema.alterTable('inbox').addColumn('note', 'text').execute()
}

/** What is longer than one message goes out in parts: how it was cut, which is next, what was shown under which id. */
async function addOutboxParts(db: Kysely<Tables>): Promise<void> {
  const outbox = () => db.schema.alterTable('outbox')
  await outbox()
    .addColumn('part', 'bigint', column => column.notNull().defaultTo(0))
    .execute()
  await outbox().addColumn('parts', 'text').execute()
  await outbox().addColumn('remote_ids', 'text').execute()
}

/** What a person has allowed for good, until it is revoked. */
async function addApprovalGrants(db: Kysely<Tables>, spelling: Spelling): Promise<void> {
  await createTable(db, spelling, 'approval_grants', {
    columns: 'id agent kind pattern granted_by granted_at# approval revoked_by? revoked_at#?',
    key: ['id'],
  })
  await db.schema
    .createIndex('approval_grants_agent')
    .on('approval_grants')
    .columns(['agent', 'kind', 'pattern'])
    .execute()
}

/** What a sweep asks of a tree, it asks of its conversations. */
async function addTreeIndex(db: Kysely<Tables>): Promise<void> {
  await db.schema.createIndex('sessions_tree').on('sessions').columns(['tree']).execute()
}
