/**
 * A model's reply becomes rows: its words, its calls, the children it spawned, and what follows.
 *
 * Owns the reply transaction. Parsing and spawn intents are made before it, since a body awaits nothing but its statements;
 * policy is checked inside it, on the rows as they are then.
 */
import type { SpawnRequest, ToolContext } from '../core/ports.ts'
import { childId } from '../core/ids.ts'
import { afterwards } from '../core/run/facts.ts'
import { type ReplyCall, reply, textOf } from '../core/run/reply.ts'
import type { MessageMeta, ModelIntent, Part, Run, Step } from '../core/types.ts'
import { countChildren, loadMailbox, loadSession, loadStep } from '../store/facts.ts'
import { carryTurn } from './answering.ts'
import { openAsker } from './asking.ts'
import { distinct, type ParsedCall, parseCall } from './calls.ts'
import { liveTaskNames } from './children.ts'
import { watchSpawns } from './circles.ts'
import type { Found, Held, NextIn, WorkerState, Work } from './desk.ts'
import { type Claim, type Expected, type Made, makeEarly, type Named } from './early.ts'
import { endIds, homeOf } from './ending.ts'
import { fresh } from './fresh.ts'
import { noFacts } from './looking.ts'
import type { Answer, RawCall } from './loop.ts'
import { chargeLate, chargeOf } from './paying.ts'
import type { Tx } from '../store/open.ts'
import { clear, type Ground, planSpawn, prepareSpawn } from './spawning.ts'
import { threadFacts, withDefaults } from './threads.ts'

/** Of a reply without spawns nothing is read. */
const noLimits = { maxFailuresInRow: 0, maxSpawnsPerMinute: 0 }

interface Prepared extends ParsedCall {
  spawn: { request: SpawnRequest; ground: Ground } | null
}

