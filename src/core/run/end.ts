/**
 * A run ends, once, and its result reaches exactly one place (R2, R6).
 *
 * Owns: the end of one run with everything that belongs to it: its descendants (R4), its purse (R8), its unread rows
 * (decisions.md 1, 6), its return address (decisions.md 5) and its words outward. Invariant: after an end no live attached
 * descendant, no open reservation, no unread row without a reader; one of inbox row, outbox row, dead letter or none.
 */
import type { ErrorCode } from '../../protocol/errors.ts'
import { isSilent } from '../silence.ts'
import { finalKey, resultKey } from '../ids.ts'
import type { ChildEnd, InboxRow, Message, Outcome, Run, Terms } from '../types.ts'
import { newRun, rouse } from './accept.ts'
import { type Decision, type Effect, type Fresh, type Mailbox, refuse, speaksTo } from './facts.ts'

/** Longer words stay in their message alone. */
const resultLength = 64 * 1024

export interface EndView {
  run: Run
  /** Its own session's mailbox. */
  box: Mailbox
  sessionKey: string
  /** The mailbox at its return address; null when no result was asked for. */
  home: Mailbox | null
  /** Inbox rows that an open model step was showing: the end is their answer. */
  showing: readonly number[]
}

export interface EndEvent {
  now: number
  outcome: Outcome
  code: ErrorCode | null
  error: string | null
  /** Its last words, already a transcript row at `seq` when it succeeded. */
  text: string | null
  seq: number | null
  /** Its last words went out already, when they were said. */
  said?: true
  /** What the checks of its result have found. */
  evidence?: readonly string[]
  /** Ids for the rows that an end may make. */
  ids: { note: string; result: string }
  /** Who takes over what is left unread here, and who reads the result at a home without a live run. */
  successor: Fresh
  homeRun: Fresh
  /** `/stop` and closing take follow-ups back; a single run's end leaves them to a successor. */
  followups: 'keep' | 'drop'
}

export function end(view: EndView, event: EndEvent): Decision {
  const { run, box } = view
  if (run.state === 'done') return refuse('RUN_DONE', `run ${run.id} has ended (${run.outcome})`)
  const effects: Effect[] = []
  let seq = box.session.seq
  if (event.outcome !== 'succeeded') {
    seq += 1
    effects.push({ do: 'message.put', message: note(view, event, seq) })
    if (view.showing.length > 0)
      effects.push({
        do: 'inbox.mark',
        session: box.session.id,
        ids: view.showing,
        state: 'read',
        run: run.id,
        step: null,
        ord: seq,
      })
    effects.push({
      do: 'tree.end',
      root: run.id,
      outcome: 'cancelled',
      // Who takes a device's authority takes it from all that works under it.
      code: event.code === 'RUN_REVOKED' ? event.code : 'RUN_CANCELLED',
      error: `ended with its parent: ${event.error ?? event.outcome}`,
      at: event.now,
    })
  }
  // A call in flight counts in full until a late settlement says otherwise; `spent` holds its reservation already.
  if (event.outcome !== 'succeeded') effects.push({ do: 'usage.unknown', run: run.id })
  effects.push({
    do: 'run.set',
    run: run.id,
    to: {
      state: 'done',
      outcome: event.outcome,
      errorCode: event.code,
      error: event.error,
      wait: null,
      woken: false,
      result: event.text !== null && event.text.length <= resultLength ? event.text : null,
      resultSeq: event.seq,
      endedAt: event.now,
    },
  })
  // A run that has finished has answered all its calls.
  if (event.outcome !== 'succeeded')
    effects.push(
      { do: 'steps.cancel', run: run.id, at: event.now },
      { do: 'approvals.cancel', run: run.id, at: event.now },
    )
  if (run.payer !== null) effects.push({ do: 'run.settle', run: run.id })
  effects.push(...leftovers(view, event))
  effects.push(...sendHome(view, event))
  const followed = effects.some(effect => effect.do === 'run.put' && effect.run.session === run.session)
  if (run.terms?.cleanup === 'delete' && !followed && box.session.closedAt === null)
    effects.push({ do: 'session.close', session: box.session.id, at: event.now })
  const route = speaksTo(run)
  if (route !== null) {
    const text = event.outcome === 'succeeded' ? event.text : unfinished(event)
    if (text && !isSilent(text))
      effects.push({
        do: 'outbox.put',
        session: box.session.id,
        run: run.id,
        key: finalKey(run.id),
        route,
        content: { text },
        grown: true,
        at: event.now,
      })
  }
  return { ok: true, effects }
}

/** What a chat is told of an end before its time. Whoever's budget is used up hands over what it has. */
function unfinished({ outcome, error, text, said }: EndEvent): string {
  const why = error ?? outcome
  if (outcome !== 'budget_exhausted' || said || !text?.trim() || isSilent(text)) return why
  return `${text}\n\n(Not finished: ${why}.)`
}

