/**
 * The complete hello-ok (openclaw-facts.md §A6). Owns its assembly; lists exactly what works.
 */
import type { Clock } from '../core/ports.ts'
import type { HelloOk } from '../protocol/connect.ts'
import { eventNames } from '../protocol/events.ts'
import type { Limits } from '../protocol/limits.ts'
import { methodNames, methods } from '../protocol/methods.ts'
import { covers } from '../protocol/scopes.ts'
import type { Admission } from './handshake.ts'
import type { Glance } from './health.ts'
import type { Presence } from './presence.ts'
import type { Facts, Settings } from './types.ts'

/** Optional things of the protocol that work here; `models list` of 9.6 asks for this one (openclaw-clients.md §1). */
const capabilities = ['published-model-catalog'] as const

export interface HelloDesk {
  hello(admission: Admission, connId: string, seen: Glance): HelloOk
}

export function makeHelloDesk(options: {
  facts: Facts
  settings: Settings
  clock: Clock
  limits: Limits
  version: string
  bootId: string
  startedAt: number
  presence: Presence
}): HelloDesk {
  const { facts, settings, clock, limits, version, bootId, startedAt, presence } = options
  const methodsOf = {
    3: methodNames.filter(name => methods[name].since === 3),
    4: methodNames,
  }
  return {
    hello({ principal, protocol, auth }, connId, { health, modelConfigured }) {
      const agent = facts.defaultAgent()
      const admin = covers(principal.scopes, 'operator.admin')
      return {
        type: 'hello-ok',
        protocol,
        server: protocol === 4 ? { version, connId, bootId } : { version, connId },
        features:
          protocol === 4
            ? { methods: methodsOf[4], events: eventNames, capabilities }
            : { methods: methodsOf[3], events: eventNames },
        snapshot: {
          presence: presence.list(),
          health,
          stateVersion: presence.versions(),
          uptimeMs: Math.max(0, clock.now() - startedAt),
          sessionDefaults: {
            defaultAgentId: agent,
            mainKey: 'main',
            mainSessionKey: `agent:${agent}:main`,
            scope: 'per-sender',
            modelConfigured,
          },
          ...(protocol === 4 ? { suspension: { phase: 'accepting' as const } } : {}),
          ...(admin ? { configPath: facts.configPath, stateDir: facts.stateDir, authMode: settings.auth().mode } : {}),
        },
        auth,
        policy: {
          maxPayload: limits.maxPayload,
          maxBufferedBytes: limits.maxBuffered,
          tickIntervalMs: limits.tickMs,
        },
      }
    },
  }
}
