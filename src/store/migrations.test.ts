import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { makeConnection, makeHandles } from './dialect.ts'
import { migrate, newestVersion } from './migrations.ts'
import { samples } from './samples.ts'
import { sqliteSpelling } from './schema.ts'

async function migrated(until?: number): Promise<DatabaseSync> {
  const db = new DatabaseSync(':memory:')
  await migrate(makeHandles(makeConnection(db))().db, sqliteSpelling, 0, until)
  return db
}

/** What a released version made is frozen: a difference here is a new migration, never another snapshot. */
test('version 1', async () => {
  const db = await migrated(1)
  const rows = db
    .prepare(
      "select sql from sqlite_schema where sql is not null and name not like 'sqlite_%' order by type desc, tbl_name, name",
    )
    .all()
  await expect(rows.map(row => `${row['sql']}\n`).join('')).toMatchFileSnapshot('./schema-1.sql')
})

test('a database of version 1 becomes what a new one is', async () => {
  const old = await migrated(1)
  old.exec("insert into kv (key, value) values ('stays', 'here')")
  await migrate(makeHandles(makeConnection(old))().db, sqliteSpelling, 1)
  const schema = (db: DatabaseSync) => db.prepare('select name, sql from sqlite_schema order by name').all()
  expect(schema(old)).toEqual(schema(await migrated()))
  expect(old.prepare('select value from kv').all()).toEqual([{ value: 'here' }])
  expect(newestVersion).toBeGreaterThan(1)
})

test('what an older version has in its ledger is found by conversation afterwards', async () => {
  const old = await migrated(4)
  const put = (table: 'runs' | 'usage', row: Record<string, string | number | null>) => {
    const columns = Object.keys(row)
    old
      .prepare(`insert into ${table} (${columns.join()}) values (${columns.map(() => '?').join()})`)
      .run(...columns.map(name => row[name]!))
  }
  const { tree: _tree, sender: _sender, ...usage } = samples.usage
  put('runs', samples.runs as never)
  put('usage', usage as never)
  await migrate(makeHandles(makeConnection(old))().db, sqliteSpelling, 4)
  expect(old.prepare('select run, tree, sender from usage').all()).toEqual([
    { run: samples.usage.run, tree: samples.runs.tree, sender: null },
  ])
})

test('every column of every table is one that the house knows, and none is missing', async () => {
  const db = await migrated()
  const tables = db.prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'").all()
  const known = Object.fromEntries(
    tables.map(({ name }) => [
      name,
      db
        .prepare(`select name from pragma_table_info('${name}')`)
        .all()
        .map(row => row['name']),
    ]),
  )
  const ids = (table: string) => (['inbox', 'outbox', 'audit', 'thread_bindings'].includes(table) ? ['id'] : [])
  const wanted = Object.fromEntries(
    Object.entries(samples).map(([table, row]) => [table, [...ids(table), ...Object.keys(row)]]),
  )
  const sorted = (all: Record<string, unknown[]>) =>
    Object.fromEntries(Object.entries(all).map(([k, v]) => [k, [...v].sort()]))
  expect(sorted(known as Record<string, unknown[]>)).toEqual(sorted(wanted))
})

/** The questions that are asked all the time, and the index that must answer them. */
const questions: [string, string][] = [
  ["select id from sessions where key = 'k' and closed_at is null", 'sessions_open_key'],
  ["select id from runs where session = 's' and state <> 'done'", 'runs_live'],
  ["select id from inbox where session = 's' and state = 'unread'", 'inbox_unread'],
  ["select id from inbox where session = 's' and state = 'unread' and kind = 'result' order by id", 'inbox_unread'],
  [
    "select id from runs where lane = 'main' and state = 'queued' and paused = 0 order by woken desc, queued_at, id limit 1",
    'runs_claimable',
  ],
  ["select id from runs where parent = 'r' and state <> 'done'", 'runs_live_children'],
  ["select * from runs where parent = 'r' and detached = 0 and state <> 'done'", 'runs_live_children'],
  ["select * from runs where parent = 'r' order by created_at", 'runs_parent'],
  ["select min(wait_until) from runs where wait_until is not null and state = 'waiting'", 'runs_wait_until'],
  ["select min(deadline_at) from runs where deadline_at is not null and state <> 'done'", 'runs_deadline'],
  ["select * from outbox where state not in ('sent', 'dead') order by channel, account, chat, id", 'outbox_heads'],
  ["select * from messages where session = 's' and seq < 9 order by seq desc", 'sqlite_autoindex_messages_1'],
  ["select * from rpc_keys where run = 'r' and answered_turn is null", 'rpc_keys_run'],
  ["select * from messages where substr(parts, 1, 9) = '{\"body\":\"' and parts = 'p'", 'messages_body'],
  ["select * from steps where run = 'r' and state in ('open', 'asking')", 'sqlite_autoindex_steps_1'],
  ["select * from rpc_keys where key = 'k' order by at desc", 'rpc_keys_key'],
  ["select min(deadline_at) from approvals where state = 'pending'", 'approvals_deadline'],
  ["select * from approvals where run = 'r' and step = 1", 'approvals_step'],
  ["select * from approvals where subject = 's' order by created_at", 'approvals_subject'],
  ["select field, amount from budget_raises where whose = 'all' and since = 0", 'budget_raises'],
  ["select * from approval_grants where agent = 'a' and revoked_at is null", 'approval_grants_agent'],
  ["select sum(charged_nano) from usage where agent = 'a' and at >= 1", 'usage_agent'],
  ["select sum(charged_nano) from usage where tree = 't' and at >= 0", 'usage_tree'],
  ["select sum(charged_nano) from usage where sender = 's' and at >= 1", 'usage_sender'],
  ["select id from runs where tree = 't' order by created_at desc", 'runs_tree'],
  [
    "select * from thread_bindings where channel = 'c' and account = 'a' and chat = '1' and thread = '' and ended_at is null",
    'thread_bindings_place',
  ],
  ["select * from thread_bindings where session_key = 'k' and ended_at is null", 'thread_bindings_session'],
]
for (const [question, index] of questions)
  test(`${index} answers ${question}`, async () => {
    const db = await migrated()
    const plan = db
      .prepare(`explain query plan ${question}`)
      .all()
      .map(row => String(row['detail']))
    expect(plan.join('; ')).toContain(index)
    expect(plan.join('; ')).not.toMatch(/TEMP B-TREE|SCAN \w+$/)
  })