function note(view: EndView, event: EndEvent, seq: number): Message {
  return {
    session: view.box.session.id,
    seq,
    ord: seq,
    id: event.ids.note,
    role: 'event',
    parts: [{ type: 'text', text: event.error ?? event.outcome }],
    run: view.run.id,
    step: null,
    at: event.now,
    meta: {
      isError: event.outcome !== 'cancelled',
      stop: event.outcome === 'cancelled' ? 'aborted' : 'error',
      ...(event.code ? { from: event.code } : {}),
    },
  }
}

/** Rows that nobody has read: people's go to a successor (or are dropped), the run's own children's and timers are kept. */
function leftovers(view: EndView, event: EndEvent): Effect[] {
  const { box, run } = view
  const seen = new Set(event.outcome === 'succeeded' ? [] : view.showing)
  const left = box.unread.filter(row => !seen.has(row.id))
  const outside = (row: InboxRow) =>
    row.kind === 'message' ||
    row.kind === 'exit' ||
    (row.kind === 'result' && event.outcome === 'succeeded') ||
    // A successor only to shorten its conversation would hand in a second result of a sub-agent's, or fail once more.
    (row.kind === 'compact' && run.returnTo === null && event.outcome === 'succeeded')
  const effects: Effect[] = []
  const mark = (rows: readonly InboxRow[], state: 'kept' | 'dropped') => {
    if (rows.length > 0)
      effects.push({
        do: 'inbox.mark',
        session: box.session.id,
        ids: rows.map(row => row.id),
        state,
        run: run.id,
        step: null,
        ord: null,
      })
  }
  mark(
    left.filter(row => !outside(row)),
    'kept',
  )
  const forSuccessor = left.filter(outside)
  const heir = event.followups === 'keep' && box.session.closedAt === null && forSuccessor.length > 0
  if (!heir) mark(forSuccessor, 'dropped')
  effects.push({ do: 'turn.answer', run: run.id, turn: run.turn })
  if (heir)
    effects.push(
      { do: 'run.put', run: successor(view, event) },
      { do: 'turn.hand', from: run.id, to: event.successor.id },
    )
  return effects
}

/**
 * Takes over the mailbox; of a sub-agent's session also the return address, so that a late steer is still answered there, unless
 * it has a place of its own to answer at.
 */
function successor(view: EndView, event: EndEvent): Run {
  const { run } = view
  return {
    ...newRun(view.box.session, event.successor, { now: event.now, task: run.task, route: run.route, lane: run.lane }),
    detached: run.parent !== null || run.detached,
    returnTo: run.terms?.thread ? null : run.returnTo,
    ...(run.terms ? { terms: lasting(run.terms) } : {}),
  }
}

/** What holds for a session as long as it is there: how its runs work, not what the first of them had to hand in. */
export function lasting(terms: Terms): Terms {
  const { outputSchema: _schema, deliverables: _deliverables, repaired: _repaired, ...rest } = terms
  return rest
}

function sendHome(view: EndView, event: EndEvent): Effect[] {
  const { run, home } = view
  if (run.returnTo === null || home === null) return []
  const child: ChildEnd = {
    run: run.id,
    sessionKey: view.sessionKey,
    agent: run.agent,
    label: run.label,
    task: run.task,
    outcome: event.outcome,
    error: event.error,
    runtimeMs: Math.max(0, event.now - (run.startedAt ?? event.now)),
    spent: run.spent,
    ...(run.terms?.taskName ? { taskName: run.terms.taskName } : {}),
    ...(run.terms?.thread === 'here' ? { shown: true as const } : {}),
    ...(event.evidence?.length ? { evidence: event.evidence } : {}),
  }
  const seq = home.session.seq + 1
  const message: Message = {
    session: home.session.id,
    seq,
    ord: null,
    id: event.ids.result,
    role: 'user',
    parts: event.text ? [{ type: 'text', text: event.text }] : [],
    run: null,
    step: null,
    at: event.now,
    meta: { from: run.id, child },
  }
  const row = (state: InboxRow['state']): Effect => ({
    do: 'inbox.put',
    row: {
      session: home.session.id,
      kind: 'result',
      mode: 'steer',
      state,
      seq,
      key: resultKey(run.id),
      from: run.id,
      at: event.now,
    },
  })
  if (home.session.closedAt !== null) return [{ do: 'message.put', message }, row('dead')]
  // Who cancels work that was handed out needs no turn to be told of it (decisions.md 6).
  if (run.detached && event.outcome === 'cancelled') return [{ do: 'message.put', message }, row('kept')]
  // The parent of an attached child counts one fewer live child from here on.
  const live = home.live
  const after: Mailbox =
    live && live.id === run.parent && !run.detached
      ? { ...home, openChildren: Math.max(0, home.openChildren - 1) }
      : home
  const asked =
    live?.wait?.for === 'ask' && live.wait.runs.includes(run.id)
      ? { ...after, askedOpen: Math.max(0, after.askedOpen - 1) }
      : after
  return [
    { do: 'message.put', message },
    row('unread'),
    ...rouse(asked, { kind: 'result' }, event.now, () =>
      newRun(home.session, event.homeRun, {
        now: event.now,
        task: run.task,
        route: home.session.route,
        lane: home.session.depth > 0 ? 'subagent' : 'main',
      }),
    ),
  ]
}
