/**
 * A session as OpenClaw's clients list it (openclaw-facts.md §C4, "row"). Owns the shape. However many there are, a few
 * questions to the house make them all.
 */
import type { Run, Session } from '../../core/types.ts'
import type { ResolvedNames, SessionDefaults, SessionEntry, SessionRow } from '../../protocol/results.ts'
import type { Room } from './room.ts'

export interface Wanted {
  titles?: boolean
  last?: boolean
}

export async function rowsOf(room: Room, sessions: readonly Session[], wanted: Wanted = {}): Promise<SessionRow[]> {
  const { house } = room
  const ids = sessions.map(session => session.id)
  const ts = room.now()
  const [runs, totals, glances, parents] = await Promise.all([
    house.newestRuns(ids),
    house.totals(ids),
    wanted.titles || wanted.last ? house.glances(ids) : null,
    parentKeys(room, sessions),
  ])
  return sessions.map(session => {
    const { key, agent, label, route, updatedAt, depth, settings = {}, parentSession } = session
    const run = runs.get(session.id)
    const live = run && run.state !== 'done' ? run : null
    const ref = live?.model ?? modelOf(room, session, run ?? null)
    const glance = glances?.get(session.id)
    const used = totals.get(session.id)
    const parent = parentSession === null ? undefined : parents.get(parentSession)
    const wireIds = live ? room.runEvents.wireIds(live.id) : []
    return {
      key,
      sessionId: session.id,
      kind: chatOf(key),
      ...(label === null ? {} : { label, displayName: label }),
      ...(wanted.titles && glance?.title ? { derivedTitle: glance.title } : {}),
      ...(wanted.last && glance?.last ? { lastMessagePreview: glance.last } : {}),
      agentId: agent,
      isMain: key === `agent:${agent}:main`,
      chatType: chatOf(key),
      ...(route === null ? {} : { channel: route.channel }),
      updatedAt,
      lastActivityAt: updatedAt,
      lastInteractionAt: updatedAt,
      status: statusOf(run),
      ...spanOf(run, ts),
      ...(parent === undefined ? {} : { spawnedBy: parent, parentSessionKey: parent }),
      spawnDepth: depth,
      ...(depth > 0 && run ? roleOf(run) : {}),
      createdVia: depth > 0 ? 'spawn' : route === null ? 'operator' : 'channel',
      systemSent: false,
      abortedLastRun: run?.outcome === 'cancelled',
      ...shownSettings(session),
      inputTokens: used?.usage.input ?? 0,
      outputTokens: used?.usage.output ?? 0,
      totalTokens: used?.context ?? 0,
      totalTokensFresh: used !== undefined,
      ...(used && used.costNano > 0 ? { estimatedCostUsd: used.costNano / 1e9 } : {}),
      ...namesOf(ref),
      ...contextOf(room, ref, agent),
      ...(settings.model === undefined ? {} : { modelOverrideSource: 'user' as const }),
      hasActiveRun: live !== null,
      activeRunIds: wireIds.length > 0 ? wireIds : live ? [live.id] : [],
      snapshotAt: ts,
    }
  })
}

export async function rowOf(room: Room, session: Session, wanted: Wanted = {}): Promise<SessionRow> {
  const [row] = await rowsOf(room, [session], wanted)
  return row!
}

/** What a session says of itself, in OpenClaw's names. */
export function shownSettings({ settings = {} }: Session) {
  const { archived, pinned, unread, icon, color, category, thinking, verbose, reasoning, responseUsage } = settings
  return {
    ...(archived ? { archived } : {}),
    ...(pinned ? { pinned } : {}),
    ...(unread ? { unread } : {}),
    ...(icon === undefined ? {} : { icon }),
    ...(color === undefined ? {} : { color }),
    ...(category === undefined ? {} : { category }),
    ...(thinking === undefined ? {} : { thinkingLevel: thinking }),
    ...(verbose === undefined ? {} : { verboseLevel: verbose }),
    ...(reasoning === undefined ? {} : { reasoningLevel: reasoning }),
    ...(responseUsage === undefined ? {} : { responseUsage }),
  }
}

export function entryOf(session: Session): SessionEntry {
  const { id, updatedAt, label, settings } = session
  return {
    sessionId: id,
    updatedAt,
    ...(label === null ? {} : { label }),
    ...shownSettings(session),
    ...(settings?.model === undefined ? {} : modelOverride(settings.model)),
  }
}

function modelOverride(ref: string) {
  const { modelProvider, model } = namesOf(ref)
  return { providerOverride: modelProvider, modelOverride: model }
}

/** The model that its next run would use. */
export function modelOf(room: Room, session: Session, run: Run | null): string {
  const own = session.settings?.model
  if (own !== undefined) return own
  if (session.depth > 0 && run) return run.model
  return room.facts.agents().find(agent => agent.id === session.agent)?.model?.primary ?? ''
}

export function namesOf(ref: string): ResolvedNames {
  const [provider = '', ...name] = ref.split('/')
  return { modelProvider: provider, model: name.join('/') }
}

export function defaultsOf(room: Room): SessionDefaults {
  const model = room.facts.defaultModel()
  const thinking = room.facts.agents().find(agent => agent.id === room.facts.defaultAgent())?.thinkingDefault
  return {
    modelProvider: model?.provider ?? null,
    model: model?.model ?? null,
    contextTokens: model?.contextWindow ?? null,
    ...(thinking === undefined ? {} : { thinkingDefault: thinking }),
  }
}

function contextOf(room: Room, ref: string, agent: string): { contextTokens?: number } {
  const found = room.rooms.models.resolve(ref, agent)
  return found.ok ? { contextTokens: found.model.contextWindow } : {}
}

function chatOf(key: string): 'direct' | 'group' {
  return /:(group|channel):/.test(key) ? 'group' : 'direct'
}

function statusOf(run: Run | undefined): SessionRow['status'] {
  if (!run) return 'done'
  if (run.state !== 'done') return run.state === 'queued' ? 'queued' : 'running'
  if (run.outcome === 'succeeded') return 'done'
  if (run.outcome === 'cancelled') return 'killed'
  return run.outcome === 'timed_out' ? 'timeout' : 'failed'
}

function spanOf(run: Run | undefined, now: number): Pick<SessionRow, 'startedAt' | 'endedAt' | 'runtimeMs'> {
  if (!run || run.startedAt === null) return {}
  const { startedAt, endedAt } = run
  return {
    startedAt,
    ...(endedAt === null ? {} : { endedAt }),
    runtimeMs: Math.max(0, (endedAt ?? now) - startedAt),
  }
}

function roleOf(run: Run): Pick<SessionRow, 'subagentRole' | 'subagentControlScope'> {
  const may = run.grant.depth > 0 && run.grant.tools.includes('sessions_spawn')
  return may
    ? { subagentRole: 'orchestrator', subagentControlScope: 'children' }
    : { subagentRole: 'leaf', subagentControlScope: 'none' }
}

/** Keys of the sessions that these were spawned from; most lists have none. */
async function parentKeys(room: Room, sessions: readonly Session[]): Promise<Map<string, string>> {
  const keys = new Map(sessions.map(({ id, key }) => [id, key]))
  const ids = new Set(sessions.flatMap(({ parentSession }) => parentSession ?? []).filter(id => !keys.has(id)))
  const found = await Promise.all([...ids].map(id => room.house.session(id)))
  for (const session of found) if (session) keys.set(session.id, session.key)
  return keys
}
