/**
 * What the gateway is handed, and the seams that it is completed at: settings, facts, devices, log.
 * Owns shapes only. Everything is read at each use, so a changed configuration counts from the next connect on.
 */
import type { Clock, Tell } from '../core/ports.ts'
import type { Limits } from '../protocol/limits.ts'
import type { AgentRow } from '../protocol/results.ts'
import type { Scope } from '../protocol/scopes.ts'
import type { House } from '../sessions/types.ts'

export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void

export interface Settings {
  /** Address to bind, e.g. `127.0.0.1`; port 0 takes any. */
  host(): string
  port(): number
  /** `secret` is null when none is configured. */
  auth(): { mode: 'token' | 'password' | 'none'; secret: string | null }
  /** Whether a caller from elsewhere needs an approved device beside the secret (design.md 1). */
  remoteDevices(): 'required' | 'optional'
  /** Proxies whose forwarding headers are believed, as addresses only: IPs and CIDRs. */
  trustedProxies(): readonly string[]
  /** Origins of pages that may connect besides the gateway's own; `*` for any. */
  allowedOrigins(): readonly string[]
  /** The address that the gateway is reached at through a proxy, e.g. `https://deputy.example`. */
  publicOrigin(): string | null
  /** Failed attempts from elsewhere before a lockout. */
  rateLimit(): { maxAttempts: number; windowMs: number; lockoutMs: number }
}

/** What the gateway tells about the house beside what House answers. Synchronous and cheap. */
export interface Facts {
  defaultAgent(): string
  agents(): readonly AgentRow[]
  /** The default agent's model; null when none can be used. */
  defaultModel(): { provider: string; model: string; contextWindow: number } | null
  /** What is wrong now, by stable code; shown in health and status. */
  problems(): readonly { code: string; message: string }[]
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
  asked: readonly Scope[]
  /** What may be a device token, in the order to try; empty when none was shown. */
  tokens: readonly string[]
  /** Whether a pairing request may be made. False for probes and beside a secret that is enough alone. */
  ask: boolean
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

/** A device's standing, shared by all its connections and changed in place when it is approved or narrowed. */
export interface DeviceCell {
  readonly device: string
  readonly generation: number
  readonly scopes: readonly Scope[]
}

export type DeviceVerdict =
  | {
      in: true
      cell: DeviceCell
      /** Of the presented tokens one was right; else the signature alone spoke for it. */
      byToken: boolean
      /** To be sent in hello. */
      token: { value: string; issuedAt: number } | null
      pending: { requestId: string; scopes: readonly Scope[] } | null
    }
  | {
      in: false
      reason: 'not-paired' | 'role-upgrade' | 'scope-upgrade' | 'metadata-upgrade' | 'token-dead'
      requestId: string | null
    }

/** The pairing store, as the door sees it. */
export interface Devices {
  admit(claim: DeviceClaim): Promise<DeviceVerdict>
  /** The open request of a device, for the refusal of a call that needs it. */
  pending(device: string): { requestId: string } | null
  /** Told after the transaction. `revoked`: every connection of the device is closed at once. Returns how to stop. */
  watch(listener: (change: { device: string; change: 'revoked' | 'scopes'; reason: string }) => void): () => void
}

export interface GatewayOptions {
  house: House
  settings: Settings
  facts: Facts
  devices: Devices
  /** Path of the unix socket, in the home; its directory is 0700. */
  socketPath: string
  /** Subscribes to the house's events; returns how to stop. */
  subscribe(listener: Tell): () => void
  clock: Clock
  log: Log
  version: string
  limits?: Partial<Limits>
}

/** No device is known and none can ask: every device alone is refused, a secret on a direct connection suffices. */
export function noDevices(): Devices {
  return {
    admit: async () => ({ in: false, reason: 'not-paired', requestId: null }),
    pending: () => null,
    watch: () => () => undefined,
  }
}
