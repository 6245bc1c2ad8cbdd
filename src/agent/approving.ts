/**
 * Answers to the questions that runs wait for: the transaction of one answer, and of silence.
 *
 * Owns reading what core/run/approve.ts decides on, and today's policy at the moment of the answer (decisions.md 34). Whoever
 * calls has checked who may answer. One answer settles all questions about the same used-up budget. Two answers are two transactions on one row: the second is told of the first.
 */
import { type Approval, type ApprovalDecision, outcomeWords, shortId } from '../core/approval.ts'
import { type AnswerView, lapse } from '../core/run/approve.ts'
import { answerAll, standIn } from '../core/run/raise.ts'
import type { Route, Run } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { approvalsAbout, loadApproval } from '../store/approvals.ts'
import { loadPostbox, loadRun, loadSession, loadStep } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { announce, carryOut } from './commit.ts'
import type { AgentOptions, Bells, Policies } from './room.ts'

export interface GivenAnswer {
  id: string
  decision: ApprovalDecision
  /** Name of the principal. */
  by: string
  /** The chat in which it was given. */
  at: Route | null
}

/** Throws UNKNOWN_APPROVAL, APPROVAL_ANSWERED, APPROVAL_EXPIRED, APPROVAL_DECISION, APPROVAL_BARRED. */
export async function giveAnswer(options: AgentOptions, bells: Bells, given: GivenAnswer): Promise<Approval> {
  const now = options.clock.now()
  const rememberedId = options.uuid()
  const done = await options.store.write('approve', async tx => {
    const views = await viewsOf(tx, options.policies, given.id)
    const [view, ...others] = views
    if (!view) return null
    const decision = answerAll(view, others, {
      now,
      decision: given.decision,
      by: given.by,
      at: given.at,
      rememberedId,
    })
    if (!decision.ok) return { decision }
    const after = await carryOut(tx, decision.effects, {
      sessions: views.map(({ box }) => box.session),
      runs: views.map(({ run }) => run),
      at: now,
    })
    return { decision, after, view }
  })
  if (!done) throw new DeputyError('UNKNOWN_APPROVAL', `There is no question ${JSON.stringify(given.id.slice(0, 80))}.`)
  if (!done.decision.ok) throw new DeputyError(done.decision.code, `${done.decision.message}.`)
  if (!done.after) throw new DeputyError('INTERNAL', 'an answer was decided and not carried out')
  announce(done.after, bells, options.tell)
  const { approval } = done.view
  if (done.decision.late)
    throw new DeputyError('APPROVAL_EXPIRED', `Approval ${shortId(approval.id)}: ${outcomeWords('expired')}.`)
  return { ...approval, state: given.decision, decidedBy: given.by, decidedAt: now }
}

/** Denies what nobody has answered by `now`. */
export async function expireApproval(options: AgentOptions, bells: Bells, id: string, now: number): Promise<void> {
  const after = await options.store.write('answer', async tx => {
    const view = await viewOf(tx, options.policies, id)
    if (!view) return null
    const decision = lapse(view, { now })
    return decision.ok
      ? carryOut(tx, decision.effects, { sessions: [view.box.session], runs: [view.run], at: now })
      : null
  })
  if (after) announce(after, bells, options.tell)
}

/** The question that is answered, and those of other runs that wait for the same answer. */
async function viewsOf(tx: Tx, policies: Policies, id: string): Promise<AnswerView[]> {
  const named = await loadApproval(tx, id)
  if (!named) return []
  const about = named.subject === undefined ? [] : await approvalsAbout(tx, named.subject)
  const pending = about.filter(one => one.state === 'pending')
  const { id: meant } = standIn(named, pending)
  const ids = [meant, ...pending.map(one => one.id).filter(other => other !== meant)]
  const views: AnswerView[] = []
  for (const each of ids) {
    const view = await viewOf(tx, policies, each)
    if (view) views.push(view)
  }
  return views
}

async function viewOf(tx: Tx, policies: Policies, id: string): Promise<AnswerView | null> {
  const approval = await loadApproval(tx, id)
  const run = approval && (await loadRun(tx, approval.run))
  const session = run && (await loadSession(tx, run.session))
  if (!approval || !run || !session) return null
  const step = approval.kind === 'budget' ? null : await loadStep(tx, run.id, approval.step)
  return { approval, run, box: await loadPostbox(tx, session), step, barred: barredBy(policies, run, approval) }
}

/** The run's own grant ∩ what its agent may today. */
function barredBy(policies: Policies, run: Run, { kind, question }: Approval): string | null {
  const { tool } = question
  if (tool === null) return null
  const today = policies.spawn(run.agent).caller.tools
  if (!run.grant.tools.includes(tool) || !today.includes(tool)) return `agent ${run.agent} may not use ${tool} any more`
  return kind === 'exec' && policies.asking(run.agent).exec.security === 'deny'
    ? `agent ${run.agent} may not run commands any more (tools.exec.security is "deny")`
    : null
}
