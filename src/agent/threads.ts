/**
 * A place of its own for a sub-agent: whether it may have one where it was asked for, and what has to become true with the spawn.
 *
 * Owns the refusals of `thread: true` and the rows that come with an accepted one; where a thread is to be had is
 * core/opening.ts. Commits nothing.
 */
import type { Capabilities } from '../core/chat.ts'
import { introduction, nameOf, opener, threadFor, type ThreadHow } from '../core/opening.ts'
import type { Chats, SpawnRequest } from '../core/ports.ts'
import type { ChildPlan } from '../core/run/accept.ts'
import type { Route, Run } from '../core/types.ts'
import type { Policies } from './room.ts'

export interface ThreadFacts {
  /** Whether there are bindings there, and whether a spawn may make one. */
  enabled: boolean
  spawns: boolean
  /** What the chat that the caller speaks in can do; null where there is none. */
  can: Pick<Capabilities, 'binds'> | null
}

export interface Placed {
  how: ThreadHow
  name: string
  /** Where the child's words go; while its thread is being opened, what stands for it. */
  route: Route
  effects: NonNullable<ChildPlan['place']>
}

type Placing =
  | { ok: true; place: Placed | null }
  | { ok: false; status: 'forbidden' | 'error'; error: string; more: Record<string, unknown> }

export function threadFacts(options: { policies: Policies; chats: Chats }, run: Pick<Run, 'route'>): ThreadFacts {
  const { route } = run
  const { enabled, spawns } = route ? options.policies.bindings(route) : { enabled: true, spawns: true }
  return { enabled, spawns, can: route && options.chats.capabilities(route) }
}

/** The request with what it leaves open: with a thread as configuration has it, a copy of the conversation where one may be had. */
export function withDefaults(
  request: SpawnRequest,
  caller: Pick<Run, 'agent' | 'route'>,
  policies: Policies,
): SpawnRequest & { context: 'isolated' | 'fork' } {
  const { agent, route } = caller
  const copies = request.thread && route !== null && (request.agent === null || request.agent === agent)
  return { ...request, context: request.context ?? (copies ? policies.bindings(route).context : 'isolated') }
}

/** `child` as it will be, `asks` the conversation that spawns it. */
export function placeFor(
  child: { id: string; session: string; sessionKey: string; agent: string; label: string | null; task: string },
  request: Pick<SpawnRequest, 'thread'>,
  asks: { run: string; route: Route | null; sessionKey: string },
  facts: ThreadFacts,
  now: number,
): Placing {
  if (!request.thread) return { ok: true, place: null }
  if (!facts.enabled || !facts.spawns) {
    const key = `session.threadBindings.${facts.enabled ? 'spawnSessions' : 'enabled'}`
    const error = `threads for sub-agents are switched off (${key})`
    return { ok: false, status: 'forbidden', error, more: { code: 'SPAWN_THREADS_OFF', configure: key } }
  }
  const found = threadFor(asks, facts.can)
  if (!found.ok) {
    const fix = 'Spawn it without thread: its result comes to you all the same.'
    return { ok: false, status: 'error', error: `no thread: ${found.problem}`, more: { code: 'SPAWN_THREAD', fix } }
  }
  const name = nameOf(child)
  const by = `run:${asks.run}`
  if (found.how === 'thread') {
    const opens = opener(child, name, found.route, by, now)
    return { ok: true, place: { how: 'thread', name, route: opens.route, effects: [opens] } }
  }
  const { route } = found
  const session = { agent: child.agent, key: child.sessionKey }
  const bound = { do: 'binding.put', place: route, session, run: child.id, by, at: now } as const
  return { ok: true, place: { how: 'here', name, route, effects: [bound, introduction(child, name, route, now)] } }
}
