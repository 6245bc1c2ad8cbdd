/**
 * Runs and sessions read from the home's database while no gateway runs. Reads only.
 * Owns the mapping from rows to what the gateway would have answered; a live run is shown as it stands in its row.
 */
import type { Selectable } from 'kysely'
import { DeputyError } from '../protocol/errors.ts'
import type { RunRow, RunStep } from '../protocol/results.ts'
import { finalWords, heldFor, runOf } from '../store/facts.ts'
import { lastLines } from '../store/last-line.ts'
import { openReader, type Reader } from '../store/reader.ts'
import type { RunsTable, StepsTable } from '../store/tables.ts'
import type { Facts, SessionFact } from './facts.ts'

type Read = Reader['read']

/** Null when the home has no database. */
export function openOffline(dir: string): { facts: Facts; close(): void } | null {
  const reader = openReader(dir)
  return reader && { facts: factsOf(reader.read), close: reader.close }
}

function factsOf(read: Read): Facts {
  return {
    async runs({ sessionKey, state, limit }) {
      let query = read
        .selectFrom('runs')
        .innerJoin('sessions', 'sessions.id', 'runs.session')
        .selectAll('runs')
        .orderBy('runs.created_at', 'desc')
        .limit(limit)
      if (state) query = query.where('runs.state', 'in', state)
      if (sessionKey) query = query.where('sessions.key', '=', sessionKey)
      return await runRows(read, await query.execute())
    },
    run: id => oneRun(read, id),
    async tree(id) {
      const { tree } = await oneRun(read, id)
      const rows = await read
        .selectFrom('runs')
        .selectAll()
        .where('tree', '=', tree)
        .orderBy('depth')
        .orderBy('created_at')
        .execute()
      return await runRows(read, rows)
    },
    async log(id) {
      const run = await oneRun(read, id)
      const steps = await read.selectFrom('steps').selectAll().where('run', '=', id).orderBy('n').execute()
      const words = await wordsOf(read, id)
      return { run, steps: steps.map(step => stepRow(step, words)) }
    },
    async sessions({ agent, limit, subagents }) {
      let query = read
        .selectFrom('sessions')
        .selectAll()
        .where('closed_at', 'is', null)
        .orderBy('updated_at', 'desc')
        .limit(limit)
      if (agent) query = query.where('agent', '=', agent)
      if (!subagents) query = query.where('spawned_by', 'is', null)
      const rows = await query.execute()
      const live = await read
        .selectFrom('runs')
        .select(['session', 'state'])
        .where('state', '<>', 'done')
        .where('session', 'in', ['', ...rows.map(row => row.id)])
        .execute()
      return rows.map((row): SessionFact => {
        const state = live.find(run => run.session === row.id)?.state
        return {
          key: row.key,
          sessionId: row.id,
          agentId: row.agent,
          status: state === undefined ? 'done' : state === 'queued' ? 'queued' : 'running',
          updatedAt: row.updated_at,
          spawnDepth: row.depth,
          ...(row.label !== null && { label: row.label }),
          ...(row.spawned_by !== null && { spawnedBy: row.spawned_by }),
        }
      })
    },
  }
}

async function oneRun(read: Read, id: string): Promise<RunRow> {
  const row = await read.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst()
  if (!row) throw new DeputyError('UNKNOWN_RUN', `There is no run ${id}.`)
  return { ...(await runRows(read, [row]))[0]!, result: await finalWords(read, runOf(row)) }
}

async function runRows(read: Read, rows: readonly Selectable<RunsTable>[]): Promise<RunRow[]> {
  const ids = ['', ...rows.map(row => row.id)]
  const sessions = await read
    .selectFrom('sessions')
    .select(['id', 'key'])
    .where('id', 'in', ['', ...new Set(rows.map(row => row.session))])
    .execute()
  const children = await read
    .selectFrom('runs')
    .select(['id', 'parent'])
    .where('parent', 'in', ids)
    .orderBy('created_at')
    .execute()
  const steps = await read
    .selectFrom('steps')
    .select(eb => ['run', eb.fn.countAll<number>().as('count')])
    .where('run', 'in', ids)
    .groupBy('run')
    .execute()
  const lines = await lastLines(read, rows.map(runOf))
  return rows.map(row => ({
    run: row.id,
    sessionKey: sessions.find(session => session.id === row.session)?.key ?? '',
    session: row.session,
    tree: row.tree,
    parent: row.parent,
    agent: row.agent,
    task: row.task,
    label: row.label,
    model: row.model,
    state: row.state as RunRow['state'],
    paused: row.paused === 1,
    outcome: row.outcome,
    errorCode: row.error_code,
    error: row.error,
    ...waitOf(row),
    depth: row.depth,
    detached: row.detached === 1,
    children: children.filter(child => child.parent === row.id).map(child => child.id),
    steps: Number(steps.find(each => each.run === row.id)?.count ?? 0),
    lastLine: lines.get(row.id) ?? null,
    spent: { nano: row.spent_nano, tokens: row.spent_tokens, calls: row.spent_calls },
    budget: (JSON.parse(row.grant_json) as { budget: RunRow['budget'] }).budget,
    createdAt: row.created_at,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    deadlineAt: row.deadline_at,
    result: row.result,
  }))
}

function waitOf(row: Selectable<RunsTable>): Pick<RunRow, 'waitsFor' | 'waitUntil'> {
  const { wait } = runOf(row)
  const waitsFor = wait?.for === 'timer' && wait.hold ? heldFor(wait.hold) : (wait?.for ?? null)
  return { waitsFor, ...(row.wait_until === null ? {} : { waitUntil: row.wait_until }) }
}

/** The words of each step. */
async function wordsOf(read: Read, run: string): Promise<ReadonlyMap<number, string>> {
  const rows = await read
    .selectFrom('messages')
    .select(['step', 'parts'])
    .where('run', '=', run)
    .where('step', 'is not', null)
    .execute()
  const words = new Map<number, string>()
  for (const row of rows) {
    const parts = JSON.parse(row.parts) as { type: string; text?: string }[]
    const text = parts.flatMap(part => (part.text ? [part.text] : [])).join('\n')
    if (text !== '') words.set(row.step!, text)
  }
  return words
}

function stepRow(row: Selectable<StepsTable>, words: ReadonlyMap<number, string>): RunStep {
  const intent = JSON.parse(row.intent) as { args?: unknown }
  const result: Pick<RunStep, 'isError' | 'stop' | 'usage'> & { found?: string[] } =
    row.result === null ? {} : JSON.parse(row.result)
  const text = words.get(row.n) ?? result.found?.join('\n')
  return {
    n: row.n,
    kind: row.kind as RunStep['kind'],
    state: row.state,
    name: row.name,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    ...(intent.args !== undefined && { args: intent.args }),
    ...(text !== undefined && { text }),
    ...(result.isError && { isError: true }),
    ...(result.stop && { stop: result.stop }),
    ...(result.usage && { usage: result.usage }),
  }
}
