/**
 * The model has answered: its words, its calls and what follows from them become rows together (decisions.md 20).
 *
 * Owns: storing a reply, marking exactly the rows it saw, inserting one intent per call, making the children of spawns that
 * passed policy, and what happens when there is no call: wait for open children, go on with what came in, have the result
 * checked and mended once, or finish. A run whose check has failed never ends as succeeded.
 */
import type { Approval } from '../approval.ts'
import { interimKey } from '../ids.ts'
import { isSilent } from '../silence.ts'
import { misfits } from '../shape.ts'
import type {
  InboxRow,
  Message,
  MessageMeta,
  ModelIntent,
  Part,
  Repeat,
  Run,
  Spend,
  Step,
  StopReason,
  TokenUsage,
  Wait,
} from '../types.ts'
import { birth, type ChildPlan } from './accept.ts'
import { askEffects } from './approve.ts'
import { checkStep, conclude } from './check.ts'
import type { EndEvent, EndView } from './end.ts'
import {
  type Decision,
  type Effect,
  fenced,
  negative,
  nothing,
  positions,
  refuse,
  satisfied,
  speaksTo,
} from './facts.ts'

export interface ReplyView extends EndView {
  step: Step
}

export interface ReplyCall {
  callId: string
  name: string
  args: unknown
  repeat: Repeat
  /** The call could not be understood: this is the answer, nothing runs. */
  refused?: string
  /** A spawn: decided here, in the reply's own transaction. */
  spawn?: { ok: true; plan: ChildPlan; receipt: string } | { ok: false; text: string }
  /** Policy says to ask: the call waits, and so does what it would spawn. */
  asks?: Approval
}

export interface ReplyEvent extends Omit<EndEvent, 'outcome' | 'code' | 'error' | 'text' | 'seq'> {
  epoch: number
  messageId: string
  parts: readonly Part[]
  meta: MessageMeta
  calls: readonly ReplyCall[]
  /** Ids of the tool result messages, one per call. */
  resultIds: readonly string[]
  stop: StopReason
  usage: TokenUsage
  charged: Spend
}

export type After = 'calls' | 'again' | 'waiting' | 'done'

export function reply(view: ReplyView, event: ReplyEvent): Decision & { after?: After } {
  const stale = fenced(view.run, event.epoch)
  if (stale) return stale
  const { run, box, step } = view
  if (step.state !== 'open') return refuse('RUN_STALE', `step ${step.n} of run ${run.id} is ${step.state}`)
  const next = positions(box.session)
  const seq = next()
  const intent = step.intent as ModelIntent
  const message: Message = {
    session: box.session.id,
    seq,
    ord: seq,
    id: event.messageId,
    role: 'assistant',
    parts: event.parts,
    run: run.id,
    step: step.n,
    at: event.now,
    meta: event.meta,
  }
  const effects: Effect[] = [
    {
      do: 'usage.settle',
      run: run.id,
      step: step.n,
      attempt: intent.attempt,
      charged: event.charged,
      usage: event.usage,
    },
    { do: 'run.money', run: run.id, spent: add(event.charged, negative(intent.reserved)), lent: nothing },
    { do: 'message.put', message },
    {
      do: 'step.set',
      run: run.id,
      n: step.n,
      to: { state: 'done', result: { seq, stop: event.stop, usage: event.usage }, endedAt: event.now },
    },
    { do: 'run.set', run: run.id, to: { attempts: 0 } },
  ]
  if (intent.inbox.length > 0)
    effects.push({
      do: 'inbox.mark',
      session: box.session.id,
      ids: intent.inbox,
      state: 'read',
      run: run.id,
      step: step.n,
      ord: seq,
    })

  event.calls.forEach((call, i) => {
    const n = step.n + 1 + i
    const answered = call.refused ?? (call.spawn ? (call.spawn.ok ? call.spawn.receipt : call.spawn.text) : null)
    const failed = call.refused !== undefined || call.spawn?.ok === false
    if (call.asks) effects.push(...askEffects(call.asks))
    if (call.spawn?.ok) effects.push(...birth(call.spawn.plan, event.now, run.id))
    const at = answered === null ? null : next()
    const put: Step = {
      run: run.id,
      n,
      kind: 'tool',
      state: at !== null ? 'done' : call.asks ? 'asking' : 'open',
      name: call.name,
      intent: {
        kind: 'tool',
        callId: call.callId,
        args: call.args,
        repeat: call.repeat,
        ...(call.refused === undefined ? {} : { refused: call.refused }),
        ...(call.asks ? { approval: { id: call.asks.id } } : {}),
      },
      result: at === null ? null : { seq: at, isError: failed },
      startedAt: at === null ? null : event.now,
      endedAt: at === null ? null : event.now,
    }
    effects.push({ do: 'step.put', step: put })
    if (at !== null && answered !== null) {
      effects.push({
        do: 'message.put',
        message: toolMessage(
          run,
          n,
          at,
          event.resultIds[i] ?? `${run.id}/${n}`,
          call,
          [{ type: 'text', text: answered }],
          failed,
          event.now,
        ),
      })
    }
  })
  if (event.calls.length > 0) {
    if (event.calls.some(call => call.asks || call.spawn?.ok))
      effects.push(...said(run, step.n, textOf(event.parts), event))
    return { ok: true, effects, after: 'calls' }
  }
  return over(view, event, effects, seq, new Set(intent.inbox))
}

