/**
 * Doctor: the agents and whom each may spawn, as the configuration says it. Whether it works is the spawn check's.
 */
import { accessSync, constants, statSync } from 'node:fs'
import type { Config } from '../../config/config.ts'
import { type Agent, agentIds, agentOf, hasAgent } from '../../config/read.ts'
import { line } from '../format.ts'
import { isAgentList } from './config.ts'
import { type Check, type Finding, finding, type Patient } from './types.ts'

export const agentsCheck: Check = {
  id: 'agents',
  title: 'agents',
  async run(patient) {
    const { settings } = patient
    if (settings === null) return { says: [], findings: [] }
    const agents = agentIds(settings).map(id => agentOf(settings, id))
    return {
      says: agents.map(agent => `${line(agent.id)}${agent.isDefault ? ' (default)' : ''} ${policy(agent)}`),
      findings: [...strangers(patient), ...agents.flatMap(agent => workspace(patient, settings, agent))],
    }
  },
}

/** Whom it may spawn, in words. */
export function policy({ subagents }: Agent): string {
  const { allowAgents, maxSpawnDepth, maxChildrenPerAgent } = subagents
  if (maxSpawnDepth === 0 || allowAgents?.length === 0) return 'may spawn nobody'
  const whom = allowAgents === null ? 'itself' : allowAgents.includes('*') ? 'any agent' : allowAgents.join(', ')
  return `may spawn ${line(whom)}, ${maxSpawnDepth} deep, ${maxChildrenPerAgent} at once`
}

function strangers({ config, context: { home, flags } }: Patient): Finding[] {
  return config.warnings
    .filter(({ path }) => isAgentList(path))
    .map(({ path, message }) => {
      const name = /"([^"]*)"/.exec(message)?.[1] ?? ''
      return finding('agents.unknown', 'warning', {
        what: `${line(path)} names an agent that does not exist: ${line(name)}.`,
        why: 'A spawn of it is refused. The other names of the list count.',
        evidence: `${home.config}: ${line(message)}`,
        fix: `Add the agent (deputy config set agents.entries.${line(name)} '{}'${flags}), or take its name out of the list.`,
      })
    })
}

function workspace({ context }: Patient, settings: Config, agent: Agent): Finding[] {
  const { workspace: path, id } = agent
  const facts = statSync(path, { throwIfNoEntry: false })
  const own = path.startsWith(`${settings.home.dir}/`)
  // Those in the home are made at the start, and so are others; one that is missing while it should be there is told.
  if (!facts)
    return own || !hasAgent(settings, id)
      ? []
      : [
          finding('agents.workspace-missing', 'warning', {
            what: `The workspace of ${id} is not there.`,
            why: 'The next start makes an empty one. If it lies on a disk that is not mounted, the agent then works beside its files.',
            evidence: `${path} does not exist`,
            fix: `Mount it or make it: mkdir -p ${path}; or name another: deputy config set agents.entries.${id}.workspace <dir>${context.flags}`,
          }),
        ]
  if (facts.isDirectory() && writable(path)) return []
  return [
    finding('agents.workspace-unusable', 'error', {
      what: `The workspace of ${id} cannot be used.`,
      why: 'Its file tools and commands fail.',
      evidence: facts.isDirectory() ? `${path} is not writable for this user` : `${path} is not a directory`,
      fix: `Mend it, or name another: deputy config set agents.entries.${id}.workspace <dir>${context.flags}`,
    }),
  ]
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return true
  } catch {
    // No permission: that is the answer.
    return false
  }
}
