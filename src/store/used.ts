/**
 * What many runs have used together, read from the ledger, and what was allowed besides: the sums that caps are held against
 * (core/budget.ts). Owns the sums only. What is set aside counts as used, as `counted` has it. Reads in the transaction it is handed.
 */
import { raisedBy } from '../core/budget.ts'
import type { Purse, Spend } from '../core/types.ts'
import type { Tx } from './open.ts'

/** Whose rows are summed; nobody named is everybody. */
export type Whose = { agent: string } | { tree: string } | { sender: string } | Record<never, never>

/** Since `since`, epoch ms. */
export async function usedBy(db: Tx, whose: Whose, since: number): Promise<Spend> {
  const [row] = await db.ask(sumOf, whose, since)
  return { nano: Number(row?.nano ?? 0), tokens: Number(row?.tokens ?? 0), calls: Number(row?.calls ?? 0) }
}

const sumOf = (db: Tx, whose: Whose, since: number) => {
  let query = db
    .selectFrom('usage')
    .select(eb => {
      const of = (reserved: 'reserved_nano' | 'reserved_tokens', charged: 'charged_nano' | 'charged_tokens') =>
        eb.fn.sum<number>(eb.case().when('state', '=', 'reserved').then(eb.ref(reserved)).else(eb.ref(charged)).end())
      return [
        of('reserved_nano', 'charged_nano').as('nano'),
        of('reserved_tokens', 'charged_tokens').as('tokens'),
        eb.fn
          .sum<number>(eb.case().when('state', '=', 'reserved').then(eb.lit(1)).else(eb.ref('charged_calls')).end())
          .as('calls'),
      ]
    })
    .where('at', '>=', since)
  for (const [column, name] of Object.entries(whose))
    query = query.where(column as 'agent' | 'tree' | 'sender', '=', name)
  return query
}

/** Calls in which a run waits for others: their time is nobody's work. */
const waits = ['sessions_yield', 'sessions_send', 'subagents']

/**
 * Time at work since `since`, in seconds: of model calls and summaries, and of the tools that say when they begin (those that
 * must not be repeated). A call in flight counts up to now; one that a crash or a refusal cut off, from when it is asked again.
 */
export async function secondsBy(db: Tx, whose: Whose, since: number, now: number): Promise<number> {
  const [row] = await db.ask(timeOf, whose, since, now)
  return Number(row?.ms ?? 0) / 1000
}

const timeOf = (db: Tx, whose: Whose, since: number, now: number) =>
  db
    .selectFrom('steps')
    .innerJoin('runs', 'runs.id', 'steps.run')
    .select(eb =>
      eb.fn.sum<number>(eb(eb.fn.coalesce('steps.ended_at', eb.val(now)), '-', eb.ref('steps.started_at'))).as('ms'),
    )
    .where('steps.run', 'in', eb => {
      let ledger = eb.selectFrom('usage').select('usage.run').where('usage.at', '>=', since)
      for (const [column, name] of Object.entries(whose))
        ledger = ledger.where(`usage.${column as 'agent' | 'tree' | 'sender'}`, '=', name)
      return ledger
    })
    .where('steps.started_at', '>=', since)
    .where('steps.name', 'not in', waits)
    .where(eb =>
      eb.or([
        eb('steps.ended_at', 'is not', null),
        eb.and([eb('steps.state', '=', 'open'), eb('runs.state', '=', 'running')]),
      ]),
    )

/** How a limit's name is written in the rows of its raises. */
export function nameOf(whose: Whose): string {
  const [one] = Object.entries(whose)
  return one ? one.join(':') : 'all'
}

/** A limit of a day or a conversation with what people have allowed besides: `raised`. */
export async function withRaises(
  db: Tx,
  whose: Whose,
  since: number,
  configured: Purse,
): Promise<{ limit: Purse; raised: Spend & { seconds: number } }> {
  const rows = await db.ask(raisesIn, nameOf(whose), since)
  const sum = (field: string) => rows.filter(row => row.field === field).reduce((all, row) => all + row.amount, 0)
  const raised = { nano: sum('nano'), tokens: sum('tokens'), calls: sum('calls'), seconds: sum('seconds') }
  return { limit: raisedBy(configured, raised), raised }
}

const raisesIn = (db: Tx, whose: string, since: number) =>
  db.selectFrom('budget_raises').select(['field', 'amount']).where('whose', '=', whose).where('since', '=', since)

/** What a report groups by. A tree is a conversation with all that it delegated. */
export const groupings = ['day', 'agent', 'session', 'tree', 'sender', 'run', 'model'] as const
export type Grouping = (typeof groupings)[number]

export interface UsedRow extends Spend {
  /** Days since 1970-01-01 by `offsetMs`, or the name or id that the ledger has; null when it has none. */
  name: string | number | null
  input: number
  output: number
  cached: number
  /** Calls in flight, and calls that were cut off and so are charged in full. */
  open: number
  unknown: number
}

/** The ledger since `since`, the dearest first; by day in the order of days. */
export async function usageBy(
  db: Tx,
  by: Grouping,
  filter: { since: number; offsetMs: number; tree?: string },
): Promise<UsedRow[]> {
  let query = db
    .selectFrom('usage')
    .select(eb => {
      const counts = (reserved: 'reserved_nano' | 'reserved_tokens', charged: 'charged_nano' | 'charged_tokens') =>
        eb.fn.sum(eb.case().when('state', '=', 'reserved').then(eb.ref(reserved)).else(eb.ref(charged)).end())
      const inState = (state: string) => eb.fn.sum(eb.case().when('state', '=', state).then(1).else(0).end())
      return [
        by === 'day'
          ? eb(eb.parens('at', '+', eb.lit(filter.offsetMs)), '/', eb.lit(86_400_000)).as('name')
          : eb.ref(by).as('name'),
        counts('reserved_nano', 'charged_nano').as('nano'),
        counts('reserved_tokens', 'charged_tokens').as('tokens'),
        eb.fn.sum('charged_calls').as('calls'),
        eb.fn.sum('input').as('input'),
        eb.fn.sum('output').as('output'),
        eb.fn.sum(eb('cache_read', '+', eb.ref('cache_write'))).as('cached'),
        inState('reserved').as('open'),
        inState('unknown').as('unknown'),
      ]
    })
    .where('at', '>=', filter.since)
  if (filter.tree !== undefined) query = query.where('tree', '=', filter.tree)
  const rows = await query.groupBy('name').execute()
  const all = rows.map(row => ({
    name: row.name as string | number | null,
    nano: Number(row.nano),
    tokens: Number(row.tokens),
    calls: Number(row.calls) + Number(row.open),
    input: Number(row.input),
    output: Number(row.output),
    cached: Number(row.cached),
    open: Number(row.open),
    unknown: Number(row.unknown),
  }))
  if (by === 'day') return all.sort((a, b) => Number(a.name) - Number(b.name))
  return all.sort((a, b) => b.nano - a.nano || b.tokens - a.tokens)
}
