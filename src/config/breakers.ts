/**
 * When work is taken to go round in circles: the keys of the circuit breakers (core/breaker.ts). Pure over the Config.
 */
import type { LoopRules, SpawnLimits } from '../core/breaker.ts'
import type { Config } from './config.ts'

/** Null when an agent's calls are not looked at. */
export function loopsOf(config: Config, agent: string): LoopRules | null {
  const own = config.agents.entries[agent]?.tools.loopDetection
  const all = config.tools.loopDetection
  if (!(own?.enabled ?? all.enabled)) return null
  const warnAt = own?.warningThreshold ?? all.warningThreshold
  return { warnAt, endAt: Math.max(warnAt + 1, own?.criticalThreshold ?? all.criticalThreshold) }
}

export function spawnLimitsOf(config: Config, agent: string): SpawnLimits {
  const own = config.agents.entries[agent]?.subagents
  const all = config.agents.defaults.subagents
  return {
    maxFailuresInRow: own?.maxFailuresInRow ?? all.maxFailuresInRow,
    maxSpawnsPerMinute: own?.maxSpawnsPerMinute ?? all.maxSpawnsPerMinute,
  }
}
