/**
 * A conversation starts afresh by itself, when its owner has said so: the first message after a night, or after a silence,
 * opens a new one (`session.reset`, openclaw-facts.md §E4).
 *
 * Owns when. The house's reset does the closing, so everything is kept. Never interrupts: while the conversation or a
 * sub-agent of it is at work it goes on, and what is written again under its key starts nothing.
 */
import type { AgentOptions } from '../agent/room.ts'
import type { ResetRule } from '../config/sharing.ts'
import { parseKey } from '../core/route.ts'
import { DeputyError } from '../protocol/errors.ts'
import { atWorkBelow } from './commands/children.ts'
import type { Meant } from './keys.ts'
import type { AcceptInput, House } from './types.ts'

export async function startAfresh(
  options: AgentOptions,
  house: Pick<House, 'sessionByKey' | 'liveRun' | 'reset'>,
  input: AcceptInput,
  at: Meant,
): Promise<void> {
  const rule = options.policies.resetRule(input.bound ? 'thread' : kindOf(at))
  if (rule.mode === 'none' || input.principal.kind === 'run') return
  const session = await house.sessionByKey(at.key)
  if (!session || session.seq === 0 || !isStale(session.updatedAt, rule, options.clock.now())) return
  if ((await house.liveRun(session.id)) || (await atWorkBelow(options.store.read, session)).length > 0) return
  const known = await options.store.read
    .selectFrom('rpc_keys')
    .select('at')
    .where('key', '=', input.idempotencyKey)
    .where('session', '=', at.key)
    .executeTakeFirst()
  if (known) return
  try {
    await house.reset({ principal: input.principal, sessionKey: at.key, reason: 'new', expected: session.id })
  } catch (error) {
    // Another message was quicker: what is open now is new.
    if (!(error instanceof DeputyError) || error.code !== 'SESSION_CLOSED') throw error
  }
}

/** Whether a conversation that was last touched at `last` is over. The day begins at `atHour` of this machine's clock. */
export function isStale(last: number, { mode, atHour, idleMinutes }: ResetRule, now: number): boolean {
  if (idleMinutes !== undefined && now - last >= idleMinutes * 60_000) return true
  if (mode !== 'daily') return false
  const begins = new Date(now)
  begins.setHours(atHour, 0, 0, 0)
  if (begins.getTime() > now) begins.setDate(begins.getDate() - 1)
  return last < begins.getTime()
}

function kindOf({ key, agent }: Meant): 'direct' | 'group' | 'thread' {
  const parsed = parseKey(key, agent)
  if (parsed?.kind !== 'group' && parsed?.kind !== 'channel') return 'direct'
  return parsed.thread !== null || parsed.topic !== null ? 'thread' : 'group'
}
