/**
 * How schemas are written here: as functions of zod, so that reading this room loads nothing.
 *
 * zod costs 18 ms and 13 MB when it is loaded (bundled), and the CLI never needs it. The gateway passes it in at the first
 * connect. Owns the type of that argument and the words for what did not fit.
 */
import type { z } from 'zod'

export type Zod = typeof z

export interface Issue {
  code: string
  path: readonly PropertyKey[]
  message: string
  keys?: readonly string[]
  input?: unknown
}

/** The first thing that did not fit, as OpenClaw words it: `at root: unexpected property 'x'` (openclaw-facts.md §A2). */
export function problemOf(issues: readonly Issue[]): string {
  const issue = issues[0]
  if (!issue) return 'at root: not allowed'
  const at = issue.path.length === 0 ? 'root' : `/${issue.path.map(String).join('/')}`
  if (issue.code === 'unrecognized_keys')
    return `at ${at}: unexpected property '${issue.keys?.[0]?.slice(0, 64) ?? ''}'`
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) {
    return issue.path.length > 0
      ? `must have required property '${String(issue.path.at(-1))}'`
      : 'at root: params are required'
  }
  return `at ${at}: ${issue.message}`
}
