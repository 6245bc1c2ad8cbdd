import { describe, expect, test } from 'vitest'
import type { Scope } from '../protocol/scopes.ts'
import {
  type About,
  type Actor,
  isAlive,
  type Pairing,
  type PairingEffect,
  type PairingEvent,
  type PairingStep,
  pendingOf,
  pendingTtlMs,
  scopesOf,
  step,
  unknownDevice,
} from './pairing.ts'

const about: About = {
  displayName: 'Phone',
  platform: 'darwin',
  deviceFamily: null,
  clientId: 'cli',
  clientMode: 'cli',
  browserOrigin: null,
  remoteIp: null,
}
const operator: Actor = { name: 'operator', scopes: ['operator.admin'], device: null }
const pairer: Actor = { name: 'device:p', scopes: ['operator.pairing', 'operator.read'], device: 'p' }
const self: Actor = { name: 'device:d', scopes: [], device: 'd' }

type Connect = Extract<PairingEvent, { on: 'connect' }>
const connect = (scopes: Scope[], over: Partial<Connect> = {}): Connect => ({
  on: 'connect',
  device: 'd',
  publicKey: 'k',
  role: 'operator',
  scopes,
  about,
  token: null,
  requestId: 'r1',
  now: 1000,
  ...over,
})
const approve = (request: string, actor = operator, now = 2000): PairingEvent => ({
  on: 'approve',
  request,
  actor,
  via: 'owner',
  now,
})
const by = { actor: operator, now: 3000 }

function go(state: Pairing, ...events: PairingEvent[]): { state: Pairing; effects: readonly PairingEffect[] } {
  let effects: readonly PairingEffect[] = []
  for (const event of events) {
    const done = step(state, event)
    if (!done.ok) throw new Error(`${event.on}: ${done.message}`)
    ;({ state, effects } = done)
  }
  return { state, effects }
}
const verdict = (done: PairingStep | { effects: readonly PairingEffect[] }) =>
  ('effects' in done ? done.effects : []).find(effect => effect.do === 'admit' || effect.do === 'deny')
const closes = (effects: readonly PairingEffect[]) => effects.filter(effect => effect.do === 'close')

const reader = go(unknownDevice, connect(['operator.read']), approve('r1')).state

describe('a device that nobody knows', () => {
  test('is turned away with a request, and let in with what was approved', () => {
    const asked = go(unknownDevice, connect(['operator.write']))
    expect(verdict(asked)).toMatchObject({
      do: 'deny',
      code: 'PAIRING_REQUIRED',
      pending: { id: 'r1', reason: 'not-paired', roles: ['operator'], expiresAt: 1000 + pendingTtlMs },
    })
    const approved = go(asked.state, approve('r1'))
    expect(approved.state.device).toMatchObject({ generation: 1, scopes: ['operator.read', 'operator.write'] })
    const again = go(approved.state, connect(['operator.write', 'operator.read'], { requestId: 'r2' }))
    const scopes = ['operator.write', 'operator.read']
    expect(verdict(again)).toEqual({ do: 'admit', generation: 1, rotation: 0, scopes, pending: null })
  })

  test('asking the same or less refreshes the request, asking for more replaces it', () => {
    const one = go(unknownDevice, connect(['operator.write']))
    const same = go(one.state, connect(['operator.read'], { requestId: 'r2', now: 5000 }))
    expect(verdict(same)).toMatchObject({ pending: { id: 'r1', createdAt: 1000, expiresAt: 5000 + pendingTtlMs } })
    expect(same.effects.some(effect => effect.do === 'tell')).toBe(false)
    const more = go(same.state, connect(['operator.approvals'], { requestId: 'r3', now: 6000 }))
    expect(pendingOf(more.state)).toMatchObject({
      id: 'r3',
      scopes: ['operator.approvals', 'operator.read', 'operator.write'],
    })
    expect(step(more.state, approve('r1'))).toMatchObject({
      code: 'REQUEST_CLOSED',
      details: { state: 'superseded', supersededBy: 'r3' },
    })
    // Two programs with one identity settle on one request.
    const settled = go(more.state, connect(['operator.write'], { requestId: 'r4', now: 7000 }))
    expect(pendingOf(settled.state)?.id).toBe('r3')
  })

  test('another key for the same id never inherits a request', () => {
    const one = go(unknownDevice, connect(['operator.admin']))
    const two = go(one.state, connect(['operator.read'], { publicKey: 'other', requestId: 'r2' }))
    expect(pendingOf(two.state)).toMatchObject({ id: 'r2', publicKey: 'other', scopes: ['operator.read'] })
  })

  test('an expired request cannot be approved; the next connect makes a new one', () => {
    const one = go(unknownDevice, connect(['operator.admin']))
    const late = 1000 + pendingTtlMs
    expect(step(one.state, approve('r1', operator, late))).toMatchObject({
      code: 'REQUEST_CLOSED',
      details: { state: 'expired' },
    })
    const next = go(one.state, connect(['operator.read'], { requestId: 'r2', now: late }))
    expect(next.state.requests).toMatchObject([
      { id: 'r1', state: 'expired' },
      { id: 'r2', scopes: ['operator.read'] },
    ])
    expect(go(one.state, { on: 'expire', now: late }).state.requests).toMatchObject([{ state: 'expired' }])
    expect(go(one.state, { on: 'expire', now: late - 1 }).effects).toEqual([])
  })
})

