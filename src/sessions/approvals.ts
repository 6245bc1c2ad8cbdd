/**
 * Questions to people, as the doors see them: what waits, what was decided, the one answer, what was allowed for good.
 *
 * Owns finding a question by the beginning of its id, and the audit of what was revoked. Whoever calls has checked the scope
 * (`operator.approvals`). The decision itself is agent/approving.ts.
 */
import { giveAnswer } from '../agent/approving.ts'
import type { AgentOptions, Bells } from '../agent/room.ts'
import { type Approval, shortId } from '../core/approval.ts'
import { nameOf } from '../core/principal.ts'
import { DeputyError } from '../protocol/errors.ts'
import {
  decidedApprovals,
  findApprovals,
  pendingApprovals,
  rememberedOfAgent,
  revokeRemembered,
} from '../store/approvals.ts'
import type { Approvals } from './types.ts'

export function openApprovals(options: AgentOptions, bells: Bells): Approvals {
  const { store } = options

  async function find(id: string): Promise<Approval> {
    const wanted = id.trim().toLowerCase()
    const found = wanted === '' ? [] : await findApprovals(store.read, wanted)
    const exact = found.find(one => one.id === wanted)
    const waiting = found.filter(one => one.state === 'pending')
    const [one, other] = waiting.length > 0 ? waiting : found
    if (exact) return exact
    if (!one) throw new DeputyError('UNKNOWN_APPROVAL', `There is no question ${JSON.stringify(id.slice(0, 80))}.`)
    if (other)
      throw new DeputyError('UNKNOWN_APPROVAL', `${JSON.stringify(wanted)} is the beginning of several questions.`, {
        fix: `Write more of it: ${(waiting.length > 0 ? waiting : found).map(each => each.id).join(', ')}`,
      })
    return one
  }

  return {
    async pending(run) {
      const all = await pendingApprovals(store.read, run)
      const first = (one: Approval) => all.find(other => other.subject === one.subject)
      return all.filter(one => one.subject === undefined || first(one) === one)
    },
    decided: (limit, after) => decidedApprovals(store.read, limit, after),
    find,
    async answer({ principal, id, decision, at = null }) {
      const { id: whole } = await find(id)
      return giveAnswer(options, bells, { id: whole, decision, by: nameOf(principal), at })
    },
    remembered: agent => rememberedOfAgent(store.read, agent),
    async revoke({ principal, id }) {
      const now = options.clock.now()
      const by = nameOf(principal)
      const all = await rememberedOfAgent(store.read, null)
      const fits = all.filter(one => one.id === id || (id.length >= 4 && one.id.startsWith(id.toLowerCase())))
      const [one] = fits
      if (!one || fits.length > 1)
        throw new DeputyError(
          'UNKNOWN_APPROVAL',
          `${JSON.stringify(id.slice(0, 80))} names ${fits.length === 0 ? 'nothing' : 'several things'} that is allowed for good.`,
          { fix: 'deputy approvals grants shows them.' },
        )
      const gone = await store.write('approve', async tx => {
        const revoked = await revokeRemembered(tx, one.id, by, now)
        if (revoked)
          await tx
            .insertInto('audit')
            .values({ at: now, who: by, what: 'approval.revoke', details: JSON.stringify({ id: one.id }) })
            .execute()
        return revoked
      })
      if (!gone) throw new DeputyError('UNKNOWN_APPROVAL', `${shortId(one.id)} was taken back already.`)
      return gone
    },
  }
}
