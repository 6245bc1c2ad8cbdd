/**
 * A client small enough to measure with: one WebSocket, the handshake, requests, events. It speaks protocol 3 and 4, with
 * a shared token alone or with a signed device besides, so the same code talks to Deputy and to its peers.
 * Never retries: a refusal is the caller's to see.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { WebSocket } from 'ws'

export interface Device {
  id: string
  publicKey: string
  key: KeyObject
}

export function newDevice(): Device {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url')
  return {
    id: createHash('sha256').update(raw).digest('hex'),
    publicKey: raw.toString('base64url'),
    key: privateKey,
  }
}

export interface WireOptions {
  port: number
  token: string
  /** Highest protocol to offer; the lowest is 3, or this where `exact` is set. */
  protocol: number
  device?: Device
  scopes?: readonly string[]
  client?: { id: string; mode: string }
}

export interface Refusal extends Error {
  code: string
  details?: Record<string, unknown>
}

interface Answer {
  ok: boolean
  payload?: Record<string, unknown>
  error?: { code: string; message: string; details?: Record<string, unknown> }
}

export interface Wire {
  hello: Record<string, unknown>
  /** First response of a request. */
  ask(method: string, params?: Record<string, unknown>): Promise<Record<string, unknown>>
  /** `agent` to its second response: the end of the turn. */
  turn(params: Record<string, unknown>): Promise<Record<string, unknown>>
  onEvent(listen: (event: string, payload: Record<string, unknown>) => void): void
  close(): Promise<void>
}

const scopes = ['operator.admin', 'operator.read', 'operator.write', 'operator.approvals', 'operator.pairing']

function refusal(error: Answer['error'], fallback: string): Refusal {
  const made = new Error(error?.message ?? fallback) as Refusal
  made.code = error?.code ?? 'CLOSED'
  made.details = error?.details
  return made
}

function proof(options: WireOptions, client: { id: string; mode: string }, asked: readonly string[], nonce: string) {
  const device = options.device
  if (!device) return undefined
  const signedAt = Date.now()
  const fields = ['v3', device.id, client.id, client.mode, 'operator', asked.join(','), signedAt, options.token, nonce]
  const payload = [...fields, process.platform, 'linux'].join('|')
  const signature = sign(null, Buffer.from(payload), device.key).toString('base64url')
  return { id: device.id, publicKey: device.publicKey, signature, signedAt, nonce }
}

/** Opens a socket and shakes hands; rejects with the gateway's refusal. */
export function connect(options: WireOptions): Promise<Wire> {
  const socket = new WebSocket(`ws://127.0.0.1:${options.port}/`, { perMessageDeflate: false })
  const pending = new Map<string, { count: number; resolve: (answer: Answer) => void }>()
  const listeners: ((event: string, payload: Record<string, unknown>) => void)[] = []
  const client = options.client ?? { id: 'gateway-client', mode: 'backend' }
  const asked = options.scopes ?? scopes
  let nextId = 0
  let reason = 'the socket closed'

  /** Resolves with response number `count` of the request; a refusal ends it early. */
  function request(method: string, params: Record<string, unknown>, count: number): Promise<Record<string, unknown>> {
    const id = `b${++nextId}`
    if (socket.readyState !== WebSocket.OPEN) return Promise.reject(refusal(undefined, reason))
    return new Promise((resolve, reject) => {
      const settle = (answer: Answer) =>
        answer.ok ? resolve(answer.payload ?? {}) : reject(refusal(answer.error, reason))
      pending.set(id, { count, resolve: settle })
      socket.send(JSON.stringify({ type: 'req', id, method, params }))
    })
  }

  function answered(id: string, answer: Answer): void {
    const waiting = pending.get(id)
    if (!waiting) return
    waiting.count -= 1
    if (answer.ok && waiting.count > 0) return
    pending.delete(id)
    waiting.resolve(answer)
  }

  const wire = (hello: Record<string, unknown>): Wire => ({
    hello,
    ask: (method, params = {}) => request(method, params, 1),
    turn: params => request('agent', params, 2),
    onEvent: listen => void listeners.push(listen),
    close: () =>
      new Promise(resolve => {
        if (socket.readyState === WebSocket.CLOSED) return resolve()
        socket.once('close', () => resolve())
        socket.close()
      }),
  })

  return new Promise((resolve, reject) => {
    socket.on('error', error => {
      reason = error.message
      reject(error)
    })
    socket.on('close', (code, text) => {
      reason = `closed ${code} ${text.toString()}`
      reject(refusal(undefined, reason))
      for (const id of [...pending.keys()]) answered(id, { ok: false })
    })
    socket.on('message', data => {
      const frame = JSON.parse(data.toString()) as Record<string, unknown>
      if (frame['type'] === 'res') return answered(frame['id'] as string, frame as unknown as Answer)
      const payload = (frame['payload'] ?? {}) as Record<string, unknown>
      if (frame['event'] !== 'connect.challenge') {
        for (const listen of listeners) listen(frame['event'] as string, payload)
        return
      }
      const device = proof(options, client, asked, String(payload['nonce']))
      const params = {
        minProtocol: options.protocol,
        maxProtocol: options.protocol,
        client: { ...client, version: '0.0.0', platform: process.platform, deviceFamily: 'linux' },
        role: 'operator',
        scopes: asked,
        caps: [],
        auth: { token: options.token },
        ...(device ? { device } : {}),
      }
      request('connect', params, 1).then(hello => resolve(wire(hello)), reject)
    })
  })
}