describe('a paired device that asks for more', () => {
  test('is let in with what it holds; approval widens the live connection and keeps the generation', () => {
    const wide = ['operator.read', 'operator.admin'] as const
    const asked = go(reader, connect([...wide], { requestId: 'r2' }))
    expect(verdict(asked)).toMatchObject({
      do: 'admit',
      scopes: ['operator.read'],
      pending: { id: 'r2', reason: 'scope-upgrade' },
    })
    const approved = go(asked.state, approve('r2'))
    expect(closes(approved.effects)).toEqual([])
    expect(isAlive(approved.state, 'operator', { generation: 1, rotation: 0 })).toBe(true)
    expect(scopesOf(approved.state, 'operator', wide)).toEqual(wide)
  })

  test('asking for it in one wide word gets the part that is approved', () => {
    const paired = go(unknownDevice, connect(['operator.read']), approve('r1')).state
    expect(go(paired, connect(['operator.write'], { requestId: 'r2' })).effects.at(-1)).toMatchObject({
      do: 'admit',
      scopes: ['operator.read'],
      pending: { id: 'r2', scopes: ['operator.read', 'operator.write'] },
    })
    const wider = go(paired, connect(['operator.write'], { requestId: 'r2' }), approve('r2')).state
    expect(scopesOf(wider, 'operator', ['operator.admin'])).toEqual(['operator.read', 'operator.write'])
    expect(scopesOf(wider, 'operator', ['operator.read'])).toEqual(['operator.read'])
    expect(scopesOf(wider, 'operator', ['operator.approvals'])).toEqual([])
  })

  test('a role that is not approved is turned away, and the approved one stays', () => {
    const asked = go(reader, connect([], { role: 'node', requestId: 'r2' }))
    expect(verdict(asked)).toMatchObject({ do: 'deny', pending: { id: 'r2', reason: 'role-upgrade' } })
    expect(isAlive(asked.state, 'operator', { generation: 1, rotation: 0 })).toBe(true)
    expect(step(asked.state, approve('r2', { ...pairer, scopes: ['operator.pairing'] }))).toMatchObject({
      code: 'MISSING_SCOPE',
      details: { missing: ['operator.admin'] },
    })
    const both = go(asked.state, approve('r2'))
    expect(both.state.device).toMatchObject({ roles: ['operator', 'node'], scopes: ['operator.read'], generation: 1 })
    expect(scopesOf(both.state, 'node', ['operator.read'])).toEqual([])
  })

  test('another platform is let in and asks for a new look; saying nothing, or in capitals, is no change', () => {
    const asked = go(reader, connect(['operator.read'], { about: { ...about, platform: 'linux' }, requestId: 'r2' }))
    expect(verdict(asked)).toMatchObject({ do: 'admit', pending: { reason: 'metadata-upgrade' } })
    expect(
      verdict(go(asked.state, approve('r2'), connect(['operator.read'], { about: { ...about, platform: 'linux' } }))),
    ).toMatchObject({ pending: null })
    for (const platform of [null, ' Darwin ']) {
      expect(verdict(go(reader, connect(['operator.read'], { about: { ...about, platform } })))).toMatchObject({
        pending: null,
      })
    }
  })

  test('another key is turned away; once approved it holds what it asked for, and the old one nothing', () => {
    const asked = go(reader, connect(['operator.approvals'], { publicKey: 'new', requestId: 'r2' }))
    expect(verdict(asked)).toMatchObject({ do: 'deny', pending: { reason: 'metadata-upgrade' } })
    const { state, effects } = go(asked.state, approve('r2'))
    expect(state.device).toMatchObject({ publicKey: 'new', scopes: ['operator.approvals'], generation: 2 })
    expect(closes(effects)).toMatchObject([{ generation: 1, role: null, reason: 'device-key-changed' }])
    expect(effects).toContainEqual({ do: 'endRuns', device: 'd' })
    expect(verdict(go(state, connect(['operator.read'], { requestId: 'r3' })))).toMatchObject({ do: 'deny' })
  })
})

