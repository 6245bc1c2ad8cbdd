/**
 * Authority is taken away: removed, revoked, narrowed, rotated. Whatever raises the generation ends every token and
 * socket of the one before (P6). What is approved never grows here.
 */
import { normalise, type Scope } from '../../protocol/scopes.ts'
import { meet, missingScopes } from '../authorize.ts'
import {
  type Actor,
  type CloseReason,
  close,
  commit,
  type Device,
  type DeviceToken,
  type On,
  type Pairing,
  type PairingEffect,
  type PairingRefusal,
  type PairingStep,
  pendingOf,
  refusal,
  tokenOf,
} from './facts.ts'
import { mayGiveBack, mayTakeFrom, mayTend } from './rights.ts'

type Taken = PairingEffect[] | PairingRefusal

export function remove(state: Pairing, event: On<'remove'>): PairingStep {
  return taking(state, event.actor, device => revokeAll(state, device, 'device-pair-removed', event))
}

/** One role goes. The others keep what they hold, under the new generation, and get new tokens at their next hello. */
export function revoke(state: Pairing, event: On<'revoke'>): PairingStep {
  const { role, now } = event
  return taking(state, event.actor, device => {
    if (!device.roles.includes(role)) return noSuchRole(role)
    const roles = device.roles.filter(each => each !== role)
    if (roles.length === 0) return revokeAll(state, device, 'device-token-revoked', event)
    const changed = { ...device, roles, scopes: role === 'operator' ? [] : device.scopes }
    const gone = state.tokens.filter(token => token.role === role && token.revokedAt === null)
    return [
      ...nextGeneration(state, device, changed, 'device-token-revoked', now, token => token.scopes),
      ...gone.map(token => ({ do: 'putToken', token: { ...token, revokedAt: now } }) as const),
      ...(role === 'operator' ? endRuns(device, event.keepRuns) : []),
    ]
  })
}

/** Leaves at most these scopes. Runs at work keep their stored grant (decisions.md 34). */
export function narrow(state: Pairing, event: On<'narrow'>): PairingStep {
  return taking(state, event.actor, device => {
    const more = beyond(event.scopes, device)
    if (more) return more
    const changed = { ...device, scopes: normalise(event.scopes) }
    return nextGeneration(state, device, changed, 'device-scopes-narrowed', event.now, token =>
      normalise(meet(token.scopes, changed.scopes)),
    )
  })
}

/** Replaces one token and closes its sockets. `scopes` may be anything that is approved; null keeps the token's (§B7). */
export function rotate(state: Pairing, event: On<'rotate'>): PairingStep {
  const { role, now } = event
  return taking(state, event.actor, device => {
    const token = tokenOf(state, role)
    if (!token) return noSuchRole(role)
    const asked = event.scopes ?? []
    const refused = beyond(asked, device) ?? mayGiveBack(event.actor, missingScopes(token.scopes, asked))
    if (refused) return refused
    const scopes = event.scopes && role === 'operator' ? normalise(event.scopes) : token.scopes
    const { id, generation } = device
    return [
      { do: 'putToken', token: { ...token, rotation: token.rotation + 1, scopes, rotatedAt: now } },
      { do: 'close', device: id, generation, role, reason: 'device-token-rotated' },
    ]
  })
}

export function rename(state: Pairing, event: On<'rename'>): PairingStep {
  const { device } = state
  if (device?.state !== 'paired') return noSuchDevice()
  const renamed: Device = { ...device, label: event.label }
  return mayTend(event.actor, device.id) ?? commit(state, [{ do: 'putDevice', device: renamed }, tellChanged(device)])
}

export function clear(state: Pairing, event: On<'clear'>): PairingStep {
  const { actor, now } = event
  if (!event.pendingOnly && state.device?.state === 'paired')
    return remove(state, { ...event, on: 'remove', keepRuns: false })
  const pending = pendingOf(state)
  if (!pending) return commit(state, [])
  return mayTend(actor, pending.device) ?? commit(state, rejectPending(state, actor, now))
}

function taking(state: Pairing, actor: Actor, change: (device: Device) => Taken): PairingStep {
  const { device } = state
  if (device?.state !== 'paired') return noSuchDevice()
  const denied = mayTakeFrom(actor, device)
  if (denied) return denied
  const taken = change(device)
  return Array.isArray(taken) ? commit(state, taken) : taken
}

function revokeAll(
  state: Pairing,
  device: Device,
  reason: CloseReason,
  by: { actor: Actor; keepRuns: boolean; now: number },
): PairingEffect[] {
  const gone: Device = { ...device, state: 'revoked', generation: device.generation + 1, roles: [], scopes: [] }
  const tokens = state.tokens.filter(token => token.revokedAt === null)
  return [
    { do: 'putDevice', device: gone },
    ...tokens.map(token => ({ do: 'putToken', token: { ...token, revokedAt: by.now } }) as const),
    // A request of before would be approved as something else than it was shown as.
    ...rejectPending(state, by.actor, by.now),
    { do: 'close', device: device.id, generation: device.generation, role: null, reason },
    ...endRuns(device, by.keepRuns),
    tellChanged(device),
  ]
}

/** The changed device under the next generation, with the counters of its remaining tokens moved along. */
function nextGeneration(
  state: Pairing,
  device: Device,
  changed: Device,
  reason: CloseReason,
  now: number,
  scopes: (token: DeviceToken) => readonly Scope[],
): PairingEffect[] {
  const generation = device.generation + 1
  const kept = changed.roles.flatMap(role => tokenOf(state, role) ?? [])
  return [
    { do: 'putDevice', device: { ...changed, generation } },
    ...kept.map(token => {
      const next = { ...token, generation, rotation: 0, scopes: scopes(token), rotatedAt: now }
      return { do: 'putToken', token: next } as const
    }),
    { do: 'close', device: device.id, generation: device.generation, role: null, reason },
    tellChanged(device),
  ]
}

function rejectPending(state: Pairing, actor: Actor, now: number): PairingEffect[] {
  const pending = pendingOf(state)
  return pending ? close(pending, { state: 'rejected', decidedBy: actor.name, decidedAt: now }) : []
}

function endRuns(device: Device, keep: boolean): PairingEffect[] {
  return keep ? [] : [{ do: 'endRuns', device: device.id }]
}

function tellChanged(device: Device): PairingEffect {
  return { do: 'tell', event: 'device.pair.changed', device: device.id }
}

function beyond(scopes: readonly Scope[], device: Device): PairingRefusal | null {
  const more = missingScopes(device.scopes, scopes)
  if (more.length === 0) return null
  return refusal('INVALID_PARAMS', `not approved for this device: ${more.join(', ')}`, { scopes: more })
}

function noSuchDevice(): PairingRefusal {
  return refusal('UNKNOWN_DEVICE', 'unknown deviceId')
}

function noSuchRole(role: string): PairingRefusal {
  return refusal('INVALID_PARAMS', `the device does not have the role ${role}`, { role })
}
