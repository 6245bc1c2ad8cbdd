/**
 * `chat.*` (openclaw-facts.md §C4). Owns their answers; the house owns what happens.
 */
import type { Params, Result } from '../../protocol/methods.ts'
import type { CancelReport } from '../../sessions/types.ts'
import type { Call } from '../dispatch.ts'
import { partsOf } from './parts.ts'
import { keyOf, type Room, sessionOf } from './room.ts'
import { defaultsOf, rowOf } from './session-rows.ts'
import { chatMessages, newest } from './transcript.ts'

const defaultLimit = 200

export async function chatSend(room: Room, params: Params<'chat.send'>, call: Call): Promise<Result<'chat.send'>> {
  const { agentId, queueMode, thinking, timeoutMs } = params
  const { wireId, status, run } = await room.house.accept({
    principal: call.principal,
    method: 'chat.send',
    sessionKey: await keyOf(room, { sessionKey: params.sessionKey, agentId }),
    parts: partsOf(params.message, params.attachments),
    idempotencyKey: params.idempotencyKey ?? room.newId(),
    ...(agentId === undefined ? {} : { agent: agentId }),
    ...(queueMode === undefined ? {} : { mode: queueMode }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(timeoutMs === undefined ? {} : { timeoutSeconds: Math.ceil(timeoutMs / 1000) }),
  })
  if (status === 'in_flight') return { runId: wireId, status: 'in_flight' }
  if (status === 'answered') return { runId: wireId, status: 'ok' }
  if (status !== 'command') call.connection?.runs.add(run)
  return { runId: wireId, status: 'started' }
}

/** A key without a session is an empty history: the 4.12 TUI reads one before it writes (openclaw-clients.md §4). */
export async function chatHistory(room: Room, params: Params<'chat.history'>): Promise<Result<'chat.history'>> {
  const sessionKey = await keyOf(room, { sessionKey: params.sessionKey, agentId: params.agentId })
  const defaults = defaultsOf(room)
  // Whatever was accepted is in the transcript at once, so nothing is pending beside it.
  const nothing = { pendingInputs: { items: [], total: 0 }, defaults }
  const session = await room.house.sessionByKey(sessionKey)
  if (!session) {
    const thinkingLevel = defaults.thinkingDefault ?? 'off'
    return { sessionKey, messages: [], hasMore: false, totalMessages: 0, ...nothing, sessionInfo: null, thinkingLevel }
  }
  const { limit = defaultLimit, offset = 0 } = params
  const cursor = params.cursor === undefined ? Number.NaN : Number(params.cursor)
  const page = await room.house.history(
    session.id,
    Number.isSafeInteger(cursor) ? { limit: limit + offset, before: cursor } : { limit: limit + offset },
  )
  const end = Math.max(0, page.messages.length - offset)
  const wanted = page.messages.slice(Math.max(0, end - limit), end)
  const maxTotal = Math.min(params.maxBytes ?? room.limits.historyChars, room.limits.historyChars)
  const shown = await chatMessages(room.house, wanted, params.maxChars ?? room.limits.historyChars)
  const { kept, dropped } = newest(shown, maxTotal)
  const hasMore = page.hasMore || dropped > 0
  // A page of nothing but silent replies shows none, and still has older ones behind it.
  const oldest = dropped > 0 ? kept[0]?.__openclaw.seq : wanted[0]?.seq
  const sessionInfo = await rowOf(room, session)
  const { verboseLevel } = sessionInfo
  return {
    sessionKey,
    sessionId: session.id,
    messages: kept,
    hasMore,
    totalMessages: page.total,
    ...(hasMore && oldest !== undefined ? { nextCursor: String(oldest) } : {}),
    ...nothing,
    sessionInfo,
    thinkingLevel: sessionInfo.thinkingLevel ?? defaults.thinkingDefault ?? 'off',
    ...(verboseLevel === undefined ? {} : { verboseLevel }),
  }
}

/** One message whole, for what a history had to cut. */
export async function chatMessageGet(
  room: Room,
  params: Params<'chat.message.get'>,
): Promise<Result<'chat.message.get'>> {
  const { sessionKey, agentId, messageId, maxChars = room.limits.historyChars } = params
  const session = await room.house.sessionByKey(await keyOf(room, { sessionKey, agentId }))
  const message = session && (await room.house.message(session.id, messageId))
  if (!message) return { ok: false, unavailableReason: 'not_found' }
  const [shown] = await chatMessages(room.house, [message], Math.min(maxChars, room.limits.historyChars))
  return shown ? { ok: true, message: shown } : { ok: false, unavailableReason: 'not_visible' }
}

export async function chatInject(
  room: Room,
  params: Params<'chat.inject'>,
  call: Call,
): Promise<Result<'chat.inject'>> {
  const { key: sessionKey, agent: agentId } = await sessionOf(room, await keyOf(room, params))
  const { message: text, label = 'operator' } = params
  const { id, at } = await room.house.inject({ principal: call.principal, sessionKey, text, label })
  // Those who watch the chat see it like an answer; it has a wire id that nobody waits for.
  const message = { role: 'assistant', content: [{ type: 'text', text }], timestamp: at }
  const final = { runId: `inject-${id}`, sessionKey, agentId, seq: 1, state: 'final', stopReason: 'stop', message }
  room.fanout.send('chat', () => final)
  return { ok: true, messageId: id }
}

/** With a run id stops that run, else whatever the session does. Nothing to stop is not an error. */
export async function chatAbort(room: Room, params: Params<'chat.abort'>, call: Call): Promise<Result<'chat.abort'>> {
  const { principal } = call
  const none = { ok: true as const, aborted: false, runIds: [] }
  const { runId } = params
  if (runId !== undefined) {
    const turn = await room.house.wait(runId, { until: 'done', timeoutMs: 0, principal })
    if (turn?.status !== 'pending') return none
    const report = await room.house.cancel({ principal, target: { run: turn.run }, reason: 'chat.abort' })
    return { ok: true, aborted: report.runs.length > 0, runIds: report.runs.length > 0 ? [runId] : [] }
  }
  const session = await room.house.sessionByKey(await keyOf(room, params))
  if (!session) return none
  const live = await room.house.liveRun(session.id)
  const wireIds = live ? room.runEvents.wireIds(live.id) : []
  const report: CancelReport = await room.house.cancel({
    principal,
    target: { session: session.id },
    reason: 'chat.abort',
  })
  if (report.runs.length === 0) return none
  return { ok: true, aborted: true, runIds: wireIds.length > 0 ? wireIds : report.runs.map(({ run }) => run) }
}
