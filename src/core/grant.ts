/**
 * What a run may do, and the only way to hand part of it on.
 *
 * Owns `rootGrant` and `attenuate`: no other code makes a Grant. Never reads a configuration, a row or a socket; policies
 * come in as plain data. A spawn checks the stored grant ∩ today's policy (decisions.md 34).
 *
 * Invariants, over any tree of spawns:
 * G1 a child's scopes, tools and agents are each covered by its parent's.
 * G2 a child's depth is smaller than its parent's, and no child is made of depth 0.
 * G3 a child's limit is at most what its parent has left.
 * G4 a child works under the authority that its parent works under, and for whom its parent works: revoking a device ends
 *    both, and what either spends counts towards the same sender's limit.
 */
import type { ErrorCode } from '../protocol/errors.ts'
import type { Scope } from '../protocol/scopes.ts'
import { meet, missingScopes } from './authorize.ts'
import { carve, lesser } from './budget.ts'
import { type ToolEntry, type ToolPolicy, toolsOfSubagent } from './tool-policy.ts'
import type { Grant, Purse } from './types.ts'

/** What the configuration says of one agent now. */
export interface AgentPolicy {
  id: string
  /** Scopes that its runs may hold at most. */
  scopes: readonly Scope[]
  /** Tools that its runs may hold at most: the closed list of tool-policy.ts. */
  tools: readonly string[]
  /** `subagents.allowAgents`; null = unset = the own agent only; `['*']` = any configured agent. */
  allowAgents: readonly string[] | null
  requireAgentId: boolean
  maxSpawnDepth: number
  maxChildrenPerAgent: number
  /** Limit of one run of it; null in each field = none. */
  budget: Purse
  /** Its commands run without a sandbox (`tools.exec.sandbox: "off"`). */
  unsandboxed?: true
}

/** Today's policy as far as a spawn needs it. */
export interface SpawnPolicy {
  caller: AgentPolicy
  /** Every configured agent by id, the caller's among them. */
  agents: ReadonlyMap<string, AgentPolicy>
  catalogue: readonly ToolEntry[]
  /** `tools.subagents.tools` */
  subagentTools: ToolPolicy
}

/** What the spawn asks for, and where its caller stands. */
export interface SpawnAsk {
  /** null = the caller's own agent. */
  agent: string | null
  /** Narrowing only; null = whatever policy and parent leave. */
  tools: readonly string[] | null
  budget: Purse | null
  /** The caller's depth; 0 for a root run. */
  depth: number
  liveChildren: number
  /** What the caller's budget has left to give (budget.ts `left`). */
  left: Purse
}

export interface Refused {
  ok: false
  code: ErrorCode
  /** Name of the rule that refused. */
  rule: string
  /** What would have been allowed: names, or the limit. */
  allowed: readonly string[] | number | null
  /** The configuration key that holds the rule. */
  key: string
  message: string
}

export type Attenuated = { ok: true; agent: string; grant: Grant } | Refused

/** Whose authority a grant is, and who asked for the work. */
export interface Holder {
  device?: string | undefined
  sender?: string | undefined
}

function heldBy({ device, sender }: Holder): Pick<Grant, 'device' | 'sender'> {
  return { ...(device === undefined ? {} : { device }), ...(sender === undefined ? {} : { sender }) }
}

/** The grant of a run that nobody spawned: what its asker may ∩ what its agent may. */
export function rootGrant(
  policy: AgentPolicy,
  asker: { scopes: readonly Scope[]; budget: Purse | null } & Holder,
): Grant {
  return {
    scopes: meet(asker.scopes, policy.scopes),
    tools: policy.tools,
    agents: allowList(policy),
    depth: policy.maxSpawnDepth,
    budget: asker.budget ? lesser(policy.budget, asker.budget) : policy.budget,
    ...heldBy(asker),
  }
}

