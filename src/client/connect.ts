/**
 * A connection to a gateway: handshake, requests, events.
 *
 * Owns the matching of answers to requests, also the two answers of `agent`, and what pending requests are told when the
 * line breaks. Never reconnects and never retries: the caller knows what is safe to repeat. Never checks what the gateway
 * checks, so nothing heavy is loaded.
 */
import type { HelloAuth, HelloOk } from '../protocol/connect.ts'
import { devicePayload } from '../protocol/device.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { EventFrame, ResponseFrame } from '../protocol/frames.ts'
import { closeCodes, limits } from '../protocol/limits.ts'
import type { MethodName, Params, Result } from '../protocol/methods.ts'
import { fromWire } from '../protocol/refusal.ts'
import { type Events, openUnix, openWebSocket, type Transport } from './transport.ts'

export interface DeviceIdentity {
  /** Hex SHA-256 of the raw public key. */
  id: string
  /** Raw 32 bytes, base64url. */
  publicKey: string
  /** Ed25519 over the UTF-8 text, base64url. */
  sign(payload: string): string
  /** Issued by an earlier hello. */
  token?: string
}

export interface ConnectOptions {
  /** `ws://…`; exactly one of `url` and `socketPath`. */
  url?: string
  /** The gateway's unix socket: whoever can open it is the operator. */
  socketPath?: string
  token?: string
  password?: string
  device?: DeviceIdentity
  /** A one-time code that approves the device. */
  setupCode?: string
  /** Default over the unix socket and with a secret: all of them. */
  scopes?: readonly string[]
  caps?: readonly string[]
  client?: { id?: string; version?: string; mode?: string; displayName?: string }
  /** Default 3..4. */
  protocol?: { min: number; max: number }
  /** From opening to hello, ms; default 15,000. */
  timeoutMs?: number
}

export interface RequestOptions<P = unknown> {
  /** The first answer of a method that has two (`agent`: accepted). */
  onProgress?(payload: P): void
}

export interface Client {
  readonly hello: HelloOk
  readonly auth: HelloAuth | undefined
  /** Rejects with a DeputyError: the gateway's refusal, or GATEWAY_UNREACHABLE when the line broke first. */
  request<M extends MethodName>(method: M, params: Params<M>, options?: RequestOptions): Promise<Result<M>>
  /** Any method by name, for those that this version does not know. */
  call(method: string, params?: unknown, options?: RequestOptions): Promise<unknown>
  /** `'*'` hears every event. Returns how to stop listening. */
  on(event: string, listener: (payload: never, frame: EventFrame) => void): () => void
  /** Resolves when the line is closed, by whomever. */
  readonly closed: Promise<{ code: number; reason: string }>
  close(): void
}

/** Methods that are answered twice; their first answer has this status (openclaw-facts.md §C4). */
const firstAnswer = 'accepted'
const answeredTwice: readonly string[] = ['agent']

interface Pending {
  resolve(payload: unknown): void
  reject(error: DeputyError): void
  onProgress: ((payload: never) => void) | undefined
  twice: boolean
}

type Listener = (payload: never, frame: EventFrame) => void

