/**
 * What there is: agents, models, tools, commands (openclaw-facts.md §C4). Owns the rows; lists what can be used now.
 */
import { toolsOf } from '../../core/tool-policy.ts'
import type { Tool } from '../../core/ports.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { AgentRow } from '../../protocol/results.ts'
import { commandTable } from '../../sessions/commands/table.ts'
import { keyOf, type Room } from './room.ts'

/** The agent that a call means: named, or the session's, or the default one. */
async function agentOf(
  room: Room,
  params: { agentId?: string | undefined; sessionKey?: string | undefined },
): Promise<AgentRow> {
  const { agentId, sessionKey } = params
  const named = agentId ?? (sessionKey ? (await keyOf(room, { sessionKey })).split(':')[1] : undefined)
  const id = (named ?? room.facts.defaultAgent()).toLowerCase()
  const agent = room.facts.agents().find(one => one.id === id)
  if (!agent) throw new DeputyError('UNKNOWN_AGENT', `There is no agent ${JSON.stringify(id.slice(0, 80))}.`)
  return agent
}

export function agentsList(room: Room): Result<'agents.list'> {
  return {
    defaultId: room.facts.defaultAgent(),
    mainKey: 'main',
    scope: 'per-sender',
    agents: room.facts.agents(),
  }
}

export async function agentIdentity(
  room: Room,
  params: Params<'agent.identity.get'>,
): Promise<Result<'agent.identity.get'>> {
  const { id, name, identity } = await agentOf(room, params)
  return {
    agentId: id,
    name: identity?.name ?? name ?? id,
    nameSource: identity?.name === undefined && (name === undefined || name === id) ? 'default' : 'config',
    ...(identity?.avatar === undefined ? {} : { avatar: identity.avatar }),
    ...(identity?.emoji === undefined ? {} : { emoji: identity.emoji }),
  }
}

export async function modelsList(room: Room, params: Params<'models.list'>): Promise<Result<'models.list'>> {
  const agent = await agentOf(room, params)
  const models = room.rooms.models
    .list(agent.id)
    .filter(model => params.provider === undefined || model.provider === params.provider)
    .map(({ ref, model: id, name, provider, contextWindow }) => ({
      id,
      name,
      provider,
      contextWindow,
      available: true,
      ...(ref === agent.model?.primary ? { tags: ['default'] } : {}),
    }))
  return { models }
}

const profiles = [
  { id: 'minimal', label: 'Minimal' },
  { id: 'coding', label: 'Coding' },
  { id: 'messaging', label: 'Messaging' },
  { id: 'full', label: 'Full' },
] as const

function describe(tool: Tool): string {
  return tool.spec({ agents: [], canSpawn: true }).description
}

export async function toolsCatalog(room: Room, params: Params<'tools.catalog'>): Promise<Result<'tools.catalog'>> {
  const { tools } = room.rooms
  const agent = await agentOf(room, params)
  await tools.ready()
  const all = tools.list()
  const catalogue = all.map(({ name, group }) => ({ name, group }))
  const inProfile = profiles.map(({ id }) => ({ id, names: toolsOf([{ profile: id }], catalogue) }))
  const groups = [...Map.groupBy(all, tool => tool.group)].map(([id, members]) => ({
    id,
    label: id.charAt(0).toUpperCase() + id.slice(1),
    source: 'core' as const,
    tools: members.map(tool => ({
      id: tool.name,
      label: tool.label,
      description: describe(tool),
      source: 'core' as const,
      defaultProfiles: inProfile.filter(({ names }) => names.includes(tool.name)).map(profile => profile.id),
    })),
  }))
  return { agentId: agent.id, profiles, groups }
}

/** What the next run of a session could call: a sub-agent's own grant, else what the agent's policy gives. */
export async function toolsEffective(
  room: Room,
  params: Params<'tools.effective'>,
): Promise<Result<'tools.effective'>> {
  const { tools } = room.rooms
  const sessionKey = await keyOf(room, params)
  const agent = await agentOf(room, { agentId: params.agentId, sessionKey })
  const session = await room.house.sessionByKey(sessionKey)
  const run = session && session.depth > 0 ? (await room.house.newestRuns([session.id])).get(session.id) : undefined
  const policy = tools.policy(agent.id)
  const names = run?.grant.tools ?? policy.names
  await tools.ready()
  const usable = tools.list().filter(tool => names.includes(tool.name))
  const shown = usable.map(tool => {
    const description = describe(tool)
    return {
      id: tool.name,
      label: tool.label,
      description: description.split('. ')[0] ?? description,
      rawDescription: description,
      source: 'core' as const,
    }
  })
  return {
    agentId: agent.id,
    profile: policy.profile,
    groups: [{ id: 'core', label: 'Built-in tools', source: 'core', tools: shown }],
  }
}

export function commandsList(): Result<'commands.list'> {
  return {
    commands: commandTable.map(({ name, aliases, description, category, usage }) => ({
      name,
      textAliases: [name, ...aliases].map(each => `/${each}`),
      description,
      category,
      source: 'native',
      scope: 'both',
      acceptsArgs: usage.some(form => form !== ''),
    })),
  }
}
