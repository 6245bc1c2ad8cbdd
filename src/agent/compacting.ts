/**
 * Older messages become a summary when the prompt nears what the model can read, when a provider refused it as too long, or
 * when a person asks (decisions.md 31).
 *
 * Owns when and how much, what stays word for word beside the summary, and the transactions of that step. A summary that does
 * not come, or is no shorter than what it stands for, is an error and ends the run; the conversation stays as it was.
 */
import { type Refused, reserve } from '../core/budget.ts'
import type { ModelRequest, ResolvedModel } from '../core/ports.ts'
import { compact, compacted, taken, wasted } from '../core/run/compact.ts'
import { end } from '../core/run/end.ts'
import { afterwards, type Effect, type Mailbox } from '../core/run/facts.ts'
import { textOf } from '../core/run/reply.ts'
import type { CompactIntent, Run, Step, View } from '../core/types.ts'
import { chooseCut, tokensOf, viewWords } from '../core/view.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { loadMailbox, loadSession, loadStep, messageOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { carryTurn } from './answering.ts'
import { capsOn } from './caps.ts'
import { type After, carryOut } from './commit.ts'
import { estimateTokens } from './context.ts'
import { endIds, endRun, endView, type EndIds } from './ending.ts'
import type { Found, Held, NextIn, WorkerState } from './desk.ts'
import { fresh } from './fresh.ts'
import { holdRun } from './holding.ts'
import type { Answer } from './loop.ts'
import { chargeLate, chargeOf } from './paying.ts'
import type { AgentOptions, Compaction } from './room.ts'
import { summaryRequest, summaryTokens } from './summary.ts'

/** A person's wish does nothing to less than this. */
const leastTokens = 500
/** What a summary's own prompt says besides the transcript. */
const besides = 2000
/** Messages of a run's task that stay word for word, the first and the newest, and how much of each. */
const mostTasks = 6
const longestTask = 12_000

/** Whether a prompt is so long that its conversation is shortened first. `prompt` is estimated from above. */
export function nearlyFull(prompt: number, model: ResolvedModel, rules: Compaction): boolean {
  return rules.enabled && prompt * 0.75 > model.contextWindow - spare(model, rules)
}

function spare({ contextWindow }: ResolvedModel, { reserveTokens }: Compaction): number {
  return Math.min(reserveTokens, Math.floor(contextWindow / 4))
}

export interface Want {
  why: View['why']
  /** The compaction that a crash or a pause left open. */
  open: Step | null
  last: number
}

/** `refused`: what is used up, when that is why. */
export type Begun = { ok: true; found: Found } | { ok: false; code: ErrorCode; error: string; refused?: Refused }

/** Commits the intent of a compaction; null when there is nothing to shorten. */
export async function beginCompaction(
  tx: Tx,
  options: AgentOptions,
  mine: WorkerState,
  run: Run,
  box: Mailbox,
  reader: ResolvedModel,
  want: Want,
  now: number,
): Promise<Begun | null> {
  const rules = options.policies.compaction(run.agent)
  const before = want.open ? (want.open.intent as CompactIntent) : null
  const resolved = options.models.resolve(rules.model ?? run.model, run.agent)
  if (!resolved.ok) return { ok: false, code: 'MODEL_UNKNOWN', error: `${resolved.reason}. ${resolved.fix}` }
  const { model } = resolved
  const { view, rows } = mine.script.whole()
  const most = Math.max(1000, Math.floor((model.contextWindow - summaryTokens - besides) * 0.6))
  const after = before?.after ?? cutOf(rows, want.why, rules, reader, most)
  if (after === null) return null
  const note = before ? before.note : box.unread.findLast(row => row.kind === 'compact' && row.note)?.note
  const older = rows.filter(row => row.ord !== null && row.ord <= after)
  const asked = summaryRequest(view, older, { standing: rules.instructions, now: note ?? null }, most * 4)
  const cacheKey = `${run.session}/summary`.slice(-64)
  const call = { model: model.ref, agent: run.agent, cacheKey }
  const pause = options.models.pause(call)
  if (pause) {
    const held = await holdRun(tx, mine, run, box, pause, now)
    return 'found' in held ? { ok: true, ...held } : { ok: false, ...held }
  }
  if (!options.models.line.admits(run.id, call))
    return { ok: true, found: { next: { do: 'line', run: run.id, call }, afters: [], run, wireId: mine.wireId } }
  const reservation = reserve(
    { limit: run.grant.budget, spent: run.spent, lent: run.lent },
    {
      promptTokens: estimateTokens(asked.system, asked.messages, ''),
      maxTokens: Math.min(summaryTokens, model.maxTokens),
      price: model.price,
      inPlace: options.models.inPlaceOf(model.ref, run.agent).map(({ price }) => price),
    },
    await capsOn(tx, options.policies, run, now),
  )
  if (!reservation.ok) return { ok: false, code: reservation.code, error: reservation.message, refused: reservation }
  const decision = compact(
    { run, box, open: want.open, last: want.last },
    {
      now,
      epoch: mine.epoch,
      model: model.ref,
      what: { view: view?.id ?? null, after, why: want.why, ...(note === undefined ? {} : { note }) },
      reserve: reservation.charge.reserved,
    },
  )
  if (!decision.ok) return { ok: true, found: { next: { do: 'rest' }, afters: [], run, wireId: mine.wireId } }
  const carried = await carryOut(tx, decision.effects, {
    sessions: [mine.session],
    runs: [run],
    wire: { [run.id]: mine.wireId },
    at: now,
  })
  const step = stepIn(decision.effects, want.open)
  const request: ModelRequest = {
    run: run.id,
    ...call,
    ...asked,
    tools: [],
    maxTokens: reservation.maxTokens,
    most: reservation.most,
    ...(rules.thinking === null ? {} : { thinking: rules.thinking }),
    signal: never,
  }
  const next = step ? { do: 'compact' as const, step, request, timeoutMs: rules.timeoutMs } : { do: 'rest' as const }
  return { ok: true, found: { next, afters: [carried], run, wireId: mine.wireId } }
}

