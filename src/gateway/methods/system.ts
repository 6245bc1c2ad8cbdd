/**
 * The gateway itself: log, identity, secrets, and what it does not have yet and says so (openclaw-facts.md §C4).
 */
import { logLine } from '../../protocol/dialect.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { Call } from '../dispatch.ts'
import type { Room } from './room.ts'

const defaultLines = 500
const defaultBytes = 250_000

export async function logsTail(
  room: Room,
  params: Params<'logs.tail'>,
  { protocol }: Call,
): Promise<Result<'logs.tail'>> {
  const { cursor, limit = defaultLines, maxBytes = defaultBytes } = params
  const tail = await room.rooms.log.tail({ cursor, limit, maxBytes })
  return { ...tail, lines: tail.lines.map(line => logLine(protocol, line)) }
}

export async function secretsReload(room: Room): Promise<Result<'secrets.reload'>> {
  const warnings = await room.rooms.reloadSecrets()
  return { ok: true, warningCount: warnings.length, warnings }
}
