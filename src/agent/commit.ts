/**
 * One committed decision: effects become rows, and afterwards everybody is told what they need to know.
 *
 * Owns: which doorbells ring and which events go out for which effects. Invariant: nothing rings and nothing is told before
 * the transaction is on the disk, and events keep the order of the effects. A lost bell loses nothing: the rows are the truth.
 */
import type { HouseEvent, Tell } from '../core/ports.ts'
import type { Effect } from '../core/run/facts.ts'
import { turnId } from '../core/ids.ts'
import type { Message, Run, Session, TokenUsage } from '../core/types.ts'
import { type Applied, apply } from '../store/apply.ts'
import { loadRun } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'
import type { Bells } from './room.ts'

/** The end of a turn, in words: given along with the effects that end it. */
export interface TurnEnd {
  run: Run
  text: string
  yielded: boolean
  stop: 'stop' | 'toolUse' | 'length' | 'refusal' | 'error' | 'aborted'
  usage?: TokenUsage
  error?: { code: string; message: string } | null
  outcome: string | null
}

/** What to tell once the transaction is on the disk. Plain data: a body may run twice. */
export interface After {
  sessions: Map<string, Session>
  effects: readonly Effect[]
  applied: Applied
  /** Runs as they are now, those whose state or turn an effect changed. */
  runs: Map<string, Run>
  turn: TurnEnd | null
  /** The wire id of the turn that these effects belong to, before they were made. */
  wireIds: Map<string, string>
  at: number
}

/**
 * Carries a decision out in the caller's transaction. `about.sessions` are those whose rows the effects touch, `about.runs`
 * the runs that the decision was made on, `about.wire` wire ids that the caller knows: what is not known is looked up.
 */
export async function carryOut(
  tx: Tx,
  effects: readonly Effect[],
  about: {
    sessions: readonly Session[]
    runs: readonly Run[]
    wire?: Readonly<Record<string, string>>
    turn?: TurnEnd | null
    at: number
  },
): Promise<After> {
  const wireIds = new Map(Object.entries(about.wire ?? {}))
  const runs = new Map(about.runs.map(run => [run.id, run]))
  const sessions = new Map(about.sessions.map(session => [session.id, session]))
  const changed = new Set<string>()
  for (const effect of effects) {
    if (effect.do === 'session.put') sessions.set(effect.session.id, effect.session)
    if (effect.do === 'run.put') runs.set(effect.run.id, effect.run)
    if (effect.do === 'run.put' && !wireIds.has(effect.run.id)) wireIds.set(effect.run.id, effect.run.id)
    if (effect.do !== 'run.set' || (effect.to.state === undefined && effect.to.turn === undefined)) continue
    changed.add(effect.run)
    const before = runs.get(effect.run) ?? (await loadRun(tx, effect.run))
    if (!before) continue
    if (!wireIds.has(effect.run)) wireIds.set(effect.run, await wireIdOf(tx, before))
    runs.set(effect.run, { ...before, ...effect.to })
  }
  const applied = await apply(tx, effects)
  for (const id of runs.keys()) if (!changed.has(id)) runs.delete(id)
  return { sessions, effects, applied, runs, turn: about.turn ?? null, wireIds, at: about.at }
}

/** Two steps of one transaction as one: told in this order, the turn of the first. */
export function merged(one: After, other: After): After {
  const inbox = new Map([...one.applied.inbox, ...other.applied.inbox])
  return {
    sessions: new Map([...one.sessions, ...other.sessions]),
    effects: [...one.effects, ...other.effects],
    applied: {
      inbox,
      ended: [...one.applied.ended, ...other.applied.ended],
      answered: [...one.applied.answered, ...other.applied.answered],
      calls: [],
      unbound: one.applied.unbound + other.applied.unbound,
      cancelled: [...one.applied.cancelled, ...other.applied.cancelled],
    },
    runs: new Map([...one.runs, ...other.runs]),
    turn: one.turn,
    wireIds: new Map([...other.wireIds, ...one.wireIds]),
    at: one.at,
  }
}

/** How clients know the turn that a run is in: the oldest wire id that waits for it, else the run's own (decisions.md 3, 4). */
export async function wireIdOf(tx: Tx, run: Pick<Run, 'id' | 'turn'>): Promise<string> {
  const [alias] = await tx.ask(oldestKey, run.id)
  return alias?.key ?? turnId(run.id, run.turn)
}

const oldestKey = (db: Tx, run: string) =>
  db
    .selectFrom('rpc_keys')
    .select('key')
    .where('run', '=', run)
    .where('answered_turn', 'is', null)
    .orderBy('at')
    .limit(1)

