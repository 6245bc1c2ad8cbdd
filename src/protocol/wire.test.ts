import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { devicePayload } from './device.ts'
import { chatDelta, errorIn, logLine, negotiate } from './dialect.ts'
import { DeputyError, type ErrorCode, errors } from './errors.ts'
import { checkRequest } from './frames.ts'
import { closeReason } from './limits.ts'
import { methodNames, scopeOf } from './methods.ts'
import { fromWire, toWire } from './refusal.ts'
import { covers } from './scopes.ts'

describe('versions', () => {
  test.each([
    [3, 3, 3],
    [4, 4, 4],
    [3, 4, 4],
    [1, 9, 4],
    [1, 3, 3],
    [4, 9, 4],
    [5, 9, null],
    [1, 2, null],
    [4, 3, null],
  ])('%i..%i → %s', (min, max, version) => {
    expect(negotiate(min, max)).toBe(version)
  })

  test('what differs between them', () => {
    const delta = { deltaText: 'b', replace: false, message: 'ab' }
    expect(chatDelta(3, delta)).toEqual({ state: 'delta', message: 'ab' })
    expect(chatDelta(4, delta)).toEqual({ state: 'delta', deltaText: 'b', message: 'ab' })
    expect(chatDelta(4, { ...delta, replace: true })).toMatchObject({ replace: true })
    expect(errorIn(3, { code: 'FORBIDDEN', message: 'm' }).code).toBe('INVALID_REQUEST')
    expect(errorIn(4, { code: 'FORBIDDEN', message: 'm' }).code).toBe('FORBIDDEN')
    const line = '{"time":"t","level":"warn","subsystem":"models","message":"m","key":"k"}'
    expect(logLine(4, line)).toBe(line)
    expect(JSON.parse(logLine(3, line))).toEqual({
      '0': 'm',
      '1': { key: 'k' },
      _meta: { name: '{"subsystem":"models"}', logLevelName: 'WARN' },
      time: 't',
    })
    expect(logLine(3, 'no JSON')).toBe('no JSON')
  })
})

describe('frames', () => {
  test('a request passes as it is, with what the protocol allows besides', () => {
    const frame = { type: 'req', id: '1', method: 'm', params: { a: 1 } }
    expect(checkRequest({ ...frame, traceparent: 't', expectedProfileId: 'p' })).toEqual({ ok: true, frame })
  })

  test('whatever is sent, the check answers; only a closed request passes', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true }), value => {
        const check = checkRequest(value)
        if (check.ok) {
          const { type, id, method } = value as Record<string, unknown>
          return type === 'req' && typeof id === 'string' && typeof method === 'string'
        }
        return check.id.length > 0 && check.id.length <= 256 && check.problem.startsWith('invalid request frame: ')
      }),
    )
  })

  test('a close reason is cut to 120 bytes at a character', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'é', '€', '😀'), { maxLength: 150 }), chars => {
        const text = chars.join('')
        const cut = closeReason(text)
        return Buffer.byteLength(cut) <= 120 && text.startsWith(cut) && (cut === text || Buffer.byteLength(text) > 120)
      }),
    )
  })
})

describe('refusals', () => {
  test('each code goes over the wire and comes back', () => {
    for (const code of Object.keys(errors) as ErrorCode[]) {
      const error = new DeputyError(code, 'words', { details: { a: 1, retryAfterMs: 5 } })
      const wire = JSON.parse(JSON.stringify(toWire(error.shape())))
      expect(wire.retryAfterMs).toBe(5)
      expect(fromWire(wire).shape()).toEqual(error.shape())
    }
  })

  test("OpenClaw's coarse codes", () => {
    const coarse = (code: ErrorCode) => toWire(new DeputyError(code, 'm').shape()).code
    expect(coarse('PAIRING_REQUIRED')).toBe('NOT_PAIRED')
    expect(coarse('MISSING_SCOPE')).toBe('FORBIDDEN')
    expect(coarse('MODEL_AUTH')).toBe('UNAVAILABLE')
    expect(coarse('GATEWAY_STOPPING')).toBe('UNAVAILABLE')
    expect(coarse('UNKNOWN_AGENT')).toBe('INVALID_REQUEST')
    expect(coarse('AUTH_TOKEN_MISMATCH')).toBe('INVALID_REQUEST')
  })

  test('an error of a stranger is still an error', () => {
    expect(fromWire({ code: 'FORBIDDEN', message: 'm', details: { code: 'OTHER' } })).toMatchObject({
      code: 'INVALID_REQUEST',
      message: 'm',
    })
  })
})

describe('scopes of calls', () => {
  test('whatever the params, a rule answers, and never less than its base', () => {
    fc.assert(
      fc.property(fc.constantFrom(...methodNames), fc.anything(), (name, params) => {
        const scope = scopeOf(name, params)
        const base = scopeOf(name, {})
        return scope === base || (scope !== null && base !== null && covers([scope], base))
      }),
    )
  })

  test('agent needs admin to reset', () => {
    expect(scopeOf('agent', { message: '/new' })).toBe('operator.admin')
    expect(scopeOf('agent', { message: '  /RESET please' })).toBe('operator.admin')
    expect(scopeOf('agent', { message: '/newer' })).toBe('operator.write')
    expect(scopeOf('toString', {})).toBe('operator.admin')
  })
})

test('what a device signs', () => {
  const proof = {
    deviceId: 'd',
    clientId: 'cli',
    clientMode: 'ui',
    role: 'operator',
    scopes: ['b', 'a'],
    signedAt: 5,
    token: null,
    nonce: 'n',
    platform: ' LinuxÄ ',
  }
  expect(devicePayload(2, proof)).toBe('v2|d|cli|ui|operator|b,a|5||n')
  expect(devicePayload(3, proof)).toBe('v3|d|cli|ui|operator|b,a|5||n|linuxÄ|')
})
