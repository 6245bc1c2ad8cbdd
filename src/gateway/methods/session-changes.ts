/**
 * Changing sessions: create, send, steer, abort, patch, reset, delete, compact, subscribe (openclaw-facts.md §C4).
 * Owns the answers and what may not be done over the wire; the house owns what happens.
 */
import type { Session } from '../../core/types.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { SettingsPatch } from '../../sessions/types.ts'
import type { Call } from '../dispatch.ts'
import { chatAbort } from './chat.ts'
import { partsOf } from './parts.ts'
import { keyOf, type Room, sessionOf } from './room.ts'
import { entryOf, modelOf, namesOf } from './session-rows.ts'
import { sessionsList } from './sessions.ts'

/** The open session of a key; refused when the caller meant the one before it. */
async function meantSession(
  room: Room,
  params: { key: string; agentId?: string | undefined; expectedSessionId?: string | undefined },
): Promise<Session> {
  const session = await sessionOf(room, await keyOf(room, { sessionKey: params.key, agentId: params.agentId }))
  if (params.expectedSessionId !== undefined && params.expectedSessionId !== session.id)
    throw new DeputyError('SESSION_CLOSED', `The session ${session.key} was reset in the meantime.`)
  return session
}

export async function sessionsCreate(
  room: Room,
  params: Params<'sessions.create'>,
  call: Call,
): Promise<Result<'sessions.create'>> {
  const { principal } = call
  const { label, category, model, thinkingLevel: thinking, message = params.task } = params
  const agent = (params.agentId ?? room.facts.defaultAgent()).toLowerCase()
  const sessionKey =
    params.key === undefined
      ? `agent:${agent}:dashboard:${room.newId()}`
      : await keyOf(room, { sessionKey: params.key, agentId: params.agentId })
  const settings = {
    ...(category === undefined ? {} : { category }),
    ...(model === undefined ? {} : { model }),
    ...(thinking === undefined ? {} : { thinking }),
  }
  const { session } = await room.house.open({
    principal,
    sessionKey,
    ...(label === undefined ? {} : { label }),
    settings,
  })
  const about = {
    ok: true as const,
    key: session.key,
    sessionId: session.id,
    entry: entryOf(session),
    resolved: namesOf(modelOf(room, session, null)),
  }
  if (message === undefined || message.trim() === '') return { ...about, runStarted: false }
  const { runId, messageSeq } = await send(room, call, session.key, { ...params, message })
  return { ...about, runStarted: true, runId, ...(messageSeq === undefined ? {} : { messageSeq }) }
}

type Sent = Pick<Params<'sessions.send'>, 'message' | 'attachments' | 'thinking' | 'timeoutMs' | 'idempotencyKey'>

