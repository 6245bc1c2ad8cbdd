/**
 * The limits over many runs that a model call counts towards, as they stand in this transaction.
 * Owns which limit counts which rows of the ledger; core/budget.ts decides, and without a limit nothing is read.
 */
import { type CapSetting, dayAt, isSet } from '../config/budgets.ts'
import type { Cap } from '../core/budget.ts'
import type { Run } from '../core/types.ts'
import type { Tx } from '../store/open.ts'
import { nameOf, secondsBy, usedBy, type Whose, withRaises } from '../store/used.ts'
import type { Policies } from './room.ts'

export async function capsOn(tx: Tx, policies: Pick<Policies, 'caps'>, run: Run, now: number): Promise<Cap[]> {
  const { agent, tree, grant } = run
  const caps = policies.caps(agent)
  const day = dayAt(now, caps.timezone)
  const held: Cap[] = []
  const hold = async (setting: CapSetting, of: string, whose: Whose, until: number | null) => {
    if (!isSet(setting)) return
    const { key } = setting
    const since = until === null ? 0 : day.from
    const { limit, raised } = await withRaises(tx, whose, since, setting.limit)
    const used = await usedBy(tx, whose, since)
    const time =
      setting.seconds === null
        ? {}
        : { seconds: { limit: setting.seconds + raised.seconds, used: await secondsBy(tx, whose, since, now) } }
    held.push({ of, key, whose: nameOf(whose), since, limit, used, until, ...time })
  }
  await hold(caps.gateway, 'all agents today', {}, day.until)
  await hold(caps.agent, `agent ${agent} today`, { agent }, day.until)
  if (grant.sender !== undefined) await hold(caps.sender, `${grant.sender} today`, { sender: grant.sender }, day.until)
  await hold(caps.session, 'this conversation', { tree }, null)
  return held
}
