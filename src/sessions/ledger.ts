/**
 * What conversations look like from outside: their first and newest words, what they used and what it cost.
 * Reads committed rows only; money is the ledger's (decisions.md 12). A few questions for any number of sessions.
 */
import { turnId } from '../core/ids.ts'
import { isSilentReply } from '../core/silence.ts'
import type { Message, Run } from '../core/types.ts'
import { messageOf, runOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { Glance, House, SessionTotals } from './types.ts'

const dayMs = 86_400_000
/** So many ids go into one question. */
const atOnce = 400
const lineLength = 120
/** Silent replies are passed over in so many. */
const fewRows = 4

export function openLedger(db: Tx): Pick<House, 'wires' | 'glances' | 'newestRuns' | 'totals' | 'ledger'> {
  /** By the key of the table, so that a long conversation costs no more than a short one. */
  async function wordsAt(session: string, which: 'asc' | 'desc', roles: readonly string[]): Promise<string | null> {
    const rows = await db
      .selectFrom('messages')
      .selectAll()
      .where('session', '=', session)
      .where('role', 'in', [...roles])
      .orderBy('seq', which)
      .limit(fewRows)
      .execute()
    const message = rows.map(messageOf).find(each => !isSilentReply(each))
    return message ? line(message) : null
  }

  async function wires(runs: readonly string[]): Promise<(run: string, turn: number) => string> {
    const aliases = new Map<string, { key: string; turn: number | null }[]>()
    for (const ids of chunks([...new Set(runs)])) {
      const rows = await db
        .selectFrom('rpc_keys')
        .select(['run', 'key', 'answered_turn'])
        .where('run', 'in', ids)
        .where('method', '<>', 'spawn')
        .orderBy('at')
        .execute()
      for (const { run, key, answered_turn: turn } of rows) {
        const known = aliases.get(run ?? '') ?? []
        aliases.set(run ?? '', [...known, { key, turn }])
      }
    }
    return (run, turn) => {
      const known = aliases.get(run) ?? []
      const alias = known.find(one => one.turn === turn) ?? known.find(one => one.turn === null)
      return alias?.key ?? turnId(run, turn)
    }
  }

  async function glances(sessions: readonly string[]): Promise<Map<string, Glance>> {
    const found = new Map<string, Glance>()
    for (const id of sessions) {
      const title = await wordsAt(id, 'asc', ['user'])
      found.set(id, { title, last: await wordsAt(id, 'desc', ['user', 'assistant']) })
    }
    return found
  }

  async function newestRuns(sessions: readonly string[]): Promise<Map<string, Run>> {
    const found = new Map<string, Run>()
    for (const ids of chunks(sessions)) {
      const newest = db
        .selectFrom('runs')
        .select(['session', eb => eb.fn.max('created_at').as('at')])
        .where('session', 'in', ids)
        .groupBy('session')
        .as('newest')
      const rows = await db
        .selectFrom('runs')
        .innerJoin(newest, join =>
          join.onRef('newest.session', '=', 'runs.session').onRef('newest.at', '=', 'runs.created_at'),
        )
        .selectAll('runs')
        .orderBy('runs.id')
        .execute()
      // A successor may be made in the same millisecond: the one that lives is the newer one.
      for (const run of rows.map(runOf)) {
        const other = found.get(run.session)
        if (!other || other.state === 'done') found.set(run.session, run)
      }
    }
    return found
  }

  async function totals(sessions: readonly string[]): Promise<Map<string, SessionTotals>> {
    const found = new Map<string, SessionTotals>()
    for (const ids of chunks(sessions)) {
      const sums = await db
        .selectFrom('usage')
        .select(eb => [
          'session',
          eb.fn.sum('input').as('input'),
          eb.fn.sum('output').as('output'),
          eb.fn.sum('cache_read').as('read'),
          eb.fn.sum('cache_write').as('write'),
          eb.fn.sum('charged_nano').as('nano'),
          eb.fn.max('at').as('newest'),
        ])
        .where('session', 'in', ids)
        .where('state', '=', 'settled')
        .groupBy('session')
        .execute()
      const newest = await db
        .selectFrom('usage')
        .select(['session', 'at', 'input', 'output', 'cache_read', 'cache_write'])
        .where(eb => eb.or(sums.map(row => eb.and({ session: row.session, at: Number(row.newest), state: 'settled' }))))
        .execute()
      const contexts = new Map(
        newest.map(row => [row.session, row.input + row.output + row.cache_read + row.cache_write]),
      )
      for (const row of sums)
        found.set(row.session, {
          usage: usageOf(row),
          costNano: Number(row.nano),
          context: contexts.get(row.session) ?? 0,
        })
    }
    return found
  }

  async function ledger(filter: Parameters<House['ledger']>[0]) {
    let query = db
      .selectFrom('usage')
      .innerJoin('sessions', 'sessions.id', 'usage.session')
      .select(eb => [
        eb(eb.parens('usage.at', '+', eb.lit(filter.offsetMs)), '/', eb.lit(dayMs)).as('day'),
        'usage.agent as agent',
        'usage.session as session',
        'sessions.key as key',
        'usage.model as model',
        eb.fn.sum('usage.input').as('input'),
        eb.fn.sum('usage.output').as('output'),
        eb.fn.sum('usage.cache_read').as('read'),
        eb.fn.sum('usage.cache_write').as('write'),
        eb.fn.sum('usage.charged_nano').as('nano'),
        eb.fn.sum('usage.charged_tokens').as('tokens'),
        eb.fn.sum('usage.charged_calls').as('calls'),
      ])
      .where('usage.at', '>=', filter.since)
      .where('usage.at', '<', filter.until)
    if (filter.agent !== undefined) query = query.where('usage.agent', '=', filter.agent)
    if (filter.session !== undefined) query = query.where('usage.session', '=', filter.session)
    const rows = await query
      .groupBy(['day', 'usage.agent', 'usage.session', 'sessions.key', 'usage.model'])
      .orderBy('day')
      .execute()
    return rows.map(row => ({
      day: Number(row.day),
      agent: row.agent,
      session: row.session,
      sessionKey: row.key,
      model: row.model,
      usage: usageOf(row),
      spent: { nano: Number(row.nano), tokens: Number(row.tokens), calls: Number(row.calls) },
    }))
  }

  return { wires, glances, newestRuns, totals, ledger }
}

type Sum = string | number | bigint | null

function usageOf(row: { input: Sum; output: Sum; read: Sum; write: Sum }) {
  return {
    input: Number(row.input),
    output: Number(row.output),
    cacheRead: Number(row.read),
    cacheWrite: Number(row.write),
  }
}

function* chunks(ids: readonly string[]): Generator<string[]> {
  for (let at = 0; at < ids.length; at += atOnce) yield ids.slice(at, at + atOnce)
}

function line(message: Message): string | null {
  const words = message.parts.map(part => (part.type === 'text' ? part.text : '')).join(' ')
  const flat = words.replace(/\s+/g, ' ').trim()
  if (flat === '') return null
  return flat.length > lineLength ? `${flat.slice(0, lineLength - 1)}…` : flat
}
