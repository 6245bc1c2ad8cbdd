/**
 * What must be true of questions to people after every transaction of the run machine (C8, decisions.md 8 and 32).
 */
import { type Approval, allows } from '../../src/core/approval.ts'
import { isApprovalKey } from '../../src/core/ids.ts'
import { subjectOf } from '../../src/core/run/raise.ts'
import type { Run, ToolIntent } from '../../src/core/types.ts'
import { live, type World } from './world.ts'

function checkRaises(
  world: World,
  before: { runs: ReadonlyMap<string, Run>; approvals: ReadonlyMap<string, Approval> },
  fail: (rule: string, about: unknown) => never,
): void {
  for (const one of world.approvals.values()) {
    const { raise } = one.question
    if (!raise) continue
    const was = before.approvals.get(one.id)
    const run = world.runs.get(one.run)!
    const same = [...world.approvals.values()].filter(
      other => other.subject === one.subject && other.id !== one.id && other.state !== 'cancelled',
    )
    if (run.parent !== null || run.detached || run.returnTo !== null) fail('a sub-agent asks nobody for more', one)
    if (!was && same.some(other => other.state !== 'pending')) fail('asked once an exhaustion', [one, same])
    if (one.state === 'pending' && same.some(other => other.deadlineAt !== one.deadlineAt))
      fail('one silence for all', [one, same])
    if (['allow-once', 'deny'].includes(one.state) && same.some(other => other.state !== one.state))
      fail('one answer settles all', [one, same])
    const later = world.steps.some(
      step => step.run === one.run && step.kind !== 'tool' && (step.startedAt ?? 0) > (one.decidedAt ?? 0),
    )
    if (['deny', 'expired'].includes(one.state) && later) fail('nothing is asked past a budget that was refused', one)
    if (raise.whose.startsWith('run:') || !allows(one.state)) continue
    if (!world.raises.some(other => subjectOf(other) === one.subject && other.amount === raise.amount))
      fail('what was allowed is there', [one, world.raises])
  }
  for (const raise of world.raises) {
    const allowed = [...world.approvals.values()].some(one => one.subject === subjectOf(raise) && allows(one.state))
    if (!allowed) fail('no limit rises by itself', raise)
  }
  for (const run of world.runs.values()) {
    const was = before.runs.get(run.id)
    if (!was) continue
    const allowed = [...world.approvals.values()].find(
      one => one.run === run.id && allows(one.state) && before.approvals.get(one.id)?.state === 'pending',
    )?.question.raise
    const grown = (run.grant.budget.calls ?? 0) - (was.grant.budget.calls ?? 0)
    if (grown !== (allowed?.whose === `run:${run.id}` ? allowed.amount : 0))
      fail('a limit rises by what was allowed, and by nothing else', [was, run, allowed])
  }
}

export function checkApprovals(
  world: World,
  before: { runs: ReadonlyMap<string, Run>; approvals: ReadonlyMap<string, Approval> },
): void {
  const fail = (rule: string, about: unknown): never => {
    throw new Error(`${rule}: ${JSON.stringify(about)}`)
  }
  checkRaises(world, before, fail)
  const places = new Set<string>()
  for (const one of world.approvals.values()) {
    const was = before.approvals.get(one.id)
    const run = world.runs.get(one.run)!
    if (was && was.state !== 'pending' && JSON.stringify(was) !== JSON.stringify(one)) fail('decided once', [was, one])
    if (one.state === 'pending' && !live(run)) fail('nothing is asked for a run that has ended', [one, run])
    const deadline = was?.deadlineAt ?? one.deadlineAt
    if (one.decidedAt !== null && one.decidedAt >= deadline && allows(one.state))
      fail('an answer at the deadline is silence', one)
    if (allows(one.state) && one.decidedBy === null) fail('somebody has allowed it', one)
    const answers = world.inbox.filter(row => row.key === `approval:${one.id}`)
    if (answers.length !== (one.state === 'pending' || one.state === 'cancelled' ? 0 : 1))
      fail('the answer is a row', [one, answers])
    const told = world.outbox.filter(row => row.key.startsWith(`approval:${one.id}/ask/`)).length
    if (told !== one.question.chats.length) fail('every chat is asked once', one)
    if (one.kind === 'budget') continue
    const place = `${one.run}/${one.step}`
    if (places.has(place)) fail('a step asks once', one)
    places.add(place)
    const step = world.steps.find(step => step.run === one.run && step.n === one.step)
    if (one.state === 'pending' && step?.state !== 'asking') fail('the step of a pending question asks', [one, step])
  }
  for (const step of world.steps) {
    const { approval } = step.intent as ToolIntent
    if (step.kind !== 'tool' || !approval) continue
    const row = world.approvals.get(approval.id)!
    if (step.state === 'asking' && approval.decision === undefined && row.state !== 'pending')
      fail('a step asks while its question waits', [step, row])
    if (step.startedAt !== null && !allows(row.state) && row.state !== 'cancelled')
      fail('nothing begins that was not allowed', [step, row])
    if (step.startedAt !== null && approval.decision !== row.state && row.state !== 'cancelled')
      fail('the step knows its answer', [step, row])
    if (step.state === 'done' && row.state === 'pending') fail('no result without an answer', [step, row])
  }
  for (const run of world.runs.values()) {
    const was = before.runs.get(run.id)
    if (was?.wait?.for !== 'ask' || was.wait.outside || run.state !== 'queued') continue
    const woke = world.inbox.some(
      row => row.session === run.session && row.state === 'unread' && isApprovalKey(row.key) && row.kind === 'answer',
    )
    if (!woke) fail('only an answer wakes who asks', [was, run])
  }
  for (const remembered of world.remembered)
    if (world.approvals.get(remembered.approval)?.state !== 'allow-always')
      fail('only "always" is remembered', remembered)
}
