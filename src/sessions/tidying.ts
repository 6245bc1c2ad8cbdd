/**
 * The house tidies itself: what has had its time is forgotten once a day, conversations of sub-agents are put away minutes
 * after their end.
 *
 * Owns which configuration that follows; core/retention.ts has the rules, store/retention.ts the rows, old-files.ts the files.
 */
import type { Config } from '../config/config.ts'
import { agentIds, agentOf, hasAgent } from '../config/read.ts'
import { maintenanceOf } from '../config/sharing.ts'
import type { Clock } from '../core/ports.ts'
import { type RetentionRules, usualRules } from '../core/retention.ts'
import type { Store } from '../store/open.ts'
import { openRetention } from '../store/retention.ts'
import { daily, goRound, often } from '../store/sweep.ts'
import { sweepFiles } from './old-files.ts'

/** Returns how to stop it. */
export function tidy(store: Store, clock: Clock, config: () => Config, log: (line: string) => void): () => void {
  const rules = (): RetentionRules => ({ ...usualRules, ...maintenanceOf(config()) })
  const retention = openRetention({
    store,
    clock,
    rules,
    archiveAfterMs: agent => archiveAfterMs(config(), agent),
  })

  async function sweep(): Promise<string | null> {
    const { results, journals, transcripts, keys } = await retention.sweep()
    const bodies = await store.sweep()
    const workspaces = () => agentIds(config()).map(id => agentOf(config(), id).workspace)
    const files = bodies + (await sweepFiles({ store, clock, stateDir: config().home.dir, workspaces, rules }))
    const gone = { results, journals, transcripts, keys, files }
    const told = Object.entries(gone).flatMap(([name, n]) => (n > 0 ? [`${n} ${name}`] : []))
    return told.length === 0 ? null : `removed ${told.join(', ')} that had their time`
  }

  async function archive(): Promise<string | null> {
    const away = await retention.archive()
    return away === 0 ? null : `put away ${away} conversations of sub-agents`
  }

  const stops = [
    goRound({ name: 'the sweep', ...daily, work: sweep }, log),
    goRound({ name: 'archiving', ...often, work: archive }, log),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}

function archiveAfterMs(config: Config, agent: string): number | null {
  const minutes = hasAgent(config, agent)
    ? agentOf(config, agent).subagents.archiveAfterMinutes
    : config.agents.defaults.subagents.archiveAfterMinutes
  return minutes === 0 ? null : minutes * 60_000
}