async function send(
  room: Room,
  call: Call,
  sessionKey: string,
  { message, attachments, thinking, timeoutMs, idempotencyKey = room.newId() }: Sent,
  mode?: 'interrupt',
): Promise<Result<'sessions.send'>> {
  const accepted = await room.house.accept({
    principal: call.principal,
    method: 'sessions.send',
    sessionKey,
    parts: partsOf(message, attachments),
    idempotencyKey,
    ...(mode === undefined ? {} : { mode }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(timeoutMs === undefined ? {} : { timeoutSeconds: Math.ceil(timeoutMs / 1000) }),
  })
  const { wireId: runId, status, run, seq } = accepted
  if (status === 'in_flight') return { runId, status }
  if (status === 'answered') return { runId, status: 'ok' }
  if (status !== 'command') call.connection?.runs.add(run)
  return { runId, status: 'started', messageSeq: seq }
}

export async function sessionsSend(
  room: Room,
  params: Params<'sessions.send'>,
  call: Call,
  mode?: 'interrupt',
): Promise<Result<'sessions.send'>> {
  const { key } = await meantSession(room, params)
  return await send(room, call, key, params, mode)
}

export async function sessionsAbort(
  room: Room,
  params: Params<'sessions.abort'>,
  call: Call,
): Promise<Result<'sessions.abort'>> {
  const { key: sessionKey, runId, agentId } = params
  if (sessionKey === undefined && runId === undefined)
    throw new DeputyError('INVALID_PARAMS', 'invalid sessions.abort params: key or runId is needed')
  const { aborted, runIds } = await chatAbort(
    room,
    {
      sessionKey: sessionKey ?? 'main',
      ...(runId === undefined ? {} : { runId }),
      ...(agentId === undefined ? {} : { agentId }),
    },
    call,
  )
  return { ok: true, abortedRunId: runIds[0] ?? null, status: aborted ? 'aborted' : 'no-active-run' }
}

export async function sessionsPatch(
  room: Room,
  params: Params<'sessions.patch'>,
  call: Call,
): Promise<Result<'sessions.patch'>> {
  const { label, model, thinkingLevel, archived, pinned, unread, icon, color, category } = params
  const { verboseLevel, reasoningLevel, responseUsage, expectedSessionId } = params
  const sessionKey = await keyOf(room, { sessionKey: params.key, agentId: params.agentId })
  const asked: Record<keyof SettingsPatch, unknown> = {
    model,
    thinking: thinkingLevel,
    archived,
    pinned,
    unread,
    icon,
    color,
    category,
    verbose: verboseLevel,
    reasoning: reasoningLevel,
    responseUsage,
  }
  const settings = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as SettingsPatch
  // The 4.12 TUI sets things of a conversation before the first word of it.
  await room.house.open({ principal: call.principal, sessionKey })
  const session = await room.house.patch({
    principal: call.principal,
    sessionKey,
    settings,
    ...(label === undefined ? {} : { label }),
    ...(expectedSessionId === undefined ? {} : { expected: expectedSessionId }),
  })
  const { key } = session
  return {
    ok: true,
    path: '(database)',
    key,
    entry: entryOf(session),
    resolved: namesOf(modelOf(room, session, null)),
  }
}

export async function sessionsReset(
  room: Room,
  params: Params<'sessions.reset'>,
  call: Call,
): Promise<Result<'sessions.reset'>> {
  const sessionKey = await keyOf(room, { sessionKey: params.key, agentId: params.agentId })
  const { principal } = call
  // One that nobody has spoken in is as good as reset.
  if (!(await room.house.sessionByKey(sessionKey))) {
    const { session } = await room.house.open({ principal, sessionKey })
    return { ok: true, key: sessionKey, entry: entryOf(session), resolved: namesOf(modelOf(room, session, null)) }
  }
  await meantSession(room, params)
  const { session } = await room.house.reset({ principal, sessionKey, reason: params.reason ?? 'reset' })
  if (!session) throw new DeputyError('INTERNAL', 'a reset left no session')
  return { ok: true, key: sessionKey, entry: entryOf(session), resolved: namesOf(modelOf(room, session, null)) }
}

export async function sessionsDelete(
  room: Room,
  params: Params<'sessions.delete'>,
  call: Call,
): Promise<Result<'sessions.delete'>> {
  const key = await keyOf(room, { sessionKey: params.key, agentId: params.agentId })
  if (/^agent:[^:]+:main$/.test(key))
    throw new DeputyError('INVALID_REQUEST', `Cannot delete the main session (${key}).`, {
      fix: 'Reset it: sessions.reset.',
    })
  if (!(await room.house.sessionByKey(key))) return { ok: true, key, deleted: false, archived: [] }
  const session = await meantSession(room, params)
  if (params.archivedOnly && !session.settings?.archived)
    throw new DeputyError('INVALID_REQUEST', `The session ${key} is not archived.`, {
      fix: 'Archive it first: sessions.patch with archived.',
    })
  await room.house.reset({ principal: call.principal, sessionKey: key, reason: 'delete' })
  return { ok: true, key, deleted: true, archived: [] }
}

/** As long as a summary may take. */
const compactMs = 240_000

/** Shortens what the model reads, or takes that back. `kept`: the messages that are shown as they were. */
export async function sessionsCompact(
  room: Room,
  params: Params<'sessions.compact'>,
  call: Call,
): Promise<Result<'sessions.compact'>> {
  const session = await meantSession(room, params)
  const { key } = session
  const { principal } = call
  const no = (reason: string) => ({ ok: true as const, key, compacted: false, reason })
  if (params.undo) {
    const undone = await room.house.undoCompaction({ principal, sessionKey: key })
    return undone ? { ok: true, key, compacted: false, undone: true } : no('there is no summary to take back')
  }
  const { instructions: note } = params
  const idempotencyKey = room.newId()
  const wished = await room.house.compact({ principal, sessionKey: key, ...(note && { note }), idempotencyKey })
  call.connection?.runs.add(wished.run)
  if (!wished.begun) return no('the agent is at work: its conversation is shortened before its next model call')
  const end = await room.house.wait(wished.run, { until: 'done', timeoutMs: compactMs })
  if (!end || end.status === 'pending') return no(`the summary is still being written by the run ${wished.run}`)
  const view = await room.house.view(session.id)
  if (view?.run !== wished.run) return no(end.error ?? end.text ?? 'nothing was changed')
  const { messages, tokensBefore, tokensAfter } = view
  const kept = Math.max(0, (await room.house.history(session.id, { limit: 1 })).total - messages)
  return { ok: true, key, compacted: true, kept, runId: wished.run, tokensBefore, tokensAfter }
}

export async function sessionsSubscribe(
  room: Room,
  params: Params<'sessions.subscribe'>,
  call: Call,
): Promise<Result<'sessions.subscribe'>> {
  if (call.connection) call.connection.follows.sessions = true
  if (Object.keys(params).length === 0) return { subscribed: true }
  return { subscribed: true, list: await sessionsList(room, params) }
}

export function sessionsUnsubscribe(call: Call): Result<'sessions.unsubscribe'> {
  if (call.connection) call.connection.follows.sessions = false
  return { subscribed: false }
}

export async function messagesSubscribe(
  room: Room,
  params: Params<'sessions.messages.subscribe'>,
  call: Call,
): Promise<Result<'sessions.messages.subscribe'>> {
  const key = await keyOf(room, { sessionKey: params.key, agentId: params.agentId })
  const keys = call.connection?.follows.messages
  if (keys && keys.size >= mostFollowed && !keys.has(key))
    throw new DeputyError('TOO_MANY_REQUESTS', `At most ${mostFollowed} sessions can be followed by one connection.`)
  keys?.add(key)
  return { subscribed: true, key }
}

export async function messagesUnsubscribe(
  room: Room,
  params: Params<'sessions.messages.unsubscribe'>,
  call: Call,
): Promise<Result<'sessions.messages.unsubscribe'>> {
  const key = await keyOf(room, { sessionKey: params.key, agentId: params.agentId })
  call.connection?.follows.messages.delete(key)
  return { subscribed: false, key }
}

const mostFollowed = 256
