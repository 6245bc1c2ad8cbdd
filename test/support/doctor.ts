/**
 * An examination as tests read it: the document of `deputy doctor --json`, and a family of agents that is well.
 */
import type { Desk } from './cli.ts'

export interface Found {
  id: string
  level: string
  what: string
  why: string
  evidence: string
  fix: string
  fixable: boolean
}

export interface Examined {
  ok: boolean
  gateway: string
  checks: { id: string; says: string[]; findings: Found[]; skipped?: string }[]
  fixed: { id: string; did: string; proved: boolean }[]
  delegation: {
    where: string
    agent: string
    children: { agent: string; returned: boolean; refusal: string | null }[]
  } | null
}

/** Well: nothing is found but what a test adds. */
export const family = {
  agents: {
    defaults: { model: 'rehearsal/rehearsal', subagents: { maxSpawnDepth: 2 } },
    entries: { main: { subagents: { allowAgents: ['extractor'] } }, extractor: {} },
  },
}

export async function examine(
  desk: Desk,
  ...args: string[]
): Promise<{ code: number; document: Examined; ids: string[] }> {
  const { code, document } = await desk.json<Examined>('doctor', ...args)
  return { code, document, ids: document.checks.flatMap(({ findings }) => findings.map(({ id }) => id)) }
}

export function says(document: Examined, id: string): string {
  return document.checks.find(check => check.id === id)!.says.join('\n')
}

export function finding(document: Examined, id: string): Found {
  return document.checks.flatMap(({ findings }) => findings).find(found => found.id === id)!
}
