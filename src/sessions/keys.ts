/**
 * Which session is meant: keys as callers write them → the open session row, or what a new one would be.
 * Owns the default key and the row of a new root session. Reads only.
 */
import type { Session } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'

export interface Meant {
  agent: string
  key: string
}

/** `main` and nothing mean the agent's main session; a full key names its own agent (openclaw-facts.md §D4). Lower case. */
export function meant(
  input: { agent?: string | undefined; sessionKey?: string | undefined },
  defaultAgent: string,
): Meant {
  const asked = input.agent?.trim().toLowerCase()
  const key = input.sessionKey?.trim().toLowerCase()
  if (!key || key === 'main') {
    const agent = asked || defaultAgent
    return { agent, key: `agent:${agent}:main` }
  }
  const named = /^agent:([a-z0-9][a-z0-9_-]{0,63}):.+$/.exec(key)
  if (!named) {
    if (/^[a-z0-9][a-z0-9_.:@+-]{0,200}$/.test(key) && !key.startsWith('agent:')) {
      const agent = asked || defaultAgent
      return { agent, key: `agent:${agent}:explicit:${key}` }
    }
    throw new DeputyError(
      'UNKNOWN_SESSION',
      `${JSON.stringify(input.sessionKey?.slice(0, 80))} is not a session key; keys look like agent:main:main.`,
    )
  }
  const agent = named[1] ?? defaultAgent
  if (asked && asked !== agent)
    throw new DeputyError('UNKNOWN_SESSION', `The session ${key} belongs to the agent ${agent}, not to ${asked}.`)
  return { agent, key }
}

/** A new conversation: the root of its own tree. */
export function newSession(id: string, at: Meant, now: number, route: Session['route']): Session {
  return {
    id,
    key: at.key,
    agent: at.agent,
    tree: id,
    parentSession: null,
    spawnedBy: null,
    depth: 0,
    label: null,
    route,
    seq: 0,
    createdAt: now,
    updatedAt: now,
    closedAt: null,
  }
}
