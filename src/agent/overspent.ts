/**
 * A budget leaves too little for the next model call: the owner is asked whether to go on, or the run ends.
 *
 * Owns gathering what core/run/raise.ts decides on, in the transaction that would have written the call down. Ends nothing and
 * raises nothing itself: the end is the desk's, the raise the answer's (approving.ts).
 */
import type { Approval } from '../core/approval.ts'
import type { Refused } from '../core/budget.ts'
import { isApprovalKey } from '../core/ids.ts'
import type { Mailbox } from '../core/run/facts.ts'
import { askForMore, raiseOf, refusedRaise, subjectOf } from '../core/run/raise.ts'
import type { InboxRow, Run } from '../core/types.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { approvalsAbout, approvalsOfKeys } from '../store/approvals.ts'
import type { Tx } from '../store/open.ts'
import { routeOf } from './asking.ts'
import type { Found, WorkerState } from './desk.ts'
import { resting } from './holding.ts'
import type { AgentOptions } from './room.ts'

/** The run waits for its owner (`found`), or ends with `error`. */
export async function overspent(
  tx: Tx,
  options: AgentOptions,
  mine: WorkerState,
  about: { run: Run; box: Mailbox; last: number; now: number; refused: Refused },
): Promise<{ found: Found } | { error: string }> {
  const { run, box, last, now, refused } = about
  const raise = raiseOf(run, refused)
  if (raise === null) return { error: refused.message }
  const policy = options.policies.asking(run.agent)
  const decision = askForMore(
    {
      run,
      box,
      last,
      sessionKey: mine.session.key,
      route: await routeOf(tx, run, mine.session),
      policy,
      raise,
      asked: await approvalsAbout(tx, subjectOf(raise)),
    },
    { now, epoch: mine.epoch, id: mine.script.ids.question },
  )
  if (!decision.ok) return resting(tx, mine, run, [], now)
  if (decision.after === 'over') return { error: decision.error }
  return resting(tx, mine, run, decision.effects, now)
}

/** What a run ends with that has just read that it may not go on past its budget; null when it reads no such thing. */
export async function stoppedByOwner(
  tx: Tx,
  unread: readonly InboxRow[],
): Promise<{ code: ErrorCode; error: string } | null> {
  const keys = unread.filter(row => row.kind === 'answer' && isApprovalKey(row.key)).map(row => row.key)
  const answered: Approval[] = keys.length === 0 ? [] : await approvalsOfKeys(tx, keys)
  return refusedRaise(answered)
}
