/**
 * Older messages of a conversation become a summary: a step of a run, reserved and paid like a call of its model
 * (decisions.md 31).
 *
 * Owns: the intent of that step, its result with the new view, a prompt that a provider refused as too long, and the wish of
 * a person for it. Never decides what is summarised. Invariants: 1. messages are never changed or removed by it; 2. each view
 * stands for more than the one before, so that it comes to an end; 3. it is asked again from its row after a crash, under
 * another attempt of the ledger.
 */
import type { CompactIntent, ModelIntent, Spend, Step, TokenUsage, View } from '../types.ts'
import { newRun, rouse } from './accept.ts'
import { type Decision, type Effect, fenced, type Fresh, type Mailbox, negative, nothing, refuse } from './facts.ts'
import { type IntentView, reservedFor } from './claim.ts'

/** `open`: the compaction that a crash or a pause left open, to be asked again. */
export type CompactView = Pick<IntentView, 'run' | 'box' | 'open' | 'last'>

export interface CompactEvent {
  now: number
  epoch: number
  /** The model that writes the summary. */
  model: string
  what: Pick<CompactIntent, 'view' | 'after' | 'why' | 'note'>
  reserve: Spend
}

export function compact(view: CompactView, event: CompactEvent): Decision {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const { run, open } = view
  const attempt = open ? (open.intent as CompactIntent).attempt + 1 : 1
  const n = open ? open.n : view.last + 1
  const inbox = view.box.unread.filter(row => row.kind === 'compact').map(row => row.id)
  const written: CompactIntent = { kind: 'compact', ...event.what, inbox, attempt, reserved: event.reserve }
  const effects: Effect[] = []
  if (open) {
    // The attempt that was cut off may have been charged: it counts in full until a settlement says otherwise.
    effects.push({ do: 'usage.unknown', run: run.id })
    effects.push({ do: 'step.set', run: run.id, n, to: { intent: written, startedAt: event.now } })
  } else {
    effects.push({
      do: 'step.put',
      step: {
        run: run.id,
        n,
        kind: 'compact',
        state: 'open',
        name: event.model,
        intent: written,
        result: null,
        startedAt: event.now,
        endedAt: null,
      },
    })
  }
  effects.push({
    do: 'usage.reserve',
    row: reservedFor(run, { step: n, attempt, model: event.model, reserved: event.reserve, at: event.now }),
  })
  effects.push({ do: 'run.money', run: run.id, spent: event.reserve, lent: nothing })
  return { ok: true, effects }
}

export interface StepView {
  run: IntentView['run']
  step: Step
}

/** The summary is there: the session shows it from now on, and who asked for it is answered. */
export function compacted(
  view: StepView,
  event: { now: number; epoch: number; made: View; charged: Spend; usage: TokenUsage },
): Decision {
  const stale = fenced(view.run, event.epoch) ?? openStep(view.step)
  if (stale) return stale
  const { run, step } = view
  const intent = step.intent as CompactIntent
  const { made, usage } = event
  const effects: Effect[] = [
    ...paid(view, event.charged, usage),
    { do: 'view.put', view: made },
    { do: 'session.set', session: run.session, to: { view: made.id }, at: event.now },
    {
      do: 'step.set',
      run: run.id,
      n: step.n,
      to: { state: 'done', result: { seq: null, usage, view: made.id }, endedAt: event.now },
    },
    { do: 'run.set', run: run.id, to: { attempts: 0 } },
  ]
  if (intent.inbox.length > 0) effects.push(...taken(run.session, intent.inbox, run.id, step.n))
  return { ok: true, effects }
}

/** A call ended without what was asked of it: its step is closed with what it cost, and shows nothing to anybody. */
export function wasted(
  view: StepView,
  event: { now: number; epoch: number; charged: Spend; usage: TokenUsage; found: string },
): Decision {
  const stale = fenced(view.run, event.epoch) ?? openStep(view.step)
  if (stale) return stale
  const { run, step } = view
  return {
    ok: true,
    effects: [
      ...paid(view, event.charged, event.usage),
      {
        do: 'step.set',
        run: run.id,
        n: step.n,
        to: {
          state: 'cancelled',
          result: { seq: null, isError: true, found: [event.found] },
          endedAt: event.now,
        },
      },
    ],
  }
}

/** Wishes for a summary that are done with, or for which there is nothing to do. */
export function taken(session: string, ids: readonly number[], run: string, step: number | null): Effect[] {
  return ids.length === 0 ? [] : [{ do: 'inbox.mark', session, ids, state: 'read', run, step, ord: null }]
}

/** A person wishes that the conversation be shortened: a row, read by the live run or by one that does nothing else. */
export function wish(box: Mailbox, event: { now: number; key: string; note: string | null; fresh: Fresh }): Decision {
  const { session } = box
  if (session.closedAt !== null) return refuse('SESSION_CLOSED', `session ${session.key} was closed`)
  const row = {
    session: session.id,
    kind: 'compact' as const,
    mode: 'followup' as const,
    state: 'unread' as const,
    seq: null,
    key: event.key,
    from: null,
    at: event.now,
    ...(event.note === null ? {} : { note: event.note }),
  }
  return {
    ok: true,
    effects: [
      { do: 'inbox.put', row },
      ...rouse(box, { kind: 'compact' }, event.now, () =>
        newRun(session, event.fresh, {
          now: event.now,
          task: 'shorten what the model reads of the conversation',
          route: null,
          lane: session.depth > 0 ? 'subagent' : 'main',
        }),
      ),
    ],
  }
}

function paid({ run, step }: StepView, charged: Spend, usage: TokenUsage): Effect[] {
  const { attempt, reserved } = step.intent as CompactIntent | ModelIntent
  const back = negative(reserved)
  const spent = {
    nano: charged.nano + back.nano,
    tokens: charged.tokens + back.tokens,
    calls: charged.calls + back.calls,
  }
  return [
    { do: 'usage.settle', run: run.id, step: step.n, attempt, charged, usage },
    { do: 'run.money', run: run.id, spent, lent: nothing },
  ]
}

function openStep(step: Step): Decision | null {
  return step.state === 'open' ? null : refuse('RUN_STALE', `step ${step.n} of run ${step.run} is ${step.state}`)
}