export async function replyStep(
  work: Work,
  mine: WorkerState,
  step: Step,
  given: Answer,
  held: Held,
  nextIn: NextIn,
): Promise<Made<Found | null>> {
  const { options } = work
  const answer = { ...given, calls: distinct(given.calls) }
  // Nothing is stored with a secret in it: the journal, the transcript and a child's task have its name (decisions.md 19).
  const calls = (await prepare(work, mine, step, answer)).map(call => ({
    ...call,
    args: options.secrets.hide(call.args),
    spawn: options.secrets.hide(call.spawn),
  }))
  const spawns = calls.flatMap(call => call.spawn?.request ?? [])
  const forks = spawns.some(request => request.context === 'fork')
  const shown = forks ? mine.script.shown() : { messages: 0, tokens: 0 }
  const ids = endIds(options.uuid)
  const messageId = options.uuid()
  const resultIds = calls.map(() => options.uuid())
  const uuids = calls.map(() => [options.uuid(), options.uuid()])
  const approvalIds = calls.map(() => options.uuid())
  const now = options.clock.now()
  const usage = answer.usage
  const charged = chargeOf(usage, answer.costNano)
  const parts = wordsAndCalls(answer, calls, options.secrets.hide)
  const meta: MessageMeta = {
    model: answer.model,
    provider: answer.provider,
    api: answer.api,
    usage: { ...usage, costNano: answer.costNano },
    stop: answer.stop,
    turn: mine.run.turn,
    ...(answer.insteadOf ? { insteadOf: answer.insteadOf } : {}),
  }

  const refused: Ground[] = []
  const child = onlyChild(mine.run, step, calls)
  const early = child && (await work.early(child))
  const body = async (tx: Tx, is: Named, claim: Claim) => {
    refused.length = 0
    const current = await held(tx, mine)
    if (!current) {
      await chargeLate(tx, step, charged, usage)
      return null
    }
    const session = await loadSession(tx, current.session)
    const open = await loadStep(tx, step.run, step.n)
    if (!session || !open) return null
    const box = await loadMailbox(tx, session, current)
    // Only a reply without calls can be the end of the run: only then its return address matters.
    const home = calls.length === 0 ? await homeOf(tx, current) : null
    const view = { run: current, box, sessionKey: session.key, home, showing: [] }
    const { reserved } = open.intent as ModelIntent

    // Each spawn of this reply stands on what those before it have taken.
    let payer: Run = {
      ...current,
      spent: {
        ...current.spent,
        nano: current.spent.nano - reserved.nano + charged.nano,
        tokens: current.spent.tokens - reserved.tokens + charged.tokens,
      },
    }
    let liveChildren = spawns.length > 0 ? await countChildren(tx, current.id) : 0
    const taskNames = spawns.some(request => request.taskName) ? await liveTaskNames(tx, current.id) : []
    const policy = options.policies.spawn(current.agent)
    const limits = spawns.length > 0 ? options.policies.spawnLimits(current.agent) : noLimits
    const watch = await watchSpawns(tx, limits, current.tree, now)
    const asker = openAsker(tx, options.policies, current, session)
    const decided: ReplyCall[] = []
    for (const [i, { tool, spawn, ...call }] of calls.entries()) {
      const verdict =
        tool && call.refused === undefined
          ? await asker.verdict(tool, call.args, spawn ? (spawn.request.agent ?? current.agent) : null)
          : ({ do: 'go' } as const)
      if (verdict.do === 'refuse') {
        if (spawn) refused.push(spawn.ground)
        decided.push({ ...call, refused: verdict.text })
        continue
      }
      const asks =
        verdict.do === 'ask'
          ? await asker.approval(verdict, { id: approvalIds[i] ?? messageId, step: step.n + 1 + i, now })
          : null
      if (!spawn) {
        decided.push(asks ? { ...call, asks } : call)
        continue
      }
      let next = 0
      const planned = planSpawn(payer, step.n + 1 + i, session, spawn.request, spawn.ground, {
        policy,
        models: options.models,
        modelFor: agent => options.policies.childModel(current.agent, agent),
        runTimeoutSeconds: options.policies.runTimeoutSeconds(current.agent),
        thinking: options.policies.childThinking(current.agent),
        liveChildren,
        watch,
        taskNames,
        shown,
        maxForkTokens: options.policies.sharing().maxForkTokens,
        threads: threadFacts(options, current),
        now,
        uuid: () => uuids[i]?.[next++] ?? messageId,
      })
      if (!planned.ok) {
        refused.push(spawn.ground)
        decided.push({ ...call, spawn: planned })
        continue
      }
      // What is asked about is planned again when it is allowed: nothing is set aside for it meanwhile.
      if (asks) {
        refused.push(spawn.ground)
        decided.push({ ...call, asks })
        continue
      }
      const limit = planned.planned.plan.run.grant.budget
      payer = {
        ...payer,
        lent: {
          nano: payer.lent.nano + (limit.nano ?? 0),
          tokens: payer.lent.tokens + (limit.tokens ?? 0),
          calls: payer.lent.calls + (limit.calls ?? 0),
        },
      }
      liveChildren += 1
      watch.began()
      if (spawn.request.taskName) taskNames.push(spawn.request.taskName)
      decided.push({ ...call, spawn: { ok: true, ...planned.planned } })
    }

    const decision = reply(
      { ...view, step: open },
      {
        now,
        epoch: mine.epoch,
        messageId,
        parts,
        meta,
        calls: decided,
        resultIds,
        stop: answer.stop,
        usage,
        charged,
        ids,
        successor: fresh(options, ids.successor, session, current, now),
        homeRun: fresh(options, ids.homeRun, view.home?.session ?? session, view.home?.live ?? current, now),
        followups: 'keep',
      },
    )
    if (!decision.ok) return null
    if (decision.after === 'done') is('finish')
    if (decision.after === 'waiting') is('wait')
    const failed = decision.effects.find(effect => effect.do === 'run.set' && effect.to.outcome === 'failed')
    const after = await carryTurn(tx, options, decision.effects, {
      sessions: [session, ...(view.home ? [view.home.session] : [])],
      runs: [current, ...(view.home?.live ? [view.home.live] : [])],
      wire: { [current.id]: mine.wireId },
      turn:
        decision.after === 'calls'
          ? null
          : {
              run: current,
              text: textOf(parts),
              yielded: decision.after === 'waiting',
              stop: answer.stop,
              usage,
              outcome: decision.after === 'done' ? (failed ? 'failed' : 'succeeded') : null,
              error:
                failed?.do === 'run.set' && failed.to.errorCode
                  ? { code: failed.to.errorCode, message: failed.to.error ?? '' }
                  : null,
            },
      at: now,
    })
    if (decision.after === 'done' || decision.after === 'waiting')
      return { next: { do: 'rest' as const }, afters: [after], run: current, wireId: mine.wireId }
    mine.script.add(after)
    const next = await nextIn(tx, is, mine, afterwards(current, decision.effects), now)
    if (decision.effects.some(effect => effect.do === 'run.put' && effect.run.id === child?.id)) await claim(tx, is)
    return { ...next, afters: [after, ...next.afters] }
  }
  const made = await makeEarly(early, child?.id ?? '', work.bells, start =>
    options.store.write('reply', (tx, is) => body(tx, is, start())),
  )
  // Files that came with a task nobody does.
  for (const ground of refused) await clear(options, ground)
  return made
}

