/**
 * `usage.*` and `sessions.usage`: the ledger by day, session and model (openclaw-facts.md §C4). Owns which days are meant and
 * the sums; the amounts are the ledger's (decisions.md 12). Counts of messages and tools are not kept there, and stay 0.
 */
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { ModelUsage, UsageTotals } from '../../protocol/results.ts'
import type { LedgerRow } from '../../sessions/types.ts'
import { keyOf, type Room } from './room.ts'

const dayMs = 86_400_000
const ranges = { '7d': 7, '30d': 30, '90d': 90, '1y': 365 } as const

/** Days as numbers since 1970-01-01, `last` included. */
interface Days {
  first: number
  last: number
  offsetMs: number
}

type DayParams = Pick<
  Params<'usage.cost'>,
  'startDate' | 'endDate' | 'days' | 'range' | 'mode' | 'utcOffset' | 'timeZone'
>

function daysOf(params: DayParams, now: number): Days {
  const offsetMs = offsetOf(params, now)
  const today = Math.floor((now + offsetMs) / dayMs)
  const { startDate, endDate, range, days = 30 } = params
  if ((startDate === undefined) !== (endDate === undefined))
    throw new DeputyError('INVALID_PARAMS', 'startDate and endDate must be provided together')
  if (startDate !== undefined && endDate !== undefined) {
    const [first, last] = [dayOf(startDate), dayOf(endDate)]
    if (first > last) throw new DeputyError('INVALID_PARAMS', 'startDate must not be after endDate')
    return { first, last, offsetMs }
  }
  const count = range === undefined ? days : range === 'all' ? today + 1 : ranges[range]
  return { first: today - count + 1, last: today, offsetMs }
}

function dayOf(date: string): number {
  const ms = Date.parse(`${date}T00:00:00Z`)
  if (Number.isNaN(ms) || dateOf(ms / dayMs) !== date)
    throw new DeputyError('INVALID_PARAMS', `${date} is not a date of the calendar`)
  return ms / dayMs
}

function dateOf(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10)
}

/** How far east of UTC; a time zone counts as it is now, over the whole range. */
function offsetOf({ mode, utcOffset, timeZone }: DayParams, now: number): number {
  if (mode === 'gateway') return -new Date(now).getTimezoneOffset() * 60_000
  if (mode !== 'specific') return 0
  const text = timeZone === undefined ? (utcOffset ?? 'UTC') : (zoneOffset(timeZone, now) ?? utcOffset)
  const said = /^(?:UTC|GMT)(?:([+-])(\d{1,2})(?::(\d{2}))?)?$/.exec(text ?? '')
  if (!said) throw new DeputyError('INVALID_PARAMS', 'invalid timeZone: expected a valid IANA time zone')
  const minutes = Number(said[2] ?? 0) * 60 + Number(said[3] ?? 0)
  return (said[1] === '-' ? -minutes : minutes) * 60_000
}

/** `GMT+02:00`; undefined for a zone that nobody knows. */
function zoneOffset(timeZone: string, now: number): string | undefined {
  try {
    const parts = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' }).formatToParts(now)
    return parts.find(part => part.type === 'timeZoneName')?.value
  } catch {
    return undefined
  }
}

function sum(rows: readonly LedgerRow[]): UsageTotals {
  const totals = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, nano: 0 }
  for (const { usage, spent } of rows) {
    totals.input += usage.input
    totals.output += usage.output
    totals.cacheRead += usage.cacheRead
    totals.cacheWrite += usage.cacheWrite
    totals.nano += spent.nano
  }
  const { nano, ...tokens } = totals
  return {
    ...tokens,
    totalTokens: tokens.input + tokens.output + tokens.cacheRead + tokens.cacheWrite,
    totalCost: nano / 1e9,
    inputCost: 0,
    outputCost: 0,
    cacheReadCost: 0,
    cacheWriteCost: 0,
    missingCostEntries: 0,
  }
}

