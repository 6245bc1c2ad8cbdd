/**
 * Places of chat services that are bound to a conversation: one row a binding, at most one live one a place. What is over is
 * kept, as what was bound when, until retention takes it.
 */
import { type Kysely, sql } from 'kysely'
import { createTable, type Spelling } from './schema.ts'
import type { Tables } from './tables.ts'

export async function addThreadBindings(db: Kysely<Tables>, spelling: Spelling): Promise<void> {
  await createTable(db, spelling, 'thread_bindings', {
    columns:
      'channel account chat thread agent session_key run? bound_by created_at# active_at# idle_ms#? max_age_ms#? ' +
      'ended_at#? ended_why?',
    key: 'id#',
  })
  const index = (name: string) => db.schema.createIndex(name).on('thread_bindings')
  const live = sql<boolean>`ended_at is null`
  await index('thread_bindings_place').columns(['channel', 'account', 'chat', 'thread']).unique().where(live).execute()
  await index('thread_bindings_session').columns(['session_key']).where(live).execute()
}
