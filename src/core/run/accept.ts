/**
 * A message comes in: it becomes a row, and somebody who reads it (decisions.md 3).
 *
 * Owns: accepting into a mailbox, posting a row to one, starting and waking runs. Invariant after every decision here:
 * no unread row in a session without a live run, and no waiting run whose wait is satisfied.
 */
import type { InboxMode, InboxRow, Lane, Message, MessageMeta, Part, Route, Run, Session } from '../types.ts'
import { type Decision, type Effect, type Fresh, type Mailbox, nothing, positions, refuse, satisfied } from './facts.ts'

export interface AcceptEvent {
  now: number
  messageId: string
  parts: readonly Part[]
  meta: MessageMeta
  /** Unique in the session: the same key is the same message. */
  key: string
  mode: InboxMode
  /** Words that follow each other soon are one turn, as long as nobody has begun to read them. */
  joins?: boolean
  route: Route | null
  fresh: Fresh
  task: string
  /** Where a run that it starts queues; default: with those that people start. */
  lane?: Lane
}

export function accept(box: Mailbox, event: AcceptEvent): Decision {
  if (box.session.closedAt !== null) return refuse('SESSION_CLOSED', `session ${box.session.key} was closed`)
  const seq = box.session.seq + 1
  const message: Message = {
    session: box.session.id,
    seq,
    ord: null,
    id: event.messageId,
    role: 'user',
    parts: event.parts,
    run: null,
    step: null,
    at: event.now,
    meta: event.meta,
  }
  const effects: Effect[] = [
    { do: 'message.put', message },
    {
      do: 'inbox.put',
      row: {
        session: box.session.id,
        kind: 'message',
        mode: unbegun(box.live, event) ? 'steer' : event.mode,
        state: 'unread',
        seq,
        key: event.key,
        from: null,
        at: event.now,
      },
    },
    ...rouse(box, { kind: 'message' }, event.now, () =>
      newRun(box.session, event.fresh, {
        now: event.now,
        task: event.task,
        route: event.route,
        lane: event.lane ?? 'main',
      }),
    ),
  ]
  return { ok: true, effects }
}

/** Whether nobody is at work yet, so that there is nothing to wait for. */
function unbegun(live: Run | null, { joins }: AcceptEvent): boolean {
  return live === null || (joins === true && live.state === 'queued' && live.epoch === 0)
}

/** Who reads a new unread row of this mailbox: the live run, woken if that satisfies its wait, or a new run. */
export function rouse(
  box: Mailbox,
  row: Pick<InboxRow, 'kind'> & { key?: string },
  now: number,
  start: () => Run,
): Effect[] {
  if (box.live === null) return [{ do: 'run.put', run: start() }]
  if (box.live.state !== 'waiting' || box.live.wait === null) return []
  // What was unread before does not end the wait, else it would be over (R9): the new row alone decides.
  if (!satisfied(box.live.wait, [row], box.openChildren, box.askedOpen)) return []
  return [wake(box.live, now)]
}

/** A new stretch begins unless the wait lay inside one (a cooldown, a question inside a step). */
export function wake(run: Run, now: number): Effect {
  const within = run.wait?.for === 'timer' || run.wait?.for === 'ask'
  return {
    do: 'run.set',
    run: run.id,
    to: { state: 'queued', woken: true, wait: null, queuedAt: now, turn: within ? run.turn : run.turn + 1 },
  }
}

export function newRun(
  session: Session,
  fresh: Fresh,
  about: { now: number; task: string; route: Route | null; lane: Lane },
): Run {
  return {
    id: fresh.id,
    session: session.id,
    tree: session.tree,
    agent: session.agent,
    parent: null,
    depth: session.depth,
    lane: about.lane,
    state: 'queued',
    outcome: null,
    errorCode: null,
    error: null,
    epoch: 0,
    attempts: 0,
    turn: 0,
    paused: false,
    detached: false,
    wait: null,
    woken: false,
    grant: fresh.grant,
    payer: null,
    spent: nothing,
    lent: nothing,
    deadlineAt: fresh.deadlineAt,
    returnTo: null,
    route: about.route,
    task: about.task,
    // A sub-agent's runs go by its name.
    label: session.depth > 0 ? session.label : null,
    model: fresh.model,
    receipt: null,
    ...(fresh.terms ? { terms: fresh.terms } : {}),
    result: null,
    resultSeq: null,
    createdAt: about.now,
    queuedAt: about.now,
    startedAt: null,
    endedAt: null,
  }
}

export interface ChildPlan {
  /** Session row of the child, new. */
  session: Session
  run: Run
  messageId: string
  /** What its first message says besides the task. */
  besides?: string
  /** Session whose conversation, as far as it was shown, it begins with; the child's `seq` is that session's. */
  copyOf?: string
  /** What gives it a place of its own in a chat: its opener, or that the chat is its from now on, and words that say so. */
  place?: readonly Extract<Effect, { do: 'outbox.put' | 'binding.put' }>[]
}

/** A sub-agent comes to be: its session, its task as the first message, its queued run, its limit out of the payer's purse. */
export function birth(plan: ChildPlan, now: number, from: string): Effect[] {
  const seq = positions(plan.session)()
  const message: Message = {
    session: plan.session.id,
    seq,
    ord: null,
    id: plan.messageId,
    role: 'user',
    parts: [plan.run.task, ...(plan.besides ? [plan.besides] : [])].map(text => ({ type: 'text', text })),
    run: null,
    step: null,
    at: now,
    meta: { from },
  }
  const limit = plan.run.grant.budget
  const effects: Effect[] = [
    { do: 'session.put', session: plan.session },
    ...(plan.copyOf
      ? [
          {
            do: 'messages.copy' as const,
            from: plan.copyOf,
            to: plan.session.id,
            upto: plan.session.seq,
            place: Number.MAX_SAFE_INTEGER,
          },
        ]
      : []),
    { do: 'message.put', message },
    {
      do: 'inbox.put',
      row: {
        session: plan.session.id,
        kind: 'message',
        mode: 'steer',
        state: 'unread',
        seq,
        key: `task:${plan.run.id}`,
        from: null,
        at: now,
      },
    },
    { do: 'run.put', run: plan.run },
    ...(plan.place ?? []),
  ]
  const amount = { nano: limit.nano ?? 0, tokens: limit.tokens ?? 0, calls: limit.calls ?? 0 }
  if (plan.run.payer !== null) effects.push({ do: 'run.money', run: plan.run.payer, spent: nothing, lent: amount })
  // A detached child's limit leaves its whole ancestry for good (decisions.md 12): it counts as spent by who spawned it.
  else if (plan.run.parent !== null)
    effects.push({ do: 'run.money', run: plan.run.parent, spent: amount, lent: nothing })
  return effects
}
