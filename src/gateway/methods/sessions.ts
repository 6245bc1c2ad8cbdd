/**
 * `sessions.list` (openclaw-facts.md §C4). Owns the row and the filters that the store does not have.
 */
import type { Run, Session } from '../../core/types.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { SessionRow } from '../../protocol/results.ts'
import { keyOf, type Room } from './room.ts'

const defaultLimit = 100
/** A filter that the store does not have is applied to at most so many of the newest sessions. */
const scanned = 1000

export async function sessionsList(room: Room, params: Params<'sessions.list'>): Promise<Result<'sessions.list'>> {
  const { house, facts } = room
  const { limit = defaultLimit, offset = 0, agentId: agent } = params
  const ts = room.now()
  const keep = await filterOf(room, params, ts)
  const filter = { includeSubagents: params.excludeSubagents !== true, ...(agent === undefined ? {} : { agent }) }
  const found = await house.sessions(keep ? { ...filter, limit: scanned, offset: 0 } : { ...filter, limit, offset })
  let matching = keep ? found.sessions.filter(keep) : found.sessions
  if (params.activeOnly) {
    const rows = await withRuns(room, matching)
    matching = rows.filter(({ live }) => live !== null).map(({ session }) => session)
  }
  const totalCount = keep ? matching.length : found.total
  const rows = await withRuns(room, keep ? matching.slice(offset, offset + limit) : matching)
  const end = offset + rows.length
  const hasMore = end < totalCount
  const model = facts.defaultModel()
  const parents = await keysOf(room, found.sessions, rows)
  return {
    ts,
    path: '(database)',
    count: rows.length,
    totalCount,
    limitApplied: limit,
    offset,
    nextOffset: hasMore ? end : null,
    hasMore,
    defaults: {
      modelProvider: model?.provider ?? null,
      model: model?.model ?? null,
      contextTokens: model?.contextWindow ?? null,
    },
    sessions: rows.map(row => rowOf(room, row, parents.get(row.session.parentSession ?? ''), ts)),
  }
}

type Keep = (session: Session) => boolean

interface Row {
  session: Session
  live: Run | null
}

/** Null when the store can do it all. */
async function filterOf(room: Room, params: Params<'sessions.list'>, now: number): Promise<Keep | null> {
  const tests: Keep[] = []
  const { activeMinutes, activeOnly, label, search, spawnedBy } = params
  if (activeMinutes !== undefined) tests.push(({ updatedAt }) => updatedAt >= now - activeMinutes * 60_000)
  if (activeOnly) tests.push(() => true)
  if (label !== undefined) tests.push(session => session.label === label)
  if (search) {
    const words = search.toLowerCase()
    tests.push(
      ({ key, label: name }) => key.toLowerCase().includes(words) || (name ?? '').toLowerCase().includes(words),
    )
  }
  if (spawnedBy !== undefined) {
    const parent = await room.house.sessionByKey(await keyOf(room, { sessionKey: spawnedBy }))
    tests.push(session => parent !== null && session.parentSession === parent.id)
  }
  return tests.length === 0 ? null : session => tests.every(test => test(session))
}

async function withRuns(room: Room, sessions: readonly Session[]): Promise<Row[]> {
  return await Promise.all(sessions.map(async session => ({ session, live: await room.house.liveRun(session.id) })))
}

/** Keys of the sessions that these were spawned from; most lists have none. */
async function keysOf(room: Room, known: readonly Session[], rows: readonly Row[]): Promise<Map<string, string>> {
  const keys = new Map(known.map(({ id, key }) => [id, key]))
  const ids = new Set(rows.flatMap(({ session }) => session.parentSession ?? []).filter(id => !keys.has(id)))
  const found = await Promise.all([...ids].map(id => room.house.session(id)))
  for (const session of found) if (session) keys.set(session.id, session.key)
  return keys
}

function rowOf(room: Room, { session, live }: Row, spawnedBy: string | undefined, ts: number): SessionRow {
  const { key, agent, label, route, updatedAt, depth } = session
  const model = room.facts.defaultModel()
  const [provider, ...name] = live ? live.model.split('/') : [model?.provider, model?.model ?? '']
  const wireIds = live ? room.runEvents.wireIds(live.id) : []
  return {
    key,
    sessionId: session.id,
    kind: 'direct',
    ...(label === null ? {} : { label }),
    agentId: agent,
    isMain: key === `agent:${agent}:main`,
    chatType: 'direct',
    ...(route === null ? {} : { channel: route.channel }),
    updatedAt,
    lastActivityAt: updatedAt,
    status: !live ? 'done' : live.state === 'queued' ? 'queued' : 'running',
    ...(spawnedBy === undefined ? {} : { spawnedBy }),
    spawnDepth: depth,
    ...(provider ? { modelProvider: provider, model: name.join('/') } : {}),
    ...(model ? { contextTokens: model.contextWindow } : {}),
    hasActiveRun: live !== null,
    activeRunIds: wireIds.length > 0 ? wireIds : live ? [live.id] : [],
    snapshotAt: ts,
  }
}
