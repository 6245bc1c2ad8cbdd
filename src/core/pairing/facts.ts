/**
 * The facts of the pairing machine: devices, tokens as counters, requests; what may happen and what follows from it.
 * Owns the shapes, what is read off them, and how effects become the next state. Decides nothing.
 */
import type { ErrorCode } from '../../protocol/errors.ts'
import { covers, intersect, normalise, type Scope } from '../../protocol/scopes.ts'
import { meet } from '../authorize.ts'

/** Pending requests live this long from their last refresh (openclaw-facts.md §B6). */
export const pendingTtlMs = 300_000

export type Role = 'operator' | 'node'

/** Who decides. `device` is set when a device's own connection does. */
export interface Actor {
  /** As in rows: core/principal.ts `nameOf`. */
  name: string
  scopes: readonly Scope[]
  device: string | null
}

/** What a device says of itself. `platform` and `deviceFamily` are pinned at approval; the rest is for people. */
export interface About {
  displayName: string | null
  platform: string | null
  deviceFamily: string | null
  clientId: string | null
  clientMode: string | null
  browserOrigin: string | null
  remoteIp: string | null
}

/** A device that was approved once. A revoked one stays as a row: its generation must never start again. */
export interface Device {
  id: string
  publicKey: string
  state: 'paired' | 'revoked'
  /** Raised by revoking, removing, narrowing and a new key; never by an approval that adds. */
  generation: number
  roles: readonly Role[]
  /** Operator scopes that are approved, normalised. Empty without the role operator. */
  scopes: readonly Scope[]
  about: About
  /** The operator's own name for it. */
  label: string | null
  approvedVia: string
  createdAt: number
  approvedAt: number
}

/** The counters that a device token is made of, one row per role (decisions.md 18); no token and no hash of one. */
export interface DeviceToken {
  device: string
  role: Role
  generation: number
  rotation: number
  /** What connections of this role hold: at most the device's scopes. */
  scopes: readonly Scope[]
  createdAt: number
  rotatedAt: number | null
  revokedAt: number | null
}

/** openclaw-facts.md §A7. `metadata-upgrade`: another key, platform or device family than was approved. */
export type PairingReason = 'not-paired' | 'role-upgrade' | 'scope-upgrade' | 'metadata-upgrade'

export interface PairingRequest {
  id: string
  device: string
  publicKey: string
  roles: readonly Role[]
  /** Everything asked for while it is pending, what is held already included. What approval grants, neither more nor less. */
  scopes: readonly Scope[]
  about: About
  reason: PairingReason
  state: 'pending' | 'approved' | 'rejected' | 'expired' | 'superseded'
  supersededBy: string | null
  decidedBy: string | null
  createdAt: number
  refreshedAt: number
  expiresAt: number
  decidedAt: number | null
}

/** All that is known of one device id. `requests` holds at least the pending one and the one that an event names. */
export interface Pairing {
  device: Device | null
  tokens: readonly DeviceToken[]
  requests: readonly PairingRequest[]
}

export const unknownDevice: Pairing = Object.freeze({ device: null, tokens: [], requests: [] })

export type PairingEvent =
  | {
      on: 'connect'
      device: string
      /** Key that the connection proved. */
      publicKey: string
      role: Role
      scopes: readonly Scope[]
      about: About
      /** Counters of the device token that was shown, once its HMAC fits; null when none was shown. */
      token: Counters | null
      /** Id for a request, in case one is needed. */
      requestId: string
      now: number
    }
  | { on: 'approve'; request: string; actor: Actor; via: string; now: number }
  | { on: 'reject'; request: string; actor: Actor; now: number }
  | { on: 'expire'; now: number }
  | { on: 'remove'; actor: Actor; keepRuns: boolean; now: number }
  | { on: 'revoke'; role: Role; actor: Actor; keepRuns: boolean; now: number }
  | { on: 'rotate'; role: Role; scopes: readonly Scope[] | null; actor: Actor; now: number }
  | { on: 'narrow'; scopes: readonly Scope[]; actor: Actor; now: number }
  | { on: 'rename'; label: string | null; actor: Actor; now: number }
  /** Rejects the pending request, and unless `pendingOnly` removes the device too. */
  | { on: 'clear'; pendingOnly: boolean; actor: Actor; now: number }

export type On<K extends PairingEvent['on']> = Extract<PairingEvent, { on: K }>

