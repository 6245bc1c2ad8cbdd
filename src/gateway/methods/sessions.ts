/**
 * Reading sessions: list, describe, resolve, preview, get (openclaw-facts.md §C4). Owns the filters that the store does not
 * have, and how a session is named.
 */
import type { Session } from '../../core/types.ts'
import { isSilentReply } from '../../core/silence.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import { keyOf, type Room } from './room.ts'
import { defaultsOf, rowOf, rowsOf } from './session-rows.ts'
import { chatMessages, newest, textOf } from './transcript.ts'

const defaultLimit = 100
/** A filter that the store does not have is applied to at most so many of the newest sessions. */
const scanned = 1000

export async function sessionsList(room: Room, params: Params<'sessions.list'>): Promise<Result<'sessions.list'>> {
  const { house } = room
  const { limit = defaultLimit, offset = 0, agentId: agent, archived = false } = params
  const ts = room.now()
  const keep = await filterOf(room, params, ts)
  const filter = {
    includeSubagents: params.excludeSubagents !== true,
    archived,
    ...(agent === undefined ? {} : { agent }),
  }
  const found = await house.sessions(keep ? { ...filter, limit: scanned, offset: 0 } : { ...filter, limit, offset })
  let matching = keep ? found.sessions.filter(keep) : found.sessions
  if (params.activeOnly) {
    const runs = await house.newestRuns(matching.map(session => session.id))
    matching = matching.filter(session => (runs.get(session.id)?.state ?? 'done') !== 'done')
  }
  const totalCount = keep ? matching.length : found.total
  const page = keep ? matching.slice(offset, offset + limit) : matching
  const end = offset + page.length
  const hasMore = end < totalCount
  return {
    ts,
    path: '(database)',
    count: page.length,
    totalCount,
    limitApplied: limit,
    offset,
    nextOffset: hasMore ? end : null,
    hasMore,
    owners: [],
    defaults: defaultsOf(room),
    sessions: await rowsOf(room, page, {
      titles: params.includeDerivedTitles === true,
      last: params.includeLastMessage === true,
    }),
  }
}

type Keep = (session: Session) => boolean

/** Null when the store can do it all. */
async function filterOf(room: Room, params: Params<'sessions.list'>, now: number): Promise<Keep | null> {
  const tests: Keep[] = []
  const { activeMinutes, activeOnly, label, search, spawnedBy, pinned, group } = params
  if (activeMinutes !== undefined) tests.push(({ updatedAt }) => updatedAt >= now - activeMinutes * 60_000)
  if (activeOnly) tests.push(() => true)
  if (label !== undefined) tests.push(session => session.label === label)
  if (pinned !== undefined) tests.push(({ settings }) => (settings?.pinned ?? false) === pinned)
  if (group !== undefined) tests.push(({ settings }) => (settings?.category ?? '') === group)
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

export async function sessionsDescribe(
  room: Room,
  params: Params<'sessions.describe'>,
): Promise<Result<'sessions.describe'>> {
  const key = await keyOf(room, { sessionKey: params.key, agentId: params.agentId })
  const session = await room.house.sessionByKey(key)
  if (!session) return { session: null, key, exists: false }
  const row = await rowOf(room, session, {
    titles: params.includeDerivedTitles === true,
    last: params.includeLastMessage === true,
  })
  const { status, activeRunIds, lastActivityAt } = row
  return { session: row, key, exists: true, status, activeRunId: activeRunIds[0] ?? null, lastActivityAt }
}

export async function sessionsResolve(
  room: Room,
  params: Params<'sessions.resolve'>,
): Promise<Result<'sessions.resolve'>> {
  const named = [params.key, params.sessionId, params.label].filter(value => value !== undefined)
  if (named.length !== 1)
    throw new DeputyError(
      'INVALID_PARAMS',
      'invalid sessions.resolve params: exactly one of key, sessionId and label is needed',
    )
  const session = await foundSession(room, params)
  if (session) return { ok: true, key: session.key, agentId: session.agent }
  if (params.allowMissing) return { ok: false }
  throw new DeputyError('UNKNOWN_SESSION', `No session found: ${named[0]}`)
}

async function foundSession(room: Room, params: Params<'sessions.resolve'>): Promise<Session | null> {
  const { house } = room
  if (params.key !== undefined) {
    return await house.sessionByKey(await keyOf(room, { sessionKey: params.key, agentId: params.agentId }))
  }
  if (params.sessionId !== undefined) {
    const session = await house.session(params.sessionId)
    return session?.closedAt === null ? session : null
  }
  const { sessions } = await house.sessions({ limit: scanned, offset: 0, includeSubagents: true, archived: 'all' })
  const { agentId, label } = params
  return sessions.find(one => one.label === label && (agentId === undefined || one.agent === agentId)) ?? null
}

export async function sessionsPreview(
  room: Room,
  params: Params<'sessions.preview'>,
): Promise<Result<'sessions.preview'>> {
  const { limit = 12, maxChars = 240 } = params
  const previews = params.keys.map(async key => {
    const session = await room.house.sessionByKey(await keyOf(room, { sessionKey: key }))
    if (!session) return { key, status: 'missing' as const, items: [] }
    const { messages } = await room.house.history(session.id, { limit })
    const items = messages.flatMap(message => {
      const text = textOf(message.parts).slice(0, maxChars)
      return text === '' || message.role === 'event' || isSilentReply(message) ? [] : [{ role: message.role, text }]
    })
    return { key, status: items.length > 0 ? ('ok' as const) : ('empty' as const), items }
  })
  return { ts: room.now(), previews: await Promise.all(previews) }
}

export async function sessionsGet(room: Room, params: Params<'sessions.get'>): Promise<Result<'sessions.get'>> {
  const session = await room.house.sessionByKey(await keyOf(room, { sessionKey: params.key, agentId: params.agentId }))
  if (!session) return { messages: [] }
  const { messages } = await room.house.history(session.id, { limit: params.limit ?? 200 })
  const { historyChars } = room.limits
  return { messages: newest(await chatMessages(room.house, messages, historyChars), historyChars).kept }
}
