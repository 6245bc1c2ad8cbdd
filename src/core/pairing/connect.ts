/**
 * A device connects: what it is let in with, and the request that asks for the rest.
 * Never changes what is approved (P7), and leaves at most one pending request (P5).
 */
import { covers, normalise, type Scope } from '../../protocol/scopes.ts'
import {
  type About,
  close,
  commit,
  type Device,
  isAlive,
  isExpired,
  type On,
  type Pairing,
  type PairingEffect,
  type PairingReason,
  type PairingRequest,
  type PairingStep,
  pendingOf,
  pendingTtlMs,
  type Role,
  scopesOf,
  tokenOf,
} from './facts.ts'

interface Ask {
  roles: readonly Role[]
  scopes: readonly Scope[]
  about: About
}

export function connect(state: Pairing, event: On<'connect'>): PairingStep {
  const { role, about } = event
  const { device } = state
  const known = device?.state === 'paired' && device.publicKey === event.publicKey ? device : null
  if (event.token && !(known && isAlive(state, role, event.token))) {
    return commit(state, [{ do: 'deny', code: 'AUTH_DEVICE_TOKEN_MISMATCH', pending: null }])
  }
  const asked: Ask = { roles: [role], scopes: role === 'operator' ? event.scopes : [], about }
  const made = reasonOf(state, known, asked) ? request(state, known, asked, event) : null
  const effects = made?.effects ?? []
  const pending = made?.request ?? null
  const token = known && tokenOf(state, role)
  if (!token) return commit(state, [...effects, { do: 'deny', code: 'PAIRING_REQUIRED', pending }])
  const { generation, rotation } = token
  const scopes = scopesOf(state, role, event.scopes)
  return commit(state, [...effects, { do: 'admit', generation, rotation, scopes, pending }])
}

/** Why an ask needs somebody's approval; null when all of it is held. */
function reasonOf(state: Pairing, known: Device | null, asked: Ask): PairingReason | null {
  if (!known) return state.device?.state === 'paired' ? 'metadata-upgrade' : 'not-paired'
  if (asked.roles.some(role => tokenOf(state, role) === null)) return 'role-upgrade'
  const held = tokenOf(state, 'operator')?.scopes ?? []
  if (asked.scopes.some(scope => !covers(held, scope))) return 'scope-upgrade'
  return changed(known.about, asked.about) ? 'metadata-upgrade' : null
}

/** What a device leaves out has not changed; case and blanks do not count (openclaw-facts.md §B2). */
function changed(pinned: About, said: About): boolean {
  const plain = (text: string | null) => text?.trim().toLowerCase() || null
  return (['platform', 'deviceFamily'] as const).some(field => {
    const [was, is] = [plain(pinned[field]), plain(said[field])]
    return was !== null && is !== null && was !== is
  })
}

/**
 * The pending request that covers this ask. Asks of one key add up, so that two programs that share a device and ask for
 * different things do not take turns in superseding each other's request for ever.
 */
function request(
  state: Pairing,
  known: Device | null,
  asked: Ask,
  event: On<'connect'>,
): { request: PairingRequest; effects: PairingEffect[] } {
  const { now } = event
  const old = pendingOf(state)
  const live = old && !isExpired(old, now) ? old : null
  const same = live?.publicKey === event.publicKey ? live : null
  if (same && contains(same, asked)) {
    const refreshed = { ...same, refreshedAt: now, expiresAt: now + pendingTtlMs }
    return { request: refreshed, effects: [{ do: 'putRequest', request: refreshed }] }
  }
  const all: Ask = {
    roles: [...new Set([...(same?.roles ?? []), ...asked.roles])],
    scopes: normalise([...(same?.scopes ?? []), ...asked.scopes]),
    about: asked.about,
  }
  const fresh: PairingRequest = {
    ...all,
    id: event.requestId,
    device: event.device,
    publicKey: event.publicKey,
    reason: reasonOf(state, known, all) ?? 'not-paired',
    state: 'pending',
    supersededBy: null,
    decidedBy: null,
    createdAt: now,
    refreshedAt: now,
    expiresAt: now + pendingTtlMs,
    decidedAt: null,
  }
  const closed = live
    ? close(live, { state: 'superseded', supersededBy: fresh.id, decidedAt: now })
    : old
      ? close(old, { state: 'expired', decidedAt: now })
      : []
  const tell: PairingEffect = { do: 'tell', event: 'device.pair.requested', request: fresh }
  return { request: fresh, effects: [...closed, { do: 'putRequest', request: fresh }, tell] }
}

function contains(pending: PairingRequest, asked: Ask): boolean {
  return (
    asked.roles.every(role => pending.roles.includes(role)) &&
    asked.scopes.every(scope => covers(pending.scopes, scope))
  )
}
