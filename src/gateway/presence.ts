/**
 * Who is connected, the pulse and the health that connected clients are told (openclaw-facts.md §A6, §A8).
 *
 * Owns the two state versions and the timers, which run only while somebody is connected: an idle gateway has none.
 */
import { hostname } from 'node:os'
import type { Clock } from '../core/ports.ts'
import type { PresenceEntry } from '../protocol/connect.ts'
import type { Limits } from '../protocol/limits.ts'
import type { Connection } from './connection.ts'
import type { Fanout } from './fanout.ts'
import type { Log } from './types.ts'

export interface Presence {
  list(): PresenceEntry[]
  versions(): { presence: number; health: number }
  joined(): void
  left(): void
  close(): void
}

/** Comings and goings within this time are told once. */
const settleMs = 250

export function makePresence(options: {
  fanout: Fanout
  clock: Clock
  limits: Limits
  log: Log
  version: string
  startedAt: number
  health(): Promise<unknown>
}): Presence {
  const { fanout, clock, limits, log, version, startedAt } = options
  const host = hostname()
  const stateVersion = { presence: 1, health: 1 }
  let pulse: ReturnType<typeof setInterval> | null = null
  let check: ReturnType<typeof setInterval> | null = null
  let settling: ReturnType<typeof setTimeout> | null = null
  let closed = false

  function list(): PresenceEntry[] {
    const self: PresenceEntry = {
      host,
      version,
      platform: process.platform,
      mode: 'gateway',
      reason: 'self',
      text: `Gateway: ${host} · app ${version} · mode gateway · reason self`,
      ts: startedAt,
    }
    return [self, ...[...fanout.connections].flatMap(entryOf)]
  }

  function tellHealth(): void {
    options.health().then(
      payload => {
        stateVersion.health += 1
        fanout.send('health', () => payload, { stateVersion: { ...stateVersion } })
      },
      error => log('error', 'the health could not be told', { error: String(error) }),
    )
  }

  function changed(): void {
    stateVersion.presence += 1
    const running = fanout.connections.size > 0 && !closed
    if (running && !pulse) {
      pulse = setInterval(() => fanout.send('tick', () => ({ ts: clock.now() })), limits.tickMs).unref()
      check = setInterval(tellHealth, limits.healthMs).unref()
    } else if (!running && pulse && check) {
      clearInterval(pulse)
      clearInterval(check)
      pulse = check = null
    }
    if (running) {
      settling ??= setTimeout(() => {
        settling = null
        fanout.send('presence', () => ({ presence: list() }), { stateVersion: { ...stateVersion } })
      }, settleMs).unref()
    }
  }

  return {
    list,
    versions: () => ({ ...stateVersion }),
    joined: changed,
    left: changed,
    close() {
      closed = true
      changed()
      if (settling) clearTimeout(settling)
    },
  }
}

/** Probes look and go; they are nobody's company. */
function entryOf({ session, peer }: Connection): PresenceEntry[] {
  if (!session || session.client.mode === 'probe') return []
  const { client, principal, cell, connectedAt } = session
  const { displayName, id, version, platform, deviceFamily, modelIdentifier, timeZone, mode, instanceId } = client
  return [
    {
      host: displayName ?? id,
      clientId: id,
      ...(peer.address === null ? {} : { ip: peer.address }),
      version,
      platform,
      ...(deviceFamily === undefined ? {} : { deviceFamily }),
      ...(modelIdentifier === undefined ? {} : { modelIdentifier }),
      ...(timeZone === undefined ? {} : { timeZone }),
      ...(instanceId === undefined ? {} : { instanceId }),
      ...(cell ? { deviceId: cell.device } : {}),
      mode,
      reason: 'connect',
      roles: ['operator'],
      scopes: principal.scopes,
      ts: connectedAt,
      onlineSince: connectedAt,
    },
  ]
}
