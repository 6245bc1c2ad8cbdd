/**
 * What of the configuration decides how conversations and tasks meet: who sees whom, how far a task may bring things along,
 * and how long conversations are shortened.
 *
 * Owns the reading of those keys (openclaw-facts.md §D5, §E3). Pure over the Config; decides nothing (agent/reach.ts does).
 */
import type { OutreachRules } from '../core/outreach.ts'
import type { Config } from './config.ts'

export interface Sharing {
  /** `tools.sessions.visibility`; null = unset. */
  visibility: 'self' | 'tree' | 'agent' | 'all' | null
  /** Whether conversations of these two agents may meet; of one agent they always may. */
  agentsMeet(one: string, other: string): boolean
  /** Answers back and forth between conversations before a person says something. */
  maxPingPongTurns: number
  /** Tokens of the longest conversation that is copied into a sub-agent. */
  maxForkTokens: number
  /** Null when tasks bring no files along. */
  attachments: { maxTotalBytes: number; maxFiles: number; maxFileBytes: number } | null
  /** To which chats agents may write of their own accord. */
  outreach: OutreachRules
  /** Expressions whose matches are shown to nobody. */
  redactPatterns: readonly string[]
}

export function sharingOf(config: Config): Sharing {
  const { sessions, agentToAgent, sessions_spawn } = config.tools
  const { enabled, ...limits } = sessions_spawn.attachments
  const allowed = (agent: string) =>
    agentToAgent.allow === undefined || agentToAgent.allow.some(one => fits(one, agent))
  return {
    visibility: sessions.visibility ?? null,
    agentsMeet: (one, other) => one === other || (agentToAgent.enabled && allowed(one) && allowed(other)),
    maxPingPongTurns: config.session.agentToAgent.maxPingPongTurns,
    maxForkTokens: config.session.parentForkMaxTokens,
    attachments: enabled ? limits : null,
    outreach: outreachOf(config),
    redactPatterns: config.logging.redactPatterns,
  }
}

/** How long conversations are shortened (agents.defaults.compaction). */
export function compactionOf(config: Config) {
  const { compaction } = config.agents.defaults
  return {
    enabled: compaction.enabled,
    model: compaction.model ?? null,
    thinking: compaction.thinkingLevel ?? null,
    keepRecentTokens: compaction.keepRecentTokens,
    recentTurns: compaction.recentTurnsPreserve,
    reserveTokens: Math.max(compaction.reserveTokens, compaction.reserveTokensFloor),
    timeoutMs: compaction.timeoutSeconds * 1000,
    instructions: compaction.customInstructions?.trim() || null,
  }
}

function outreachOf(config: Config): OutreachRules {
  const { crossContext, actions } = config.tools.message
  const { enabled, prefix, suffix } = crossContext.marker
  return {
    withinProvider: crossContext.allowWithinProvider,
    acrossProviders: crossContext.allowAcrossProviders,
    marker: enabled ? { prefix, suffix } : null,
    actions: actions.allow ?? null,
  }
}

/** How long conversations are kept (session.maintenance), in milliseconds; null = for good. */
export function maintenanceOf(config: Config): { transcripts: number | null; closed: number | null } {
  const { mode, pruneAfter, resetArchiveRetention } = config.session.maintenance
  if (mode === 'warn') return { transcripts: null, closed: null }
  return { transcripts: lasting(pruneAfter), closed: lasting(resetArchiveRetention) }
}

const units: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

function lasting(text: string | undefined): number | null {
  return text === undefined ? null : Number(text.slice(0, -1)) * units[text.slice(-1)]!
}

export type ResetRule = Pick<Config['session']['reset'], 'mode' | 'atHour' | 'idleMinutes'>

/** When a conversation of this kind of chat starts afresh by itself. */
export function resetOf(config: Config, kind: 'direct' | 'group' | 'thread'): ResetRule {
  const { reset, resetByType } = config.session
  return resetByType[kind] ?? (kind === 'direct' ? resetByType['dm'] : undefined) ?? reset
}

function fits(pattern: string, agent: string): boolean {
  const parts = pattern
    .trim()
    .toLowerCase()
    .split('*')
    .map(part => part.replace(/[^a-z0-9_-]/g, ''))
  return new RegExp(`^${parts.join('.*')}$`).test(agent)
}
