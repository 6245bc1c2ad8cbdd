/** The rows of the scenario's home, read from outside. Owns the queries. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface RunRow {
  id: string
  parent: string | null
  task: string
  state: string
  outcome: string | null
  error_code: string | null
  spent_nano: number
  lent_nano: number
  lent_calls: number
  result: string | null
}

export interface UsageRow {
  run: string
  step: number
  attempt: number
  state: string
  charged_nano: number
  charged_calls: number
  input: number
  output: number
}

export interface Books {
  runs: RunRow[]
  usage: UsageRow[]
  approvals: { id: string; kind: string; state: string; decided_by: string | null }[]
  outbox: { state: string; payload: string; doubt_since: number | null }[]
  unread: number
  openSteps: number
  /** Model calls that were completed. */
  replies: number
}

export function readBooks(home: string): Books | null {
  let db: DatabaseSync
  try {
    db = new DatabaseSync(join(home, 'deputy.sqlite'), { readOnly: true, timeout: 1000 })
  } catch {
    return null
  }
  const all = <T>(sql: string) => db.prepare(sql).all() as T[]
  const n = (sql: string) => all<{ n: number }>(`select count(*) as n from ${sql}`)[0]!.n
  try {
    return {
      runs: all(
        'select id, parent, task, state, outcome, error_code, spent_nano, lent_nano, lent_calls, result from runs order by created_at, id',
      ),
      usage: all('select run, step, attempt, state, charged_nano, charged_calls, input, output from usage'),
      approvals: all('select id, kind, state, decided_by from approvals'),
      outbox: all('select state, payload, doubt_since from outbox order by id'),
      unread: n("inbox where state = 'unread'"),
      openSteps: n("steps where state in ('open', 'asking')"),
      replies: n("steps where kind = 'model' and state = 'done'"),
    }
  } finally {
    db.close()
  }
}

/** `main`, `w3`, `w3.1`. */
export function roleOf(run: RunRow): string {
  return /role=(w\d(?:\.\d)?)/.exec(run.task)?.[1] ?? 'main'
}
