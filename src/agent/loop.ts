/**
 * The turn loop: ask the model, use the tools, until there is nothing to do now.
 *
 * Owns the order of things inside one run and nothing that lasts: every step goes through the desk, which makes it a row
 * before it is told and says what comes next. Never reads or writes storage, never decides who may what.
 *
 * Invariants: one model call at a time; the tools of one reply run side by side and are answered each on its own; a call
 * that ends the turn (a wait) is answered after all others, and none begins while a person is asked about another; an abort ends the call in flight, and the desk says what follows.
 */
import { deniedWords } from '../core/approval.ts'
import type {
  Asked,
  ModelEvent,
  ModelFailure,
  ModelRequest,
  Models,
  Pause,
  ToolAnswer,
  ToolContext,
} from '../core/ports.ts'
import { undecided } from '../core/run/approve.ts'
import type { Part, Step, StopReason, TokenUsage } from '../core/types.ts'

export type Next =
  | { do: 'model'; step: Step; request: ModelRequest }
  /** Older messages are to become a summary. */
  | { do: 'compact'; step: Step; request: ModelRequest; timeoutMs: number }
  /** Only so many calls may be out at a time: the run needs a place before the next is written down. */
  | { do: 'line'; run: string; call: Asked }
  /** Calls of the last reply that have no result yet. */
  | { do: 'tools'; steps: readonly Step[] }
  /** Waiting, ended, or another worker's now. */
  | { do: 'rest' }

export interface RawCall {
  id: string
  name: string
  /** As the model wrote it. */
  args: string
  meta?: unknown
}

export interface Answer {
  parts: Part[]
  calls: RawCall[]
  stop: StopReason
  usage: TokenUsage
  costNano: number
  provider: string
  model: string
  api: string
  /** The model that was asked for, when another one has answered, and why. */
  insteadOf?: { model: string; why: string }
}

/** Where steps become rows. Every method commits, tells, and says what is next. */
export interface Desk {
  replied(step: Step, answer: Answer): Promise<Next>
  summarised(step: Step, answer: Answer): Promise<Next>
  /** The model could not answer: the run pauses, or ends. */
  failed(step: Step, failure: ModelFailure): Promise<Next>
  /** The call was broken off to read a newer message, or because the run ended. */
  brokenOff(): Promise<Next>
  /** No place came free: the run waits in a row. */
  parked(pause: Pause): Promise<Next>
  used(step: Step, answer: ToolAnswer): Promise<Next>
  /** A tool that must not be repeated is about to begin. */
  begin(step: Step): Promise<boolean>
  context(step: Step, signal: AbortSignal): ToolContext
  /** Nothing is left but calls that a person is asked about: the run waits, or goes on with what was answered by now. */
  hold(): Promise<Next>
  /** Looks again at what is to be done. */
  look(): Promise<Next>
}

export interface Hands {
  models: Models
  /** Carries a call out. Answers an unknown or malformed call itself; throws for its own faults only. */
  call(step: Step, context: ToolContext): Promise<ToolAnswer>
  delta(step: Step, kind: 'text' | 'thinking', text: string, delta: string, replace: boolean): void
  crash: { hit(name: 'model' | 'tool', point: 'before' | 'after'): void }
}

/** Works until the run rests. `abort` hands out the signal of the call in flight. */
export async function work(
  desk: Desk,
  hands: Hands,
  signalFor: (kind: 'model' | 'tool') => AbortSignal,
): Promise<void> {
  let next = await desk.look()
  while (next.do !== 'rest') {
    next =
      next.do === 'model'
        ? await ask(desk, hands, next, signalFor('model'))
        : next.do === 'compact'
          ? await summarise(desk, hands, next, signalFor('tool'))
          : next.do === 'line'
            ? await standInLine(desk, hands, next, signalFor('model'))
            : await use(desk, hands, next.steps, signalFor('tool'))
  }
}

async function standInLine(
  desk: Desk,
  hands: Hands,
  { run, call }: Next & { do: 'line' },
  signal: AbortSignal,
): Promise<Next> {
  const pause = await hands.models.line.enter(run, call, signal)
  if (signal.aborted) return desk.brokenOff()
  return pause ? desk.parked(pause) : desk.look()
}

async function ask(desk: Desk, hands: Hands, next: Next & { do: 'model' }, signal: AbortSignal): Promise<Next> {
  hands.crash.hit('model', 'before')
  const heard = await listen(hands.models.stream({ ...next.request, signal }), next.step, hands)
  hands.crash.hit('model', 'after')
  if ('answer' in heard) return desk.replied(next.step, heard.answer)
  return heard.failure.class === 'aborted' ? desk.brokenOff() : desk.failed(next.step, heard.failure)
}

