/**
 * Events out: who gets which, each payload written once whatever the number of listeners.
 *
 * Owns the set of open connections. Who may receive an event is asked at each event, from the principal's scopes as they
 * are now (decisions.md 17); a name without a row goes to nobody. Never makes an event (run-events.ts, presence.ts).
 */
import type { Protocol } from '../protocol/dialect.ts'
import { type EventName, type EventRow, events } from '../protocol/events.ts'
import { covers } from '../protocol/scopes.ts'
import type { Connection } from './connection.ts'

export interface SendOptions {
  /** Narrows the receivers further. */
  to?: (connection: Connection) => boolean
  /** Over the event's row. */
  dropIfSlow?: boolean
  stateVersion?: { presence: number; health: number }
}

export interface Fanout {
  readonly connections: ReadonlySet<Connection>
  add(connection: Connection): void
  remove(connection: Connection): void
  /** `payload` is made once per protocol version that is listening, and not at all when nobody is. */
  send(event: EventName, payload: (protocol: Protocol) => unknown, options?: SendOptions): void
}

export function makeFanout(): Fanout {
  const connections = new Set<Connection>()
  return {
    connections,
    add: connection => void connections.add(connection),
    remove: connection => void connections.delete(connection),
    send(event, payload, { to, dropIfSlow, stateVersion } = {}) {
      const row: EventRow = events[event]
      const drop = dropIfSlow ?? row.dropIfSlow
      const texts: Partial<Record<Protocol, string>> = {}
      for (const connection of connections) {
        const { session } = connection
        if (!session) continue
        if (row.scope !== null && !covers(session.principal.scopes, row.scope)) continue
        if (row.cap !== undefined && !session.caps.has(row.cap)) continue
        if (to && !to(connection)) continue
        texts[session.protocol] ??= head(event, payload(session.protocol), stateVersion)
        connection.event(texts[session.protocol]!, drop)
      }
    },
  }
}

/** All of an event frame but `seq`, which is each connection's own, and the closing brace. */
function head(event: string, payload: unknown, stateVersion: SendOptions['stateVersion']): string {
  const text = `{"type":"event","event":"${event}","payload":${JSON.stringify(payload)}`
  return stateVersion ? `${text},"stateVersion":${JSON.stringify(stateVersion)}` : text
}