describe('who may decide', () => {
  const asked = go(unknownDevice, connect(['operator.write'])).state

  test('approving takes pairing and every scope that is handed out', () => {
    const writer: Actor = { name: 'w', scopes: ['operator.write'], device: null }
    expect(step(asked, approve('r1', writer))).toMatchObject({ details: { missing: ['operator.pairing'] } })
    expect(step(asked, approve('r1', pairer))).toMatchObject({
      code: 'MISSING_SCOPE',
      message: 'missing scope: operator.write',
    })
    expect(step(asked, approve('nope'))).toMatchObject({ code: 'UNKNOWN_REQUEST' })
    expect(step(go(asked, approve('r1')).state, approve('r1'))).toMatchObject({ details: { state: 'approved' } })
  })

  test('a device that holds pairing only cannot remove an administrator; a device may remove itself', () => {
    const admin = go(unknownDevice, connect(['operator.admin']), approve('r1')).state
    const remove = (actor: Actor): PairingEvent => ({ on: 'remove', actor, keepRuns: false, now: 3000 })
    expect(step(admin, remove(pairer))).toMatchObject({ code: 'MISSING_SCOPE' })
    expect(step(reader, remove(pairer))).toMatchObject({ ok: true })
    expect(step(admin, remove(self))).toMatchObject({ ok: true })
    expect(step(unknownDevice, remove(operator))).toMatchObject({ code: 'UNKNOWN_DEVICE' })
  })

  test('rejecting takes pairing', () => {
    const reject = (actor: Actor): PairingEvent => ({ on: 'reject', request: 'r1', actor, now: 1500 })
    expect(step(asked, reject({ ...operator, scopes: ['operator.write'] }))).toMatchObject({ code: 'MISSING_SCOPE' })
    expect(go(asked, reject(pairer)).state.requests).toMatchObject([{ state: 'rejected', decidedBy: 'device:p' }])
  })
})

