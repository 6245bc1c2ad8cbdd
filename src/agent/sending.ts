/**
 * `sessions_send` and `subagents steer`: a message from one conversation to another, and the wait for its reply.
 *
 * Owns the transaction: target found, reach and limits checked, message with its reader, the sender's step, all in one
 * (decisions.md 25). Invariants: a run that a message starts holds no more than its sender and its own agent's policy; its
 * limit is taken out of its sender's; what comes from a lower authority is marked as data; answers back and forth are counted.
 */
import { carve, left } from '../core/budget.ts'
import { grantFor } from '../core/grant.ts'
import type { SendRequest } from '../core/ports.ts'
import { accept } from '../core/run/accept.ts'
import { type Effect, nothing } from '../core/run/facts.ts'
import { ask } from '../core/run/steps.ts'
import type { Message, MessageMeta, Run, Session, Step, Via } from '../core/types.ts'
import { loadPostbox, openSessionByKey, sessionOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import { carryOut } from './commit.ts'
import type { Found } from './desk.ts'
import type { Next } from './loop.ts'
import { placeFor } from './place.ts'
import { outOfReach, reaches, trusted } from './reach.ts'
import type { AgentOptions } from './room.ts'
import type { StepTools } from './tool-steps.ts'

/** Method under which the rows remember that somebody waits for the reply to a message. */
export const sendMethod = 'sessions_send'

/** Names one message of a run for ever. */
export function sendKey(run: string, n: number): string {
  return `${run}/${n}`
}

export async function sendStep(
  options: AgentOptions,
  tools: StepTools,
  step: Step,
  request: SendRequest,
): Promise<Next> {
  const ids = { answer: options.uuid(), message: options.uuid(), run: options.uuid(), session: options.uuid() }
  const text = options.secrets.hide(request.message)
  return tools.onStep('wait', step, async (tx, is, facts) => {
    const { run, box, now } = facts
    const self = box.session
    const say = (status: string, more: object, failed = false) =>
      tools.recorded(tx, is, facts, ids.answer, JSON.stringify({ status, ...more }), failed)
    const refuse = (error: string) => say('forbidden', { error }, true)

    const found = await targetOf(options, tx, self, request, { id: ids.session, now })
    if (typeof found === 'string') return refuse(found)
    const { target, isNew } = found
    if (target.id === self.id) return refuse('This is your own conversation.')
    const post = isNew
      ? { session: target, live: null, unread: [], openChildren: 0, askedOpen: 0 }
      : await loadPostbox(tx, target)
    if (target.depth > 0 && post.live === null)
      return refuse('The sub-agent has ended; what it has done stays. Give the next task to a new one: sessions_spawn.')
    const hops = await hopsOf(tx, self.id)
    const most = options.policies.sharing().maxPingPongTurns
    if (hops > most)
      return refuse(`Agents have answered each other ${most} times since a person said something; that is the limit.`)

    const grant = grantFor(options.policies.spawn(target.agent).caller, run.grant)
    const answered = request.mode !== 'notify' && request.tool === 'sessions_send'
    const via: Via = {
      kind: 'inter_session',
      sessionKey: self.key,
      agent: run.agent,
      run: run.id,
      tool: request.tool,
      trusted: await trusted(tx, options.policies, { session: self, grant: run.grant }, target),
      hops,
      expects: answered ? 'reply' : 'nothing',
    }
    const meta = { from: `run:${run.id}`, via }
    const parts = [{ type: 'text' as const, text }]
    const start: Effect[] = isNew ? [{ do: 'session.put', session: target }] : []
    const about = { sessions: [target, self], runs: [run, ...(post.live ? [post.live] : [])], at: now }

    if (request.mode === 'notify') {
      const message: Message = {
        session: target.id,
        seq: target.seq + 1,
        ord: await placeFor(tx, target),
        id: ids.message,
        role: 'user',
        parts,
        run: null,
        step: null,
        at: now,
        meta,
      }
      const after = await carryOut(tx, [...start, { do: 'message.put', message }], about)
      const delivery = { status: 'skipped', mode: request.mode }
      return withBefore(await say('accepted', { sessionKey: target.key, delivery }), after)
    }

    const purse = carve(left({ limit: run.grant.budget, spent: run.spent, lent: run.lent }), grant.budget, null, 1)
    if (post.live === null && !purse.ok) return refuse(purse.message)
    const budget = purse.ok ? purse.purse : grant.budget
    const seconds = options.policies.timeoutSeconds(target.agent)
    const model = target.settings?.model ?? options.policies.model(target.agent)
    const decision = accept(post, {
      now,
      messageId: ids.message,
      parts,
      meta,
      key: `send:${sendKey(run.id, step.n)}`,
      mode: request.mode,
      route: null,
      lane: 'subagent',
      fresh: { id: ids.run, grant: { ...grant, budget }, model, deadlineAt: seconds > 0 ? now + seconds * 1000 : null },
      task: text.slice(0, 4000),
    })
    if (!decision.ok) return refuse(decision.message)
    const reader = post.live ?? decision.effects.flatMap(effect => (effect.do === 'run.put' ? [effect.run] : []))[0]
    if (!reader) return refuse('Nobody would read it.')
    const paid: Effect[] = post.live
      ? []
      : [
          {
            do: 'run.money',
            run: run.id,
            spent: { nano: budget.nano ?? 0, tokens: budget.tokens ?? 0, calls: budget.calls ?? 0 },
            lent: nothing,
          },
        ]
    const after = await carryOut(tx, [...start, ...decision.effects, ...paid], about)
    if (answered) await remember(tx, run, step.n, target, reader.id, after.applied.inbox, now)
    const told = {
      runId: reader.id,
      sessionKey: target.key,
      targetDisposition: post.live && request.mode === 'steer' ? 'steered' : 'queued',
      delivery: { status: answered ? 'pending' : 'skipped', mode: request.mode },
    }
    if (!answered || request.timeoutMs === 0) {
      const note = answered ? 'Its reply comes as a message.' : 'It reads this at its next step.'
      return withBefore(await say('accepted', { ...told, note }), after)
    }
    const until = now + request.timeoutMs
    const wait = { for: 'ask' as const, n: step.n, runs: [], mode: 'any' as const, until, outside: true }
    const waiting = ask(facts, { now, epoch: facts.mine.epoch, wait })
    if (!waiting.ok) return null
    if (waiting.after === 'again')
      return withBefore(
        await say('accepted', { ...told, note: 'A message for you is here; the reply comes as one, too.' }),
        after,
      )
    const wire = { [run.id]: facts.mine.wireId }
    const rested = await carryOut(tx, waiting.effects, { sessions: [self], runs: [run], wire, at: now })
    return { next: { do: 'rest' }, afters: [after, rested], run, wireId: facts.mine.wireId }
  })
}

function withBefore(found: Found | null, after: Found['afters'][number]): Found | null {
  return found && { ...found, afters: [after, ...found.afters] }
}

/** The conversation that is meant, if it is in reach; a sentence if not. An agent's main one is opened when it is not there. */
async function targetOf(
  options: AgentOptions,
  tx: Tx,
  self: Session,
  { to }: SendRequest,
  fresh: { id: string; now: number },
): Promise<{ target: Session; isNew: boolean } | string> {
  const sharing = options.policies.sharing()
  const wanted = 'key' in to ? to.key : 'label' in to ? to.label : to.agent
  const found = await lookUp(tx, self, to)
  if (found)
    return (await reaches(tx, sharing, self, found))
      ? { target: found, isNew: false }
      : outOfReach(sharing, self, wanted)
  if (!('agent' in to) || 'label' in to || to.agent === null || !options.policies.has(to.agent))
    return outOfReach(sharing, self, wanted)
  const target: Session = {
    id: fresh.id,
    key: `agent:${to.agent}:main`,
    agent: to.agent,
    tree: fresh.id,
    parentSession: null,
    spawnedBy: null,
    depth: 0,
    label: null,
    route: null,
    seq: 0,
    createdAt: fresh.now,
    updatedAt: fresh.now,
    closedAt: null,
  }
  return (await reaches(tx, sharing, self, target)) ? { target, isNew: true } : outOfReach(sharing, self, wanted)
}

async function lookUp(tx: Tx, self: Session, to: SendRequest['to']): Promise<Session | null> {
  if ('key' in to) {
    const key = to.key.trim().toLowerCase()
    return openSessionByKey(tx, key === 'main' ? `agent:${self.agent}:main` : key)
  }
  if (!('label' in to)) return openSessionByKey(tx, `agent:${to.agent.toLowerCase()}:main`)
  let query = tx.selectFrom('sessions').selectAll().where('label', '=', to.label).where('closed_at', 'is', null)
  if (to.agent !== null) query = query.where('agent', '=', to.agent.toLowerCase())
  const row = await query.orderBy('updated_at', 'desc').limit(1).executeTakeFirst()
  return row ? sessionOf(row) : null
}

/** Answers back and forth before this message: one more than the one it answers has. */
async function hopsOf(tx: Tx, session: string): Promise<number> {
  const rows = await tx
    .selectFrom('messages')
    .select('meta')
    .where('session', '=', session)
    .where('role', '=', 'user')
    .where('ord', 'is not', null)
    .orderBy('seq', 'desc')
    .limit(20)
    .execute()
  const metas = rows.map(row => JSON.parse(row.meta) as MessageMeta)
  const last = metas.find(meta => !meta.child && !meta.check)
  return last?.via ? last.via.hops + 1 : 0
}

async function remember(
  tx: Tx,
  run: Run,
  n: number,
  target: Session,
  reader: string,
  inbox: ReadonlyMap<string, number>,
  at: number,
): Promise<void> {
  const key = sendKey(run.id, n)
  await tx
    .insertInto('rpc_keys')
    .values({
      principal: `run:${run.id}`,
      method: sendMethod,
      session: target.key,
      key,
      payload: '',
      run: reader,
      inbox: inbox.get(`send:${key}`) ?? null,
      answered_turn: null,
      answer: null,
      at,
    })
    .execute()
}
