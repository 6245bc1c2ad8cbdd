/**
 * What the read-only commands show, from whichever source there is: the running gateway, else the home's database.
 * Owns the choice between the two and saying so; each source answers with the same shapes (protocol/results.ts).
 */
import type { Client } from '../client/connect.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { RunRow, RunStep, SessionRow } from '../protocol/results.ts'
import type { Context } from './context.ts'
import { reach } from './reach.ts'
import { onlyNamed } from './runs.ts'

export interface RunsFilter {
  sessionKey?: string
  state?: ('queued' | 'running' | 'waiting' | 'done')[]
  limit: number
}

export type SessionFact = Pick<
  SessionRow,
  'key' | 'sessionId' | 'agentId' | 'label' | 'status' | 'updatedAt' | 'spawnedBy' | 'spawnDepth' | 'model'
>

/** Rejects with UNKNOWN_RUN for an id that no run has. */
export interface Facts {
  runs(filter: RunsFilter): Promise<readonly RunRow[]>
  run(id: string): Promise<RunRow>
  /** Root first. */
  tree(id: string): Promise<readonly RunRow[]>
  log(id: string): Promise<{ run: RunRow; steps: readonly RunStep[] }>
  sessions(filter: { agent?: string; limit: number; subagents: boolean }): Promise<readonly SessionFact[]>
}

export function fromGateway(client: Client): Facts {
  return {
    runs: async filter => (await client.request('runs.list', filter)).runs,
    run: async run => (await client.request('runs.get', { run })).run,
    tree: async run => (await client.request('runs.tree', { run })).runs,
    log: run => client.request('runs.log', { run }),
    sessions: async ({ agent, limit, subagents }) =>
      (
        await client.request('sessions.list', {
          limit,
          excludeSubagents: !subagents,
          ...(agent && { agentId: agent }),
        })
      ).sessions,
  }
}

/** Asks the gateway; when none runs, reads the database and says so on standard error. */
export async function withFacts<T>(context: Context, body: (facts: Facts) => Promise<T>): Promise<T> {
  let client: Client
  try {
    client = await reach(context)
  } catch (error) {
    if (!(error instanceof DeputyError) || error.code !== 'GATEWAY_UNREACHABLE') throw error
    const { openOffline } = await import('./offline.ts')
    const offline = openOffline(context.home.dir)
    if (offline === null) throw error
    context.note(context.paint.dim('The gateway is stopped; this is what its database says.'))
    try {
      return await body(offline.facts)
    } finally {
      offline.close()
    }
  }
  try {
    return await body(fromGateway(client))
  } finally {
    client.close()
  }
}

/** The id of the run that is meant (runs.ts), searched among the newest thousand; any other text as it is. */
export async function fullId(facts: Facts, named: string): Promise<string> {
  if (named.trim() === '')
    throw new DeputyError('USAGE', 'Say which run.', {
      fix: 'deputy runs list shows their ids; the beginning of one is enough.',
    })
  if (!/^[0-9a-f]{4}/.test(named)) return named
  const ids = (await facts.runs({ limit: 1000 })).map(({ run }) => run)
  return onlyNamed(ids, named) ?? named
}
