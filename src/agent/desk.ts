/**
 * The desk of one worker: where the loop's steps become rows, and where the next one is read from the rows.
 *
 * Owns claiming, and committing each step with what follows from it in one transaction: a reply with its children, a last
 * tool result with the next model call's intent, a finish with the result at its return address. What comes next is always
 * read from the journal, so going on after a crash is the same path as going on (decisions.md 21).
 *
 * Invariants: R1–R3, R9, R10 by core/run; nothing is told before its commit; a body may run twice and makes the same rows.
 */
import { loopEnd } from '../core/breaker.ts'
import { type Refused, reserve } from '../core/budget.ts'
import type { ModelFailure, Pause } from '../core/ports.ts'
import { claim, intent, shown } from '../core/run/claim.ts'
import { afterwards, type Decision, type Effect } from '../core/run/facts.ts'
import { standBy } from '../core/run/rest.ts'
import type { CompactIntent, Run, Session, Step } from '../core/types.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import {
  countReplies,
  loadMailbox,
  loadRun,
  loadSession,
  loadView,
  messageOf,
  newestSteps,
  orphaned,
} from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { capsOn } from './caps.ts'
import { childNote } from './children.ts'
import { circleOf } from './circles.ts'
import { type After, announce, carryOut, wireIdOf } from './commit.ts'
import { beginCompaction, dropWishes, endIdle, nearlyFull, summaryCame } from './compacting.ts'
import { estimateTokens } from './context.ts'
import type { Early } from './early.ts'
import { endIds, endRun } from './ending.ts'
import { callFailed, holdRun } from './holding.ts'
import type { Answer, Desk, Next } from './loop.ts'
import { overspent, stoppedByOwner } from './overspent.ts'
import { replyStep } from './replying.ts'
import type { AgentOptions, Bells } from './room.ts'
import { openScript, type Script, seenMessages } from './script.ts'
import { openToolSteps } from './tool-steps.ts'

export interface Work {
  options: AgentOptions
  bells: Bells
  early: Early
  cancelChildren(run: Run, targets: readonly string[]): Promise<string>
}

/** What a transaction found to be next, with what to tell after it. */
export interface Found {
  next: Next
  afters: After[]
  run: Run
  wireId: string
}

/** The run as it is now, if it is still this worker's; null otherwise. */
export type Held = (tx: Tx, mine: WorkerState) => Promise<Run | null>

/** Names what a transaction turned out to be. */
export type Is = (name: 'intent' | 'finish' | 'wait') => void

/** What is next for `run`, read and committed in this transaction; `tooLong`: what a provider said of the last prompt. */
export type NextIn = (
  tx: Tx,
  is: Is,
  mine: WorkerState,
  run: Run,
  now: number,
  tooLong?: string | null,
) => Promise<Found>

export interface WorkerState {
  run: Run
  session: Session
  epoch: number
  wireId: string
  script: Script
}

/** What a claim found to be next; `ended` when the run's deadline had passed. */
export type Claimed = { run: Run } & ({ found: Found; session: Session; script: Script } | { ended: After | null })

export interface WorkerDesk extends Desk {
  /** For events while the model speaks. */
  state(): WorkerState | null
  claiming(): Promise<(tx: Tx, is: Is) => Promise<Claimed | null>>
  /** The run was claimed in the transaction that made it: the first look finds this. */
  begun(claimed: Claimed): void
}

