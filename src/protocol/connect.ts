/**
 * The handshake's shapes: challenge, connect, hello-ok (openclaw-facts.md §A3, §A4, §A6).
 *
 * Owns the schema of connect's params and the types of what is answered; never decides who is let in. Liberal in one point:
 * `client.id` and `client.mode` are free, because nothing is granted by them.
 */
import type { Zod } from './zod.ts'

export interface Challenge {
  nonce: string
  /** Epoch ms; clients sign it as `signedAt`, which spares them a right clock. */
  ts: number
}

/** Caps that this gateway acts on; others are accepted and ignored. */
export const caps = {
  /** `tool` streams of the runs that the connection started. */
  toolEvents: 'tool-events',
  /** Deputy's own: `run` events, the life of every run and its tool calls, for those who draw the tree. */
  runEvents: 'run-events',
} as const

export function connectParams(z: Zod) {
  const name = z.string().min(1).max(128)
  const text = z.string().max(4096)
  const names = z.array(name).max(128)
  return z.strictObject({
    minProtocol: z.int().min(1),
    maxProtocol: z.int().min(1),
    client: z.strictObject({
      id: name,
      version: name,
      platform: name,
      mode: name,
      displayName: text.optional(),
      buildId: name.optional(),
      deviceFamily: text.optional(),
      modelIdentifier: text.optional(),
      timeZone: z.string().max(64).optional(),
      instanceId: name.optional(),
    }),
    role: name.optional(),
    scopes: names.optional(),
    caps: names.optional(),
    commands: names.optional(),
    permissions: z.record(name, z.boolean()).optional(),
    pathEnv: z.string().optional(),
    auth: z
      .strictObject({
        token: text.optional(),
        password: text.optional(),
        deviceToken: text.optional(),
        bootstrapToken: text.optional(),
        approvalRuntimeToken: text.optional(),
        agentRuntimeIdentityToken: text.optional(),
      })
      .optional(),
    device: z
      .strictObject({
        id: name,
        publicKey: z.string().min(1).max(1024),
        signature: z.string().min(1).max(1024),
        signedAt: z.int(),
        // Absent and wrong are told apart to the client, so the schema lets both through.
        nonce: z.string().max(256).optional(),
      })
      .optional(),
    locale: text.optional(),
    userAgent: text.optional(),
    computerUse: z.unknown().optional(),
    workerRuns: z.unknown().optional(),
    modelCatalog: z.unknown().optional(),
  })
}

export type ConnectParams = import('zod').z.output<ReturnType<typeof connectParams>>

export interface PresenceEntry {
  host?: string
  clientId?: string
  ip?: string
  version?: string
  platform?: string
  deviceFamily?: string
  modelIdentifier?: string
  timeZone?: string
  mode?: string
  reason?: 'self' | 'connect' | 'disconnect'
  text?: string
  ts: number
  onlineSince?: number
  deviceId?: string
  roles?: readonly string[]
  scopes?: readonly string[]
  instanceId?: string
}

export type AuthMethod = 'token' | 'password' | 'device-token' | 'trusted-proxy' | 'none'

export interface HelloAuth {
  method: AuthMethod
  role: string
  /** In force now. */
  scopes: readonly string[]
  deviceToken?: string
  issuedAtMs?: number
  /** Deputy's own: what was asked for and still waits for an approval. */
  pending?: { requestId: string; scopes: readonly string[]; command: string }
}

export interface HelloOk {
  type: 'hello-ok'
  protocol: 3 | 4
  server: { version: string; connId: string; bootId?: string }
  features: { methods: readonly string[]; events: readonly string[]; capabilities?: readonly string[] }
  snapshot: {
    presence: readonly PresenceEntry[]
    health: unknown
    stateVersion: { presence: number; health: number }
    uptimeMs: number
    sessionDefaults: {
      defaultAgentId: string
      mainKey: string
      mainSessionKey: string
      scope: string
      modelConfigured?: boolean
    }
    suspension?: { phase: 'accepting' | 'draining' }
    /** These three only with `operator.admin`. */
    configPath?: string
    stateDir?: string
    authMode?: string
  }
  auth?: HelloAuth
  policy: { maxPayload: number; maxBufferedBytes: number; tickIntervalMs: number }
}
