/**
 * A question to a person, from being asked to being answered: what it does to the run that waits for it (C8).
 *
 * Owns asking (in the transaction that makes the waiting row), waiting, the one answer, silence, and the words that go out.
 * Anybody who has a question makes an `Approval` of `kind` and lets `askEffects` be carried out: a tool call does so through
 * `ReplyCall.asks`; the supervisor of a run through `askForRun`, which also makes the run wait. However it is answered, an
 * inbox row says so and wakes the run; of a supervisor's question the caller of `answer` gives what being allowed makes
 * true (`also`, a raised limit), and reads the row when the run goes on.
 *
 * Invariants: 1. one pending row for each step that asks, and none of a run that has ended. 2. decided once, on the row; an
 * answer at or after the deadline is silence. 3. only its own answer ends the wait: no message does, no timer. 4. a call is
 * made only after an answer that allows it, and never twice for one answer.
 */
import {
  type Approval,
  type ApprovalDecision,
  allows,
  decidedWords,
  outcomeWords,
  questionContent,
  type Remembered,
  sameChat,
  shortId,
} from '../approval.ts'
import { approvalKey, isApprovalKey } from '../ids.ts'
import type { InboxRow, Route, Run, Step, ToolIntent, Wait } from '../types.ts'
import { rouse } from './accept.ts'
import { type Decision, type Effect, fenced, type Mailbox, refuse, satisfied } from './facts.ts'

/** The row, and the question in every chat that is asked. */
export function askEffects(approval: Approval): Effect[] {
  const content = questionContent(approval)
  return [
    { do: 'approval.put', approval },
    ...approval.question.chats.map(
      (route, i): Effect => ({
        do: 'outbox.put',
        session: approval.session,
        run: approval.run,
        key: `${approvalKey(approval.id)}/ask/${i}`,
        route,
        content,
        at: approval.createdAt,
      }),
    ),
  ]
}

/** Whether a step waits for an answer that nobody has given. */
export function undecided(step: Step): boolean {
  if (step.kind !== 'tool') return false
  const { approval } = step.intent as ToolIntent
  return approval !== undefined && approval.decision === undefined
}

function waitFor(n: number): Wait {
  return { for: 'ask', n, runs: [], mode: 'any', until: null, outside: false }
}

/** All that the run could do is done: it waits for the first of its questions, unless one is answered by now. */
export function holdOn(
  view: { run: Run; box: Mailbox; steps: readonly Step[] },
  event: { epoch: number },
): Decision & { after?: 'waiting' | 'again' } {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const asking = view.steps.find(undecided)
  if (!asking) return { ok: true, effects: [], after: 'again' }
  return halt(view.run, view.box.unread, waitFor(asking.n), [])
}

function halt(
  run: Run,
  unread: readonly InboxRow[],
  wait: Wait,
  effects: Effect[],
): Decision & { after: 'waiting' | 'again' } {
  if (satisfied(wait, unread, 0, 0)) return { ok: true, effects, after: 'again' }
  return {
    ok: true,
    effects: [...effects, { do: 'run.set', run: run.id, to: { state: 'waiting', wait } }],
    after: 'waiting',
  }
}

/** The supervisor asks for a run at work that has no call in flight, and the run waits. */
export function askForRun(
  view: { run: Run; box: Mailbox },
  event: { epoch: number; approval: Approval },
): Decision & { after?: 'waiting' | 'again' } {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const { run, box } = view
  // No call of it waits now: answers that lie there are of calls that were made, or of a question before this one.
  const spent = box.unread.filter(row => row.kind === 'answer' && isApprovalKey(row.key)).map(row => row.id)
  const unread = box.unread.filter(row => !spent.includes(row.id))
  const effects = askEffects(event.approval)
  if (spent.length > 0)
    effects.unshift({
      do: 'inbox.mark',
      session: run.session,
      ids: spent,
      state: 'read',
      run: run.id,
      step: null,
      ord: null,
    })
  return halt(run, unread, waitFor(event.approval.step), effects)
}

export interface AnswerView {
  approval: Approval
  run: Run
  box: Mailbox
  /** The step that asks; null of a supervisor's question. */
  step: Step | null
  /** Why today's policy and the run's own grant do not let it be allowed; null when they do (decisions.md 34). */
  barred: string | null
}

