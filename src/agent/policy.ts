/**
 * The configuration as runs need it: what each agent may do, whom it may spawn, which model it uses.
 *
 * Owns the mapping only; made anew when the configuration is another object, so a change holds from the next step on.
 */
import type { Config } from '../config/config.ts'
import { type Agent, agentIds, agentOf, defaultAgent, hasAgent, toolsOf as toolSettings } from '../config/read.ts'
import { askingOf } from '../config/asking.ts'
import { loopsOf, spawnLimitsOf } from '../config/breakers.ts'
import { capsOf } from '../config/budgets.ts'
import { compactionOf, resetOf, sharingOf } from '../config/sharing.ts'
import { threadBindingsOf } from '../config/thread-bindings.ts'
import { type AgentPolicy, rootGrant, type SpawnPolicy } from '../core/grant.ts'
import { type ToolEntry, toolsOf } from '../core/tool-policy.ts'
import type { Scope } from '../protocol/scopes.ts'
import type { Policies } from './room.ts'

export interface PolicyOptions {
  config(): Config
  catalogue: readonly ToolEntry[]
  /** What is used when the configuration names no model (models room). */
  defaultModel(agent: string): string
}

/** What an agent's run may ask of the gateway at most; a grant narrows it to what its asker holds. */
const agentScopes: readonly Scope[] = ['operator.read', 'operator.write']

interface Today {
  config: Config
  agents: ReadonlyMap<string, Agent>
  policies: ReadonlyMap<string, AgentPolicy>
}

export function openPolicies(options: PolicyOptions): Policies & { agent(id: string): Agent } {
  let today: Today | null = null

  function now(): Today {
    const config = options.config()
    if (today?.config === config) return today
    const agents = new Map(agentIds(config).map(id => [id, agentOf(config, id)]))
    const policies = new Map([...agents].map(([id, agent]) => [id, policyOf(agent, options.catalogue)]))
    today = { config, agents, policies }
    return today
  }

  function agent(id: string): Agent {
    return now().agents.get(id) ?? agentOf(now().config, id)
  }

  function policy(id: string): AgentPolicy {
    return now().policies.get(id) ?? policyOf(agent(id), options.catalogue)
  }

  function model(id: string): string {
    return agent(id).model.primary ?? options.defaultModel(id)
  }

  function spawn(caller: string): SpawnPolicy {
    return {
      caller: policy(caller),
      agents: now().policies,
      catalogue: options.catalogue,
      subagentTools: toolSettings(now().config).subagents,
    }
  }

  return {
    agent,
    agents: () => [...now().agents.values()].map(one => ({ id: one.id, name: one.name, model: model(one.id) })),
    has: id => hasAgent(now().config, id),
    defaultAgent: () => defaultAgent(now().config),
    rootGrant: (id, scopes, holder = {}) =>
      rootGrant(policy(id), { scopes, budget: null, device: holder.device, sender: holder.sender }),
    caps: id => capsOf(now().config, id),
    loops: id => loopsOf(now().config, id),
    spawnLimits: id => spawnLimitsOf(now().config, id),
    spawn,
    model,
    childModel(caller, target) {
      const own = agent(caller).subagents.model?.primary
      return own ?? agent(target).model.primary ?? agent(caller).model.primary ?? options.defaultModel(target)
    },
    runTimeoutSeconds: caller => agent(caller).subagents.runTimeoutSeconds,
    timeoutSeconds: id => agent(id).timeoutSeconds,
    maxDepth: id => agent(id).subagents.maxSpawnDepth,
    maxSteps: id => agent(id).maxSteps,
    thinking: id => agent(id).thinking,
    childThinking: id => agent(id).subagents.thinking,
    sharing: () => sharingOf(now().config),
    compaction: () => compactionOf(now().config),
    bindings: at => threadBindingsOf(now().config, at),
    resetRule: kind => resetOf(now().config, kind),
    asking: id => askingOf(now().config, agent(id)),
    prompt(id) {
      const one = agent(id)
      return { agentId: one.id, agentName: one.name, instructions: one.systemPrompt, workspace: one.workspace }
    },
  }
}

function policyOf(agent: Agent, catalogue: readonly ToolEntry[]): AgentPolicy {
  const { subagents } = agent
  return {
    id: agent.id,
    scopes: agentScopes,
    tools: toolsOf(agent.tools, catalogue),
    allowAgents: subagents.allowAgents,
    requireAgentId: subagents.requireAgentId,
    maxSpawnDepth: subagents.maxSpawnDepth,
    maxChildrenPerAgent: subagents.maxChildrenPerAgent,
    budget: agent.budget,
    ...(agent.exec.sandbox === 'off' ? { unsandboxed: true as const } : {}),
  }
}
