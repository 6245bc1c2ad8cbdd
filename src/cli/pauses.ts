/**
 * Why what is waited for pauses, as it happens: without it, a provider that is away would look like a long thought.
 * Owns the words on standard error, one line a reason; never ends anything.
 */
import type { Client } from '../client/connect.ts'
import type { Context } from './context.ts'
import { line } from './format.ts'

interface RunEvent {
  run: string
  runId: string
  parent?: string | null
  agentId: string
  change: string
  error?: string
}

/** What a connection must ask for to hear of runs. */
export const pauseCaps = ['run-events']

/** Follows the run known as `id` (wire id or run id) and all below it, for as long as the connection lasts. */
export function tellPauses(context: Context, client: Client, id: string): void {
  const family = new Set<string>()
  const told = new Map<string, string>()
  client.on('run', ({ run, runId, parent, agentId, change, error }: RunEvent) => {
    if (runId !== id && run !== id && !family.has(run) && !(parent && family.has(parent))) return
    family.add(run)
    if (change !== 'waiting' || error === undefined || told.get(run) === error) return
    told.set(run, error)
    context.note(context.paint.yellow(`${line(agentId)} pauses and tries again by itself: ${line(error)}`))
  })
}
