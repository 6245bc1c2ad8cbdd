/**
 * A worker takes a run, and says what it is about to ask the model.
 *
 * Owns: claim (the only raise of an epoch), the intent of a model step with its reservation (decisions.md 2, 12), and the
 * mark that a tool which must not be repeated has begun. Never asks a model; never ends a run.
 */
import { deniedWords } from '../approval.ts'
import type { InboxRow, ModelIntent, Run, Spend, Step, ToolIntent } from '../types.ts'
import { type Decision, type Effect, fenced, type Mailbox, nothing, refuse, type UsageRow } from './facts.ts'

export interface ClaimView {
  run: Run
  /** True when an ancestor that this run is attached to has ended: it must not start (decisions.md 7). */
  orphaned: boolean
}

export function claim(view: ClaimView, event: { now: number }): Decision {
  const { run } = view
  if (run.state !== 'queued')
    return refuse(run.state === 'done' ? 'RUN_DONE' : 'RUN_STALE', `run ${run.id} is ${run.state}`)
  if (run.paused) return refuse('RUN_STALE', `run ${run.id} is paused`)
  if (view.orphaned) return refuse('RUN_CANCELLED', `run ${run.id} belongs to a run that has ended`)
  if (run.deadlineAt !== null && run.deadlineAt <= event.now)
    return refuse('RUN_TIMED_OUT', `run ${run.id} is past its deadline`)
  return {
    ok: true,
    effects: [
      {
        do: 'run.set',
        run: run.id,
        to: {
          state: 'running',
          epoch: run.epoch + 1,
          woken: false,
          wait: null,
          startedAt: run.startedAt ?? event.now,
          ...(run.error === null ? {} : { errorCode: null, error: null }),
        },
      },
    ],
  }
}

export interface IntentView {
  run: Run
  box: Mailbox
  /** The model step that a crash left open, to be asked again; null for a new one. */
  open: Step | null
  /** Highest step number so far; 0 without one. */
  last: number
  /** True at the beginning of a turn: then it is the turn of what waited for one. */
  turnStart: boolean
}

export interface IntentEvent {
  now: number
  epoch: number
  view: string | null
  upto: number
  /** Prompt and `max_tokens` at list price. */
  reserve: Spend
}

/** Rows that the next model call shows for the first time. */
export function shown(view: Pick<IntentView, 'box' | 'turnStart' | 'open'>): number[] {
  const rows = view.box.unread.filter(row => row.kind !== 'compact')
  const waited = new Set(turnOf(rows, view))
  return rows.filter(row => row.mode === 'steer' || waited.has(row.id)).map(row => row.id)
}

/** Of the rows that waited for a turn, those whose it is. A call that is asked again shows those that it showed. */
function turnOf(
  rows: readonly Pick<InboxRow, 'id' | 'mode'>[],
  { open, turnStart }: Pick<IntentView, 'turnStart' | 'open'>,
): readonly number[] {
  if (open) return (open.intent as ModelIntent).inbox
  const waiting = turnStart ? rows.filter(row => row.mode !== 'steer') : []
  const others = waiting.findIndex(row => row.mode !== 'collect')
  // The oldest decides: alone, or together with what is to be collected before the next that has a turn of its own.
  const many = others === 0 ? 1 : others < 0 ? waiting.length : others
  return waiting.slice(0, many).map(row => row.id)
}

export function intent(view: IntentView, event: IntentEvent): Decision {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const { run, open } = view
  const attempt = open ? (open.intent as ModelIntent).attempt + 1 : 1
  const n = open ? open.n : view.last + 1
  const written: ModelIntent = {
    kind: 'model',
    view: event.view,
    upto: event.upto,
    inbox: shown(view),
    attempt,
    reserved: event.reserve,
  }
  const effects: Effect[] = []
  if (open) {
    // The attempt that a crash cut off may have been charged: it counts in full until a settlement says otherwise.
    effects.push({ do: 'usage.unknown', run: run.id })
    effects.push({ do: 'step.set', run: run.id, n, to: { intent: written, startedAt: event.now } })
  } else {
    effects.push({
      do: 'step.put',
      step: {
        run: run.id,
        n,
        kind: 'model',
        state: 'open',
        name: run.model,
        intent: written,
        result: null,
        startedAt: event.now,
        endedAt: null,
      },
    })
  }
  effects.push({
    do: 'usage.reserve',
    row: reservedFor(run, { step: n, attempt, model: run.model, reserved: event.reserve, at: event.now }),
  })
  effects.push({ do: 'run.money', run: run.id, spent: event.reserve, lent: nothing })
  return { ok: true, effects }
}

/** What is set aside for a call of a run, and whom it counts for. */
export function reservedFor(
  run: Run,
  call: Pick<UsageRow, 'step' | 'attempt' | 'model' | 'reserved' | 'at'>,
): UsageRow {
  const { id, session, tree, agent, grant } = run
  return { ...call, run: id, session, tree, agent, sender: grant.sender ?? null }
}

/** A tool that must not be repeated is about to begin, or has a process group now. Written before anything happens. */
export function started(
  view: { run: Run; step: Step },
  event: { now: number; epoch: number; process?: { pgid: number; startedAt: string } },
): Decision {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  if (view.step.state !== 'open')
    return refuse('RUN_STALE', `step ${view.step.n} of run ${view.run.id} is ${view.step.state}`)
  const written = view.step.intent as ToolIntent
  if (deniedWords(written) !== null)
    return refuse('RUN_STALE', `step ${view.step.n} of run ${view.run.id} was not allowed`)
  const to = {
    startedAt: view.step.startedAt ?? event.now,
    ...(event.process ? { intent: { ...written, process: event.process } } : {}),
  }
  return { ok: true, effects: [{ do: 'step.set', run: view.run.id, n: view.step.n, to }] }
}
