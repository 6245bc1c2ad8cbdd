/**
 * A model's reply becomes rows: its words, its calls, the children it spawned, and what follows.
 *
 * Owns the reply transaction. Parsing and spawn intents are made before it, since a body awaits nothing but its statements;
 * policy is checked inside it, on the rows as they are then.
 */
import type { SpawnRequest } from '../core/ports.ts'
import { type ReplyCall, reply, textOf } from '../core/run/reply.ts'
import type { MessageMeta, ModelIntent, Part, Run, Step } from '../core/types.ts'
import { countChildren, loadMailbox, loadSession, loadStep } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { distinct, type ParsedCall, parseCall, planSpawn } from './calls.ts'
import { carryOut } from './commit.ts'
import type { Found, WorkerState, Work } from './desk.ts'
import { endIds, fresh, homeOf } from './ending.ts'
import type { Answer } from './loop.ts'

type Held = (tx: Tx, mine: WorkerState) => Promise<Run | null>
type NextIn = (tx: Tx, is: (name: 'intent' | 'finish') => void, mine: WorkerState, now: number) => Promise<Found>

interface Prepared extends ParsedCall {
  request: SpawnRequest | null
}

export async function replyStep(
  work: Work,
  mine: WorkerState,
  step: Step,
  given: Answer,
  held: Held,
  nextIn: NextIn,
): Promise<Found | null> {
  const { options } = work
  const answer = { ...given, calls: distinct(given.calls) }
  // Nothing is stored with a secret in it: the journal, the transcript and a child's task have its name (decisions.md 19).
  const calls = (await prepare(work, mine, answer)).map(call => ({
    ...call,
    args: options.secrets.hide(call.args),
    request: options.secrets.hide(call.request),
  }))
  const ids = endIds(options.uuid)
  const messageId = options.uuid()
  const resultIds = calls.map(() => options.uuid())
  const uuids = calls.map(() => [options.uuid(), options.uuid()])
  const now = options.clock.now()
  const usage = answer.usage
  const charged = {
    nano: answer.costNano,
    tokens: usage.input + usage.output + usage.cacheRead + usage.cacheWrite,
    calls: 1,
  }
  const parts = wordsAndCalls(answer, calls, options.secrets.hide)
  const meta: MessageMeta = {
    model: answer.model,
    provider: answer.provider,
    api: answer.api,
    usage: { ...usage, costNano: answer.costNano },
    stop: answer.stop,
    turn: mine.run.turn,
  }

  return options.store.write('reply', async (tx, is) => {
    const current = await held(tx, mine)
    if (!current) {
      await lateCharge(tx, step, charged, usage)
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
    let children = calls.some(call => call.request) ? await countChildren(tx, current.id) : 0
    const decided: ReplyCall[] = calls.map(({ tool: _tool, request, ...call }, i) => {
      if (!request) return call
      let next = 0
      const planned = planSpawn(payer, step.n + 1 + i, session, request, children, {
        policy: options.policies.spawn(current.agent),
        models: options.models,
        modelFor: agent => options.policies.childModel(current.agent, agent),
        runTimeoutSeconds: options.policies.runTimeoutSeconds(current.agent),
        now,
        uuid: () => uuids[i]?.[next++] ?? messageId,
      })
      if (!planned.ok) return { ...call, spawn: planned }
      const limit = planned.planned.plan.run.grant.budget
      payer = {
        ...payer,
        lent: {
          nano: payer.lent.nano + (limit.nano ?? 0),
          tokens: payer.lent.tokens + (limit.tokens ?? 0),
          calls: payer.lent.calls + (limit.calls ?? 0),
        },
      }
      children += 1
      return { ...call, spawn: { ok: true as const, ...planned.planned } }
    })

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
    const after = await carryOut(tx, decision.effects, {
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
    const next = await nextIn(tx, is, mine, now)
    return { ...next, afters: [after, ...next.afters] }
  })
}

/** Everything that needs the tools: what was asked for, in words the decision understands. */
async function prepare(work: Work, mine: WorkerState, answer: Answer): Promise<Prepared[]> {
  const { options } = work
  const view = mine.script.view(mine.run)
  return Promise.all(
    answer.calls.map(async raw => {
      const call = parseCall(raw, mine.run, name => options.tools.get(name), view)
      if (call.refused !== undefined || call.tool?.name !== 'sessions_spawn') return { ...call, request: null }
      const asked = await call.tool.run(call.args, spawnContext(mine))
      if ('intent' in asked && asked.intent.do === 'spawn') return { ...call, request: asked.intent.request }
      return {
        ...call,
        request: null,
        refused: 'reply' in asked ? textOf(asked.reply.parts) : 'sessions_spawn gave no request',
      }
    }),
  )
}

/** A spawn asks for a child and touches nothing, so it needs nothing of a context. */
function spawnContext(mine: WorkerState) {
  const { run, session } = mine
  return {
    run: run.id,
    session: session.id,
    agent: run.agent,
    key: run.id,
    workspace: '',
    signal: new AbortController().signal,
    facts: { children: async () => [], agents: () => ({ requester: run.agent, allowAny: false, agents: [] }) },
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

/** The run is somebody else's by now, or ended: what the call cost goes to the ledger, nothing to the run (decisions.md 7). */
async function lateCharge(
  tx: Tx,
  step: Step,
  charged: { nano: number; tokens: number; calls: number },
  usage: Answer['usage'],
): Promise<void> {
  const attempt = step.intent.kind === 'model' ? step.intent.attempt : 1
  await tx
    .updateTable('usage')
    .set({
      charged_nano: charged.nano,
      charged_tokens: charged.tokens,
      charged_calls: charged.calls,
      input: usage.input,
      output: usage.output,
      cache_read: usage.cacheRead,
      cache_write: usage.cacheWrite,
      state: 'settled',
    })
    .where('run', '=', step.run)
    .where('step', '=', step.n)
    .where('attempt', '=', attempt)
    .where('state', '=', 'unknown')
    .execute()
}
