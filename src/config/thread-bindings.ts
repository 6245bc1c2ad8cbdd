/**
 * What the configuration says of threads and chats that are bound to a conversation (openclaw-facts.md §D5): what an account
 * says, else its channel, else `session.threadBindings`, key by key.
 *
 * Pure over the Config. Owns the defaults of these keys.
 */
import type { BindingRules } from '../core/binding.ts'
import { isRecord } from './check.ts'
import type { Config } from './config.ts'
import { accountOf, isService } from './read-channels.ts'

export interface ThreadBindings extends BindingRules {
  enabled: boolean
  /** A sub-agent may be started with a thread of its own. */
  spawns: boolean
  /** What such a sub-agent begins with when the spawn does not say. */
  context: 'fork' | 'isolated'
}

type Said = Partial<NonNullable<Config['session']['threadBindings']>>

const hour = 3_600_000
/** Beyond it a time is as good as none, and could not be counted in a row. */
const longest = 100 * 365 * 24 * hour

export function threadBindingsOf(config: Config, at: { channel: string; account: string }): ThreadBindings {
  const account: unknown = accountOf(config, at.channel, at.account)?.settings['threadBindings']
  const channel: unknown = isService(at.channel) ? config.channels[at.channel]?.threadBindings : undefined
  const said: Said = { ...config.session.threadBindings, ...own(channel), ...own(account) }
  return {
    enabled: said.enabled !== false,
    idleMs: milliseconds(said.idleHours ?? 24),
    maxAgeMs: milliseconds(said.maxAgeHours ?? 0),
    spawns: said.spawnSessions !== false,
    context: said.defaultSpawnContext ?? 'fork',
  }
}

function own(said: unknown): Said {
  return isRecord(said) ? (said as Said) : {}
}

function milliseconds(hours: number): number {
  return Math.min(longest, Math.round(hours * hour))
}
