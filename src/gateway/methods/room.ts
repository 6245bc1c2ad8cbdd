/**
 * What the methods share: the house, the facts, and few questions that several ask. Owns no state.
 */
import type { Session } from '../../core/types.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Limits } from '../../protocol/limits.ts'
import { meant } from '../../sessions/keys.ts'
import type { House } from '../../sessions/types.ts'
import type { Fanout } from '../fanout.ts'
import type { HealthDesk } from '../health.ts'
import type { Presence } from '../presence.ts'
import type { Rooms } from '../rooms.ts'
import type { RunEvents } from '../run-events.ts'
import type { Devices, Facts, Settings } from '../types.ts'

export interface Room {
  house: House
  facts: Facts
  settings: Settings
  devices: Devices
  desk: HealthDesk
  fanout: Fanout
  runEvents: RunEvents
  presence: Pick<Presence, 'list'>
  rooms: Rooms
  limits: Limits
  version: string
  /** Where TCP is listened on; null without a listener. */
  address(): { host: string; port: number } | null
  now(): number
  newId(): string
}

/** The full key of the session that a call means: given, or named by its id, or the agent's main one. */
export async function keyOf(
  room: Room,
  params: { sessionKey?: string | undefined; sessionId?: string | undefined; agentId?: string | undefined },
): Promise<string> {
  const { sessionKey, sessionId, agentId: agent } = params
  if (sessionKey === undefined && sessionId !== undefined) {
    const session = await room.house.session(sessionId)
    if (!session) throw new DeputyError('UNKNOWN_SESSION', `There is no session ${sessionId}.`)
    return session.key
  }
  return meant({ agent, sessionKey }, room.facts.defaultAgent()).key
}

/** The open session of a key; UNKNOWN_SESSION when there is none. */
export async function sessionOf(room: Room, sessionKey: string): Promise<Session> {
  const key = await keyOf(room, { sessionKey })
  const session = await room.house.sessionByKey(key)
  if (!session)
    throw new DeputyError('UNKNOWN_SESSION', `There is no session ${key}.`, { details: { sessionKey: key } })
  return session
}
