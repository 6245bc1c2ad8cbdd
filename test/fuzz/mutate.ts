/**
 * Hostile input made from a seed: frames and HTTP requests, well formed ones bent in every way.
 *
 * Owns the generator and its corpus. The same seed gives the same input, so a finding is replayed by its number.
 */
import { methodNames } from '../../src/protocol/methods.ts'

/** Mulberry32: small, good enough, the same everywhere. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const words = [
  '',
  'main',
  'agent:main:main',
  'operator.admin',
  '__proto__',
  'constructor',
  '../../etc/passwd',
  '\u0000',
  '\ud800',
  '🧨',
  "'; drop table runs --",
  '$' + '{secret:x}',
  '{"$gt":""}',
  'a'.repeat(300),
]
const odd: unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1e308,
  2 ** 53,
  0.1,
  [],
  {},
  [[[[]]]],
  { __proto__: null },
  { toString: 1 },
  ...words,
]

export interface Fuzz {
  /** One frame as text: mostly requests, some not even JSON. */
  frame(n: number): string
  http(): { method: string; path: string; headers: Record<string, string>; body: string | null }
}

export function fuzzer(seed: number): Fuzz {
  const next = random(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!
  const chance = (p: number) => next() < p

  function value(depth: number): unknown {
    if (depth <= 0 || chance(0.5)) return pick(odd)
    if (chance(0.5)) return Array.from({ length: Math.floor(next() * 5) }, () => value(depth - 1))
    return Object.fromEntries(Array.from({ length: Math.floor(next() * 5) }, () => [pick(keys), value(depth - 1)]))
  }

  const keys = [
    'sessionKey',
    'key',
    'message',
    'idempotencyKey',
    'agentId',
    'runId',
    'limit',
    'raw',
    'baseHash',
    'deviceId',
    'requestId',
    'scopes',
    'role',
    'auth',
    'token',
    'device',
    'client',
    'id',
    'mode',
    'version',
    'platform',
    'minProtocol',
    'maxProtocol',
    'constructor',
    '__proto__',
    'task',
    'agent',
    'model',
    'timeoutMs',
    'until',
    'text',
    'label',
    'path',
  ]

  function params(method: string): unknown {
    if (method === 'connect' || chance(0.02)) {
      return {
        minProtocol: pick([1, 3, 4, 5, -1, '4', null]),
        maxProtocol: pick([1, 3, 4, 5, 1e9, '4', null]),
        client: chance(0.8)
          ? {
              id: pick(['cli', 'test', 'gateway-client', 'nobody', '']),
              mode: pick(['cli', 'backend', 'probe', 'x']),
              version: '1',
              platform: 'linux',
            }
          : value(2),
        scopes: pick([['operator.admin'], ['operator.read'], [], ['root'], 'operator.admin', value(2)]),
        auth: pick([
          {},
          { token: pick(words) },
          { password: 'x' },
          { deviceToken: 'a'.repeat(43) },
          { bootstrapToken: 'a' },
          value(2),
        ]),
        ...(chance(0.3)
          ? {
              device: {
                id: 'a'.repeat(64),
                publicKey: 'b'.repeat(43),
                signature: 'c'.repeat(86),
                signedAt: pick([0, 1e15, 'now', 1]),
                nonce: pick(words),
              },
            }
          : {}),
      }
    }
    return value(3)
  }

  function frame(n: number): string {
    const method = chance(0.05) ? 'connect' : chance(0.9) ? pick(methodNames) : pick(words)
    const made = {
      type: pick(['req', 'req', 'req', 'req', 'res', 'event', 'x']),
      id: chance(0.95) ? `f${n}` : value(1),
      method,
      params: params(method),
      ...(chance(0.05) ? { [pick(keys)]: value(1) } : {}),
    }
    const text = JSON.stringify(made)
    const bend = next()
    if (bend < 0.7) return text
    if (bend < 0.8) return text.slice(0, Math.floor(next() * text.length))
    if (bend < 0.9) {
      const at = Math.floor(next() * text.length)
      return text.slice(0, at) + pick(['\u0000', '"', '}', '{', '\\', '\n', '\uffff', ',']) + text.slice(at + 1)
    }
    if (bend < 0.95) return '['.repeat(Math.floor(next() * 3000))
    if (bend < 0.98) return text + text
    return pick(words) + text.repeat(Math.floor(next() * 4))
  }

  function http() {
    const bad = [
      '/',
      '/healthz',
      '/readyz',
      '/x',
      '/../..',
      '/%2e%2e/%2e%2e/etc/passwd',
      '//evil',
      '/?token=abc',
      '/v1/models',
      '/tools/invoke',
      '/hooks/agent',
      '/\u00ff',
      `/${'a'.repeat(2000)}`,
      '/__openclaw__/canvas',
    ]
    const headers: Record<string, string> = {}
    if (chance(0.4)) headers['host'] = pick(['evil.example', '127.0.0.1', 'localhost', '', '[::1]', 'a'.repeat(500)])
    if (chance(0.4)) headers['origin'] = pick(['https://evil.example', 'null', 'http://127.0.0.1', 'file://'])
    if (chance(0.3)) headers['x-forwarded-for'] = pick(['127.0.0.1', '::1', '10.0.0.1, 127.0.0.1', 'x'.repeat(400)])
    if (chance(0.3)) headers['authorization'] = pick(['Bearer ', `Bearer ${'a'.repeat(48)}`, 'Basic YTpi', 'x'])
    if (chance(0.2))
      Object.assign(headers, {
        connection: 'Upgrade',
        upgrade: pick(['websocket', 'h2c', 'x']),
        'sec-websocket-version': pick(['13', '8', 'x']),
        'sec-websocket-key': pick(['', 'dGhlIHNhbXBsZSBub25jZQ==', 'x']),
      })
    const method = pick(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE'])
    return {
      method,
      path: pick(bad),
      headers,
      body: ['POST', 'PUT', 'PATCH'].includes(method) ? JSON.stringify(value(3)) : null,
    }
  }

  return { frame, http }
}
