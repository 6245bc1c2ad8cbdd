/**
 * A budget is used up: whether a person is asked for more, once, and what a yes makes true (decisions.md 12, C8).
 *
 * Owns who asks (work that people gave, never a sub-agent: its payer sees its end and decides), the question, that runs which
 * meet the same exhausted budget share one answer, and the raise. A budget is exhausted once at each limit that it has had: the
 * subject of a question names whose it is, since when, the field and that limit.
 *
 * Invariants: 1. of one subject one answer counts: after it nobody is asked about that again, and nothing is pending. 2. only
 * an answer that allows it raises a limit, once, by the amount that stood in the question.
 */
import { type Approval, allows, type AskPolicy, chatsFor, outcomeWords, type Raise, sameChat } from '../approval.ts'
import { amountWords, type Refused } from '../budget.ts'
import type { Route, Run } from '../types.ts'
import { type AnswerEvent, type AnswerView, answer, askForRun } from './approve.ts'
import type { Decision, Effect, Mailbox } from './facts.ts'

/** What would let it go on: as much again as there was, or more where that would not pay for the least call. */
export function raiseOf(run: Run, refused: Refused): Raise | null {
  const { cap, field, limit, short, code, message } = refused
  if (limit < 1) return null
  const amount = limit * Math.ceil(Math.max(short, limit) / limit)
  const of = cap
    ? { whose: cap.whose, since: cap.since, until: cap.until }
    : { whose: ownOf(run), since: 0, until: null }
  return { ...of, field, limit, amount, code, message }
}

/** What a question is about: the same for all who meet the same exhausted budget. */
export function subjectOf({ whose, since, field, limit }: Raise): string {
  return `budget:${whose}/${since}/${field}/${limit}`
}

function ownOf(run: Pick<Run, 'id'>): string {
  return `run:${run.id}`
}

export interface MoreView {
  run: Run
  box: Mailbox
  /** The highest step number so far. */
  last: number
  sessionKey: string
  /** The chat that the work came from. */
  route: Route | null
  policy: Pick<AskPolicy, 'budget' | 'chats' | 'timeoutMs'>
  raise: Raise
  /** Questions of the same subject, but for those that ended with their run; the oldest first. */
  asked: readonly Approval[]
}

export interface MoreEvent {
  now: number
  epoch: number
  /** Of a new question. */
  id: string
}

/**
 * Asks, and the run waits; `after` is `over` when nobody is to be asked, or somebody has said no, and the run ends with `error`.
 */
export function askForMore(
  view: MoreView,
  event: MoreEvent,
): (Decision & { after?: 'waiting' | 'again' }) | { ok: true; after: 'over'; error: string } {
  const { run, asked, policy, raise, route, sessionKey } = view
  const decided = asked.find(one => one.state !== 'pending')
  if (decided) return { ok: true, after: 'over', error: refusedWords(raise, decided) }
  const [first] = asked
  const chats = chatsFor(policy, 'budget', { route, sessionKey })
  const asks = isPeoples(run) && (policy.budget ?? (first !== undefined || chats.length > 0))
  if (!asks) return { ok: true, after: 'over', error: raise.message }
  const known = asked.flatMap(one => one.question.chats)
  const approval: Approval = {
    id: event.id,
    run: run.id,
    step: view.last,
    session: run.session,
    kind: 'budget',
    subject: subjectOf(raise),
    question: {
      agent: run.agent,
      sessionKey,
      tool: null,
      title: 'asks to go on past its budget',
      text: wordsOf(run, raise),
      decisions: ['allow-once', 'deny'],
      remembers: null,
      rule: 'approvals.budget',
      chats: chats.filter(chat => !known.some(other => sameChat(other, chat))),
      raise,
      ...(first ? { joins: first.id } : {}),
    },
    state: 'pending',
    route,
    deadlineAt: first?.deadlineAt ?? event.now + policy.timeoutMs,
    decidedBy: null,
    decidedAt: null,
    createdAt: event.now,
  }
  return askForRun({ run, box: view.box }, { epoch: event.epoch, approval })
}

/** Work that answers to people. What was handed out ends, and who handed it out sees how. */
function isPeoples(run: Run): boolean {
  return run.parent === null && run.payer === null && run.returnTo === null && !run.detached
}

function wordsOf(run: Run, { field, amount, until, message, whose }: Raise): string {
  const where =
    until !== null
      ? `until ${new Date(until).toISOString().slice(0, 16).replace('T', ' ')} UTC`
      : whose === ownOf(run)
        ? 'for this run'
        : 'for this conversation'
  return [
    `${message.charAt(0).toUpperCase()}${message.slice(1)}.`,
    `Allowed, it goes on with ${amountWords(field, amount)} more, ${where}. Denied, it ends with what it has done so far.`,
    `It works on: ${run.task.slice(0, 200)}`,
  ].join('\n')
}

/** How a run ends whose owner did not allow more. Who that was is not told to everybody whose work a shared limit ends. */
export function refusedWords(
  { message, whose }: Raise,
  { state, decidedBy }: Pick<Approval, 'state' | 'decidedBy'>,
): string {
  const by = decidedBy === null || !whose.startsWith('run:') ? '' : ` by ${decidedBy}`
  return `${message}; more was ${outcomeWords(state)}${by}`
}

/** Of the questions whose answers a run has not used yet the one that ends it: more was asked for, and not allowed. */
export function refusedRaise(answered: readonly Approval[]): { code: Raise['code']; error: string } | null {
  for (const one of answered) {
    const { raise } = one.question
    if (raise && !allows(one.state)) return { code: raise.code, error: refusedWords(raise, one) }
  }
  return null
}

/** What an answer that allows it makes true: the run's own limit, or one over many runs for as long as that one counts. */
export function raised({ question, id }: Approval, run: Run, by: string, now: number): Effect[] {
  const { raise } = question
  if (!raise) return []
  const { field, amount } = raise
  if (raise.whose !== ownOf(run)) return [{ do: 'cap.raise', raise, approval: id, by, at: now }]
  const { budget } = run.grant
  const limit = field === 'seconds' ? null : budget[field]
  if (limit === null) return []
  return [
    { do: 'run.set', run: run.id, to: { grant: { ...run.grant, budget: { ...budget, [field]: limit + amount } } } },
  ]
}

/**
 * One answer to a question, and to all that wait for the same: `others` are those of its subject, each of another run in
 * another session. What it allows is made true once.
 */
export function answerAll(
  view: AnswerView,
  others: readonly AnswerView[],
  event: Omit<AnswerEvent, 'also'>,
): Decision & { late?: true } {
  const also = raised(view.approval, view.run, event.by, event.now)
  const first = answer(view, { ...event, also })
  if (!first.ok || first.late) return first
  const effects = [...first.effects]
  for (const other of others) {
    const same = answer(other, event)
    if (!same.ok) return same
    effects.push(...same.effects)
  }
  return { ok: true, effects }
}

/** Whom an answer reaches that names a question which ended with its run: who waits for the same. */
export function standIn(named: Approval, pending: readonly Approval[]): Approval {
  return named.state === 'cancelled' ? (pending[0] ?? named) : named
}
