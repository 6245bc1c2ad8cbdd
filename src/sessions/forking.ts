/**
 * A copy of a conversation as it stood at a step of a run, and a new run that goes on from there (decisions.md 31).
 *
 * Owns which rows are copied and what the copy is told. The run that was named, its conversation and its return address are
 * never touched: the copy is a conversation of its own, under the authority, the budget and the eyes of whoever asked. Files
 * and whatever else was done stay as they are.
 */
import { announce, carryOut } from '../agent/commit.ts'
import { holderOf, nameOf } from '../core/principal.ts'
import { accept } from '../core/run/accept.ts'
import type { Effect } from '../core/run/facts.ts'
import type { Run, Session, Step, Terms } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { loadRun, loadSession, loadStep, stepOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { assertStanding } from '../store/pairing.ts'
import { type AcceptDeps, checked, digest, knownAgent, pickModel, repeated } from './accepting.ts'
import { newSession } from './keys.ts'
import type { ForkInput, Forked } from './types.ts'

const method = 'runs.fork'

/** Where in the source the copy ends: rows up to `upto` whose place is at most `place`. */
interface Cut {
  upto: number
  place: number
  view: string | null
}

export async function forkRun({ options, bells }: AcceptDeps, input: ForkInput): Promise<Forked> {
  const { policies } = options
  const source = await loadRun(options.store.read, input.run)
  if (!source) throw new DeputyError('UNKNOWN_RUN', `There is no run ${input.run}.`, { details: { run: input.run } })
  knownAgent(options, source.agent)
  const words = input.message?.trim() ?? ''
  const parts = options.secrets.hide(checked([{ type: 'text', text: words === '' ? goOn : words }]))
  const who = nameOf(input.principal)
  const payload = digest([method, source.id, input.step, input.model ?? null, parts])
  const model = pickModel(options, source.agent, input.model ?? source.model)
  const now = options.clock.now()
  const ids = { session: options.uuid(), message: options.uuid(), run: options.uuid() }
  const seconds = policies.timeoutSeconds(source.agent)
  const done = await options.store.write('accept', async tx => {
    if (input.principal.kind === 'device') await assertStanding(tx, input.principal, 'operator.write')
    const again = await repeated(tx, who, method, source.id, input.idempotencyKey, payload)
    const before = again && (await loadRun(tx, again.run))
    if (again && before) return { after: null, session: again.session, run: before, messages: again.session.seq }
    const from = await loadSession(tx, source.session)
    if (!from) throw new DeputyError('UNKNOWN_SESSION', `The conversation of the run ${source.id} is gone.`)
    const cut = await cutAt(tx, source, from, input.step)
    const at = { agent: source.agent, key: `agent:${source.agent}:fork-${ids.session.slice(0, 8)}` }
    const { thinking } = from.settings ?? {}
    const session: Session = {
      ...newSession(ids.session, at, now, null),
      // The copy keeps the places that its messages have.
      seq: Math.max(cut.upto, cut.place),
      settings: { model, ...(thinking === undefined ? {} : { thinking }) },
      ...(cut.view === null ? {} : { view: cut.view }),
    }
    const decision = accept(
      { session, live: null, unread: [], openChildren: 0, askedOpen: 0 },
      {
        now,
        messageId: ids.message,
        parts,
        meta: { from: who, idempotencyKey: input.idempotencyKey },
        key: `${who}|${method}|${input.idempotencyKey}`,
        mode: 'steer',
        route: null,
        fresh: {
          id: ids.run,
          grant: policies.rootGrant(source.agent, input.principal.scopes, holderOf(input.principal)),
          model,
          deadlineAt: seconds > 0 ? now + seconds * 1000 : null,
        },
        task: words === '' ? source.task : words.slice(0, 4000),
      },
    )
    if (!decision.ok) throw new DeputyError(decision.code, decision.message)
    const effects: Effect[] = [
      { do: 'session.put', session },
      { do: 'messages.copy', from: from.id, to: session.id, upto: cut.upto, place: cut.place },
      ...decision.effects.map(effect =>
        effect.do === 'run.put' ? { ...effect, run: { ...effect.run, ...workedUnder(source) } } : effect,
      ),
    ]
    const run = effects.flatMap(effect => (effect.do === 'run.put' ? [effect.run] : []))[0]!
    const after = await carryOut(tx, effects, { sessions: [session], runs: [], wire: { [run.id]: run.id }, at: now })
    const asked = { principal: who, method, session: source.id, key: input.idempotencyKey, payload }
    await tx
      .insertInto('rpc_keys')
      .values({ ...asked, run: run.id, inbox: null, answered_turn: 0, answer: null, at: now })
      .execute()
    return { after, session, run, messages: 0 }
  })
  if (done.after) announce(done.after, bells, options.tell)
  const copied = await options.store.read
    .selectFrom('messages')
    .select(eb => eb.fn.countAll<number>().as('n'))
    .where('session', '=', done.session.id)
    .where('id', '<>', ids.message)
    .where('at', '<=', done.run.createdAt)
    .executeTakeFirstOrThrow()
  return {
    run: done.run.id,
    of: source.id,
    step: input.step,
    sessionKey: done.session.key,
    agent: source.agent,
    model: done.run.model,
    messages: Number(copied.n),
  }
}

const goOn =
  '[This conversation is a copy that ends here; the first one went on without you. Files and whatever else it did stay as they are now, so look before you rely on them. Go on from here.]'

/** How it works, not what it had to hand in: that was asked for by somebody else. */
function workedUnder({ terms }: Run): { terms?: Terms } {
  const { cwd, light, thinking } = terms ?? {}
  const kept = { ...(cwd ? { cwd } : {}), ...(light ? { light } : {}), ...(thinking ? { thinking } : {}) }
  return Object.keys(kept).length > 0 ? { terms: kept } : {}
}

/** A model call is made anew, so the copy ends before its answer; after a tool's result it ends with that. */
async function cutAt(tx: Tx, run: Run, session: Session, n: number): Promise<Cut> {
  const step = await loadStep(tx, run.id, n)
  if (!step) throw noStep(`The run ${run.id} has no step ${n}.`, run)
  const { intent, result } = step
  if (intent.kind === 'model') {
    if (step.state === 'open') throw noStep(`Step ${n} of the run ${run.id} is at work still.`, run)
    return { upto: intent.upto, place: result?.seq ?? session.seq, view: intent.view }
  }
  const seq = result?.seq ?? null
  if (intent.kind === 'compact' || seq === null)
    throw noStep(
      intent.kind === 'compact'
        ? `Step ${n} of the run ${run.id} is a summary; a copy begins at a model call or a tool call.`
        : `Step ${n} of the run ${run.id} has no result.`,
      run,
    )
  const asked = await callBefore(tx, run.id, n)
  return { upto: seq, place: seq, view: asked?.intent.kind === 'model' ? asked.intent.view : null }
}

async function callBefore(tx: Tx, run: string, n: number): Promise<Step | null> {
  const row = await tx
    .selectFrom('steps')
    .selectAll()
    .where('run', '=', run)
    .where('kind', '=', 'model')
    .where('n', '<', n)
    .orderBy('n', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? stepOf(row) : null
}

function noStep(message: string, run: Run): DeputyError {
  return new DeputyError('INVALID_PARAMS', message, {
    fix: `deputy runs steps ${run.id} lists the steps.`,
    details: { run: run.id },
  })
}
