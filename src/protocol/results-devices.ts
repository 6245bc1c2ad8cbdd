/**
 * What the device.* methods answer with (openclaw-facts.md §B6, §B7), and the payloads of their events. Types only; times
 * are epoch milliseconds. No token and no hash of one is ever in a list.
 */

/** A request that waits for a decision (openclaw-facts.md §B6). The last five are Deputy's own. */
export interface PendingDevice {
  requestId: string
  deviceId: string
  publicKey: string
  displayName?: string
  platform?: string
  deviceFamily?: string
  clientId?: string
  clientMode?: string
  browserOrigin?: string
  role: string
  roles: readonly string[]
  /** What approval grants, neither more nor less. */
  scopes: readonly string[]
  remoteIp?: string
  silent: boolean
  /** The device is paired already. */
  isRepair: boolean
  ts: number
  refreshedAtMs: number
  reason: 'not-paired' | 'role-upgrade' | 'scope-upgrade' | 'metadata-upgrade'
  /** What it holds already and who approved that; empty and absent when it holds nothing. */
  heldScopes: readonly string[]
  heldVia?: string
  /** Of `scopes`, what it does not hold. */
  newScopes: readonly string[]
  expiresAtMs: number
}

/** §B7 PairedView: no token, no hash of one. */
export interface PairedDevice {
  deviceId: string
  publicKey: string
  displayName?: string
  operatorLabel?: string
  platform?: string
  deviceFamily?: string
  clientId?: string
  clientMode?: string
  role: string
  roles: readonly string[]
  scopes: readonly string[]
  remoteIp?: string
  approvedVia: string
  createdAtMs: number
  approvedAtMs: number
  lastSeenAtMs?: number
  connected: boolean
  tokens: readonly {
    role: string
    scopes: readonly string[]
    createdAtMs: number
    rotatedAtMs?: number
    revokedAtMs?: number
    lastUsedAtMs?: number
  }[]
}

/** Payload of `device.pair.resolved`. `state` is Deputy's own: the wire knows two decisions only. */
export interface ResolvedDevice {
  requestId: string
  deviceId: string
  decision: 'approved' | 'rejected'
  state: 'approved' | 'rejected' | 'expired' | 'superseded'
  ts: number
}

export interface DeviceList {
  pending: readonly PendingDevice[]
  paired: readonly PairedDevice[]
}

export interface UpgradeState {
  requestId: string
  /** `pending`: nobody has decided yet. */
  status: 'approved' | 'pending' | 'rejected' | 'expired' | 'superseded'
  /** What the connection holds now. */
  scopes: readonly string[]
}

export interface DeviceResults {
  'device.pair.list': DeviceList
  'device.pair.approve': { requestId: string; device: PairedDevice }
  'device.pair.reject': { requestId: string; deviceId: string }
  /** `endedRuns` is Deputy's own: how many runs worked under the device's authority and were ended. */
  'device.pair.remove': { deviceId: string; endedRuns: number }
  'device.pair.rename': { deviceId: string; label: string }
  'device.pair.setupCode': {
    setupId: string
    setupCode: string
    gatewayUrl: string
    scopes: readonly string[]
    expiresAtMs: number
  }
  'device.token.rotate': {
    deviceId: string
    role: string
    scopes: readonly string[]
    rotatedAtMs: number
    tokenDelivery: 'in-band' | 'withheld-cross-device'
    token?: string
  }
  'device.token.revoke': { deviceId: string; role: string; revokedAtMs: number; endedRuns: number }
  /** `approved` at once when all of it is held already; then there is no request. */
  'device.scopes.requestUpgrade': {
    requestId: string | null
    status: 'approved' | 'pending'
    scopes: readonly string[]
  }
  'device.scopes.waitUpgrade': UpgradeState
}
