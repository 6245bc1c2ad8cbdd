/**
 * What the gateway is handed, and the seams that it is completed at: settings, facts, devices, log.
 * Owns shapes only. Everything is read at each use, so a changed configuration counts from the next connect on.
 */
import type { Clock, Tell } from '../core/ports.ts'
import type { Limits } from '../protocol/limits.ts'
import type { Role as DeviceRole } from '../core/pairing.ts'
import type { Principal } from '../core/principal.ts'
import type { AgentRow, DeviceList, PendingDevice, ResolvedDevice, UpgradeState } from '../protocol/results.ts'
import type { Scope } from '../protocol/scopes.ts'
import type { House } from '../sessions/types.ts'
import type { Rooms } from './rooms.ts'

export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void

export interface Settings {
  /** Addresses to bind, e.g. `127.0.0.1`, at least one; port 0 takes any. */
  hosts(): readonly string[]
  port(): number
  /** `secret` is null when none is configured; `proxy` only in that mode. */
  auth(): {
    mode: 'token' | 'password' | 'none' | 'trusted-proxy'
    secret: string | null
    proxy?: ProxyRules | undefined
  }
  /** Whether a caller from elsewhere needs an approved device beside the secret (design.md 1). */
  remoteDevices(): 'required' | 'optional'
  /** Proxies whose forwarding headers are believed, as addresses only: IPs and CIDRs. */
  trustedProxies(): readonly string[]
  /** Origins of pages that may connect besides the gateway's own; `*` for any. */
  allowedOrigins(): readonly string[]
  /** The address that the gateway is reached at through a proxy, e.g. `https://deputy.example`. */
  publicOrigin(): string | null
  /** Failed attempts from elsewhere before a lockout. */
  rateLimit(): { maxAttempts: number; windowMs: number; lockoutMs: number; exemptLoopback: boolean }
  /** The page, and the path that it is at: empty for the root, else `/name`. */
  page(): { enabled: boolean; basePath: string }
  /** Value of Strict-Transport-Security, where a proxy in front speaks TLS; null for none. */
  hsts(): string | null
  /** Told when any of these may be other than before. Returns how to stop. */
  watch(listener: () => void): () => void
}

/** Whom a proxy may vouch for (openclaw-facts.md §E2). Header names in lower case. */
export interface ProxyRules {
  userHeader: string
  requiredHeaders: readonly string[]
  /** Null: whomever the proxy names. */
  allowUsers: readonly string[] | null
  /** Whether a proxy on this machine counts. */
  allowLoopback: boolean
  /** What each user may hold at most; empty = nobody is limited, else who is not in it may not come in. */
  identityScopes: Readonly<Record<string, readonly Scope[]>>
}

/** What the gateway tells about the house beside what House answers. Synchronous and cheap. */
export interface Facts {
  defaultAgent(): string
  agents(): readonly AgentRow[]
  /** The default agent's model; null when none can be used. */
  defaultModel(): { provider: string; model: string; contextWindow: number } | null
  /** What is wrong now, by stable code; shown in health and status. */
  problems(): readonly { code: string; message: string }[]
  /** The configuration file can't be taken as it is now. */
  configFails(): boolean
  /** Names of parts that are not up; empty = ready. */
  failing(): readonly string[]
  configPath: string
  stateDir: string
}

/** A device that has proved that it holds its key. */
export interface DeviceClaim {
  id: string
  /** Raw 32 bytes, base64url. */
  publicKey: string
  role: 'operator'
  /** Null when it named none. */
  asked: readonly Scope[] | null
  /** What may be a device token, in the order to try; empty when none was shown. */
  tokens: readonly string[]
  /** Whether a pairing request may be made. False for probes and beside a credential that is enough alone. */
  ask: boolean
  /** A valid secret was shown besides. */
  known: boolean
  /** A one-time code that approves it. */
  setupCode: string | null
  about: {
    displayName: string | null
    platform: string
    deviceFamily: string | null
    clientId: string
    clientMode: string
    origin: string | null
    address: string | null
  }
}