export interface AnswerEvent {
  now: number
  decision: ApprovalDecision
  by: string
  /** The chat in which it was answered: that one needs no line about it. */
  at: Route | null
  rememberedId: string
  /** What being allowed makes true besides. */
  also?: readonly Effect[]
}

/** One answer. `late`: the deadline had passed, and what is carried out is silence (decisions.md 32). */
export function answer(view: AnswerView, event: AnswerEvent): Decision & { late?: true } {
  const { approval } = view
  const { question } = approval
  if (approval.state !== 'pending') return told(approval)
  if (approval.deadlineAt <= event.now) {
    const silence = lapse(view, event)
    return silence.ok ? { ...silence, late: true } : silence
  }
  const allowing = allows(event.decision)
  if (!question.decisions.includes(event.decision))
    return refuse(
      'APPROVAL_DECISION',
      `${event.decision} can't be said to this; say ${question.decisions.join(' or ')}`,
    )
  if (allowing && view.barred !== null) return refuse('APPROVAL_BARRED', view.barred)
  const effects = settle(view, event.decision, event.by, event.now, event.at)
  if (allowing) effects.push(...(event.also ?? []))
  if (event.decision === 'allow-always' && approval.kind !== 'budget' && question.remembers !== null) {
    const remembered: Remembered = {
      id: event.rememberedId,
      agent: question.agent,
      kind: approval.kind,
      pattern: question.remembers,
      by: event.by,
      at: event.now,
      approval: approval.id,
    }
    effects.push({ do: 'remembered.put', remembered })
  }
  return { ok: true, effects }
}

/** Nobody answered in time: denied. */
export function lapse(view: Omit<AnswerView, 'barred'>, event: { now: number }): Decision {
  const { approval } = view
  if (approval.state !== 'pending') return told(approval)
  if (approval.deadlineAt > event.now) return refuse('RUN_STALE', `approval ${approval.id} is not due`)
  return { ok: true, effects: settle(view, 'expired', null, event.now, null) }
}

function told(approval: Approval): Decision {
  const who = approval.decidedBy === null ? '' : ` by ${approval.decidedBy}`
  const when = approval.decidedAt === null ? '' : ` at ${new Date(approval.decidedAt).toISOString()}`
  return refuse(
    'APPROVAL_ANSWERED',
    `approval ${shortId(approval.id)} was decided already: ${outcomeWords(approval.state)}${who}${when}`,
  )
}

function settle(
  view: Omit<AnswerView, 'barred'>,
  state: Exclude<Approval['state'], 'pending' | 'cancelled'>,
  by: string | null,
  now: number,
  at: Route | null,
): Effect[] {
  const { approval, run, box, step } = view
  const decided: Approval = { ...approval, state, decidedBy: by, decidedAt: now }
  const key = approvalKey(approval.id)
  const effects: Effect[] = [{ do: 'approval.set', approval: decided }]
  if (step !== null) {
    const intent = step.intent as ToolIntent
    const verdict = { id: approval.id, decision: state, ...(by === null ? {} : { by }) }
    effects.push({
      do: 'step.set',
      run: run.id,
      n: step.n,
      to: { state: 'open', intent: { ...intent, approval: verdict } },
    })
  }
  effects.push(
    {
      do: 'inbox.put',
      row: {
        session: box.session.id,
        kind: 'answer',
        mode: 'steer',
        state: 'unread',
        seq: null,
        key,
        from: null,
        at: now,
      },
    },
    ...rouse(box, { kind: 'answer', key }, now, () => run),
  )
  // A question about a limit that many share stands in chats of people who need not know who has answered it.
  const shared = approval.question.raise !== undefined && !approval.question.raise.whose.startsWith('run:')
  const shown = shared ? { ...decided, decidedBy: null } : decided
  approval.question.chats.forEach((route, i) => {
    if (at !== null && sameChat(route, at)) return
    effects.push({
      do: 'outbox.put',
      session: approval.session,
      run: approval.run,
      key: `${key}/done/${i}`,
      route,
      content: { text: decidedWords(shown) },
      at: now,
    })
  })
  return effects
}