/** A worker's desk; its first look says `rest` when the run can't be claimed. */
export function openDesk(work: Work, runId: string, agent: string): WorkerDesk {
  const { options, bells } = work
  let state: WorkerState | null = null
  let early: Claimed | null = null

  function settle(found: Found | null, ring = bells): Next {
    if (!found) return { do: 'rest' }
    if (state) state = { ...state, run: found.run, wireId: found.wireId }
    for (const after of found.afters) {
      announce(after, ring, options.tell)
      state?.script.add(after)
    }
    return found.next
  }

  /** The claim, as the body of a transaction or its end, with all that it needs besides the rows. May run twice. */
  async function claiming(): Promise<(tx: Tx, is: Is) => Promise<Claimed | null>> {
    await options.tools.ready()
    const guide = await options.guide(options.policies.prompt(agent).workspace)
    const ids = { ...endIds(options.uuid), question: options.uuid() }
    const now = options.clock.now()
    return async (tx, is) => {
      const run = await loadRun(tx, runId)
      const session = run && (await loadSession(tx, run.session))
      if (!run || !session) return null
      const decision = claim({ run, orphaned: await orphaned(tx, run) }, { now })
      if (!decision.ok) {
        if (decision.code !== 'RUN_TIMED_OUT') return null
        is('finish')
        const error = 'the deadline passed before it could start'
        const verdict = { outcome: 'timed_out', code: 'RUN_TIMED_OUT', error, followups: 'keep' } as const
        return { run, ended: await endRun(tx, options, run, verdict, ids, now) }
      }
      const after = await carryOut(tx, decision.effects, { sessions: [session], runs: [run], at: now })
      const mine = afterwards(run, decision.effects)
      const wireId = after.wireIds.get(run.id) ?? run.id
      const view = session.view === undefined ? null : await loadView(tx, session.view)
      const seen = await seenMessages(tx, session.id, view)
      const script = openScript(options, { run: mine, session, view, seen, guide, ids })
      const found = await nextIn(tx, is, { run: mine, session, epoch: mine.epoch, wireId, script }, mine, now)
      return { run: mine, found: { ...found, afters: [after, ...found.afters] }, session, script }
    }
  }

  function taken(claimed: Claimed | null): Next {
    if (!claimed) return { do: 'rest' }
    if ('ended' in claimed) {
      if (claimed.ended) announce(claimed.ended, bells, options.tell)
      return { do: 'rest' }
    }
    const { found, session, script } = claimed
    state = { run: found.run, session, epoch: found.run.epoch, wireId: found.wireId, script }
    return settle(found)
  }

  async function look(): Promise<Next> {
    if (!state) return taken(early ?? (await options.store.write('claim', await claiming())))
    const now = options.clock.now()
    const mine = state
    return settle(
      await options.store.write('intent', async (tx, is) => {
        const run = await held(tx, mine)
        return run && nextIn(tx, is, mine, run, now)
      }),
    )
  }

  async function held(tx: Tx, mine: WorkerState): Promise<Run | null> {
    const run = await loadRun(tx, mine.run.id)
    return run && run.state === 'running' && run.epoch === mine.epoch ? run : null
  }

  /**
   * Reads from the journal what is next, and commits the intent of a model call along with whatever led to it. `run` is as
   * its row is by now, `mine` as it was before.
   */
  async function nextIn(
    tx: Tx,
    is: Is,
    mine: WorkerState,
    run: Run,
    now: number,
    tooLong: string | null = null,
  ): Promise<Found> {
    const all = await newestSteps(tx, mine.run.id)
    const steps = all.filter(step => step.kind !== 'compact')
    const open = steps.filter(step => step.kind === 'tool' && (step.state === 'open' || step.state === 'asking'))
    if (open.length > 0) return { next: { do: 'tools', steps: open }, afters: [], run, wireId: mine.wireId }
    if (run.paused) return rest(tx, mine, run, standBy(run, { now, epoch: mine.epoch }), now)
    is('intent')
    const box = await loadMailbox(tx, mine.session, run)
    const condensing = all.find(step => step.kind === 'compact' && step.state === 'open') ?? null
    const model = steps.find(step => step.kind === 'model')
    const again = model?.state === 'open' ? model : null
    // A call that is to be asked again keeps its number, and so comes before any other step.
    const wished = again === null && box.unread.some(row => row.kind === 'compact')
    const last = all.at(-1)?.n ?? 0
    const turnStart = steps.length <= 1 || steps.at(-1)?.name === 'sessions_yield' || steps.at(-1)?.kind === 'model'
    const view = { run, box, open: again, last, turnStart }
    const ids = new Set(shown(view))
    const seqs = box.unread.flatMap(row => (ids.has(row.id) && row.seq !== null ? [row.seq] : []))
    const rows = seqs.length === 0 ? [] : (await tx.ask(messagesAt, run.session, seqs)).map(messageOf)
    const note = box.openChildren > 0 ? await childNote(tx, run.id, now) : null
    const plan = mine.script.plan(run, rows, note)
    // Another wire id speaks for the turn only when a row is shown that brought one.
    const wireId = rows.length > 0 || run.turn !== mine.run.turn ? await wireIdOf(tx, run) : mine.wireId
    const stop = async (outcome: 'failed' | 'budget_exhausted', code: ErrorCode, error: string): Promise<Found> => {
      is('finish')
      const ended = await endRun(
        tx,
        options,
        run,
        { outcome, code, error, followups: 'keep', showing: [...ids] },
        mine.script.ids,
        now,
      )
      return { next: { do: 'rest' }, afters: ended ? [ended] : [], run, wireId }
    }
    const spent = async (refused: Refused): Promise<Found> => {
      const asked = await overspent(tx, options, mine, { run, box, last, now, refused })
      if ('error' in asked) return stop('budget_exhausted', refused.code, asked.error)
      is('wait')
      return { ...asked.found, wireId }
    }
    const stopped = await stoppedByOwner(tx, box.unread)
    if (stopped) return stop('budget_exhausted', stopped.code, stopped.error)
    if (!plan.ok) return stop('failed', 'MODEL_UNKNOWN', `${plan.reason}. ${plan.fix}`)
    if (await goesInCircles(tx, run, last))
      return stop(
        'failed',
        'RUN_STEPS',
        `the run has asked its model ${options.policies.maxSteps(run.agent)} times without an end`,
      )
    const circle = again === null ? await circleOf(tx, options.policies.loops(run.agent), run, steps) : null
    if (circle) return stop('failed', 'RUN_LOOP', loopEnd(circle.name, circle.times))
    const prompt = estimateTokens(`${plan.request.system}${note ?? ''}`, plan.request.messages, plan.toolsJson)
    const rules = options.policies.compaction(run.agent)
    const why = condensing
      ? (condensing.intent as CompactIntent).why
      : tooLong !== null
        ? 'provider'
        : wished
          ? 'asked'
          : again === null && nearlyFull(prompt, plan.model, rules)
            ? 'window'
            : null
    if (why !== null) {
      const want = { why, open: condensing, last }
      const begun = await beginCompaction(tx, options, mine, run, box, plan.model, want, now)
      if (begun?.ok) {
        if (begun.found.next.do === 'rest') is('wait')
        return begun.found
      }
      if (begun) return begun.refused ? spent(begun.refused) : stop('failed', begun.code, begun.error)
    }
    if (tooLong !== null) return stop('failed', 'MODEL_CONTEXT', tooLong)
    if (wished) {
      const dropped = await dropWishes(tx, mine, run, box, now)
      const next = await nextIn(tx, is, mine, run, now)
      return { ...next, afters: [dropped, ...next.afters] }
    }
    if (steps.length === 0 && box.unread.length === 0) {
      is('finish')
      const ended = await endIdle(tx, options, mine, run, mine.script.ids, now)
      return { next: { do: 'rest' }, afters: ended ? [ended] : [], run, wireId }
    }
    if (prompt > plan.model.contextWindow * 1.5)
      return stop(
        'failed',
        'MODEL_CONTEXT',
        `the conversation is longer than ${plan.model.ref} can read (${plan.model.contextWindow} tokens)`,
      )
    const pause = options.models.pause(plan.request)
    if (pause) {
      is('wait')
      const held = await holdRun(tx, mine, run, box, pause, now)
      return 'found' in held ? { ...held.found, wireId } : stop('failed', held.code, held.error)
    }
    if (!options.models.line.admits(run.id, plan.request))
      return { next: { do: 'line', run: run.id, call: plan.request }, afters: [], run, wireId }
    const reservation = reserve(
      { limit: run.grant.budget, spent: run.spent, lent: run.lent },
      {
        promptTokens: prompt,
        maxTokens: plan.model.maxTokens,
        price: plan.model.price,
        inPlace: options.models.inPlaceOf(plan.model.ref, run.agent).map(({ price }) => price),
      },
      await capsOn(tx, options.policies, run, now),
    )
    if (!reservation.ok) return spent(reservation)
    const decision = intent(view, {
      now,
      epoch: mine.epoch,
      view: mine.script.whole().view?.id ?? null,
      upto: plan.upto,
      reserve: reservation.charge.reserved,
    })
    if (!decision.ok) return { next: { do: 'rest' }, afters: [], run, wireId }
    const after = await carryOut(tx, decision.effects, { sessions: [mine.session], runs: [run], at: now })
    const step = stepOf(decision.effects, again)
    if (!step) return { next: { do: 'rest' }, afters: [after], run, wireId }
    return {
      next: {
        do: 'model',
        step,
        request: { ...plan.request, run: run.id, maxTokens: reservation.maxTokens, most: reservation.most },
      },
      afters: [after],
      run,
      wireId,
    }
  }

  /** The run rests before its next model call. */
  async function rest(tx: Tx, mine: WorkerState, run: Run, decision: Decision, now: number): Promise<Found> {
    const wire = { [run.id]: mine.wireId }
    const about = { sessions: [mine.session], runs: [run], wire, at: now }
    const afters = decision.ok ? [await carryOut(tx, decision.effects, about)] : []
    return { next: { do: 'rest' }, afters, run, wireId: mine.wireId }
  }

  /** Counts model calls; a reply may hold hundreds of tool calls, so the step number only says when to count. */
  async function goesInCircles(tx: Tx, run: Run, last: number): Promise<boolean> {
    const most = options.policies.maxSteps(run.agent)
    return last >= most && (await countReplies(tx, run.id)) >= most
  }

  async function replied(step: Step, answer: Answer): Promise<Next> {
    if (!state) return { do: 'rest' }
    const { value: found, bells: ring, begin } = await replyStep(work, state, step, answer, held, nextIn)
    const next = settle(found, ring)
    begin()
    // Children begin at once: their parent's next request, which takes a while to build, comes after theirs.
    if (found?.afters.some(after => after.effects.some(effect => effect.do === 'run.put')))
      await new Promise(resolve => setImmediate(resolve))
    return next
  }

  async function summarised(step: Step, answer: Answer): Promise<Next> {
    if (!state) return { do: 'rest' }
    return settle(await summaryCame(options, state, step, answer, { held, nextIn }))
  }

  async function failed(step: Step, failure: ModelFailure): Promise<Next> {
    if (!state) return { do: 'rest' }
    return settle(await callFailed(options, state, step, failure, { held, nextIn }))
  }

  async function parked(pause: Pause): Promise<Next> {
    if (!state) return { do: 'rest' }
    const mine = state
    const now = options.clock.now()
    const found = await options.store.write('wait', async tx => {
      const run = await held(tx, mine)
      const session = run && (await loadSession(tx, run.session))
      if (!run || !session) return null
      const done = await holdRun(tx, mine, run, await loadMailbox(tx, session, run), pause, now)
      return 'found' in done ? done.found : null
    })
    // In this order: who is called waits already.
    if (found && found.afters.length > 0) options.models.line.park(mine.run.id)
    return settle(found)
  }

  const tools = openToolSteps({ work, state: () => state, held, nextIn, settle })

  return {
    look,
    replied,
    summarised,
    failed,
    parked,
    // A newer message waits, or the run has ended: the rows say which.
    brokenOff: () => look(),
    used: tools.used,
    hold: tools.hold,
    begin: step => tools.begin(step),
    context: tools.context,
    state: () => state,
    claiming,
    begun(claimed) {
      early = claimed
    },
  }
}

const messagesAt = (db: Tx, session: string, seqs: readonly number[]) =>
  db.selectFrom('messages').selectAll().where('session', '=', session).where('seq', 'in', seqs).orderBy('seq')

/** The model step as the intent has just made it. */
function stepOf(effects: readonly Effect[], again: Step | null): Step | null {
  for (const effect of effects) {
    if (effect.do === 'step.put') return effect.step
    if (effect.do === 'step.set' && again && effect.to.intent) return { ...again, intent: effect.to.intent }
  }
  return null
}
