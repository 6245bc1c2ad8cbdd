/**
 * Session keys as clients write them. Owns what `main` and bare keys mean (openclaw-facts.md §D4); never opens a session.
 */

/** `main` and a bare key belong to the agent named, else to the default one; a full key is itself. */
export function fullKey(key: string, agent: string): string {
  return key.startsWith('agent:') ? key : `agent:${agent}:${key}`
}

export function agentOfKey(key: string): string {
  return key.split(':')[1] ?? ''
}
