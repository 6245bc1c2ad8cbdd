/**
 * What becomes of one tool call: its result, the wait it asked for, the children it cancels.
 *
 * Owns the transactions over an open tool step of the worker's run. A result that is the last one owed commits the next model
 * call's intent along with it. Never runs a tool: the loop does.
 */
import type { ToolAnswer, ToolContext } from '../core/ports.ts'
import { loopWords } from '../core/breaker.ts'
import { started } from '../core/run/claim.ts'
import { holdOn } from '../core/run/approve.ts'
import { afterwards, type Mailbox } from '../core/run/facts.ts'
import { textOf } from '../core/run/reply.ts'
import { ask, result, yielded } from '../core/run/steps.ts'
import type { Message, Run, Step, ToolIntent, Wait } from '../core/types.ts'
import { lastReply, loadMailbox, loadSession, loadStep, messageOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { isSaid } from '../store/outbox.ts'
import { carryTurn } from './answering.ts'
import { findingsOf, isCheck, recordCheck } from './checking.ts'
import { childAnswer, childFacts } from './children.ts'
import { timesGiven } from './circles.ts'
import { carryOut } from './commit.ts'
import type { Found, Held, Is, NextIn, Work, WorkerState } from './desk.ts'
import { lateSpawn } from './late-spawn.ts'
import { openFacts } from './looking.ts'
import type { Desk, Next } from './loop.ts'
import { sayStep } from './saying.ts'
import { sendStep } from './sending.ts'

export interface DeskParts {
  work: Work
  state(): WorkerState | null
  held: Held
  nextIn: NextIn
  settle(found: Found | null): Next
}

/** What a tool call's transaction has read. */
export interface StepFacts {
  run: Run
  box: Mailbox
  step: Step
  now: number
  mine: WorkerState
}

/** For calls whose transaction is described elsewhere (sending.ts). */
export interface StepTools {
  /** One transaction over an open tool step of this worker's run. */
  onStep(
    name: 'result' | 'wait',
    step: Step,
    body: (tx: Tx, is: Is, facts: StepFacts) => Promise<Found | null>,
  ): Promise<Next>
  /** The result is a row; if it was the last one owed, the next model call's intent is one too. */
  recorded(
    tx: Tx,
    is: Is,
    facts: StepFacts,
    messageId: string,
    words: string | Message['parts'],
    isError: boolean,
  ): Promise<Found | null>
}

export function openToolSteps(desk: DeskParts): Pick<Desk, 'used' | 'hold' | 'context'> & {
  begin(step: Step, process?: { pgid: number; startedAt: string }): Promise<boolean>
} {
  const { work } = desk
  const { options } = work

  const onStep: StepTools['onStep'] = async (name, step, body) => {
    const mine = desk.state()
    if (!mine) return { do: 'rest' }
    const now = options.clock.now()
    return desk.settle(
      await options.store.write(name, async (tx, is) => {
        const run = await desk.held(tx, mine)
        const session = run && (await loadSession(tx, run.session))
        const current = await loadStep(tx, step.run, step.n)
        if (!run || !session || !current) return null
        return body(tx, is, { run, box: await loadMailbox(tx, session, run), step: current, now, mine })
      }),
    )
  }

  async function used(step: Step, answer: ToolAnswer): Promise<Next> {
    const messageId = options.uuid()
    if (isCheck(step)) return recordCheck(desk, step, findingsOf(answer))
    if ('reply' in answer) return finishStep(step, messageId, answer.reply.parts, answer.reply.isError)
    const wanted = answer.intent
    switch (wanted.do) {
      case 'cancel': {
        const mine = desk.state()
        const report = mine ? await work.cancelChildren(mine.run, wanted.targets) : ''
        return finishStep(step, messageId, [{ type: 'text', text: report }], false)
      }
      case 'yield':
        return onStep('wait', step, async (tx, is, facts) => {
          const wait = yieldWait(wanted.wait, facts.box.openChildren)
          if (
            wait === null ||
            (wait.for === 'message' && facts.run.returnTo !== null && facts.box.openChildren === 0)
          ) {
            return recorded(
              tx,
              is,
              facts,
              messageId,
              'Nothing to wait for: no sub-agent is at work. Go on, or end your reply with your result.',
              true,
            )
          }
          const before = await wordsBefore(tx, facts.step)
          const own = wanted.message ? { step: facts.step.n, text: wanted.message } : null
          const event = {
            now: facts.now,
            epoch: facts.mine.epoch,
            messageId,
            parts: [{ type: 'text' as const, text: '{"status":"yielded"}' }],
            isError: false,
            wait,
            words: own ?? (before && !(await isSaid(tx, facts.run.id, before.step)) ? before : null),
            already: [
              {
                type: 'text' as const,
                text: '{"status":"already_pending","note":"What you would wait for is here; it follows."}',
              },
            ],
          }
          const decision = yielded(facts, event)
          if (!decision.ok) return null
          const after = await carryTurn(tx, options, decision.effects, {
            sessions: [facts.box.session],
            runs: [facts.run],
            wire: { [facts.run.id]: facts.mine.wireId },
            turn: { run: facts.run, text: (own ?? before)?.text ?? '', yielded: true, stop: 'toolUse', outcome: null },
            at: facts.now,
          })
          if (decision.after === 'waiting')
            return { next: { do: 'rest' }, afters: [after], run: facts.run, wireId: facts.mine.wireId }
          const found = await desk.nextIn(tx, is, facts.mine, afterwards(facts.run, decision.effects), facts.now)
          return { ...found, afters: [after, ...found.afters] }
        })
      case 'wait':
        return onStep('wait', step, async (tx, is, facts) => {
          const children = await childFacts(tx, facts.run.id, facts.now)
          const targets = children.filter(child => wanted.targets.includes(child.run))
          const runs = targets.filter(child => child.state !== 'done').map(child => child.run)
          const wait: Wait & { for: 'ask' } = {
            for: 'ask',
            n: step.n,
            runs,
            mode: wanted.mode,
            until: facts.now + wanted.timeoutMs,
            outside: true,
          }
          const over = runs.length === 0 || (wanted.mode === 'any' && runs.length < targets.length)
          const decision = over
            ? null
            : ask(
                { ...facts, box: { ...facts.box, askedOpen: runs.length } },
                { now: facts.now, epoch: facts.mine.epoch, wait },
              )
          if (!decision || (decision.ok && decision.after === 'again'))
            return recorded(tx, is, facts, messageId, childAnswer(targets), false)
          if (!decision.ok) return null
          const after = await carryOut(tx, decision.effects, {
            sessions: [facts.box.session],
            runs: [facts.run],
            wire: { [facts.run.id]: facts.mine.wireId },
            at: facts.now,
          })
          return { next: { do: 'rest' }, afters: [after], run: facts.run, wireId: facts.mine.wireId }
        })
      case 'send':
        return sendStep(options, { onStep, recorded }, step, wanted.request)
      case 'say':
        return sayStep(options, { onStep, recorded }, step, wanted)
      case 'model':
        return onStep('result', step, async (tx, is, facts) => {
          const { session } = facts.box
          const { model: before, ...rest } = session.settings ?? {}
          const model = wanted.model === null ? null : options.models.resolve(wanted.model, facts.run.agent)
          if (model && !model.ok) return recorded(tx, is, facts, messageId, `${model.reason}. ${model.fix}`, true)
          const settings = model ? { ...rest, model: model.model.ref } : rest
          await carryOut(tx, [{ do: 'session.set', session: session.id, to: { settings }, at: facts.now }], {
            sessions: [session],
            runs: [],
            at: facts.now,
          })
          const said = { status: 'ok', model: model ? model.model.ref : 'default', before: before ?? 'default' }
          const words = JSON.stringify({ ...said, note: 'From the next run of this conversation on.' })
          return recorded(tx, is, facts, messageId, words, false)
        })
      case 'spawn':
        return lateSpawn(options, { onStep, recorded }, desk.state(), step, wanted.request)
    }
  }

  async function hold(): Promise<Next> {
    const mine = desk.state()
    if (!mine) return { do: 'rest' }
    const now = options.clock.now()
    return desk.settle(
      await options.store.write('wait', async (tx, is) => {
        const run = await desk.held(tx, mine)
        const session = run && (await loadSession(tx, run.session))
        if (!run || !session) return null
        const steps = await lastReply(tx, run.id)
        const decision = holdOn({ run, box: await loadMailbox(tx, session, run), steps }, { epoch: mine.epoch })
        if (!decision.ok) return null
        if (decision.after === 'again') return desk.nextIn(tx, is, mine, run, now)
        const after = await carryOut(tx, decision.effects, {
          sessions: [session],
          runs: [run],
          wire: { [run.id]: mine.wireId },
          at: now,
        })
        return { next: { do: 'rest' }, afters: [after], run, wireId: mine.wireId }
      }),
    )
  }

  function finishStep(step: Step, messageId: string, parts: Message['parts'], isError: boolean): Promise<Next> {
    const kept = parts.map(part => (part.type === 'text' ? { ...part, text: options.secrets.hide(part.text) } : part))
    return onStep('result', step, (tx, is, facts) => recorded(tx, is, facts, messageId, kept, isError))
  }

  const recorded: StepTools['recorded'] = async (tx, is, facts, messageId, words, isError) => {
    const given = typeof words === 'string' ? [{ type: 'text' as const, text: words }] : words
    const rules = options.policies.loops(facts.run.agent)
    const times = await timesGiven(tx, rules, facts.run, facts.step, given)
    const warned = rules !== null && times >= rules.warnAt
    const parts = warned ? [...given, { type: 'text' as const, text: loopWords(facts.step.name, times, rules) }] : given
    const decision = result(facts, { now: facts.now, epoch: facts.mine.epoch, messageId, parts, isError })
    if (!decision.ok) return null
    const after = await carryOut(tx, decision.effects, {
      sessions: [facts.box.session],
      runs: [facts.run],
      wire: { [facts.run.id]: facts.mine.wireId },
      at: facts.now,
    })
    facts.mine.script.add(after)
    const found = await desk.nextIn(tx, is, facts.mine, afterwards(facts.run, decision.effects), facts.now)
    return { ...found, afters: [after, ...found.afters] }
  }

  /** The words of the reply that called, and its step. */
  async function wordsBefore(tx: Tx, step: Step): Promise<{ step: number; text: string } | null> {
    const reply = (await lastReply(tx, step.run)).find(one => one.kind === 'model')
    if (!reply?.result?.seq) return null
    const row = await tx
      .selectFrom('messages')
      .selectAll()
      .where('run', '=', step.run)
      .where('step', '=', reply.n)
      .executeTakeFirst()
    return row ? { step: reply.n, text: textOf(messageOf(row).parts) } : null
  }

  async function begin(step: Step, process?: { pgid: number; startedAt: string }): Promise<boolean> {
    const mine = desk.state()
    if (!mine) return false
    const now = options.clock.now()
    return options.store.write('intent', async tx => {
      const run = await desk.held(tx, mine)
      const current = await loadStep(tx, step.run, step.n)
      if (!run || !current) return false
      const decision = started({ run, step: current }, { now, epoch: mine.epoch, ...(process ? { process } : {}) })
      if (!decision.ok) return false
      await carryOut(tx, decision.effects, { sessions: [], runs: [run], at: now })
      return true
    })
  }

  function context(step: Step, signal: AbortSignal): ToolContext {
    const state = desk.state()
    if (!state) throw new Error('a tool is called for a run that was claimed')
    const { run, session, wireId } = state
    return {
      run: run.id,
      session: session.id,
      agent: run.agent,
      key: `${run.id}/${step.n}`,
      workspace: options.policies.prompt(run.agent).workspace,
      ...(run.terms?.cwd ? { folder: run.terms.cwd } : {}),
      signal,
      facts: openFacts(options, run, session),
      progress: partial =>
        options.tell({
          on: 'run.tool',
          run: run.id,
          session: session.id,
          sessionKey: session.key,
          agent: run.agent,
          wireId,
          phase: 'update',
          callId: (step.intent as ToolIntent).callId,
          name: step.name,
          partial,
        }),
      async started(process) {
        if (!(await begin(step, process))) throw new Error('the run is not this worker’s any more')
      },
    }
  }

  return { used, hold, begin, context }
}

function yieldWait(wanted: 'all' | 'any' | 'message', openChildren: number): Wait | null {
  if (wanted === 'message') return { for: 'message', until: null }
  return openChildren > 0 ? { for: 'children', mode: wanted, until: null } : null
}