/** Nobody sees a summary grow, and no newer message breaks it off: it would be paid for nothing. */
async function summarise(
  desk: Desk,
  hands: Hands,
  { step, request, timeoutMs }: Next & { do: 'compact' },
  signal: AbortSignal,
): Promise<Next> {
  const limit = AbortSignal.timeout(timeoutMs)
  hands.crash.hit('model', 'before')
  const asked = { ...request, signal: AbortSignal.any([signal, limit]) }
  const heard = await listen(hands.models.stream(asked), step, { ...hands, delta: () => undefined })
  hands.crash.hit('model', 'after')
  if ('answer' in heard) return desk.summarised(step, heard.answer)
  const { failure } = heard
  if (failure.class !== 'aborted') return desk.failed(step, failure)
  if (signal.aborted) return desk.brokenOff()
  const message = `no summary came within ${Math.round(timeoutMs / 1000)} s`
  const fix = 'Raise agents.defaults.compaction.timeoutSeconds, or choose a faster compaction.model.'
  return desk.failed(step, { ...failure, class: 'network', code: 'MODEL_NETWORK', message, fix })
}

/** Hears a call out: deltas are shown as they come and promise nothing (decisions.md 23). */
async function listen(
  events: AsyncIterable<ModelEvent>,
  step: Step,
  hands: Hands,
): Promise<{ answer: Answer } | { failure: ModelFailure }> {
  let text = ''
  let thinking = ''
  let replaced = false
  const calls: RawCall[] = []
  let who = { provider: '', model: step.name, api: '' }
  for await (const event of events) {
    switch (event.type) {
      case 'start':
        who = { provider: event.provider, model: event.model, api: event.api }
        break
      case 'text':
        text += event.delta
        hands.delta(step, 'text', text, event.delta, replaced)
        replaced = false
        break
      case 'thinking':
        thinking += event.delta
        hands.delta(step, 'thinking', thinking, event.delta, false)
        break
      case 'replace':
        text = ''
        thinking = ''
        calls.length = 0
        replaced = true
        break
      case 'call':
        calls.push({
          id: event.id,
          name: event.name,
          args: event.args,
          ...(event.meta === undefined ? {} : { meta: event.meta }),
        })
        break
      case 'end':
        return {
          answer: {
            ...who,
            parts: [...event.parts],
            calls,
            stop: event.stop,
            usage: event.usage,
            costNano: event.costNano,
            ...(event.insteadOf ? { insteadOf: event.insteadOf } : {}),
          },
        }
      case 'fail':
        return { failure: event.failure }
    }
  }
  return {
    failure: {
      class: 'bad_answer',
      code: 'MODEL_BAD_ANSWER',
      message: 'the answer stopped without an end',
      fix: 'Try again.',
      provider: who.provider,
      model: who.model,
    },
  }
}

async function use(desk: Desk, hands: Hands, steps: readonly Step[], signal: AbortSignal): Promise<Next> {
  // Whatever ends the turn comes last and in order: its wait must see the results of the others.
  const asking = steps.some(undecided)
  const allowed = steps.filter(step => ends.has(step.name) && wasAsked(step) && !undecided(step))
  const waits = steps.filter(step => ends.has(step.name) && !wasAsked(step))
  const works = steps.filter(step => !ends.has(step.name) && !undecided(step))
  let said: Promise<unknown> = Promise.resolve()
  const done = await Promise.all(
    works.map(step => {
      if (!seen.has(step.name)) return one(desk, hands, step, signal)
      const mine = said.then(() => one(desk, hands, step, signal))
      said = mine.catch(() => undefined)
      return mine
    }),
  )
  let next = done.at(-1) ?? null
  if (done.some(answer => answer.do === 'rest')) return { do: 'rest' }
  for (const step of allowed) {
    next = await one(desk, hands, step, signal)
    if (next.do === 'rest') return next
  }
  if (asking) return desk.hold()
  for (const step of waits) {
    next = await one(desk, hands, step, signal)
    if (next.do === 'rest') return next
  }
  // Each answer says what was next when it was given; only the last to commit knows.
  return done.find(asks) ?? (next && asks(next) ? next : desk.look())
}

function asks({ do: what }: Next): boolean {
  return what === 'model' || what === 'line'
}

function wasAsked({ intent }: Step): boolean {
  return intent.kind === 'tool' && intent.approval !== undefined
}

async function one(desk: Desk, hands: Hands, step: Step, signal: AbortSignal): Promise<Next> {
  const intent = step.intent
  const denied = intent.kind === 'tool' ? deniedWords(intent) : null
  if (denied !== null) return desk.used(step, { reply: { parts: [{ type: 'text', text: denied }], isError: true } })
  if (intent.kind === 'tool' && intent.repeat === 'never' && !(await desk.begin(step))) return { do: 'rest' }
  hands.crash.hit('tool', 'before')
  const answer = await hands.call(step, desk.context(step, signal))
  hands.crash.hit('tool', 'after')
  return desk.used(step, answer)
}

/** Calls whose order people see: each begins when the one before it is a row. */
const seen: ReadonlySet<string> = new Set(['message'])

/** Calls after which the run waits; `subagents` and `sessions_send` may, and are cheap when they do not. */
const ends: ReadonlySet<string> = new Set(['sessions_yield', 'subagents', 'sessions_send'])