async function read(room: Room, params: Params<'sessions.usage'>): Promise<{ days: Days; rows: readonly LedgerRow[] }> {
  const days = daysOf(params, room.now())
  const { agentId: agent, key } = params
  const session = key === undefined ? null : await room.house.sessionByKey(await keyOf(room, { sessionKey: key }))
  if (key !== undefined && !session) return { days, rows: [] }
  const rows = await room.house.ledger({
    since: days.first * dayMs - days.offsetMs,
    until: (days.last + 1) * dayMs - days.offsetMs,
    offsetMs: days.offsetMs,
    ...(agent === undefined ? {} : { agent }),
    ...(session ? { session: session.id } : {}),
  })
  return { days, rows }
}

function dailyOf(rows: readonly LedgerRow[]): (UsageTotals & { date: string })[] {
  return [...Map.groupBy(rows, row => row.day)].map(([day, those]) => ({ date: dateOf(day), ...sum(those) }))
}

export async function usageCost(room: Room, params: Params<'usage.cost'>): Promise<Result<'usage.cost'>> {
  const { days, rows } = await read(room, params)
  return {
    updatedAt: room.now(),
    days: days.last - days.first + 1,
    startDate: dateOf(days.first),
    endDate: dateOf(days.last),
    daily: dailyOf(rows),
    totals: sum(rows),
  }
}

function countOf(rows: readonly LedgerRow[]): number {
  return rows.reduce((count, { spent }) => count + spent.calls, 0)
}

function byModel(rows: readonly LedgerRow[]): ModelUsage[] {
  return [...Map.groupBy(rows, row => row.model)].map(([ref, those]) => {
    const [provider = '', ...model] = ref.split('/')
    return { provider, model: model.join('/'), count: countOf(those), totals: sum(those) }
  })
}

export async function sessionsUsage(room: Room, params: Params<'sessions.usage'>): Promise<Result<'sessions.usage'>> {
  const { days, rows } = await read(room, params)
  const groups = [...Map.groupBy(rows, row => row.session)].slice(0, params.limit ?? 50)
  const sessions = await Promise.all(
    groups.map(async ([id, those]) => {
      const session = await room.house.session(id)
      const { agent: agentId, sessionKey: key } = those[0]!
      const models = byModel(those)
      const daily = dailyOf(those)
      return {
        key,
        ...(session?.label ? { label: session.label } : {}),
        sessionId: id,
        updatedAt: session?.updatedAt ?? 0,
        agentId,
        ...(models[0] ? { modelProvider: models[0].provider ?? '', model: models[0].model ?? '' } : {}),
        usage: {
          ...sum(those),
          sessionId: id,
          activityDates: daily.map(day => day.date),
          dailyBreakdown: daily.map(({ date, totalTokens, totalCost }) => ({
            date,
            tokens: totalTokens,
            cost: totalCost,
          })),
          modelUsage: models,
        },
      }
    }),
  )
  const providers = Map.groupBy(rows, row => row.model.split('/')[0] ?? '')
  return {
    updatedAt: room.now(),
    startDate: dateOf(days.first),
    endDate: dateOf(days.last),
    sessions,
    totals: sum(rows),
    aggregates: {
      sessionCount: new Set(rows.map(row => row.session)).size,
      messages: { total: 0, user: 0, assistant: 0, toolCalls: 0, toolResults: 0, errors: 0 },
      tools: { totalCalls: 0, uniqueTools: 0, tools: [] },
      byModel: byModel(rows),
      byProvider: [...providers].map(([provider, those]) => ({
        provider,
        count: countOf(those),
        totals: sum(those),
      })),
      byAgent: [...Map.groupBy(rows, row => row.agent)].map(([agentId, those]) => ({ agentId, totals: sum(those) })),
      byChannel: [],
      daily: dailyOf(rows).map(({ date, totalTokens, totalCost }) => ({
        date,
        tokens: totalTokens,
        cost: totalCost,
        messages: 0,
        toolCalls: 0,
        errors: 0,
      })),
    },
  }
}
