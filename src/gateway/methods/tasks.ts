/**
 * `tasks.*`: runs as OpenClaw's clients know them (openclaw-facts.md §C4). Owns the row; a task is a run and its id the run's.
 */
import type { Run, Wait } from '../../core/types.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { TaskRow } from '../../protocol/results.ts'
import type { RunView } from '../../sessions/types.ts'
import type { Call } from '../dispatch.ts'
import { keyOf, type Room } from './room.ts'

const defaultLimit = 100
/** Filters are applied to at most so many of the newest runs. */
const scanned = 1000
const titleLength = 120
const resultLength = 16_000

export async function tasksList(room: Room, params: Params<'tasks.list'>, call: Call): Promise<Result<'tasks.list'>> {
  if (call.connection) call.connection.follows.tasks = true
  const { limit = defaultLimit, agentId, sortBy } = params
  const offset = params.cursor === undefined ? 0 : Number(params.cursor)
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw new DeputyError('INVALID_PARAMS', 'invalid or expired tasks.list cursor; restart pagination without a cursor')
  const statuses = params.status === undefined ? null : [params.status].flat()
  const key = params.sessionKey === undefined ? null : await keyOf(room, { sessionKey: params.sessionKey, agentId })
  const views = await room.house.runs({ limit: scanned })
  const homes = await homesOf(room, views)
  const rows = views
    .map(view => taskOf(room, view, homes))
    .filter(row => statuses === null || statuses.includes(row.status))
    .filter(row => key !== null || agentId === undefined || row.agentId === agentId)
    .filter(row => key === null || row.sessionKey === key || row.childSessionKey === key)
  if (sortBy === 'endedAt') rows.sort((a, b) => (b.endedAt ?? 0) - (a.endedAt ?? 0))
  else rows.sort((a, b) => b.updatedAt - a.updatedAt)
  const end = offset + limit
  return { tasks: rows.slice(offset, end), ...(end < rows.length ? { nextCursor: String(end) } : {}) }
}

export async function tasksGet(room: Room, params: Params<'tasks.get'>): Promise<Result<'tasks.get'>> {
  const view = await room.house.run(params.taskId)
  if (!view) throw new DeputyError('UNKNOWN_RUN', 'Task not found.', { details: { taskId: params.taskId } })
  const { result, task } = view.run
  return {
    task: {
      ...(await taskRow(room, view)),
      prompt: task.slice(0, resultLength),
      ...(result === null ? {} : { result: result.slice(0, resultLength) }),
    },
  }
}

export async function tasksCancel(
  room: Room,
  params: Params<'tasks.cancel'>,
  call: Call,
): Promise<Result<'tasks.cancel'>> {
  const { taskId, reason = 'tasks.cancel' } = params
  const before = await room.house.run(taskId)
  if (!before) return { found: false, cancelled: false, reason: 'Task not found.' }
  const report = await room.house.cancel({ principal: call.principal, target: { run: before.run.id }, reason })
  const after = (await room.house.run(before.run.id)) ?? before
  const cancelled = report.runs.length > 0
  return {
    found: true,
    cancelled,
    ...(cancelled ? {} : { reason: 'Task has already ended.' }),
    task: await taskRow(room, after),
  }
}

export async function taskRow(room: Room, view: RunView): Promise<TaskRow> {
  return taskOf(room, view, await homesOf(room, [view]))
}

/** Keys of the sessions that asked for these runs, by id. */
async function homesOf(room: Room, views: readonly RunView[]): Promise<ReadonlyMap<string, string>> {
  const ids = [...new Set(views.flatMap(({ run }) => run.returnTo ?? []))]
  const sessions = await Promise.all(ids.map(id => room.house.session(id)))
  return new Map(sessions.flatMap(session => (session ? [[session.id, session.key]] : [])))
}

function taskOf(room: Room, view: RunView, homes: ReadonlyMap<string, string>): TaskRow {
  const { run, sessionKey: childSessionKey, lastLine } = view
  const sub = run.depth > 0
  const sessionKey = (run.returnTo === null ? undefined : homes.get(run.returnTo)) ?? childSessionKey
  const runId = room.runEvents.wireIds(run.id)[0] ?? run.id
  const kind = sub ? ('subagent' as const) : ('cli' as const)
  return {
    id: run.id,
    taskId: run.id,
    kind,
    runtime: kind,
    status: statusOf(run),
    execution: executionOf(run),
    title: titleOf(run.label ?? run.task),
    agentId: run.agent,
    sessionKey,
    childSessionKey,
    hasTranscript: true,
    ownerKey: sessionKey,
    runId,
    sourceId: runId,
    ...(run.parent === null ? {} : { parentTaskId: run.parent }),
    createdAt: run.createdAt,
    updatedAt: run.endedAt ?? run.startedAt ?? run.createdAt,
    ...(run.startedAt === null ? {} : { startedAt: run.startedAt }),
    ...(run.endedAt === null ? {} : { endedAt: run.endedAt }),
    ...(lastLine === null ? {} : { lastActivity: lastLine }),
    ...(run.outcome === null ? {} : { terminalSummary: run.outcome === 'succeeded' ? 'completed' : run.outcome }),
    ...(run.error === null ? {} : { error: run.error }),
    deliveryStatus: !sub || run.returnTo === null ? 'not_applicable' : run.state === 'done' ? 'delivered' : 'pending',
  }
}

function statusOf(run: Run): TaskRow['status'] {
  if (run.state !== 'done') return run.state === 'queued' ? 'queued' : 'running'
  switch (run.outcome) {
    case 'succeeded':
      return 'completed'
    case 'cancelled':
      return 'cancelled'
    case 'timed_out':
      return 'timed_out'
    default:
      return 'failed'
  }
}

const waitKinds = {
  children: 'children',
  message: 'agent_messages',
  timer: 'external',
  ask: 'children',
} as const satisfies Record<Wait['for'], string>

function executionOf(run: Run): TaskRow['execution'] {
  if (run.state === 'done') return { state: 'finished' }
  if (run.state !== 'waiting' || run.wait === null) return { state: run.state }
  const { wait } = run
  const kind = wait.for === 'ask' && !wait.outside ? ('approval' as const) : waitKinds[wait.for]
  return { state: 'waiting', wait: wait.for === 'ask' ? { kind, pendingCount: wait.runs.length } : { kind } }
}

function titleOf(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > titleLength ? `${line.slice(0, titleLength - 1)}…` : line
}
