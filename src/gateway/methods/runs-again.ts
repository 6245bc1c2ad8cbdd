/**
 * A word to a run at work, the task of an ended one once more, and a copy that goes on from a step.
 *
 * Owns what is refused and where the new run's result goes: to the place that the first one's went to, or nowhere at all.
 * The house starts them; neither changes the run that was named.
 */
import type { Part, Run, Session } from '../../core/types.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { Call } from '../dispatch.ts'
import { partsOf } from './parts.ts'
import type { Room } from './room.ts'
import { viewOf } from './runs.ts'

/** Messages of a conversation that the words of a run are looked up in. */
const lookBack = 1000
/** A run's own row holds this much of the message that began it (sessions/accepting.ts). */
const taskChars = 4000

export async function runsSteer(room: Room, params: Params<'runs.steer'>, call: Call): Promise<Result<'runs.steer'>> {
  const { run } = await viewOf(room, params.run)
  if (run.state === 'done')
    throw new DeputyError('RUN_DONE', `The run ${run.id} has ended as ${run.outcome}: nobody there reads a message.`, {
      fix: 'deputy runs retry <run> gives its task to a new run.',
      details: { run: run.id },
    })
  const session = await openSession(room, run.session)
  const accepted = await room.house.accept({
    principal: call.principal,
    method: 'sessions.send',
    sessionKey: session.key,
    parts: partsOf(params.message, undefined),
    idempotencyKey: params.idempotencyKey ?? room.newId(),
    mode: 'steer',
  })
  return { run: accepted.run, runId: accepted.wireId, status: accepted.status, messageSeq: accepted.seq }
}

export async function runsRetry(room: Room, params: Params<'runs.retry'>, call: Call): Promise<Result<'runs.retry'>> {
  const { run } = await viewOf(room, params.run)
  if (run.state !== 'done') throw live(run, `The run ${run.id} has not ended: it is ${run.state}.`)
  const idempotencyKey = params.idempotencyKey ?? room.newId()
  const again =
    run.receipt === null
      ? await sayAgain(room, run, idempotencyKey, call)
      : await spawnAgain(room, run, idempotencyKey, call)
  call.connection?.runs.add(again.run)
  return { ...again, of: run.id }
}

export async function runsFork(room: Room, params: Params<'runs.fork'>, call: Call): Promise<Result<'runs.fork'>> {
  const { run, step, model, message, idempotencyKey = room.newId() } = params
  const forked = await room.house.fork({
    principal: call.principal,
    run: (await viewOf(room, run)).run.id,
    step,
    idempotencyKey,
    ...(model === undefined ? {} : { model }),
    ...(message === undefined ? {} : { message }),
  })
  call.connection?.runs.add(forked.run)
  return forked
}

type Again = Omit<Result<'runs.retry'>, 'of'>

/** A sub-agent: another one, whose result goes to the conversation that the first one's went to. */
async function spawnAgain(room: Room, run: Run, idempotencyKey: string, call: Call): Promise<Again> {
  if (run.returnTo === null)
    throw new DeputyError('INVALID_PARAMS', `The run ${run.id} was started without a place for its result.`, {
      fix: `Start it by hand, with one: deputy spawn ${run.agent} <task>`,
      details: { run: run.id },
    })
  const home = await openSession(room, run.returnTo)
  const { thinking, ...rest } = run.terms ?? {}
  const receipt = await room.house.spawn({
    principal: call.principal,
    sessionKey: home.key,
    agent: run.agent,
    task: run.task,
    model: run.model,
    ...(run.label === null ? {} : { label: run.label }),
    ...(thinking === undefined ? {} : { thinking }),
    timeoutSeconds: secondsOf(run),
    budget: run.grant.budget,
    idempotencyKey,
  })
  const left = Object.keys(rest).filter(name => name !== 'taskName' && name !== 'repaired')
  return { run: receipt.run, sessionKey: receipt.sessionKey, agent: receipt.agent, returnTo: home.key, left }
}

/** A turn of a conversation: the message that began it is said again there, and answered there. */
async function sayAgain(room: Room, run: Run, idempotencyKey: string, call: Call): Promise<Again> {
  const session = await openSession(room, run.session)
  const other = await room.house.liveRun(session.id)
  // Its message would be one more for the run at work, and no run of its own.
  if (other) throw live(other, `The conversation ${session.key} is at work with the run ${other.id}.`)
  const accepted = await room.house.accept({
    principal: call.principal,
    method: 'sessions.send',
    agent: run.agent,
    sessionKey: session.key,
    parts: await firstWords(room, run),
    idempotencyKey,
    mode: 'followup',
    model: run.model,
    timeoutSeconds: secondsOf(run),
  })
  return { run: accepted.run, sessionKey: session.key, agent: run.agent, returnTo: session.key, left: [] }
}

/** The message that began a run, whole: clients' name of its first turn is that message's key (decisions.md 4). */
async function firstWords(room: Room, run: Run): Promise<readonly Part[]> {
  const [wire, page] = await Promise.all([
    room.house.wires([run.id]),
    room.house.history(run.session, { limit: lookBack }),
  ])
  const key = wire(run.id, 0)
  const found = page.messages.find(({ role, meta }) => role === 'user' && meta.idempotencyKey === key)
  if (found) return found.parts
  if (run.task.length < taskChars) return [{ type: 'text', text: run.task }]
  throw new DeputyError('MESSAGE_TOO_LARGE', `The message that began the run ${run.id} lies too far back to be read.`, {
    fix: 'Send the message again.',
    details: { run: run.id },
  })
}

async function openSession(room: Room, id: string): Promise<Session> {
  const session = await room.house.session(id)
  if (session && session.closedAt === null) return session
  throw new DeputyError('SESSION_CLOSED', `The conversation ${session?.key ?? id} was closed.`, {
    details: { session: id },
  })
}

function live(run: Run, message: string): DeputyError {
  return new DeputyError('RUN_LIVE', message, { details: { run: run.id, state: run.state } })
}

/** As much time as the first one had; 0 is no deadline. */
function secondsOf({ deadlineAt, createdAt }: Run): number {
  return deadlineAt === null ? 0 : Math.max(1, Math.ceil((deadlineAt - createdAt) / 1000))
}
