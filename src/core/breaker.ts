/**
 * Circuit breakers: work that goes round in circles is stopped before it costs more.
 *
 * Owns the rules: the same call with the same result again and again, the same task failing again and again, sub-agents by the
 * dozen. Pure over what the rows say; each refusal says what was seen, and when it may be tried again.
 */
import type { Outcome } from './types.ts'

export interface LoopRules {
  /** The so-manieth time the model is told, and the so-manieth time the run ends. */
  warnAt: number
  endAt: number
}

/** A tool call that has its result. */
export interface PastCall {
  /** The reply that made it: calls side by side count once. */
  reply: number
  name: string
  args: unknown
  /** What it gave. */
  result: string
}

/** In how many replies the same tool was called with the same arguments and gave the same. */
export function timesSame(past: readonly PastCall[], call: Omit<PastCall, 'reply'>): number {
  const args = JSON.stringify(call.args)
  const same = past.filter(
    one => one.name === call.name && one.result === call.result && JSON.stringify(one.args) === args,
  )
  return new Set(same.map(one => one.reply)).size
}

/** Marks what the house adds to a result; not part of what the call gave. */
export const loopMark = '[Loop] '

export function loopWords(name: string, times: number, rules: LoopRules): string {
  return `${loopMark}${name} has given this very result ${times} times for these very arguments. Nothing has changed: do something else, or end with what you have. At ${rules.endAt} times the run is ended.`
}

export function loopEnd(name: string, times: number): string {
  return `${name} was called ${times} times with the same arguments and gave the same result each time`
}

export interface Tripped {
  code: 'SPAWN_FAILING' | 'SPAWN_RATE'
  rule: string
  allowed: number
  /** The configuration key that holds the rule. */
  key: string
  message: string
  /** Epoch ms from which on it may be tried again. */
  retryAt: number
}

export interface SpawnLimits {
  /** Failures of the same task in a row; 0 is no limit. */
  maxFailuresInRow: number
  /** Sub-agents that one conversation and all below it may start in a minute; 0 is no limit. */
  maxSpawnsPerMinute: number
}

/** How long a task that failed too often is left alone. */
const restMs = 10 * 60_000
const minuteMs = 60_000

const failed: readonly (Outcome | null)[] = ['failed', 'timed_out', 'interrupted', 'budget_exhausted']

/** `ends`: how the newest runs of the same agent and task in this tree ended, newest first. */
export function failing(
  ends: readonly { outcome: Outcome | null; endedAt: number | null }[],
  most: number,
  now: number,
): Tripped | null {
  const row = ends.slice(0, most)
  const newest = row[0]?.endedAt ?? null
  if (most === 0 || row.length < most || newest === null || !row.every(one => failed.includes(one.outcome))) return null
  const retryAt = newest + restMs
  if (retryAt <= now) return null
  return {
    code: 'SPAWN_FAILING',
    rule: 'maxFailuresInRow',
    allowed: most,
    key: 'agents.defaults.subagents.maxFailuresInRow',
    message: `this task of this agent has failed ${most} times in a row (${row.map(one => one.outcome).join(', ')}); it is not started again for ${seconds(retryAt - now)} s: read why it failed, then change the task or do it otherwise`,
    retryAt,
  }
}

/** `started`: when sub-agents of this tree were started within the last minute, in any order. */
export function storming(started: readonly number[], most: number, now: number): Tripped | null {
  const recent = started.filter(at => at > now - minuteMs).sort((a, b) => a - b)
  if (most === 0 || recent.length < most) return null
  const retryAt = recent[recent.length - most]! + minuteMs
  return {
    code: 'SPAWN_RATE',
    rule: 'maxSpawnsPerMinute',
    allowed: most,
    key: 'agents.defaults.subagents.maxSpawnsPerMinute',
    message: `this conversation has started ${recent.length} sub-agents within a minute, and ${most} are allowed; it may start the next one in ${seconds(retryAt - now)} s`,
    retryAt,
  }
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
