/**
 * Who is calling. Made only by the gateway room, from the transport, never from what a frame claims.
 * Owns the shape and the names under which a principal stands in rows; never decides what it may do (authorize.ts).
 */
import type { Scope } from '../protocol/scopes.ts'

export type Principal =
  /** The OS user who owns the state directory (unix socket), or who knows the shared secret. */
  | { kind: 'operator'; via: 'socket' | 'secret' | 'proxy' | 'open'; user: string | null; scopes: readonly Scope[] }
  /** An approved device. Its scopes are read from the device's cell at each call (decisions.md 17). */
  | { kind: 'device'; device: string; generation: number; scopes: readonly Scope[] }
  | { kind: 'sender'; channel: string; account: string; sender: string; scopes: readonly Scope[] }
  | { kind: 'run'; run: string; scopes: readonly Scope[] }
  | { kind: 'schedule'; schedule: string; scopes: readonly Scope[] }
  | { kind: 'worker'; worker: string; scopes: readonly Scope[] }

/** The name in rows: audit, rpc_keys, approvals. Stable for one principal over connections. */
export function nameOf(principal: Principal): string {
  switch (principal.kind) {
    case 'operator':
      return principal.user ? `operator:${principal.user}` : 'operator'
    case 'device':
      return `device:${principal.device}`
    case 'sender':
      return `sender:${principal.channel}:${principal.account}:${principal.sender}`
    case 'run':
      return `run:${principal.run}`
    case 'schedule':
      return `schedule:${principal.schedule}`
    case 'worker':
      return `worker:${principal.worker}`
  }
}

/** Who is behind a grant that is made for somebody (core/grant.ts). */
export function holderOf(principal: Principal): { device?: string; sender: string } {
  const device = deviceOf(principal)
  return { ...(device === undefined ? {} : { device }), sender: nameOf(principal) }
}

/** The device that somebody is, if they are one: what is done under its authority ends with it (decisions.md 34). */
export function deviceOf(principal: Principal): string | undefined {
  return principal.kind === 'device' ? principal.device : undefined
}
