/**
 * The limits over many runs that a model call counts towards, as they stand in this transaction.
 * Owns which limit counts which rows of the ledger; core/budget.ts decides, and without a limit nothing is read.
 */
import { type CapSetting, dayAt } from '../config/budgets.ts'
import type { Cap } from '../core/budget.ts'
import type { Run } from '../core/types.ts'
import type { Tx } from '../store/open.ts'
import { nameOf, usedBy, type Whose, withRaises } from '../store/used.ts'
import type { Policies } from './room.ts'

export async function capsOn(tx: Tx, policies: Pick<Policies, 'caps'>, run: Run, now: number): Promise<Cap[]> {
  const { agent, tree, grant } = run
  const caps = policies.caps(agent)
  const day = dayAt(now, caps.timezone)
  const held: Cap[] = []
  const hold = async ({ key, limit }: CapSetting, of: string, whose: Whose, until: number | null) => {
    if (limit.nano === null && limit.tokens === null && limit.calls === null) return
    const since = until === null ? 0 : day.from
    const raised = await withRaises(tx, whose, since, limit)
    const used = await usedBy(tx, whose, since)
    held.push({ of, key, whose: nameOf(whose), since, limit: raised.limit, used, until })
  }
  await hold(caps.gateway, 'all agents today', {}, day.until)
  await hold(caps.agent, `agent ${agent} today`, { agent }, day.until)
  if (grant.sender !== undefined) await hold(caps.sender, `${grant.sender} today`, { sender: grant.sender }, day.until)
  await hold(caps.session, 'this conversation', { tree }, null)
  return held
}
