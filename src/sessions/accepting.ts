/**
 * Accepting a message, and work that a person hands straight to an agent: one transaction each, told only after it.
 *
 * Owns idempotency of both (decisions.md 3, 38): the same principal, method, session and key is the same acceptance, and the
 * same key with other words is refused. Never starts a model call: the doorbell of the committed run does.
 */
import { createHash } from 'node:crypto'
import type { Insertable, Updateable } from 'kysely'
import type { AgentOptions, Bells } from '../agent/room.ts'
import { announce, carryOut } from '../agent/commit.ts'
import { type Claim, type Early, makeEarly, type Named } from '../agent/early.ts'
import { attenuate } from '../core/grant.ts'
import { subagentKey } from '../core/ids.ts'
import { nameOf, type Principal } from '../core/principal.ts'
import { accept, birth } from '../core/run/accept.ts'
import { nothing } from '../core/run/facts.ts'
import type { Part, Receipt, Run, Session } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import { loadPostbox, loadRun, openSessionByKey, sessionOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { RpcKeysTable } from '../store/tables.ts'
import { assertStanding } from '../store/pairing.ts'
import { authorityIn } from './authority.ts'
import { touchBound } from './bound.ts'
import { answeredBefore } from './commands/claims.ts'
import { meant, newSession } from './keys.ts'
import type { Accepted, AcceptInput, SpawnInput } from './types.ts'

/** A longer message belongs into a file of the workspace. */
const maxMessageBytes = 1_000_000

export interface AcceptDeps {
  options: AgentOptions
  bells: Bells
  interrupt(run: string): void
  early: Early
}

/** `sent` is what the caller sent, when the message is only a part of that: a repeat is known by it. */
export async function acceptMessage(
  deps: AcceptDeps,
  input: AcceptInput,
  sent: readonly Part[] = input.parts,
): Promise<Accepted> {
  const { options, bells } = deps
  const { policies } = options
  const at = meant(input, policies.defaultAgent())
  knownAgent(options, at.agent)
  const parts = options.secrets.hide(checked(input.parts))
  const principal = nameOf(input.principal)
  const payload = digest([input.method, at.key, sent === input.parts ? parts : options.secrets.hide(checked(sent))])
  const now = options.clock.now()
  const ids = { session: options.uuid(), message: options.uuid(), run: options.uuid() }
  const seconds = input.timeoutSeconds ?? policies.timeoutSeconds(at.agent)
  const deadlineAt = seconds > 0 ? now + seconds * 1000 : null
  const mode = input.mode === 'followup' || input.mode === 'collect' ? input.mode : 'steer'

  // What waits for more words of its person begins later.
  const early = input.begin ? null : await deps.early({ id: ids.run, agent: at.agent, lane: 'main' })
  const body = async (tx: Tx, is: Named, claim: Claim) => {
    await standing(tx, input.principal)
    const again = await repeated(tx, principal, input.method, at.key, input.idempotencyKey, payload)
    if (again) return { again }
    const found = await openSessionByKey(tx, at.key)
    await touchBound(tx, input, found !== null, now)
    const session = found ?? newSession(ids.session, at, now, input.route ?? null)
    const box = found
      ? await loadPostbox(tx, found)
      : { session, live: null, unread: [], openChildren: 0, askedOpen: 0 }
    const may = await authorityIn(tx, options, session, input.principal)
    const model = pickModel(options, at.agent, input.model ?? session.settings?.model ?? may.model ?? undefined)
    const key = `${principal}|${input.method}|${input.idempotencyKey}`
    const decision = accept(box, {
      now,
      messageId: ids.message,
      parts,
      meta: {
        from: input.from ?? principal,
        idempotencyKey: input.idempotencyKey,
        ...(input.thinking === undefined ? {} : { thinking: input.thinking }),
      },
      key,
      mode,
      joins: input.begin !== undefined,
      route: input.route ?? null,
      fresh: { ...may, id: ids.run, model, deadlineAt },
      task: words(parts).slice(0, 4000),
    })
    if (!decision.ok) throw new DeputyError(decision.code, decision.message)
    const effects = found ? decision.effects : [{ do: 'session.put' as const, session }, ...decision.effects]
    const run = box.live ?? decision.effects.flatMap(effect => (effect.do === 'run.put' ? [effect.run] : []))[0]
    if (!run) throw new DeputyError('INTERNAL', 'a message was accepted that nobody will read')
    const after = await carryOut(tx, effects, {
      sessions: [session],
      runs: box.live ? [box.live] : [],
      wire: box.live ? {} : { [run.id]: input.idempotencyKey },
      at: now,
    })
    const mine = { run: run.id, inbox: after.applied.inbox.get(key) ?? null, at: now }
    const asked = { principal, method: input.method, session: at.key, key: input.idempotencyKey, payload }
    await tx.ask(claimKey, { ...asked, ...mine, answered_turn: null, answer: null }, mine)
    if (run.id === ids.run) await claim(tx, is)
    return { after, session: { ...session, seq: session.seq + 1 }, run, absorbed: box.live !== null }
  }
  const made = await makeEarly(early, ids.run, bells, start =>
    options.store.write('accept', (tx, is) => body(tx, is, start())),
  )
  // Who asked hears first that it was accepted.
  setImmediate(made.begin)
  const done = made.value
  if (done.again) return done.again
  announce(done.after, input.begin ? held(bells, input.begin) : made.bells, options.tell)
  if (input.mode === 'interrupt' && done.absorbed) deps.interrupt(done.run.id)
  return {
    wireId: input.idempotencyKey,
    run: done.run.id,
    session: done.session,
    seq: done.session.seq,
    status: done.absorbed ? 'absorbed' : 'started',
    acceptedAt: now,
  }
}

/** `/subagents spawn` and `deputy spawn`: a detached sub-agent whose result returns to the person's session (decisions.md 33). */
export async function acceptSpawn(deps: AcceptDeps, input: SpawnInput): Promise<Receipt> {
  const { options, bells } = deps
  const { policies } = options
  const at = meant({ sessionKey: input.sessionKey }, policies.defaultAgent())
  knownAgent(options, at.agent)
  const agent = input.agent.trim().toLowerCase()
  knownAgent(options, agent)
  if (!input.task.trim())
    throw new DeputyError('SPAWN_PARAM', 'A spawn needs a task.', { fix: 'Say what the sub-agent is to do.' })
  checked([{ type: 'text', text: input.task }])
  const principal = nameOf(input.principal)
  const payload = digest(['spawn', at.key, agent, input.task])
  const model = pickModel(options, agent, input.model ?? policies.childModel(at.agent, agent))
  const now = options.clock.now()
  const ids = {
    session: options.uuid(),
    child: options.uuid(),
    run: options.uuid(),
    message: options.uuid(),
    key: options.uuid(),
  }
  const seconds = input.timeoutSeconds ?? policies.runTimeoutSeconds(at.agent)
  const done = await options.store.write('accept', async tx => {
    await standing(tx, input.principal)
    const [before] = await tx.ask(keyOf, principal, 'spawn', at.key, input.idempotencyKey)
    if (before) {
      if (before.payload !== payload)
        throw new DeputyError('IDEMPOTENCY_CONFLICT', `The key ${input.idempotencyKey} was used for another task.`)
      const run = before.run === null ? null : await loadRun(tx, before.run)
      if (run?.receipt) return { receipt: run.receipt }
    }
    const found = await openSessionByKey(tx, at.key)
    const home = found ?? newSession(ids.session, at, now, null)
    const root = (await authorityIn(tx, options, home, input.principal)).grant
    const granted = attenuate(root, policies.spawn(at.agent), {
      agent,
      tools: null,
      budget: input.budget ?? null,
      depth: home.depth,
      liveChildren: 0,
      left: home.depth > 0 ? root.budget : { nano: null, tokens: null, calls: null },
    })
    if (!granted.ok)
      throw new DeputyError(granted.code, granted.message, {
        details: { rule: granted.rule, allowed: granted.allowed, key: granted.key, agent: at.agent },
      })
    const child: Session = {
      ...newSession(ids.child, { agent, key: subagentKey(agent, ids.key) }, now, null),
      tree: home.tree,
      parentSession: home.id,
      depth: home.depth + 1,
      label: input.label ?? null,
      ...(input.thinking === undefined ? {} : { settings: { thinking: input.thinking } }),
    }
    const deadlineAt = seconds > 0 ? now + seconds * 1000 : null
    const receipt: Receipt = {
      run: ids.run,
      session: child.id,
      sessionKey: child.key,
      agent,
      model,
      tools: granted.grant.tools,
      agents: granted.grant.agents,
      depth: granted.grant.depth,
      budget: granted.grant.budget,
      deadlineAt,
      returnTo: home.id,
      detached: true,
    }
    const run = spawned(child, ids.run, {
      grant: granted.grant,
      model,
      receipt,
      deadlineAt,
      task: options.secrets.hide(input.task),
      label: input.label ?? null,
      returnTo: home.id,
      now,
    })
    const effects = [
      ...(found ? [] : [{ do: 'session.put' as const, session: home }]),
      ...birth({ session: child, run, messageId: ids.message }, now, principal),
    ]
    const after = await carryOut(tx, effects, { sessions: [home], runs: [], wire: { [run.id]: run.id }, at: now })
    await tx
      .insertInto('rpc_keys')
      .values({
        principal,
        method: 'spawn',
        session: at.key,
        key: input.idempotencyKey,
        payload,
        run: run.id,
        inbox: null,
        answered_turn: 0,
        answer: null,
        at: now,
      })
      .execute()
    return { after, receipt }
  })
  if (done.after) announce(done.after, bells, options.tell)
  return done.receipt
}

/** The bells, with that of a new run given away: losing it loses nothing but time. */
function held(bells: Bells, begin: (ring: () => void) => void): Bells {
  return { ...bells, queued: runs => begin(() => bells.queued(runs)) }
}

/** A revocation that came since the door looked counts (decisions.md 17). */
async function standing(tx: Tx, principal: Principal): Promise<void> {
  if (principal.kind === 'device') await assertStanding(tx, principal, 'operator.write')
}

function spawned(
  session: Session,
  id: string,
  about: Pick<Run, 'grant' | 'model' | 'receipt' | 'deadlineAt' | 'task' | 'label' | 'returnTo'> & { now: number },
): Run {
  const { now, ...given } = about
  return {
    ...given,
    id,
    session: session.id,
    tree: session.tree,
    agent: session.agent,
    parent: null,
    depth: session.depth,
    lane: 'subagent',
    state: 'queued',
    outcome: null,
    errorCode: null,
    error: null,
    epoch: 0,
    attempts: 0,
    turn: 0,
    paused: false,
    detached: true,
    wait: null,
    woken: false,
    payer: null,
    spent: nothing,
    lent: nothing,
    route: null,
    result: null,
    resultSeq: null,
    createdAt: now,
    queuedAt: now,
    startedAt: null,
    endedAt: null,
  }
}

export async function repeated(
  tx: Tx,
  principal: string,
  method: string,
  sessionKey: string,
  key: string,
  payload: string,
): Promise<Accepted | null> {
  const [before] = await tx.ask(keyOf, principal, method, sessionKey, key)
  if (!before) return null
  if (before.payload !== payload)
    throw new DeputyError(
      'IDEMPOTENCY_CONFLICT',
      `The idempotency key ${key} was used for another message to ${sessionKey}.`,
    )
  if (before.run === null) return answeredBefore(tx, before)
  const run = await loadRun(tx, before.run)
  const session = run && (await tx.selectFrom('sessions').selectAll().where('id', '=', run.session).executeTakeFirst())
  const row =
    before.inbox === null
      ? null
      : await tx.selectFrom('inbox').select('seq').where('id', '=', before.inbox).executeTakeFirst()
  if (!run || !session) return null
  return {
    wireId: key,
    run: run.id,
    session: sessionOf(session),
    seq: row?.seq ?? 0,
    status: before.answered_turn === null ? 'in_flight' : 'answered',
    acceptedAt: before.at,
  }
}

const keyOf = (db: Tx, principal: string, method: string, session: string, key: string) =>
  db
    .selectFrom('rpc_keys')
    .selectAll()
    .where('principal', '=', principal)
    .where('method', '=', method)
    .where('session', '=', session)
    .where('key', '=', key)

/** A command whose answer is this message's has claimed the key before: then it is this message's. */
const claimKey = (db: Tx, row: Insertable<RpcKeysTable>, mine: Updateable<RpcKeysTable>) =>
  db
    .insertInto('rpc_keys')
    .values(row)
    .onConflict(conflict => conflict.columns(['principal', 'method', 'session', 'key']).doUpdateSet(mine))

export function checked(parts: readonly Part[]): readonly Part[] {
  const bytes = parts.reduce((sum, part) => sum + (part.type === 'text' ? Buffer.byteLength(part.text) : 0), 0)
  if (bytes > maxMessageBytes)
    throw new DeputyError(
      'MESSAGE_TOO_LARGE',
      `The message has ${bytes} bytes; at most ${maxMessageBytes} fit into one.`,
      { details: { bytes, limit: maxMessageBytes } },
    )
  const empty = parts.every(part => part.type === 'text' && part.text.trim() === '')
  if (empty) throw new DeputyError('INVALID_PARAMS', 'The message is empty.')
  return parts
}

export function knownAgent(options: AgentOptions, agent: string): void {
  if (options.policies.has(agent)) return
  const agents = options.policies.agents().map(one => one.id)
  throw new DeputyError(
    'UNKNOWN_AGENT',
    `There is no agent ${JSON.stringify(agent)}; there are: ${agents.join(', ')}.`,
    { details: { agent, agents } },
  )
}

export function pickModel(options: AgentOptions, agent: string, asked: string | undefined): string {
  const ref = asked ?? options.policies.model(agent)
  const model = options.models.resolve(ref, agent)
  if (model.ok) return model.model.ref
  throw new DeputyError('MODEL_UNKNOWN', `The model ${ref} cannot be used: ${model.reason}`, { fix: model.fix })
}

export function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}

function words(parts: readonly Part[]): string {
  return parts.map(part => (part.type === 'text' ? part.text : `[${part.type}]`)).join('')
}
