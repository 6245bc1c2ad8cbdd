/**
 * A gateway on real sockets over a house of memory (fake-house.ts), for tests of the door.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { deviceIdOf } from '../../src/gateway/crypto.ts'
import { openGateway } from '../../src/gateway/gateway.ts'
import type { Devices, GatewayOptions, Settings } from '../../src/gateway/types.ts'
import { DeputyError } from '../../src/protocol/errors.ts'
import type { WireError } from '../../src/protocol/frames.ts'
import { type FakeHouse, fakeHouse } from './fake-house.ts'
import { testRooms } from './rooms.ts'

export const secret = 'test-token-0123456789abcdef0123456789abcdef'

export interface Door {
  house: FakeHouse
  url: string
  socketPath: string
  /** Change what the settings answer, mid-flight. */
  settings: { [K in Exclude<keyof Settings, 'watch'>]: ReturnType<Settings[K]> }
  /** Tells the gateway that they were changed. */
  changed(): void
  log: { level: string; message: string; fields: unknown }[]
  gateway: ReturnType<typeof openGateway>
  rooms: ReturnType<typeof testRooms>
  close(): Promise<void>
}

export interface DoorOptions {
  settings?: Partial<Door['settings']>
  devices?: GatewayOptions['devices']
  limits?: GatewayOptions['limits']
  failing?: string[]
  tcp?: boolean
}

/** No device is known and none can ask: every device alone is refused, a secret on a direct connection suffices. */
export function noDevices(): Devices {
  const nobody = async () => {
    throw new DeputyError('UNKNOWN_DEVICE', 'unknown deviceId')
  }
  return {
    admit: async () => ({ in: false, reason: 'not-paired', requestId: null, crowded: false }),
    watch: () => () => undefined,
    list: async () => ({ pending: [], paired: [] }),
    approve: nobody,
    reject: nobody,
    remove: nobody,
    revoke: nobody,
    rotate: nobody,
    rename: nobody,
    setupCode: nobody,
    request: async () => null,
  }
}

export async function openDoor(options: DoorOptions = {}): Promise<Door> {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-door-'))
  const house = fakeHouse()
  const log: Door['log'] = []
  const settings: Door['settings'] = {
    hosts: ['127.0.0.1'],
    port: 0,
    auth: { mode: 'token', secret },
    remoteDevices: 'required',
    trustedProxies: [],
    allowedOrigins: [],
    publicOrigin: null,
    rateLimit: { maxAttempts: 3, windowMs: 60_000, lockoutMs: 300_000, exemptLoopback: false },
    page: { enabled: true, basePath: '' },
    hsts: null,
    ...options.settings,
  }
  const watchers = new Set<() => void>()
  const rooms = testRooms(dir)
  const gateway = openGateway({
    house,
    settings: {
      hosts: () => settings.hosts,
      port: () => settings.port,
      auth: () => settings.auth,
      remoteDevices: () => settings.remoteDevices,
      trustedProxies: () => settings.trustedProxies,
      allowedOrigins: () => settings.allowedOrigins,
      publicOrigin: () => settings.publicOrigin,
      rateLimit: () => settings.rateLimit,
      page: () => settings.page,
      hsts: () => settings.hsts,
      watch(listener) {
        watchers.add(listener)
        return () => void watchers.delete(listener)
      },
    },
    facts: {
      defaultAgent: () => 'main',
      agents: () => [{ id: 'main', name: 'Main' }, { id: 'extractor' }],
      defaultModel: () => ({ provider: 'stub', model: 'model', contextWindow: 1000 }),
      problems: () => [],
      configFails: () => false,
      failing: () => options.failing ?? [],
      configPath: '/home/x/deputy.json',
      stateDir: '/home/x',
    },
    devices: options.devices ?? noDevices(),
    rooms,
    socketPath: join(dir, 'gateway.sock'),
    subscribe: house.subscribe,
    clock: { now: () => Date.now() },
    log: (level, message, fields) => void log.push({ level, message, fields }),
    version: '1.2.3',
    ...(options.limits ? { limits: options.limits } : {}),
  })
  const { tcp, socketPath } = await gateway.listen({ tcp: options.tcp ?? true })
  return {
    house,
    url: tcp ? `ws://127.0.0.1:${tcp.port}/` : '',
    socketPath,
    settings,
    changed: () => watchers.forEach(tell => void tell()),
    log,
    gateway,
    rooms,
    async close() {
      await gateway.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** A device key and what it signs. */
export function makeDevice() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(12)
  return {
    id: deviceIdOf(raw),
    publicKey: raw.toString('base64url'),
    sign: (payload: string) => sign(null, Buffer.from(payload), privateKey).toString('base64url'),
  }
}

/** Any frame, as loosely as a test reads it. */
export interface AnyFrame {
  type: string
  id?: string
  ok?: boolean
  event?: string
  seq?: number
  payload?: Record<string, unknown>
  error?: WireError
}

export interface Raw {
  ws: WebSocket
  frames: AnyFrame[]
  /** The first frame, seen or to come, that fits; rejects after 5 s. */
  wait(test: (frame: AnyFrame) => boolean): Promise<AnyFrame>
  send(frame: unknown): void
  closed: Promise<{ code: number; reason: string }>
}

/** A WebSocket without manners: whatever the test wants is sent. */
export async function openRaw(url: string, headers: Record<string, string> = {}): Promise<Raw> {
  const ws = new WebSocket(url, { perMessageDeflate: false, headers })
  const frames: AnyFrame[] = []
  const waiting = new Set<() => void>()
  ws.on('message', data => {
    frames.push(JSON.parse(String(data)))
    for (const check of waiting) check()
  })
  const closed = new Promise<{ code: number; reason: string }>(resolve => {
    ws.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await new Promise<void>((resolve, reject) => {
    ws.once('open', () => resolve())
    ws.once('error', reject)
  })
  ws.on('error', () => undefined)
  return {
    ws,
    frames,
    closed,
    send: frame => ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    wait(test) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(check)
          reject(new Error(`no such frame among ${JSON.stringify(frames).slice(0, 2000)}`))
        }, 5_000)
        const check = () => {
          const found = frames.find(test)
          if (!found) return
          clearTimeout(timer)
          waiting.delete(check)
          resolve(found)
        }
        waiting.add(check)
        check()
      })
    },
  }
}

export function connectFrame(params: Record<string, unknown> = {}, id = 'c') {
  const client = { id: 'test', version: '1', platform: 'linux', mode: 'test' }
  return {
    type: 'req',
    id,
    method: 'connect',
    params: { minProtocol: 4, maxProtocol: 4, client, auth: { token: secret }, ...params },
  }
}
