/**
 * What the database file says, read from outside with a read-only connection: the crash tests believe rows, not answers.
 * Owns the few queries that they need. Works while the gateway runs and after it was killed.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface RunRow {
  id: string
  session: string
  key: string
  parent: string | null
  state: string
  outcome: string | null
  error: string | null
  task: string
  result: string | null
  /** Session of the mailbox that gets its end. */
  return_to: string | null
}

export interface StepRow {
  run: string
  n: number
  kind: string
  state: string
  name: string
  intent: string
  result: string | null
  started_at: number | null
  ended_at: number | null
}

export interface InboxRow {
  session: string
  kind: string
  state: string
  key: string
  from_run: string | null
}

export interface MessageRow {
  session: string
  seq: number
  role: string
  parts: string
  run: string | null
  meta: string
}

export interface Facts {
  runs: RunRow[]
  steps: StepRow[]
  inbox: InboxRow[]
  messages: MessageRow[]
  /** Ledger rows that still hold a reservation. */
  reserved: number
  /** Wire requests by idempotency key: how many rows, how many of them answered. */
  keys: { key: string; answered: number }[]
}

/** Everything about the conversation `agent:main:<id>` and what was spawned from it. Null before the database exists. */
export function readFacts(home: string, id: string): Facts | null {
  let db: DatabaseSync
  try {
    db = new DatabaseSync(join(home, 'deputy.sqlite'), { readOnly: true, timeout: 1000 })
  } catch {
    return null
  }
  const all = <T>(sql: string, ...values: string[]) => db.prepare(sql).all(...values) as T[]
  try {
    const tree = `select id from sessions where tree in (select tree from sessions where key = ?)`
    const key = `agent:main:${id}`
    return {
      runs: all(
        `select r.id, r.session, s.key, r.parent, r.state, r.outcome, r.error, r.task, r.result, r.return_to
         from runs r join sessions s on s.id = r.session where r.session in (${tree}) order by r.created_at, r.id`,
        key,
      ),
      steps: all(
        `select run, n, kind, state, name, intent, result, started_at, ended_at from steps
         where run in (select id from runs where session in (${tree})) order by run, n`,
        key,
      ),
      inbox: all(`select session, kind, state, key, from_run from inbox where session in (${tree})`, key),
      messages: all(
        `select session, seq, role, parts, run, meta from messages where session in (${tree}) order by session, seq`,
        key,
      ),
      reserved: all<{ n: number }>(
        `select count(*) as n from usage where state = 'reserved' and session in (${tree})`,
        key,
      )[0]!.n,
      keys: all(
        `select key, answered_turn is not null as answered from rpc_keys where method = 'agent' and key = ?`,
        id,
      ),
    }
  } finally {
    db.close()
  }
}