/** The child of a reply that spawns one. Of a crowd each is claimed by itself: they share their commits as it is. */
function onlyChild(run: Run, step: Step, calls: readonly Prepared[]): Expected | null {
  const spawning = calls.findIndex(call => call.spawn)
  const request = calls[spawning]?.spawn?.request
  if (!request || calls.some((call, i) => call.spawn && i !== spawning)) return null
  return { id: childId(run.id, step.n + 1 + spawning), agent: request.agent ?? run.agent, lane: 'subagent' }
}

/** Everything that needs the tools and the disk: what was asked for, in words the decision understands. */
async function prepare(work: Work, mine: WorkerState, step: Step, answer: Answer): Promise<Prepared[]> {
  const { options } = work
  const view = mine.script.view(mine.run)
  const one = async (raw: RawCall, i: number): Promise<Prepared> => {
    const call = { ...parseCall(raw, mine.run, name => options.tools.get(name), view), spawn: null }
    if (call.refused !== undefined || call.tool?.name !== 'sessions_spawn') return call
    const asked = await call.tool.run(call.args, nowhere(mine))
    if (!('intent' in asked)) return { ...call, refused: textOf(asked.reply.parts) }
    if (asked.intent.do !== 'spawn') return { ...call, refused: 'sessions_spawn gave no request' }
    const request = withDefaults(asked.intent.request, mine.run, options.policies)
    const ready = await prepareSpawn(options, mine.run, step.n + 1 + i, request)
    return ready.ok ? { ...call, spawn: { request, ground: ready.ground } } : { ...call, refused: ready.text }
  }
  const prepared: Prepared[] = []
  for (const [i, raw] of answer.calls.entries()) {
    if (options.pace.due()) await options.pace.turn()
    prepared.push(await one(raw, i))
  }
  return prepared
}

/** A spawn asks for a child and touches nothing, so it needs nothing of a context. */
function nowhere({ run, session }: WorkerState): ToolContext {
  return {
    run: run.id,
    session: session.id,
    agent: run.agent,
    key: run.id,
    workspace: '',
    signal: new AbortController().signal,
    facts: noFacts,
    progress: () => undefined,
    started: async () => undefined,
  }
}

/** Words and thinking as they came, then the calls with their arguments as understood; known secrets by name only. */
function wordsAndCalls(answer: Answer, calls: readonly Prepared[], hide: <T>(value: T) => T): Part[] {
  const words = answer.parts
    .filter(part => part.type !== 'toolCall')
    .map(part => (part.type === 'text' ? { ...part, text: hide(part.text) } : part))
  const made = calls.map((call, i): Part => {
    const meta = answer.calls[i]?.meta
    return {
      type: 'toolCall',
      id: call.callId,
      name: call.name,
      arguments: call.args ?? {},
      ...(meta === undefined ? {} : { meta }),
    }
  })
  return [...words, ...made]
}
