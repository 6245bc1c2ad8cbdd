/**
 * The fixed parts of a run that nobody asked for by name: one that follows on another, or reads what came in.
 * Owns that rule only: the run before it lends its authority, the configuration everything else. Invariant: in a sub-agent's
 * conversation nothing is lent that the run before did not hold.
 */
import { grantFor } from '../core/grant.ts'
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
    grant: same ? before.grant : lent(policies, session, before),
    model: session.settings?.model ?? (same ? before.model : policies.model(session.agent)),
    deadlineAt: seconds > 0 ? now + seconds * 1000 : null,
  }
}

function lent(policies: AgentOptions['policies'], { agent, depth }: Session, before: Run | null): Fresh['grant'] {
  if (depth > 0 && before) return grantFor(policies.spawn(agent).caller, before.grant)
  return policies.rootGrant(agent, before?.grant.scopes ?? [], before?.grant)
}