/** Resolves at hello. Rejects with the gateway's refusal, GATEWAY_UNREACHABLE, or the reason that it closed with. */
export async function connect(options: ConnectOptions): Promise<Client> {
  const where = options.socketPath ?? options.url
  if (where === undefined) throw new DeputyError('USAGE', 'connect needs a url or a socketPath')
  const pending = new Map<string, Pending>()
  const listeners = new Map<string, Set<Listener>>()
  const closing = Promise.withResolvers<{ code: number; reason: string }>()
  const challenge = Promise.withResolvers<string>()
  // Nobody may be waiting for it when the line breaks.
  challenge.promise.catch(() => undefined)
  let next = 1
  let gone: DeputyError | null = null

  const broken = (code: number, reason: string) =>
    new DeputyError('GATEWAY_UNREACHABLE', `gateway closed (${code}): ${reason || 'no reason given'}`, {
      details: { where, closeCode: code, closeReason: reason },
    })

  const events: Events = {
    message(text) {
      const frame = parse(text)
      if (!frame) {
        events.closed(closeCodes.invalidText, 'the answer was not JSON')
        return transport.close()
      }
      if (frame.type === 'res') return answer(frame)
      if (frame.event === 'connect.challenge') challenge.resolve((frame.payload as { nonce: string }).nonce)
      for (const listener of listeners.get(frame.event) ?? []) listener(frame.payload as never, frame)
      for (const listener of listeners.get('*') ?? []) listener(frame.payload as never, frame)
    },
    closed(code, reason) {
      gone ??= broken(code, reason)
      challenge.reject(gone)
      for (const request of pending.values()) request.reject(gone)
      pending.clear()
      closing.resolve({ code, reason })
    },
  }

  function answer(frame: ResponseFrame): void {
    const request = pending.get(frame.id)
    if (!request) return
    if (request.twice && frame.ok && (frame.payload as { status?: string }).status === firstAnswer) {
      request.onProgress?.(frame.payload as never)
      return
    }
    pending.delete(frame.id)
    if (frame.ok) request.resolve(frame.payload)
    else request.reject(fromWire(frame.error))
  }

  const transport: Transport = options.socketPath
    ? await openUnix(options.socketPath, events)
    : await openWebSocket(where, events)

  function call(method: string, params?: unknown, requestOptions: RequestOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (gone) return reject(gone)
      const id = String(next++)
      const onProgress = requestOptions.onProgress as Pending['onProgress']
      pending.set(id, { resolve, reject, onProgress, twice: answeredTwice.includes(method) })
      transport.send(JSON.stringify({ type: 'req', id, method, params }))
    })
  }

  const timer = setTimeout(() => {
    events.closed(closeCodes.policy, 'no hello in time')
    transport.close()
  }, options.timeoutMs ?? limits.handshakeMs)
  try {
    // Only a signature needs the nonce: everybody else saves a round trip.
    const nonce = options.device ? await challenge.promise : null
    const hello = (await call('connect', connectParams(options, nonce))) as HelloOk
    return {
      hello,
      auth: hello.auth,
      request: (method, params, requestOptions) => call(method, params, requestOptions) as never,
      call,
      on(event, listener) {
        const set = listeners.get(event) ?? new Set()
        listeners.set(event, set.add(listener))
        return () => void set.delete(listener)
      },
      closed: closing.promise,
      close: () => transport.close(),
    }
  } catch (error) {
    transport.close()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

function parse(text: string): ResponseFrame | EventFrame | null {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function connectParams(options: ConnectOptions, nonce: string | null): Record<string, unknown> {
  const client = { id: 'cli', version: '0', platform: process.platform, mode: 'cli', ...options.client }
  const { device, token, password, scopes, setupCode } = options
  const auth = { token, password, deviceToken: device?.token, bootstrapToken: setupCode }
  const params: Record<string, unknown> = {
    minProtocol: options.protocol?.min ?? 3,
    maxProtocol: options.protocol?.max ?? 4,
    client,
    role: 'operator',
    scopes,
    caps: options.caps ?? [],
  }
  if (Object.values(auth).some(value => value !== undefined)) params['auth'] = auth
  if (device && nonce !== null) {
    const signedAt = Date.now()
    const payload = devicePayload(3, {
      deviceId: device.id,
      clientId: client.id,
      clientMode: client.mode,
      role: 'operator',
      scopes: scopes ?? [],
      signedAt,
      token: token ?? device.token ?? setupCode ?? null,
      nonce,
      platform: client.platform,
    })
    params['device'] = { id: device.id, publicKey: device.publicKey, signature: device.sign(payload), signedAt, nonce }
  }
  return params
}
