/**
 * What of the configuration decides which calls a person is asked about, where, and for how long.
 *
 * Owns the reading of `tools.exec.mode|security|ask|safeBins`, `tools.ask` and `approvals` (openclaw-facts.md §E5, §E6).
 * Pure over the Config; decides nothing (core/approval.ts does). Invariant: an unset key asks about no call and a set one
 * never allows more than it says.
 */
import type { AskPolicy, ExecRule, Forwarding } from '../core/approval.ts'
import type { Config } from './config.ts'
import type { Agent } from './read.ts'

export function askingOf(config: Config, agent: Pick<Agent, 'id'>): AskPolicy {
  const { approvals, tools } = config
  const entry = config.agents.entries[agent.id]?.tools
  return {
    exec: execRule({ ...tools.exec, ...given(entry?.exec ?? {}) }),
    tools: entry?.ask ?? tools.ask ?? [],
    budget: approvals.budget ?? null,
    timeoutMs: approvals.timeoutSeconds * 1000,
    chats: {
      exec: forwarding(approvals.exec, agent.id),
      other: forwarding(approvals.plugin, agent.id),
    },
  }
}

type ExecKeys = Pick<Config['tools']['exec'], 'mode' | 'security' | 'ask' | 'safeBins'>

const modes: Record<NonNullable<ExecKeys['mode']>, Pick<ExecRule, 'security' | 'ask'>> = {
  deny: { security: 'deny', ask: 'off' },
  allowlist: { security: 'allowlist', ask: 'off' },
  ask: { security: 'allowlist', ask: 'on-miss' },
  // There is no model here that would decide in a person's place: what it would look at is asked.
  auto: { security: 'allowlist', ask: 'on-miss' },
  full: { security: 'full', ask: 'off' },
}

/** `mode` is short for the other two, and what they say wins. To ask on a miss needs a list to miss. */
function execRule({ mode, security, ask, safeBins }: ExecKeys): ExecRule {
  const usual = mode ? modes[mode] : ({ security: ask === 'on-miss' ? 'allowlist' : 'full', ask: 'off' } as const)
  return { security: security ?? usual.security, ask: ask ?? usual.ask, safeBins: safeBins ?? [] }
}

function forwarding(settings: Config['approvals']['exec'], agent: string): Forwarding {
  const { enabled, mode, agentFilter, sessionFilter, targets = [] } = settings
  const asks = enabled && (agentFilter === undefined || agentFilter.some(one => one.toLowerCase() === agent))
  return {
    origin: asks && mode !== 'targets',
    targets:
      asks && mode !== 'session'
        ? targets.flatMap(({ channel, to, accountId, threadId }) =>
            channel === undefined || to === undefined
              ? []
              : [
                  {
                    channel,
                    account: accountId ?? 'default',
                    to,
                    ...(threadId === undefined ? {} : { thread: threadId }),
                  },
                ],
          )
        : [],
    sessions: sessionFilter ?? null,
  }
}

function given<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Partial<T>
}
