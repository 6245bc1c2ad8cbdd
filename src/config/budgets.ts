/**
 * What many runs together may spend: all agents in a day, one agent in a day, one conversation, one who writes in a day.
 * Owns the reading of those keys, and when a day begins. Pure over the Config; decides nothing (core/budget.ts does).
 */
import { unlimited } from '../core/budget.ts'
import type { Purse } from '../core/types.ts'
import type { Config } from './config.ts'
import { purse } from './read.ts'

/** A limit, and the key that holds it. */
export interface CapSetting {
  key: string
  limit: Purse
  /** Of time at work; null = none. */
  seconds: number | null
}

export interface Caps {
  /** Of a day. */
  gateway: CapSetting
  agent: CapSetting
  sender: CapSetting
  /** Of a conversation, as long as it is open. */
  session: CapSetting
  /** Whose midnight begins a day; null = this machine's. */
  timezone: string | null
}

export const noCaps: Caps = {
  gateway: { key: 'agents.dailyBudget', limit: unlimited, seconds: null },
  agent: { key: 'agents.defaults.dailyBudget', limit: unlimited, seconds: null },
  sender: { key: 'session.senderDailyBudget', limit: unlimited, seconds: null },
  session: { key: 'session.budget', limit: unlimited, seconds: null },
  timezone: null,
}

/** The limits that the work of this agent counts towards. */
export function capsOf(config: Config, agent: string): Caps {
  const { agents, session } = config
  const own = agents.entries[agent]?.dailyBudget
  return {
    gateway: { key: noCaps.gateway.key, ...limits(agents.dailyBudget) },
    agent: {
      key: own === undefined ? noCaps.agent.key : `agents.entries.${agent}.dailyBudget`,
      ...limits(own ?? agents.defaults.dailyBudget),
    },
    sender: { key: noCaps.sender.key, ...limits(session.senderDailyBudget) },
    session: { key: noCaps.session.key, ...limits(session.budget) },
    timezone: agents.defaults.userTimezone ?? null,
  }
}

type Set = Config['agents']['dailyBudget']

function limits(set: Set): Pick<CapSetting, 'limit' | 'seconds'> {
  return { limit: purse(set), seconds: set?.seconds ?? null }
}

/** Whether anything is limited: else nothing is added up. */
export function isSet({ limit, seconds }: CapSetting): boolean {
  return seconds !== null || limit.nano !== null || limit.tokens !== null || limit.calls !== null
}

const dayMs = 86_400_000

/** From the last midnight to the next. The clock's change in spring and autumn moves it by its hour on that day. */
export function dayAt(now: number, timezone: string | null): { from: number; until: number } {
  const offset = offsetAt(now, timezone)
  const from = Math.floor((now + offset) / dayMs) * dayMs - offset
  return { from, until: from + dayMs }
}

/** How far east of UTC a zone is. One that nobody knows is taken for this machine's. */
function offsetAt(now: number, timezone: string | null): number {
  if (timezone === null) return -new Date(now).getTimezoneOffset() * 60_000
  try {
    const parts = new Intl.DateTimeFormat('en-US', { timeZone: timezone, timeZoneName: 'longOffset' }).formatToParts(
      now,
    )
    const said = /([+-])(\d{2}):(\d{2})/.exec(parts.find(part => part.type === 'timeZoneName')?.value ?? '')
    const minutes = said ? Number(said[2]) * 60 + Number(said[3]) : 0
    return (said?.[1] === '-' ? -minutes : minutes) * 60_000
  } catch {
    return offsetAt(now, null)
  }
}
