/**
 * The fixed parts of a run that nobody asked for by name: one that follows on another, or reads what came in.
 * Owns that rule only: the run before it lends its authority, the configuration everything else.
 */
import type { Fresh } from '../core/run/facts.ts'
import type { Run, Session } from '../core/types.ts'
import type { AgentOptions } from './room.ts'

/** Fixed parts of a root run that nobody asked for by name: the agent's own policy, no more than the run before it held. */
export function fresh(
  options: Pick<AgentOptions, 'policies'>,
  id: string,
  session: Session,
  before: Run | null,
  now: number,
): Fresh {
  const { policies } = options
  const same = before !== null && before.session === session.id
  const seconds = policies.timeoutSeconds(session.agent)
  return {
    id,
    grant: same ? before.grant : policies.rootGrant(session.agent, before?.grant.scopes ?? [], before?.grant),
    model: session.settings?.model ?? (same ? before.model : policies.model(session.agent)),
    deadlineAt: seconds > 0 ? now + seconds * 1000 : null,
  }
}