describe('taking away', () => {
  test('a removed device leaves its generation behind, so that no old token lives again', () => {
    const removed = go(reader, { on: 'remove', keepRuns: false, ...by })
    expect(closes(removed.effects)).toMatchObject([{ generation: 1, reason: 'device-pair-removed' }])
    expect(removed.effects).toContainEqual({ do: 'endRuns', device: 'd' })
    const token = { generation: 1, rotation: 0 }
    expect(verdict(go(removed.state, connect(['operator.read'], { token })))).toMatchObject({
      code: 'AUTH_DEVICE_TOKEN_MISMATCH',
      pending: null,
    })
    const back = go(removed.state, connect(['operator.read'], { requestId: 'r2' }), approve('r2')).state
    expect(back.device).toMatchObject({ generation: 2, state: 'paired' })
    expect(isAlive(back, 'operator', token)).toBe(false)
    expect(verdict(go(back, connect(['operator.read'], { token: { generation: 2, rotation: 0 } })))).toMatchObject({
      do: 'admit',
    })
  })

  test('removing rejects the pending request; --keep-runs keeps the runs', () => {
    const asked = go(reader, connect(['operator.admin'], { requestId: 'r2' })).state
    const removed = go(asked, { on: 'remove', keepRuns: true, ...by })
    expect(removed.state.requests.find(request => request.id === 'r2')).toMatchObject({ state: 'rejected' })
    expect(removed.effects.some(effect => effect.do === 'endRuns')).toBe(false)
  })

  test('revoking one of two roles keeps the other, under a new token', () => {
    const both = go(reader, connect([], { role: 'node', requestId: 'r2' }), approve('r2')).state
    const { state, effects } = go(both, { on: 'revoke', role: 'node', keepRuns: false, ...by })
    expect(state.device).toMatchObject({ roles: ['operator'], scopes: ['operator.read'], generation: 2 })
    expect(closes(effects)).toMatchObject([{ generation: 1, role: null }])
    expect(verdict(go(state, connect(['operator.read'])))).toMatchObject({ do: 'admit', generation: 2, pending: null })
    expect(step(state, { on: 'revoke', role: 'node', keepRuns: false, ...by })).toMatchObject({
      code: 'INVALID_PARAMS',
    })
  })

  test('narrowing leaves what it says, under a new generation, and never adds', () => {
    const admin = go(unknownDevice, connect(['operator.admin']), approve('r1')).state
    const { state, effects } = go(admin, { on: 'narrow', scopes: ['operator.write'], ...by })
    expect(state.device).toMatchObject({ scopes: ['operator.read', 'operator.write'], generation: 2 })
    expect(scopesOf(state, 'operator', ['operator.admin', 'operator.write'])).toEqual(['operator.write'])
    expect(closes(effects)).toHaveLength(1)
    expect(step(reader, { on: 'narrow', scopes: ['operator.write'], ...by })).toMatchObject({ code: 'INVALID_PARAMS' })
  })

  test('rotating replaces one token; a narrower one stays narrow until somebody who may gives back', () => {
    const admin = go(unknownDevice, connect(['operator.admin']), approve('r1')).state
    const { state, effects } = go(admin, { on: 'rotate', role: 'operator', scopes: ['operator.read'], ...by })
    expect(closes(effects)).toMatchObject([{ generation: 1, role: 'operator', reason: 'device-token-rotated' }])
    expect(state.device).toMatchObject({ generation: 1 })
    expect(isAlive(state, 'operator', { generation: 1, rotation: 0 })).toBe(false)
    expect(scopesOf(state, 'operator', ['operator.admin', 'operator.read'])).toEqual(['operator.read'])
    const back = { on: 'rotate', role: 'operator', scopes: ['operator.admin'], now: 4000 } as const
    expect(step(state, { ...back, actor: { ...self, scopes: ['operator.read'] } })).toMatchObject({
      code: 'MISSING_SCOPE',
    })
    expect(go(state, { ...back, actor: operator }).state.tokens).toMatchObject([{ rotation: 2 }])
  })

  test('clearing and renaming', () => {
    const asked = go(reader, connect(['operator.admin'], { requestId: 'r2' })).state
    const pending = go(asked, { on: 'clear', pendingOnly: true, ...by }).state
    expect(pendingOf(pending)).toBeNull()
    expect(pending.device).toMatchObject({ state: 'paired' })
    expect(go(asked, { on: 'clear', pendingOnly: false, ...by }).state.device).toMatchObject({ state: 'revoked' })
    expect(go(reader, { on: 'rename', label: 'desk', ...by }).state.device).toMatchObject({
      label: 'desk',
      generation: 1,
    })
  })
})
