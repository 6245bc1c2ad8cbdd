/**
 * Whether a run has handed in what it had to: the shape of its words, its files, a command that ends well.
 *
 * Owns: the step that checks, and what follows from a check: the end, or one repair turn, and after that the end as failed
 * with the raw words kept. Invariant: a run whose check has failed never ends as succeeded, and is told what is wrong by a row.
 */
import { repairKey } from '../ids.ts'
import type { Deliverables, Message, Step } from '../types.ts'
import { type EndEvent, type EndView, end } from './end.ts'
import { type Decision, type Effect, fenced, refuse } from './facts.ts'
import type { After, ReplyView } from './reply.ts'

/** Name of the step that checks what a run had to hand in; no tool has it. */
export const checkName = 'deliverables'

/** Safe to be made again: what it looks at is looked at anew after a crash. */
export function checkStep(run: string, n: number, args: Deliverables): Step {
  return {
    run,
    n,
    kind: 'tool',
    state: 'open',
    name: checkName,
    intent: { kind: 'tool', callId: '', args, repeat: 'safe' },
    result: null,
    startedAt: null,
    endedAt: null,
  }
}

/** What the checks of a result have found: nothing wrong, or this; and a line about each. */
export interface Findings {
  faults: readonly string[]
  evidence: readonly string[]
}

export interface CheckedEvent extends Omit<EndEvent, 'outcome' | 'code' | 'error' | 'evidence'> {
  epoch: number
  found: Findings
}

/**
 * What a run had to hand in was looked at, in a step after its last words (`text`, at `seq`). Who wrote meanwhile is read
 * first, and the check is made again after the next words.
 */
export function checked(view: ReplyView, event: CheckedEvent): Decision & { after?: After } {
  const { epoch, found, ...end } = event
  const stale = fenced(view.run, epoch)
  if (stale) return stale
  const { run, box, step } = view
  if (step.state !== 'open') return refuse('RUN_STALE', `step ${step.n} of run ${run.id} is ${step.state}`)
  const effects: Effect[] = [
    {
      do: 'step.set',
      run: run.id,
      n: step.n,
      to: {
        state: 'done',
        result: { seq: null, isError: found.faults.length > 0, found: [...found.faults, ...found.evidence] },
        endedAt: event.now,
      },
    },
    { do: 'run.set', run: run.id, to: { attempts: 0 } },
  ]
  if (box.unread.some(row => row.mode === 'steer')) {
    effects.push({ do: 'turn.answer', run: run.id, turn: run.turn })
    effects.push({ do: 'run.set', run: run.id, to: { turn: run.turn + 1 } })
    return { ok: true, effects, after: 'again' }
  }
  return conclude({ ...view, showing: [] }, { ...end, outcome: 'succeeded', code: null, error: null }, found, effects)
}

/** Ends, unless something is wrong with the result that may be mended: then it is said, once, and the run goes on. */
export function conclude(
  view: EndView,
  event: EndEvent,
  found: Findings,
  effects: Effect[],
): Decision & { after?: After } {
  const { run, box } = view
  const { faults, evidence } = found
  if (faults.length > 0 && !run.terms?.repaired) {
    const seq = box.session.seq + 1
    const message: Message = {
      session: box.session.id,
      seq,
      ord: null,
      id: event.ids.note,
      role: 'user',
      parts: [{ type: 'text', text: repairWords(faults) }],
      run: null,
      step: null,
      at: event.now,
      meta: { from: run.id, check: true },
    }
    const row = {
      session: box.session.id,
      kind: 'check' as const,
      mode: 'steer' as const,
      state: 'unread' as const,
      seq,
      key: repairKey(run.id),
      from: run.id,
      at: event.now,
    }
    effects.push(
      { do: 'message.put', message },
      { do: 'inbox.put', row },
      { do: 'run.set', run: run.id, to: { terms: { ...run.terms, repaired: true } } },
    )
    return { ok: true, effects, after: 'again' }
  }
  const failed = { outcome: 'failed' as const, code: 'RUN_RESULT' as const, error: faults.join('; ') }
  const ended = end(view, { ...event, ...(faults.length > 0 ? failed : {}), evidence })
  return ended.ok ? { ok: true, effects: [...effects, ...ended.effects], after: 'done' } : ended
}

function repairWords(faults: readonly string[]): string {
  const list = faults.map(fault => `- ${fault}`).join('\n')
  return `[Check of your result]\nIt does not count as done yet:\n${list}\nMend this, then give your whole result again. This is the only repair: what is still wrong then ends the run as failed.`
}
