/**
 * What a run may that somebody starts by writing to a conversation.
 *
 * Owns the rule: in a conversation of people it is what they hold and what its agent may; in a sub-agent's it is never more
 * than the sub-agent was given at its spawn, nor may it work anywhere else or in another way, whoever writes, and whether the
 * conversation has started afresh since or not.
 */
import type { AgentOptions } from '../agent/room.ts'
import { grantWithin } from '../core/grant.ts'
import { holderOf, type Principal } from '../core/principal.ts'
import { lasting } from '../core/run/end.ts'
import type { Grant, Run, Session, Terms } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { runOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'

export interface Authority {
  grant: Grant
  terms?: Terms
  /** Null where the agent's configuration says which model is used. */
  model: string | null
}

export async function authorityIn(
  tx: Tx,
  { policies }: Pick<AgentOptions, 'policies'>,
  session: Session,
  asker: Principal,
): Promise<Authority> {
  const { scopes } = asker
  if (session.depth === 0) return { grant: policies.rootGrant(session.agent, scopes, holderOf(asker)), model: null }
  const [birth] = await birthOf(tx, session)
  if (!birth) throw new DeputyError('INTERNAL', `the sub-agent ${session.key} was never given anything`)
  const { caller } = policies.spawn(session.agent)
  return {
    grant: grantWithin(caller, birth.grant, { scopes, ...holderOf(asker) }),
    ...(birth.terms ? { terms: lasting(birth.terms) } : {}),
    model: birth.model,
  }
}

/** The run that a sub-agent's conversation was made for. Its key stays when it starts afresh. */
async function birthOf(tx: Tx, { tree, key }: Session): Promise<Run[]> {
  const rows = await tx
    .selectFrom('sessions')
    .innerJoin('runs', 'runs.session', 'sessions.id')
    .selectAll('runs')
    .where('sessions.tree', '=', tree)
    .where('sessions.key', '=', key)
    .orderBy('runs.created_at')
    .orderBy('runs.id')
    .limit(1)
    .execute()
  return rows.map(runOf)
}
