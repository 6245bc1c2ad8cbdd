/**
 * The way to a running gateway: the unix socket of the home. Whoever may open it is the operator.
 *
 * Owns what the user is told when nobody answers, and waiting for a run over a gateway's restart. Never starts a gateway.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, connect } from '../client/connect.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { AgentWait } from '../protocol/results.ts'
import type { Context } from './context.ts'

/** Rejects with GATEWAY_UNREACHABLE, which says how to start it. */
export async function reach(context: Context, caps: readonly string[] = []): Promise<Client> {
  try {
    return await connect({
      socketPath: context.home.socket,
      caps,
      client: { id: 'cli', version: context.host.version, mode: 'cli' },
    })
  } catch (error) {
    if (!(error instanceof DeputyError) || error.code !== 'GATEWAY_UNREACHABLE' || error.details['closeCode'])
      throw error
    throw new DeputyError('GATEWAY_UNREACHABLE', `No gateway runs for ${context.home.dir}.`, {
      fix: `Start it: deputy gateway run${context.flags}`,
      details: { home: context.home.dir },
      cause: error,
    })
  }
}

/** Connects, hands the line to the body, closes it. */
export async function withGateway<T>(
  context: Context,
  body: (client: Client) => Promise<T>,
  caps: readonly string[] = [],
): Promise<T> {
  const client = await reach(context, caps)
  try {
    return await body(client)
  } finally {
    client.close()
  }
}

/** How long a gateway may be away (a restart) before waiting for it is given up, ms. */
const patienceMs = 30_000
/** One question lasts at most this long, so that a line that died unnoticed is found out. */
const askMs = 60_000

/**
 * Waits until the run itself is over, its sub-agents included. An answer with status `timeout` and no `endedAt` says that
 * `timeoutMs` ran out first: the run goes on. A gateway that restarts meanwhile is waited for and asked again, since the run
 * survives it.
 */
export async function waitForEnd(
  context: Context,
  client: Client,
  runId: string,
  timeoutMs: number,
): Promise<AgentWait> {
  const until = performance.now() + timeoutMs
  let line = client
  let away = 0
  let answer: AgentWait = { runId, status: 'timeout' }
  for (;;) {
    const left = until - performance.now()
    if (left <= 0) return answer
    try {
      answer = await line.request('agent.wait', {
        runId,
        until: 'done',
        timeoutMs: Math.ceil(Math.min(left, askMs)),
      })
      if (!atWork(answer)) {
        if (line !== client) line.close()
        return answer
      }
      away = 0
    } catch (error) {
      if (!(error instanceof DeputyError) || !['GATEWAY_UNREACHABLE', 'GATEWAY_STOPPING'].includes(error.code))
        throw error
      if (away === 0) away = performance.now()
      if (performance.now() - away > patienceMs) throw error
      await sleep(200)
      line = await reach(context).catch(() => line)
    }
  }
}

/** Whether the answer says that the run has not ended yet. */
export function atWork(answer: AgentWait): boolean {
  return answer.status === 'timeout' && answer.endedAt === undefined
}
