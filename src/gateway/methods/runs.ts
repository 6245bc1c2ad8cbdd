/**
 * Deputy's own `runs.*`: runs as they are. Owns the rows that the CLI prints; the house owns the facts.
 */
import type { Message, Step, Wait } from '../../core/types.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { RunRow, RunStep } from '../../protocol/results.ts'
import type { CancelInput, RunView } from '../../sessions/types.ts'
import { heldFor } from '../../store/facts.ts'
import type { Call } from '../dispatch.ts'
import { keyOf, type Room, sessionOf } from './room.ts'
import { textOf } from './transcript.ts'

const defaultLimit = 50
/** Messages of a session that a log looks its words up in. */
const logMessages = 1000

export async function runsList(room: Room, params: Params<'runs.list'>): Promise<Result<'runs.list'>> {
  const { sessionKey, state, limit = defaultLimit } = params
  const session = sessionKey === undefined ? null : await sessionOf(room, sessionKey)
  const views = await room.house.runs({
    limit,
    ...(session ? { session: session.id } : {}),
    ...(state === undefined ? {} : { state }),
  })
  return { runs: views.map(rowOf) }
}

export async function runsGet(room: Room, params: Params<'runs.get'>): Promise<Result<'runs.get'>> {
  return { run: rowOf(await viewOf(room, params.run)) }
}

export async function runsTree(room: Room, params: Params<'runs.tree'>): Promise<Result<'runs.tree'>> {
  const views = await room.house.tree(params.run)
  if (views.length === 0) throw unknown(params.run)
  return { runs: views.map(rowOf) }
}

export async function runsLog(room: Room, params: Params<'runs.log'>): Promise<Result<'runs.log'>> {
  const view = await viewOf(room, params.run)
  const [steps, page] = await Promise.all([
    room.house.steps(view.run.id),
    room.house.history(view.run.session, { limit: logMessages }),
  ])
  const bySeq = new Map(page.messages.map(message => [message.seq, message]))
  return { run: rowOf(view), steps: steps.map(step => stepOf(step, bySeq)) }
}

export async function runsCancel(
  room: Room,
  params: Params<'runs.cancel'>,
  call: Call,
): Promise<Result<'runs.cancel'>> {
  const { run, sessionKey, all, reason = 'runs.cancel' } = params
  const named = [run, sessionKey, all].filter(value => value !== undefined)
  if (named.length !== 1) {
    throw new DeputyError(
      'INVALID_PARAMS',
      'invalid runs.cancel params: exactly one of run, sessionKey and all is needed',
    )
  }
  const target: CancelInput['target'] =
    run !== undefined
      ? { run: (await viewOf(room, run)).run.id }
      : sessionKey !== undefined
        ? { session: (await sessionOf(room, sessionKey)).id }
        : { all: true }
  return await room.house.cancel({ principal: call.principal, target, reason })
}

export async function runsPause(room: Room, params: Params<'runs.pause'>, call: Call): Promise<Result<'runs.pause'>> {
  return pausing(room, params, call, true)
}

export async function runsResume(
  room: Room,
  params: Params<'runs.resume'>,
  call: Call,
): Promise<Result<'runs.resume'>> {
  return pausing(room, params, call, false)
}

async function pausing(room: Room, params: Params<'runs.pause'>, call: Call, paused: boolean) {
  const { run } = await viewOf(room, params.run)
  return room.house.pause({ principal: call.principal, run: run.id, tree: params.tree ?? false, paused })
}

export async function runsSpawn(room: Room, params: Params<'runs.spawn'>, call: Call): Promise<Result<'runs.spawn'>> {
  const { agent, task, sessionKey, label, model, timeoutSeconds, budget, idempotencyKey } = params
  const receipt = await room.house.spawn({
    principal: call.principal,
    agent,
    task,
    sessionKey: await keyOf(room, { sessionKey }),
    ...(label === undefined ? {} : { label }),
    ...(model === undefined ? {} : { model }),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    ...(budget === undefined ? {} : { budget }),
    idempotencyKey: idempotencyKey ?? room.newId(),
  })
  call.connection?.runs.add(receipt.run)
  return receipt
}

function unknown(run: string): DeputyError {
  return new DeputyError('UNKNOWN_RUN', `There is no run ${run}.`, { details: { run } })
}

/** UNKNOWN_RUN when nothing has that id. */
export async function viewOf(room: Room, id: string): Promise<RunView> {
  const view = await room.house.run(id)
  if (!view) throw unknown(id)
  return view
}

/** What a waiting run waits for, in a few words. */
function waitWords(wait: Wait | null): string | null {
  if (!wait) return null
  switch (wait.for) {
    case 'children':
      return wait.mode === 'all' ? 'all sub-agents' : 'any sub-agent'
    case 'message':
      return 'a message'
    case 'timer':
      return wait.hold ? heldFor(wait.hold) : 'a time'
    case 'ask':
      return wait.runs.length > 0 ? `${wait.mode} of ${wait.runs.length} sub-agents` : 'an answer'
  }
}

export function rowOf({ run, sessionKey, children, steps, lastLine }: RunView): RunRow {
  const { id, session, tree, parent, agent, task, label, model, state, paused, outcome, errorCode, error } = run
  const { depth, detached, spent, grant, createdAt, startedAt, endedAt, deadlineAt, result } = run
  return {
    run: id,
    sessionKey,
    session,
    tree,
    parent,
    agent,
    task,
    label,
    model,
    state,
    paused,
    outcome,
    errorCode,
    error,
    waitsFor: waitWords(run.wait),
    ...(run.wait && 'until' in run.wait && run.wait.until !== null ? { waitUntil: run.wait.until } : {}),
    depth,
    detached,
    children,
    steps,
    lastLine,
    spent,
    budget: grant.budget,
    createdAt,
    startedAt,
    endedAt,
    deadlineAt,
    result,
  }
}

function stepOf(step: Step, bySeq: ReadonlyMap<number, Message>): RunStep {
  const { n, kind, state, name, intent, result, startedAt, endedAt } = step
  const message = result?.seq == null ? undefined : bySeq.get(result.seq)
  const text = message ? textOf(message.parts) : (result?.found ?? []).join('\n')
  return {
    n,
    kind,
    state,
    name,
    ...(intent.kind === 'tool' ? { args: intent.args } : {}),
    ...(text === '' ? {} : { text }),
    ...(result?.isError === undefined ? {} : { isError: result.isError }),
    ...(result?.stop === undefined ? {} : { stop: result.stop }),
    ...(result?.usage === undefined ? {} : { usage: { ...result.usage } }),
    startedAt,
    endedAt,
  }
}