/** The only way to make a child's grant: parent's grant ∩ today's policy ∩ what was asked. Pure; a refusal says the rule. */
export function attenuate(parent: Grant, policy: SpawnPolicy, ask: SpawnAsk): Attenuated {
  const caller = policy.caller
  const entry = `agents.entries.${caller.id}.subagents`

  const maxDepth = Math.min(caller.maxSpawnDepth, ask.depth + parent.depth)
  if (ask.depth >= maxDepth) {
    return refuse('SPAWN_DEPTH', 'maxSpawnDepth', maxDepth, 'agents.defaults.subagents.maxSpawnDepth', {
      message: `sessions_spawn is not allowed at this depth (current depth: ${ask.depth}, max: ${maxDepth})`,
    })
  }
  const maxChildren = caller.maxChildrenPerAgent
  if (ask.liveChildren >= maxChildren) {
    return refuse(
      'SPAWN_CHILDREN',
      'maxChildrenPerAgent',
      maxChildren,
      'agents.defaults.subagents.maxChildrenPerAgent',
      {
        message: `sessions_spawn has reached max active children for this session (${ask.liveChildren}/${maxChildren})`,
      },
    )
  }
  const allowed = spawnable(parent, policy)
  if (ask.agent === null && caller.requireAgentId) {
    return refuse('SPAWN_AGENT_REQUIRED', 'requireAgentId', allowed, `${entry}.requireAgentId`, {
      message: `sessions_spawn requires agentId (allowed: ${list(allowed)})`,
    })
  }
  const agent = ask.agent ?? caller.id
  // The own agent needs no entry when none was named: its policy is what the caller works under already.
  if (ask.agent !== null && !allowed.includes(agent)) {
    const missing = named(parent.agents, agent) && named(allowList(caller), agent)
    return missing
      ? refuse('UNKNOWN_AGENT', 'configured', allowed, `agents.entries.${agent}`, {
          message: `agentId ${JSON.stringify(agent)} is not a configured agent (allowed: ${list(allowed)})`,
        })
      : refuse('SPAWN_AGENT_NOT_ALLOWED', 'allowAgents', allowed, `${entry}.allowAgents`, {
          message: `agentId is not allowed for sessions_spawn (allowed: ${list(allowed)})`,
        })
  }
  const target = policy.agents.get(agent)
  if (!target) {
    return refuse('UNKNOWN_AGENT', 'configured', allowed, `agents.entries.${agent}`, {
      message: `agentId ${JSON.stringify(agent)} is not a configured agent (allowed: ${list(allowed)})`,
    })
  }
  const held = parent.tools.filter(tool => caller.tools.includes(tool))
  const lacking = ask.tools?.filter(tool => !held.includes(tool)) ?? []
  if (lacking.length > 0) {
    return refuse('SPAWN_TOOLS', 'tools', held, `agents.entries.${caller.id}.tools`, {
      message: `sessions_spawn cannot hand on tools that the caller does not hold: ${list(lacking)} (held: ${list(held)})`,
    })
  }
  const budget = carve(ask.left, target.budget, ask.budget, maxChildren - ask.liveChildren)
  if (!budget.ok) {
    return refuse('SPAWN_BUDGET', 'budget', budget.left, `agents.entries.${agent}.budget`, { message: budget.message })
  }
  const depth = maxDepth - ask.depth - 1
  const subagent = toolsOfSubagent(policy.subagentTools, policy.catalogue, depth === 0)
  const tools = held.filter(
    tool => target.tools.includes(tool) && subagent.includes(tool) && (ask.tools === null || ask.tools.includes(tool)),
  )
  return {
    ok: true,
    agent,
    grant: {
      scopes: meet(parent.scopes, target.scopes),
      tools,
      agents: depth === 0 ? [] : common(parent.agents, allowList(target)),
      depth,
      budget: budget.purse,
      ...heldBy(parent),
    },
  }
}

/** The grant of a run that a message of another run starts: no more than its sender holds, no more than its agent may. */
export function grantFor(policy: AgentPolicy, sender: Grant): Grant {
  const depth = Math.min(policy.maxSpawnDepth, sender.depth)
  return {
    scopes: meet(sender.scopes, policy.scopes),
    tools: policy.tools.filter(tool => sender.tools.includes(tool)),
    agents: depth === 0 ? [] : common(sender.agents, allowList(policy)),
    depth,
    budget: policy.budget,
    ...heldBy(sender),
  }
}

/** The grant of a run that a person starts in a sub-agent's conversation: no more than that was given, than they hold, than policy. */
export function grantWithin(policy: AgentPolicy, given: Grant, asker: { scopes: readonly Scope[] } & Holder): Grant {
  const { scopes, tools, agents, depth, budget } = given
  const lent = { scopes: meet(asker.scopes, scopes), tools, agents, depth, budget, ...heldBy(asker) }
  return { ...grantFor(policy, lent), budget: lesser(policy.budget, budget) }
}

/** Whether who holds `one` may all that `other` allows: then the words of the one may guide the other. */
export function grantCovers(one: Grant, other: Grant): boolean {
  return (
    missingScopes(one.scopes, other.scopes).length === 0 &&
    other.tools.every(tool => one.tools.includes(tool)) &&
    (one.agents === '*' || (other.agents !== '*' && other.agents.every(agent => named(one.agents, agent)))) &&
    one.depth >= other.depth
  )
}

/** The agents that a spawn may name now, in order of configuration: what the tool's schema lists. */
export function spawnable(parent: Grant, policy: Pick<SpawnPolicy, 'caller' | 'agents'>): string[] {
  const own = allowList(policy.caller)
  return [...policy.agents.keys()].filter(id => named(own, id) && named(parent.agents, id))
}

function refuse(
  code: ErrorCode,
  rule: string,
  allowed: Refused['allowed'],
  key: string,
  said: { message: string },
): Refused {
  return { ok: false, code, rule, allowed, key, message: said.message }
}

function allowList(policy: AgentPolicy): Grant['agents'] {
  const allow = policy.allowAgents ?? [policy.id]
  return allow.includes('*') ? '*' : allow
}

function named(agents: Grant['agents'], id: string): boolean {
  return agents === '*' || agents.includes(id)
}

function common(one: Grant['agents'], other: Grant['agents']): Grant['agents'] {
  if (one === '*') return other
  return other === '*' ? one : one.filter(id => other.includes(id))
}

function list(names: readonly string[]): string {
  return names.length > 0 ? names.join(', ') : 'none'
}
