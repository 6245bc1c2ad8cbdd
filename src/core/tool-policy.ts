/**
 * Which tools an agent may be given: profile, allow, alsoAllow, deny → a closed list of names (openclaw-facts.md §E5, §D6).
 *
 * Owns the meaning of tool policies; never decides what a run holds (grant.ts does, from these lists).
 * Invariants: a result is a part of the catalogue, in its order; deny wins over everything; a pattern that fits nothing
 * adds nothing. An absent or empty `allow` restricts nothing, as in OpenClaw; `deny: ['*']` is how to give no tool.
 */

export type ToolProfile = 'minimal' | 'coding' | 'messaging' | 'full'

/** Patterns are names, globs with `*`, or `group:<name>`; case does not matter. */
export interface ToolPolicy {
  profile?: ToolProfile
  allow?: readonly string[]
  alsoAllow?: readonly string[]
  deny?: readonly string[]
}

/** A tool that exists here, and the group that `group:<group>` means it by. */
export interface ToolEntry {
  name: string
  group: string
}

const profiles: Record<ToolProfile, readonly string[]> = {
  minimal: ['session_status'],
  coding: [
    'group:fs',
    'group:runtime',
    'group:web',
    'group:sessions',
    'group:agents',
    'group:memory',
    'group:media',
    'cron',
  ],
  messaging: ['group:messaging', 'sessions_list', 'sessions_history', 'sessions_send', 'session_status'],
  full: ['*'],
}

/** Withheld from every sub-agent unless `tools.subagents.tools` allows it by name or pattern (§D6). */
const withheldFromSubagents = [
  'gateway',
  'agents_list',
  'session_status',
  'progress_card',
  'cron',
  'message',
  'sessions_send',
  'conversations_*',
]

/** Withheld besides from those that may not spawn any further (§D6). */
const withheldFromLeaves = ['subagents', 'sessions_list', 'sessions_history', 'sessions_spawn']

/** Tools of groups that come from outside; every other group is built in and so part of `group:openclaw`. */
const outsideGroups = ['plugins', 'mcp']

/** The names that `layers` leave of the catalogue: the global policy first, then the agent's, whose profile and alsoAllow win. */
export function toolsOf(layers: readonly ToolPolicy[], catalogue: readonly ToolEntry[]): string[] {
  const profile = layers.findLast(layer => layer.profile !== undefined)?.profile ?? 'full'
  const besides = layers.findLast(layer => layer.alsoAllow !== undefined)?.alsoAllow ?? []
  const denied = matcher(layers.flatMap(layer => layer.deny ?? []))
  const offered = matcher([...profiles[profile], ...besides])
  const allowed = layers.flatMap(layer => (layer.allow?.length ? [matcher(layer.allow)] : []))
  return names(catalogue, tool => !denied(tool) && offered(tool) && allowed.every(allows => allows(tool)))
}

/** What a sub-agent may be given at most. `policy` is `tools.subagents.tools`; its allow lists also give back what is withheld. */
export function toolsOfSubagent(policy: ToolPolicy, catalogue: readonly ToolEntry[], leaf: boolean): string[] {
  const withheld = matcher(leaf ? [...withheldFromSubagents, ...withheldFromLeaves] : withheldFromSubagents)
  const denied = matcher(policy.deny ?? [])
  const allowed = matcher([...(policy.allow ?? []), ...(policy.alsoAllow ?? [])])
  return names(catalogue, tool => !denied(tool) && (allowed(tool) || (!policy.allow?.length && !withheld(tool))))
}

function names(catalogue: readonly ToolEntry[], keep: (tool: ToolEntry) => boolean): string[] {
  return catalogue.filter(keep).map(tool => tool.name)
}

/** Whether a tool fits one of the patterns; they are read once for a whole catalogue. */
export function matcher(patterns: readonly string[]): (tool: ToolEntry) => boolean {
  const tests = patterns.map(raw => {
    const pattern = raw.trim().toLowerCase()
    if (!pattern.startsWith('group:')) {
      const pieces = pattern.split('*')
      return (name: string) => glob(pieces, name)
    }
    const named = pattern.slice('group:'.length)
    return (_: string, group: string) => named === group || (named === 'openclaw' && !outsideGroups.includes(group))
  })
  return tool => {
    const name = tool.name.toLowerCase()
    const group = tool.group.toLowerCase()
    return tests.some(fits => fits(name, group))
  }
}

/** Any run of characters may stand between the pieces. Linear: they are looked for from left to right. */
function glob(pieces: readonly string[], name: string): boolean {
  const [first = '', ...rest] = pieces
  const last = rest.pop()
  if (last === undefined) return name === first
  if (!name.startsWith(first)) return false
  let at = first.length
  for (const piece of rest) {
    const found = name.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}