/** A turn is over: the words stand. What comes next is compare-and-set against the unread rows (R9). */
function over(
  view: ReplyView,
  event: ReplyEvent,
  effects: Effect[],
  seq: number,
  read: ReadonlySet<number>,
): Decision & { after?: After } {
  const { run } = view
  const text = textOf(event.parts)
  const unread = view.box.unread.filter(row => !read.has(row.id))
  const after: Run = {
    ...run,
    spent: add(add(run.spent, event.charged), negative((view.step.intent as ModelIntent).reserved)),
  }
  if (event.stop !== 'refusal' && view.box.openChildren > 0) {
    const wait: Wait = { for: 'children', mode: 'all', until: null }
    return {
      ok: true,
      ...park(after, wait, unread, view.box.openChildren, 0, [...effects, ...interim(view, event, text)]),
    }
  }
  if (event.stop !== 'refusal' && unread.some(row => row.mode === 'steer')) {
    effects.push(...interim(view, event, text), { do: 'run.set', run: run.id, to: { turn: run.turn + 1 } })
    return { ok: true, effects, after: 'again' }
  }
  const mute = run.returnTo !== null && text.trim() === ''
  const sound = event.stop !== 'refusal' && !mute
  const { outputSchema, deliverables } = run.terms ?? {}
  const faults = sound && outputSchema ? misfits(outputSchema, text) : []
  if (sound && faults.length === 0 && deliverables) {
    effects.push({ do: 'step.put', step: checkStep(run.id, view.step.n + 1, deliverables) })
    return { ok: true, effects, after: 'calls' }
  }
  const verdict =
    event.stop === 'refusal'
      ? ({ outcome: 'failed', code: 'MODEL_REFUSAL', error: text || 'the model refused' } as const)
      : mute
        ? ({ outcome: 'failed', code: 'MODEL_BAD_ANSWER', error: 'the model ended without a word' } as const)
        : ({ outcome: 'succeeded', code: null, error: null } as const)
  const session = { ...view.box.session, seq }
  const found = { faults, evidence: [] }
  return conclude(
    { ...view, run: after, box: { ...view.box, session, unread }, showing: [] },
    { ...event, ...verdict, text: text || null, seq },
    found,
    effects,
  )
}

/** Waits, unless what it would wait for is there already: then the run goes on with its next model call. */
export function park(
  run: Run,
  wait: Wait,
  unread: readonly InboxRow[],
  openChildren: number,
  askedOpen: number,
  effects: Effect[],
): { effects: Effect[]; after: After } {
  if (satisfied(wait, unread, openChildren, askedOpen)) {
    return { effects: [...effects, { do: 'run.set', run: run.id, to: { turn: run.turn + 1 } }], after: 'again' }
  }
  return { effects: [...effects, { do: 'run.set', run: run.id, to: { state: 'waiting', wait } }], after: 'waiting' }
}

/** Words of a turn that is over while the run goes on. */
function interim({ run, step }: ReplyView, event: ReplyEvent, text: string): Effect[] {
  return [{ do: 'turn.answer', run: run.id, turn: run.turn }, ...said(run, step.n, text, event)]
}

/**
 * Interim words go out at once: those before a wait, and those beside a call that hands work on or asks a person, since what
 * comes next may take long. Words beside other calls are the model's own notes. `n` is the step of the reply that holds them.
 */
export function said(run: Run, n: number, text: string, event: { now: number }): Effect[] {
  const route = speaksTo(run)
  if (!text || isSilent(text) || route === null) return []
  const { session } = run
  const key = interimKey(run.id, n)
  return [{ do: 'outbox.put', session, run: run.id, key, route, content: { text }, grown: true, at: event.now }]
}

export function toolMessage(
  run: Run,
  n: number,
  seq: number,
  id: string,
  call: { callId: string; name: string },
  parts: readonly Part[],
  isError: boolean,
  now: number,
): Message {
  return {
    session: run.session,
    seq,
    ord: seq,
    id,
    role: 'toolResult',
    parts,
    run: run.id,
    step: n,
    at: now,
    meta: { toolCallId: call.callId, toolName: call.name, isError },
  }
}

export function textOf(parts: readonly Part[]): string {
  return parts
    .filter(part => part.type === 'text')
    .map(part => part.text)
    .join('')
}

function add(a: Spend, b: Spend): Spend {
  return { nano: a.nano + b.nano, tokens: a.tokens + b.tokens, calls: a.calls + b.calls }
}
