/**
 * Somebody decides about a request: approves exactly what it shows, or rejects it.
 * A closed request never moves (P3), and an expired one is closed (P4).
 */
import { normalise } from '../../protocol/scopes.ts'
import {
  close,
  commit,
  type Device,
  type DeviceToken,
  isExpired,
  type On,
  type Pairing,
  type PairingEffect,
  type PairingRefusal,
  type PairingRequest,
  type PairingStep,
  pendingOf,
  refusal,
  tokenOf,
} from './facts.ts'
import { mayApprove, mayTend } from './rights.ts'

export function approve(state: Pairing, event: On<'approve'>): PairingStep {
  const { actor, now } = event
  const request = openRequest(state, event.request, now)
  if ('ok' in request) return request
  const denied = mayApprove(actor, request)
  if (denied) return denied

  const old = state.device
  const paired = old?.state === 'paired' ? old : null
  const adds = paired?.publicKey === request.publicKey
  const device: Device = {
    id: request.device,
    publicKey: request.publicKey,
    state: 'paired',
    // Another key is another party: it gets what it asked for, and what the old key held dies with its generation.
    generation: (old?.generation ?? 1) + (paired && !adds ? 1 : 0),
    roles: adds ? [...new Set([...paired.roles, ...request.roles])] : request.roles,
    scopes: normalise(adds ? [...paired.scopes, ...request.scopes] : request.scopes),
    about: request.about,
    label: old?.label ?? null,
    approvedVia: event.via,
    createdAt: old?.createdAt ?? now,
    approvedAt: now,
  }
  const tokens = request.roles.map(role => {
    const scopes = role === 'operator' ? request.scopes : []
    const kept = adds ? tokenOf(state, role) : null
    if (kept) return { ...kept, scopes: normalise([...kept.scopes, ...scopes]) }
    return fresh(device, role, normalise(scopes), now)
  })
  const effects: PairingEffect[] = [{ do: 'putDevice', device }]
  effects.push(...tokens.map(token => ({ do: 'putToken', token }) as const))
  if (paired && !adds) effects.push(...endOldKey(state, paired, request, now))
  effects.push(...close(request, { state: 'approved', decidedBy: actor.name, decidedAt: now }))
  return commit(state, effects)
}

export function reject(state: Pairing, event: On<'reject'>): PairingStep {
  const { actor, now } = event
  const request = openRequest(state, event.request, now)
  if ('ok' in request) return request
  const denied = mayTend(actor, request.device)
  return denied ?? commit(state, close(request, { state: 'rejected', decidedBy: actor.name, decidedAt: now }))
}

export function expire(state: Pairing, now: number): PairingStep {
  const pending = pendingOf(state)
  if (!pending || !isExpired(pending, now)) return commit(state, [])
  return commit(state, close(pending, { state: 'expired', decidedAt: now }))
}

function openRequest(state: Pairing, id: string, now: number): PairingRequest | PairingRefusal {
  const request = state.requests.find(each => each.id === id)
  if (!request) return refusal('UNKNOWN_REQUEST', `unknown requestId: ${id}`, { requestId: id })
  const pending = request.state === 'pending'
  if (pending && !isExpired(request, now)) return request
  const was = pending ? 'expired' : request.state
  const { supersededBy } = request
  const details = { requestId: id, state: was, ...(supersededBy ? { supersededBy } : {}) }
  const instead = supersededBy ? ` by ${supersededBy}, which asks for more` : ''
  return refusal('REQUEST_CLOSED', `request ${id} is ${was}${instead}`, details)
}

function fresh(device: Device, role: DeviceToken['role'], scopes: DeviceToken['scopes'], now: number): DeviceToken {
  const { id, generation } = device
  return { device: id, role, generation, rotation: 0, scopes, createdAt: now, rotatedAt: null, revokedAt: null }
}

function endOldKey(state: Pairing, old: Device, request: PairingRequest, now: number): PairingEffect[] {
  const others = state.tokens.filter(token => !request.roles.includes(token.role) && token.revokedAt === null)
  return [
    ...others.map(token => ({ do: 'putToken', token: { ...token, revokedAt: now } }) as const),
    { do: 'close', device: old.id, generation: old.generation, role: null, reason: 'device-key-changed' },
    { do: 'endRuns', device: old.id },
  ]
}
