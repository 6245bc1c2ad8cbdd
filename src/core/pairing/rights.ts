/**
 * Who may decide about a device (P1, P2; decisions.md 17; openclaw-facts.md §B7). Owns the answers, changes nothing.
 */
import type { Scope } from '../../protocol/scopes.ts'
import { missingScopes } from '../authorize.ts'
import { type Actor, type Device, type PairingRefusal, type PairingRequest, refusal } from './facts.ts'

/** Approving hands out authority: it takes pairing, and every scope that is handed out; a node takes admin. */
export function mayApprove(actor: Actor, request: PairingRequest): PairingRefusal | null {
  const node = request.roles.some(role => role !== 'operator')
  return lacking(actor, ['operator.pairing', ...(node ? (['operator.admin'] as const) : []), ...request.scopes])
}

/** Removing, revoking, narrowing, rotating: the device itself, or pairing and all that the device holds. */
export function mayTakeFrom(actor: Actor, device: Device): PairingRefusal | null {
  if (actor.device === device.id) return null
  return lacking(actor, ['operator.pairing', ...device.scopes])
}

/** Giving a token back what is approved but was taken from it: like approving, also for the device itself. */
export function mayGiveBack(actor: Actor, scopes: readonly Scope[]): PairingRefusal | null {
  return scopes.length === 0 ? null : lacking(actor, ['operator.pairing', ...scopes])
}

/** Rejecting and renaming give and take nothing that anybody holds. */
export function mayTend(actor: Actor, device: string): PairingRefusal | null {
  return actor.device === device ? null : lacking(actor, ['operator.pairing'])
}

function lacking(actor: Actor, needed: readonly Scope[]): PairingRefusal | null {
  const missing = missingScopes(actor.scopes, needed)
  if (missing.length === 0) return null
  return refusal('MISSING_SCOPE', `missing scope: ${missing[0]}`, { missing, required: needed })
}