/** Rings and tells. Never throws: a listener's fault is its own. */
export function announce(after: After, bells: Bells, tell: Tell): void {
  const queued: Run[] = []
  let outbox = after.applied.unbound > 0
  for (const effect of after.effects) {
    switch (effect.do) {
      case 'message.put':
        tellMessage(after, effect.message, tell)
        break
      case 'run.put':
        queued.push(effect.run)
        tellState(after, effect.run, 'queued', tell)
        if (effect.run.deadlineAt !== null) bells.timer(effect.run.deadlineAt)
        break
      case 'run.set': {
        const run = after.runs.get(effect.run)
        if (!run) break
        if (effect.to.state === 'queued') {
          queued.push(run)
          tellState(after, run, 'woken', tell)
        } else if (effect.to.state === 'running') tellState(after, run, 'started', tell)
        else if (effect.to.state === 'waiting') {
          tellState(after, run, 'waiting', tell)
          if (effect.to.wait && 'until' in effect.to.wait && effect.to.wait.until !== null)
            bells.timer(effect.to.wait.until)
        } else if (effect.to.state === 'done') tellState(after, run, 'done', tell)
        break
      }
      case 'turn.answer':
        if (after.turn?.run.id === effect.run) tellTurn(after, after.turn, tell)
        break
      case 'outbox.put':
        outbox = true
        break
      case 'approval.put':
        // People are shown one question, however many runs wait for its answer.
        if (effect.approval.question.joins === undefined)
          tell({ on: 'approval', phase: 'requested', approval: effect.approval, at: after.at })
        bells.timer(effect.approval.deadlineAt)
        break
      case 'approval.set':
        if (effect.approval.question.joins === undefined)
          tell({ on: 'approval', phase: 'resolved', approval: effect.approval, at: after.at })
        break
      default:
        break
    }
  }
  for (const approval of after.applied.cancelled)
    if (approval.question.joins === undefined) tell({ on: 'approval', phase: 'resolved', approval, at: after.at })
  for (const run of after.applied.ended) tellEnded(after, run, tell)
  if (after.applied.ended.length > 0) bells.ended(after.applied.ended.map(run => run.run))
  for (const run of after.runs.values()) if (run.state === 'done') bells.ended([run.id])
  if (queued.length > 0) bells.queued(queued)
  if (outbox) bells.outbox()
}

function where(after: After, session: string): { session: string; sessionKey: string; agent: string } {
  const row = after.sessions.get(session)
  return { session, sessionKey: row?.key ?? session, agent: row?.agent ?? '' }
}

/** A message, and the tool calls and tool results that it is. */
function tellMessage(after: After, message: Message, tell: Tell): void {
  const at = where(after, message.session)
  tell({ on: 'session.message', ...at, message })
  if (message.run === null) return
  const common = {
    on: 'run.tool' as const,
    run: message.run,
    ...at,
    wireId: after.wireIds.get(message.run) ?? message.run,
  }
  if (message.role === 'toolResult') {
    tell({
      ...common,
      phase: 'result',
      callId: message.meta.toolCallId ?? '',
      name: message.meta.toolName ?? '',
      isError: message.meta.isError === true,
      parts: message.parts,
    })
  }
  if (message.role !== 'assistant') return
  for (const part of message.parts)
    if (part.type === 'toolCall')
      tell({ ...common, phase: 'start', callId: part.id, name: part.name, args: part.arguments })
}

function tellState(after: After, run: Run, change: (HouseEvent & { on: 'run.state' })['change'], tell: Tell): void {
  tell({
    on: 'run.state',
    run: run.id,
    ...where(after, run.session),
    wireId: after.wireIds.get(run.id) ?? run.id,
    change,
    parent: run.parent,
    ...(run.wait ? { wait: run.wait } : {}),
    ...(run.outcome ? { outcome: run.outcome } : {}),
    ...(run.error ? { error: run.error } : {}),
    at: after.at,
  })
}

/** A run that ended because an ancestor did. */
function tellEnded(after: After, run: Applied['ended'][number], tell: Tell): void {
  const { session, sessionKey, agent, parent } = run
  tell({
    on: 'run.state',
    run: run.run,
    session,
    sessionKey,
    agent,
    wireId: run.run,
    change: 'done',
    parent,
    outcome: 'cancelled',
    at: after.at,
  })
}

function tellTurn(after: After, turn: TurnEnd, tell: Tell): void {
  const wireId = after.wireIds.get(turn.run.id) ?? turn.run.id
  tell({
    on: 'run.turn',
    run: turn.run.id,
    ...where(after, turn.run.session),
    wireId,
    aliases: after.applied.answered,
    text: turn.text,
    yielded: turn.yielded,
    stop: turn.stop,
    outcome: turn.outcome,
    ...(turn.error ? { errorCode: turn.error.code, error: turn.error.message } : {}),
    ...(turn.usage ? { usage: turn.usage } : {}),
    at: after.at,
  })
}