/** Carried out in order: rows in one transaction, then the rest once it is committed. */
export type PairingEffect =
  | { do: 'putDevice'; device: Device }
  | { do: 'putToken'; token: DeviceToken }
  | { do: 'putRequest'; request: PairingRequest }
  /** Close every socket of the device (of that role; null = any) whose generation is this or an older one. */
  | { do: 'close'; device: string; generation: number; role: Role | null; reason: CloseReason }
  /** End the runs that work under the device's authority, as `cancelled (revoked)` (decisions.md 34). */
  | { do: 'endRuns'; device: string }
  | { do: 'tell'; event: 'device.pair.requested' | 'device.pair.resolved'; request: PairingRequest }
  | { do: 'tell'; event: 'device.pair.changed'; device: string }
  /** Let the connection in. `pending` asks for what it does not hold yet. */
  | ({ do: 'admit'; scopes: readonly Scope[]; pending: PairingRequest | null } & Counters)
  /** Close the connection with 1008. `pending` is null only for a dead token. */
  | { do: 'deny'; code: 'PAIRING_REQUIRED' | 'AUTH_DEVICE_TOKEN_MISMATCH'; pending: PairingRequest | null }

/** Shown to the client as the reason of close 4001 (openclaw-facts.md §A7). */
export type CloseReason =
  | 'device-pair-removed'
  | 'device-token-revoked'
  | 'device-token-rotated'
  | 'device-scopes-narrowed'
  | 'device-key-changed'

export interface Counters {
  generation: number
  rotation: number
}

export interface PairingRefusal {
  ok: false
  code: ErrorCode
  message: string
  details: Record<string, unknown>
}

export type PairingStep = { ok: true; state: Pairing; effects: readonly PairingEffect[] } | PairingRefusal

export function refusal(code: ErrorCode, message: string, details: Record<string, unknown> = {}): PairingRefusal {
  return { ok: false, code, message, details }
}

/** The state is what the rows say: effects are the only way to change it. */
export function commit(state: Pairing, effects: readonly PairingEffect[]): PairingStep {
  let { device, tokens, requests } = state
  for (const effect of effects) {
    if (effect.do === 'putDevice') device = effect.device
    else if (effect.do === 'putToken') {
      tokens = [...tokens.filter(token => token.role !== effect.token.role), effect.token]
    } else if (effect.do === 'putRequest') {
      requests = [...requests.filter(request => request.id !== effect.request.id), effect.request]
    }
  }
  return { ok: true, state: { device, tokens, requests }, effects }
}

export function pendingOf(state: Pairing): PairingRequest | null {
  return state.requests.find(request => request.state === 'pending') ?? null
}

export function isExpired(request: PairingRequest, now: number): boolean {
  return now >= request.expiresAt
}

/** Closes a request and tells so. The wire knows two decisions: everything but `approved` is `rejected` there (§B6). */
export function close(
  request: PairingRequest,
  how: Pick<PairingRequest, 'state' | 'decidedAt'> & Partial<Pick<PairingRequest, 'decidedBy' | 'supersededBy'>>,
): PairingEffect[] {
  const closed = { ...request, ...how }
  return [
    { do: 'putRequest', request: closed },
    { do: 'tell', event: 'device.pair.resolved', request: closed },
  ]
}

/** The token row of a role that the device is approved for now. */
export function tokenOf(state: Pairing, role: Role): DeviceToken | null {
  if (state.device?.state !== 'paired' || !state.device.roles.includes(role)) return null
  return state.tokens.find(token => token.role === role && token.revokedAt === null) ?? null
}

/**
 * Scopes that a connection of this role holds now, of those it asked for: what was asked by name, and of a wider ask the
 * part that is approved, so that asking for more never gets less (P7). Read at each call (decisions.md 17).
 */
export function scopesOf(state: Pairing, role: Role, asked: readonly Scope[]): Scope[] {
  if (role !== 'operator') return []
  const held = tokenOf(state, role)?.scopes ?? []
  const named = intersect(asked, held)
  const part = normalise(meet(asked, held)).filter(scope => !covers(named, scope))
  return [...named, ...part]
}

/** Whether a token, or a socket admitted with these counters, still counts. Methods that write ask again. */
export function isAlive(state: Pairing, role: Role, counters: Counters): boolean {
  const token = tokenOf(state, role)
  return token !== null && token.generation === counters.generation && token.rotation === counters.rotation
}