const never = new AbortController().signal

function cutOf(
  rows: Parameters<typeof chooseCut>[0],
  why: View['why'],
  rules: Compaction,
  reader: ResolvedModel,
  most: number,
): number | null {
  const total = rows.reduce((sum, row) => sum + tokensOf(row), 0)
  if (why === 'asked' && total < leastTokens) return null
  const keep = Math.min(rules.keepRecentTokens, Math.floor((reader.contextWindow - spare(reader, rules)) / 2))
  // Who asks wants less than there is; a prompt that was refused must become shorter, whatever else is wanted.
  const share = { window: keep, asked: Math.min(keep, total / 4), provider: Math.min(keep, total / 2) }[why]
  const turns = why === 'provider' ? 0 : rules.recentTurns
  return chooseCut(rows, { keep: share, turns, most })
}

function stepIn(effects: readonly Effect[], open: Step | null): Step | null {
  for (const effect of effects) {
    if (effect.do === 'step.put') return effect.step
    if (effect.do === 'step.set' && open && effect.to.intent) return { ...open, intent: effect.to.intent }
  }
  return null
}

/** The summary has come: view, session and step in one transaction, with the intent of what follows. */
export async function summaryCame(
  options: AgentOptions,
  mine: WorkerState,
  step: Step,
  answer: Answer,
  { held, nextIn }: { held: Held; nextIn: NextIn },
): Promise<Found | null> {
  const now = options.clock.now()
  const id = options.uuid()
  const ids = endIds(options.uuid)
  const charged = chargeOf(answer.usage, answer.costNano)
  const summary = options.secrets.hide(textOf(answer.parts).trim())
  const { view: base, rows } = mine.script.whole()
  const intent = step.intent as CompactIntent
  const older = rows.filter(row => row.ord !== null && row.ord <= intent.after)
  const tokensBefore =
    older.reduce((sum, row) => sum + tokensOf(row), 0) + (base ? Math.ceil(viewWords(base).length / 4) : 0)
  return options.store.write('reply', async (tx, is) => {
    const run = await held(tx, mine)
    if (!run) {
      await chargeLate(tx, step, charged, answer.usage)
      return null
    }
    const open = await loadStep(tx, step.run, step.n)
    const session = await loadSession(tx, run.session)
    if (!open || !session) return null
    const messages = (base?.messages ?? 0) + older.length
    const made: View = {
      id,
      session: run.session,
      run: run.id,
      step: step.n,
      after: intent.after,
      summary,
      pinned: await stillOpen(tx, run, intent.after, now),
      base: intent.view,
      why: intent.why,
      messages,
      tokensBefore,
      tokensAfter: 0,
      at: now,
    }
    const view = { ...made, tokensAfter: Math.ceil(viewWords(made).length / 4) }
    const fault = faultOf(view, answer)
    const about = { sessions: [session], runs: [run], wire: { [run.id]: mine.wireId }, at: now }
    if (fault !== null) {
      const spent = wasted({ run, step: open }, { now, epoch: mine.epoch, charged, usage: answer.usage, found: fault })
      if (!spent.ok) return null
      is('finish')
      const paid = await carryOut(tx, spent.effects, about)
      const ended = await endRun(tx, options, afterwards(run, spent.effects), failure(fault), ids, now)
      return { next: { do: 'rest' }, afters: ended ? [paid, ended] : [paid], run, wireId: mine.wireId }
    }
    const decision = compacted(
      { run, step: open },
      { now, epoch: mine.epoch, made: view, charged, usage: answer.usage },
    )
    if (!decision.ok) return null
    const after = await carryOut(tx, decision.effects, about)
    mine.script.add(after)
    const next = await nextIn(tx, is, mine, afterwards(run, decision.effects), now)
    return { ...next, afters: [after, ...next.afters] }
  })
}

