/**
 * `sessions.list` (openclaw-facts.md §C4). Owns the row; live state comes from one question about all live runs.
 */
import type { Run, Session } from '../../core/types.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { SessionRow } from '../../protocol/results.ts'
import { fullKey } from './keys.ts'
import type { Room } from './room.ts'

const defaultLimit = 100
/** A filter that the store does not have is applied to at most so many of the newest sessions. */
const scanned = 1000

export async function sessionsList(room: Room, params: Params<'sessions.list'>): Promise<Result<'sessions.list'>> {
  const { house, facts } = room
  const { limit = defaultLimit, offset = 0, agentId: agent } = params
  const ts = room.now()
  const keep = filterOf(params, ts)
  const filter = { includeSubagents: params.excludeSubagents !== true, ...(agent === undefined ? {} : { agent }) }
  const spawner =
    params.spawnedBy === undefined ? null : await house.sessionByKey(fullKey(params.spawnedBy, facts.defaultAgent()))
  const [found, live] = await Promise.all([
    house.sessions(
      keep || params.spawnedBy !== undefined ? { ...filter, limit: scanned, offset: 0 } : { ...filter, limit, offset },
    ),
    liveRuns(room),
  ])
  let sessions = found.sessions
  let totalCount = found.total
  if (keep || params.spawnedBy !== undefined) {
    const matching = sessions.filter(
      session =>
        (!keep || keep(session, live.has(session.id))) &&
        (params.spawnedBy === undefined || (spawner !== null && session.parentSession === spawner.id)),
    )
    totalCount = matching.length
    sessions = matching.slice(offset, offset + limit)
  }
  const end = offset + sessions.length
  const hasMore = end < totalCount
  const model = facts.defaultModel()
  const parents = await keysOf(room, sessions)
  return {
    ts,
    path: '(database)',
    count: sessions.length,
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
    sessions: sessions.map(session =>
      rowOf(room, session, live.get(session.id), parents.get(session.parentSession ?? ''), ts),
    ),
  }
}

type Keep = (session: Session, live: boolean) => boolean

function filterOf(params: Params<'sessions.list'>, now: number): Keep | null {
  const tests: Keep[] = []
  const { activeMinutes, activeOnly, label, search } = params
  if (activeMinutes !== undefined) tests.push(({ updatedAt }) => updatedAt >= now - activeMinutes * 60_000)
  if (activeOnly) tests.push((_, live) => live)
  if (label !== undefined) tests.push(session => session.label === label)
  if (search) {
    const words = search.toLowerCase()
    tests.push(
      ({ key, label: name }) => key.toLowerCase().includes(words) || (name ?? '').toLowerCase().includes(words),
    )
  }
  return tests.length === 0 ? null : (session, live) => tests.every(test => test(session, live))
}

async function liveRuns(room: Room): Promise<Map<string, Run>> {
  const views = await room.house.runs({ state: ['queued', 'running', 'waiting'], limit: 1000 })
  return new Map(views.map(({ run }) => [run.session, run]))
}

/** Keys of the sessions that these were spawned from; most lists have none. */
async function keysOf(room: Room, sessions: readonly Session[]): Promise<Map<string, string>> {
  const ids = new Set(sessions.flatMap(({ parentSession }) => parentSession ?? []))
  const known = new Map(sessions.map(({ id, key }) => [id, key]))
  const found = await Promise.all([...ids].filter(id => !known.has(id)).map(id => room.house.session(id)))
  for (const session of found) if (session) known.set(session.id, session.key)
  return known
}

function rowOf(
  room: Room,
  session: Session,
  live: Run | undefined,
  spawnedBy: string | undefined,
  ts: number,
): SessionRow {
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
    hasActiveRun: live !== undefined,
    activeRunIds: wireIds.length > 0 ? wireIds : live ? [live.id] : [],
    snapshotAt: ts,
  }
}
