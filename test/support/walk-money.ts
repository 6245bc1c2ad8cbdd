/**
 * A worker of a walk before it asks its model: what is set aside, and what happens when there is nothing left for it.
 * Some calls are said to be too dear at random, so that owners are asked often, several about one limit.
 */
import type { Approval } from '../../src/core/approval.ts'
import type { Refused } from '../../src/core/budget.ts'
import { type Decision, nothing } from '../../src/core/run/facts.ts'
import { raiseOf, subjectOf } from '../../src/core/run/raise.ts'
import type { Run, Spend, Step } from '../../src/core/types.ts'
import { capOf, capped, carry, endIds, id, type Walk } from './walk-kit.ts'
import { endView, mailbox } from './world.ts'

/** What may be reserved; or the run has ended, or waits for its owner. `answers`: what it has not read of its questions yet. */
export function afford(
  walk: Walk,
  run: Run,
  {
    answers,
    open,
    turnStart,
    last,
    dice,
    calm,
  }: { answers: readonly Approval[]; open: Step | null; turnStart: boolean; last: number; dice: number; calm: boolean },
): { reserved: Spend } | { done: boolean } {
  const { world, machine: by } = walk
  const box = mailbox(world, world.sessions.get(run.session)!)
  const stop = (code: 'RUN_BUDGET' | 'RUN_CAP', error: string) =>
    carry(
      walk,
      by.end(
        { ...endView(world, run), showing: by.shown({ box, turnStart, open }) },
        {
          now: world.now,
          outcome: 'budget_exhausted',
          code,
          error,
          text: null,
          seq: null,
          followups: 'keep',
          ...endIds(walk),
        },
      ),
    )
  const refused = by.refusedRaise(answers)
  if (refused) return { done: stop(refused.code, refused.error) }
  const reservation = by.reserve(
    { limit: run.grant.budget, spent: run.spent, lent: run.lent },
    { promptTokens: 5, maxTokens: 5, price: { input: 1, output: 1, cacheRead: 1, cacheWrite: 1 } },
    run.tree === capped.tree ? [capOf(walk)] : [],
  )
  // The next call of some is too dear for what is left, however much that is.
  const dear = !calm && dice % (run.parent === null && !run.detached ? 7 : 91) === 1
  if (!reservation.ok || dear) {
    const why: Refused = reservation.ok ? tooDear(walk, run, dice) : reservation
    const raise = raiseOf(run, why)
    const { route, key } = world.sessions.get(run.session)!
    const chats = { exec: nobody, other: { ...nobody, origin: true } }
    const decision =
      raise &&
      by.askForMore(
        {
          run,
          box,
          last,
          sessionKey: key,
          route,
          policy: { budget: dice % 3 === 0 ? null : true, timeoutMs: 60, chats },
          raise,
          asked: [...world.approvals.values()].filter(
            one => one.subject === subjectOf(raise) && one.state !== 'cancelled',
          ),
        },
        { now: world.now, epoch: run.epoch, id: id(walk) },
      )
    if (decision === null) return { done: stop(why.code, why.message) }
    if (decision.ok && decision.after === 'over') return { done: stop(why.code, decision.error) }
    return { done: carry(walk, decision as Decision) }
  }
  return { reserved: reservation.charge.reserved }
}

const nobody = { origin: false, targets: [], sessions: null }

/** For its own budget, or for a limit that everybody shares. */
function tooDear({ world }: Walk, { grant }: Run, dice: number): Refused {
  const why = { ok: false as const, field: 'calls' as const, short: 1, message: 'used up' }
  if (dice % 3 === 0) return { ...why, code: 'RUN_BUDGET', cap: null, limit: grant.budget.calls ?? 0 }
  const besides = world.raises.filter(raise => raise.whose === 'all').reduce((sum, { amount }) => sum + amount, 0)
  const [limit, purse] = [50 + besides, { nano: null, tokens: null, calls: 50 + besides }]
  const cap = { of: 'all', key: 'agents.dailyBudget', whose: 'all', since: 0, limit: purse, used: nothing, until: null }
  return { ...why, code: 'RUN_CAP', cap, limit }
}