/** How a run ends whose conversation could not be shortened. */
export function failure(why: string) {
  return {
    outcome: 'failed',
    code: 'COMPACTION_FAILED',
    error: `the conversation could not be shortened: ${why}`,
    followups: 'keep',
  } as const
}

function faultOf(view: View, answer: Answer): string | null {
  if (answer.stop === 'refusal') return `${answer.model} refused to summarise it`
  if (answer.stop === 'length') return `the summary of ${answer.model} did not come to an end`
  if (view.summary === '') return `${answer.model} gave no summary`
  if (view.tokensAfter >= view.tokensBefore)
    return `the summary of ${answer.model} is no shorter than what it stands for`
  return null
}

/** What must not depend on how well a summary was written: the task at hand as it was given, and who works for this run. */
async function stillOpen(tx: Tx, run: Run, after: number, now: number): Promise<string[]> {
  const tasks = (await tx.ask(tasksOf, run.id, run.session, after)).map(row => messageOf(row))
  const kept = tasks.length <= mostTasks ? tasks : [tasks[0]!, ...tasks.slice(1 - mostTasks)]
  const children = await tx.ask(liveChildren, run.id)
  return [
    ...kept.map(message => {
      const text = textOf(message.parts)
      const from = message.meta.via ? `agent ${message.meta.via.agent}` : run.parent === null ? 'person' : 'task'
      const more = text.length > longestTask ? `\n(${text.length - longestTask} characters left out)` : ''
      return `[${from}] ${text.slice(0, longestTask)}${more}`
    }),
    ...(children.length === 0 ? [] : ['[Sub-agents at work; their results will come as messages]']),
    ...children.map(
      child =>
        `- ${child.id} (${child.agent}${child.label === null ? '' : `, ${child.label}`}), ${Math.round((now - child.created_at) / 1000)}s: ${child.task.slice(0, 300)}`,
    ),
  ]
}

const tasksOf = (db: Tx, run: string, session: string, after: number) =>
  db
    .selectFrom('inbox')
    .innerJoin('messages', join =>
      join.onRef('messages.session', '=', 'inbox.session').onRef('messages.seq', '=', 'inbox.seq'),
    )
    .selectAll('messages')
    .where('inbox.read_run', '=', run)
    .where('inbox.session', '=', session)
    .where('inbox.kind', '=', 'message')
    .where('messages.ord', '<=', after)
    .orderBy('messages.seq')

const liveChildren = (db: Tx, run: string) =>
  db
    .selectFrom('runs')
    .select(['id', 'agent', 'label', 'task', 'created_at'])
    .where('parent', '=', run)
    .where('state', '<>', 'done')
    .orderBy('created_at')
    .limit(100)

/** There is nothing to shorten: the wishes for it are over. */
export async function dropWishes(tx: Tx, mine: WorkerState, run: Run, box: Mailbox, now: number): Promise<After> {
  const ids = box.unread.filter(row => row.kind === 'compact').map(row => row.id)
  return carryOut(tx, taken(run.session, ids, run.id, null), { sessions: [mine.session], runs: [run], at: now })
}

function doneWords({ messages, tokensBefore, tokensAfter }: View): string {
  const about = (tokens: number) => (tokens < 1000 ? `${tokens}` : `${Math.round(tokens / 1000)}k`)
  return `A summary stands for ${messages} messages now: about ${about(tokensAfter)} tokens instead of ${about(tokensBefore)}. The messages are kept.`
}

/** A run that was there for the summary alone has nothing to ask its model. */
export async function endIdle(
  tx: Tx,
  options: AgentOptions,
  mine: WorkerState,
  run: Run,
  ids: EndIds,
  now: number,
): Promise<After | null> {
  const session = await loadSession(tx, run.session)
  if (!session) return null
  const view = await endView(tx, run, await loadMailbox(tx, session, run))
  const shown = mine.script.whole().view
  const text = shown?.run === run.id ? doneWords(shown) : 'The conversation is short enough; nothing was changed.'
  const decision = end(view, {
    now,
    outcome: 'succeeded',
    code: null,
    error: null,
    text,
    seq: null,
    ids,
    successor: fresh(options, ids.successor, session, run, now),
    homeRun: fresh(options, ids.homeRun, view.home?.session ?? session, view.home?.live ?? run, now),
    followups: 'keep',
  })
  if (!decision.ok) return null
  return carryTurn(tx, options, decision.effects, {
    sessions: [session],
    runs: [run],
    wire: { [run.id]: mine.wireId },
    turn: { run, text, yielded: false, stop: 'stop', outcome: 'succeeded' },
    at: now,
  })
}
