/**
 * Every table of design.md 6 as the first migration makes it, in one code for SQLite and Postgres.
 *
 * Owns columns, keys and indexes. Frozen once released: a change is another migration (schema.test.ts holds its dump).
 * The column types follow decisions.md 26: text and whole numbers, nothing else. What the two databases spell differently
 * stands in `Spelling` and nowhere else.
 */
import { type CreateTableBuilder, type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** How a database writes an id that counts up by itself, and a 53-bit integer. */
export interface Spelling {
  id(table: CreateTableBuilder<string, never>): CreateTableBuilder<string, never>
  /** Ends a `create table`: SQLite keeps rows in the order of a text key. */
  keyed(table: CreateTableBuilder<string, never>): CreateTableBuilder<string, never>
}

export const sqliteSpelling: Spelling = {
  // Without `autoincrement` SQLite would give the id of a deleted last row again.
  id: table => table.addColumn('id', 'integer', column => column.primaryKey().autoIncrement()) as never,
  keyed: table => table.modifyEnd(sql`without rowid`),
}

/** `name` is text, `name#` a whole number; `?` after it allows null. Keys are listed in order. */
export interface Shape {
  columns: string
  /** Primary key; `id#` counts up by itself. */
  key: string[] | 'id#'
  /** Rows are small and found by key: stored inside the key's own tree. */
  keyed?: true
}

const shapes: Partial<Record<keyof Tables, Shape>> = {
  sessions: {
    columns:
      'id key agent tree parent_session? spawned_by? depth# label? route? seq# created_at# updated_at# closed_at#? ' +
      'settings?',
    key: ['id'],
  },
  messages: {
    columns: 'session seq# ord#? id role parts run? step#? at# meta',
    key: ['session', 'seq'],
  },
  inbox: {
    columns: 'session kind mode state seq#? key from_run? at# read_run? read_step#?',
    key: 'id#',
  },
  runs: {
    columns:
      'id session tree agent parent? depth# lane state outcome? error_code? error? epoch# attempts# turn# paused# ' +
      'detached# wait? wait_until#? woken# grant_json payer? spent_nano# spent_tokens# spent_calls# lent_nano# ' +
      'lent_tokens# lent_calls# deadline_at#? return_to? route? task label? model receipt? terms? result? result_seq#? ' +
      'created_at# queued_at# started_at#? ended_at#?',
    key: ['id'],
  },
  steps: {
    columns: 'run n# kind state name intent result? started_at#? ended_at#?',
    key: ['run', 'n'],
  },
  usage: {
    columns:
      'run step# attempt# session agent model state reserved_nano# reserved_tokens# charged_nano# charged_tokens# ' +
      'charged_calls# input# output# cache_read# cache_write# at#',
    key: ['run', 'step', 'attempt'],
    keyed: true,
  },
  rpc_keys: {
    columns: 'principal method session key payload run? inbox#? answered_turn#? answer? at#',
    key: ['principal', 'method', 'session', 'key'],
    keyed: true,
  },
  approvals: {
    columns: 'id run step# session kind request state route? deadline_at# decided_by? decided_at#? created_at#',
    key: ['id'],
  },
  outbox: {
    columns:
      'session run? key channel account chat route payload state attempt# remote_id? error? not_before# ' +
      'doubt_since#? orphan# created_at# updated_at#',
    key: 'id#',
  },
  devices: {
    columns:
      'id public_key display_name? operator_label? platform? device_family? client_id? client_mode? roles scopes ' +
      'generation# state approved_via? remote_ip? created_at# approved_at# last_seen_at#?',
    key: ['id'],
  },
  pairing_requests: {
    columns:
      'id device public_key about role scopes state superseded_by? decided_by? created_at# refreshed_at# expires_at# ' +
      'decided_at#?',
    key: ['id'],
  },
  device_tokens: {
    columns:
      'device role generation# rotation# scopes imported_hash? created_at# rotated_at#? revoked_at#? last_used_at#?',
    key: ['device', 'role'],
    keyed: true,
  },
  channel_pairings: {
    columns: 'id channel account sender label? code state created_at# last_seen_at# expires_at#',
    key: ['id'],
  },
  schedules: { columns: 'id agent spec enabled# next_at#? created_at# updated_at#', key: ['id'] },
  schedule_slots: { columns: 'schedule slot_at# state run? reason? at#', key: ['schedule', 'slot_at'], keyed: true },
  kv: { columns: 'key value', key: ['key'] },
  drops: {
    columns: 'channel account chat message edit reason at#',
    key: ['channel', 'account', 'chat', 'message', 'edit'],
    keyed: true,
  },
  audit: { columns: 'at# who what details', key: 'id#' },
}

/** Each index is a page more in every commit that touches its table: only what is asked all the time has one. */
const indexes: { name: string; on: keyof Tables; columns: string[]; unique?: true; where?: string }[] = [
  // A key names one open conversation (decisions.md 5).
  { name: 'sessions_open_key', on: 'sessions', columns: ['key'], unique: true, where: 'closed_at is null' },
  // The sweep asks of a body file whether a row refers to it.
  { name: 'messages_body', on: 'messages', columns: ['parts'], where: `substr(parts, 1, 9) = '{"body":"'` },
  { name: 'inbox_key', on: 'inbox', columns: ['session', 'key'], unique: true },
  // By kind, since whether a wait is over is asked by kind, however many children have reported.
  { name: 'inbox_unread', on: 'inbox', columns: ['session', 'kind'], where: "state = 'unread'" },
  { name: 'inbox_dead', on: 'inbox', columns: ['at'], where: "state = 'dead'" },
  // A session has at most one live run (decisions.md 3).
  { name: 'runs_live', on: 'runs', columns: ['session'], unique: true, where: "state <> 'done'" },
  {
    name: 'runs_claimable',
    on: 'runs',
    columns: ['lane', 'woken desc', 'queued_at', 'id'],
    where: "state = 'queued' and paused = 0",
  },
  // Of two indexes that seem as good SQLite takes the one made last: the live children are what is asked all the time.
  { name: 'runs_parent', on: 'runs', columns: ['parent', 'created_at'], where: 'parent is not null' },
  { name: 'runs_live_children', on: 'runs', columns: ['parent'], where: "parent is not null and state <> 'done'" },
  { name: 'runs_session', on: 'runs', columns: ['session', 'created_at'] },
  { name: 'runs_recent', on: 'runs', columns: ['created_at'] },
  {
    name: 'runs_wait_until',
    on: 'runs',
    columns: ['wait_until'],
    where: "wait_until is not null and state = 'waiting'",
  },
  { name: 'runs_deadline', on: 'runs', columns: ['deadline_at'], where: "deadline_at is not null and state <> 'done'" },
  { name: 'usage_at', on: 'usage', columns: ['at'] },
  { name: 'rpc_keys_run', on: 'rpc_keys', columns: ['run', 'answered_turn'], where: 'run is not null' },
  // A wire id is looked up by itself.
  { name: 'rpc_keys_key', on: 'rpc_keys', columns: ['key', 'at'] },
  { name: 'approvals_step', on: 'approvals', columns: ['run', 'step'] },
  { name: 'approvals_deadline', on: 'approvals', columns: ['deadline_at'], where: "state = 'pending'" },
  { name: 'outbox_key', on: 'outbox', columns: ['key'], unique: true },
  {
    name: 'outbox_heads',
    on: 'outbox',
    columns: ['channel', 'account', 'chat', 'id'],
    where: "state not in ('sent', 'dead')",
  },
  { name: 'pairing_pending', on: 'pairing_requests', columns: ['device'], unique: true, where: "state = 'pending'" },
  { name: 'pairing_expiry', on: 'pairing_requests', columns: ['expires_at'], where: "state = 'pending'" },
  {
    name: 'channel_pairings_sender',
    on: 'channel_pairings',
    columns: ['channel', 'account', 'sender'],
    unique: true,
    where: "state = 'pending'",
  },
  { name: 'schedules_next', on: 'schedules', columns: ['next_at'], where: 'enabled = 1' },
  { name: 'drops_at', on: 'drops', columns: ['at'] },
  { name: 'audit_at', on: 'audit', columns: ['at'] },
]

export async function createSchema(db: Kysely<Tables>, spelling: Spelling): Promise<void> {
  for (const [name, shape] of Object.entries(shapes)) await createTable(db, spelling, name, shape)
  for (const index of indexes) {
    let builder = db.schema.createIndex(index.name).on(index.on)
    if (index.unique) builder = builder.unique()
    const columns = index.columns.map(column => column as never)
    const made = builder.columns(columns)
    await (index.where ? made.where(sql.raw<boolean>(index.where)) : made).execute()
  }
}

export async function createTable(db: Kysely<Tables>, spelling: Spelling, name: string, shape: Shape): Promise<void> {
  let table = db.schema.createTable(name) as CreateTableBuilder<string, never>
  if (shape.key === 'id#') table = spelling.id(table)
  for (const word of shape.columns.split(' ')) {
    const [, column, whole, nullable] = /^(\w+)(#?)(\??)$/.exec(word)!
    table = table.addColumn(column!, whole ? 'bigint' : 'text', made => (nullable ? made : made.notNull())) as never
  }
  if (shape.key !== 'id#') table = table.addPrimaryKeyConstraint(`${name}_pk`, shape.key as never[])
  await (shape.keyed ? spelling.keyed(table) : table).execute()
}