/** A device's standing as one connection of it has it: read at each use, since approvals widen and revocations end it. */
export interface DeviceCell {
  readonly device: string
  readonly generation: number
  /** Held now, of what the connection asked for; empty when it is over. */
  readonly scopes: readonly Scope[]
  /** False from the commit that took the authority on. */
  readonly alive: boolean
  /** A call needs more: the request that asks for it, made if there is none. Null when it was turned down before. */
  need(scope: Scope): Promise<{ requestId: string } | null>
  /** Asks for more on purpose, also again. Null when all of it is held. */
  upgrade(scopes: readonly Scope[]): Promise<{ requestId: string } | null>
}

export type DeviceVerdict =
  | {
      in: true
      cell: DeviceCell
      /** Of the presented tokens one was right; else the signature alone spoke for it. */
      byToken: boolean
      /** To be sent in hello. */
      token: { value: string; issuedAt: number }
      /** `scopes`: what it does not hold yet. */
      pending: { requestId: string; scopes: readonly Scope[] } | null
    }
  | {
      in: false
      reason: 'not-paired' | 'role-upgrade' | 'scope-upgrade' | 'metadata-upgrade' | 'token-dead'
      requestId: string | null
      /** No request was made, since too many of strangers wait. */
      crowded: boolean
    }

export type DeviceChange =
  /** Connections of the device up to this generation are over. `spare`: that one's answer goes out first. */
  | { change: 'closed'; device: string; generation: number; reason: string; spare: string | null }
  | { change: 'told'; event: 'device.pair.requested'; payload: PendingDevice }
  | { change: 'told'; event: 'device.pair.resolved'; payload: ResolvedDevice }
  | { change: 'told'; event: 'device.pair.changed'; payload: { deviceId: string } }

/** Who decides about a device, and over which connection (null: none). */
export interface Decider {
  principal: Principal
  connection: string | null
}

/** The pairing store, as the door sees it. Every refusal is a DeputyError of the table. */
export interface Devices {
  /** Throws AUTH_BOOTSTRAP_TOKEN_INVALID. */
  admit(claim: DeviceClaim): Promise<DeviceVerdict>
  /** Told after the commit, in order. Returns how to stop. */
  watch(listener: (change: DeviceChange) => void): () => void
  list(connected: (device: string) => boolean): Promise<DeviceList>
  approve(request: string, by: Decider): Promise<{ device: string }>
  reject(request: string, by: Decider): Promise<{ device: string }>
  /** How many runs were ended with it. */
  remove(device: string, by: Decider & { keepRuns: boolean }): Promise<{ endedRuns: number }>
  revoke(device: string, by: Decider & { role: DeviceRole; keepRuns: boolean }): Promise<{ endedRuns: number }>
  rotate(
    device: string,
    by: Decider & { role: DeviceRole; scopes: readonly Scope[] | null },
  ): Promise<{ token: string; scopes: readonly Scope[]; rotatedAt: number }>
  rename(device: string, by: Decider & { label: string | null }): Promise<void>
  setupCode(
    by: Decider & { scopes: readonly Scope[]; lifeMs?: number | undefined },
  ): Promise<{ id: string; code: string; expiresAt: number }>
  /** How a request stands; null when there is none of that id. */
  request(id: string): Promise<{ device: string; state: UpgradeState['status'] } | null>
}

export interface GatewayOptions {
  house: House
  settings: Settings
  facts: Facts
  devices: Devices
  /** Path of the unix socket, in the home; its directory is 0700. */
  socketPath: string
  rooms: Rooms
  /** Subscribes to the house's events; returns how to stop. */
  subscribe(listener: Tell): () => void
  clock: Clock
  log: Log
  version: string
  limits?: Partial<Limits>
}
