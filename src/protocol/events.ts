/**
 * The events that the gateway sends: name → who may receive it, and what happens to one who reads too slowly
 * (openclaw-facts.md §A1, §A8). Pinned by test/pins.test.ts. A name that is not here is sent to nobody.
 */
import type { Scope } from './scopes.ts'

export interface EventRow {
  /** Needed to receive it; null for every connection. */
  scope: Scope | null
  /** Skipped when the client's buffer is full (its `seq` shows the gap); the others close the connection. */
  dropIfSlow: boolean
  /** Sent only to connections with this cap. */
  cap?: string
}

export const events = {
  'connect.challenge': { scope: null, dropIfSlow: false },
  agent: { scope: 'operator.read', dropIfSlow: true },
  chat: { scope: 'operator.read', dropIfSlow: false },
  presence: { scope: 'operator.read', dropIfSlow: true },
  tick: { scope: null, dropIfSlow: true },
  health: { scope: null, dropIfSlow: true },
  shutdown: { scope: null, dropIfSlow: false },
  'config.changed': { scope: 'operator.read', dropIfSlow: false },
  /** These only to connections that asked for them (openclaw-facts.md §A8). */
  'sessions.changed': { scope: 'operator.read', dropIfSlow: true },
  'session.message': { scope: 'operator.read', dropIfSlow: false },
  'session.tool': { scope: 'operator.read', dropIfSlow: true },
  task: { scope: 'operator.read', dropIfSlow: true },
  'device.pair.requested': { scope: 'operator.pairing', dropIfSlow: false },
  'device.pair.resolved': { scope: 'operator.pairing', dropIfSlow: false },
  'device.pair.changed': { scope: 'operator.pairing', dropIfSlow: false },
  'exec.approval.requested': { scope: 'operator.approvals', dropIfSlow: false },
  'exec.approval.resolved': { scope: 'operator.approvals', dropIfSlow: false },
  'plugin.approval.requested': { scope: 'operator.approvals', dropIfSlow: false },
  'plugin.approval.resolved': { scope: 'operator.approvals', dropIfSlow: false },
  /** To those who follow the session's messages. */
  'session.approval': { scope: 'operator.approvals', dropIfSlow: false },
  /** Deputy's own: the life of every run, for those who draw the tree. */
  run: { scope: 'operator.read', dropIfSlow: true, cap: 'run-events' },
} as const satisfies Record<string, EventRow>

export type EventName = keyof typeof events

export const eventNames = Object.keys(events) as EventName[]
