/**
 * A pairing request or a device by its id: how it stands, and what can be done about it.
 */
import { ago, line } from '../format.ts'
import { pendingOf, type PairingFacts } from '../pairing.ts'
import type { Explanation } from './explanation.ts'
import { describeRequest, whatBecame } from './pairing.ts'

const approver =
  'Whoever owns this home, on this host with the deputy command; or anybody who holds operator.pairing and the scopes that are asked for.'

/** Null when no request has that id. */
export function explainRequest(facts: PairingFacts, id: string, flags: string): Explanation | null {
  const request = facts.requests.find(each => each.id === id)
  if (!request) return null
  const now = Date.now()
  const pending = request.state === 'pending'
  const instead = request.state === 'superseded' ? request.supersededBy : null
  const newer = pendingOf(facts).find(each => each.device === request.device)
  const means = pending
    ? describeRequest(request, now)
    : `${line(request.name)} asked for ${request.scopes.join(', ') || 'no scope'}; the request was ${whatBecame(request, now)}.`
  const here = pending
    ? [
        `Approving it grants exactly what it asks, nothing else: ${request.added.join(', ') || 'nothing that it does not hold'}.`,
      ]
    : [
        `It now holds ${request.held.join(', ') || 'nothing'}.`,
        ...(newer ? [`It asks again: ${describeRequest(newer, now)}`] : []),
      ]
  const open = newer?.id ?? instead
  return {
    about: `request ${id}`,
    code: pending ? 'PAIRING_REQUIRED' : 'REQUEST_CLOSED',
    reading: null,
    means,
    here,
    who: approver,
    fix: pending
      ? 'Approve it if you know the device; reject it if you do not.'
      : 'A closed request stays closed; the device asks again when it connects.',
    commands: pending
      ? [`deputy devices approve ${id}${flags}`, `deputy devices reject ${id}${flags}`]
      : open
        ? [`deputy devices approve ${open}${flags}`]
        : [`deputy devices list${flags}`],
  }
}

/** By its id or the beginning of it, eight signs at least. Null when no device, or more than one, has it. */
export function explainDevice(facts: PairingFacts, id: string, flags: string): Explanation | null {
  if (!/^[0-9a-f]{8,64}…?$/i.test(id)) return null
  const found = facts.devices.filter(device => device.id.startsWith(id.replace('…', '').toLowerCase()))
  const [device] = found
  if (!device || found.length > 1) return null
  const now = Date.now()
  const pending = pendingOf(facts).filter(each => each.device === device.id)
  const seen = device.lastSeenAt === null ? 'not seen since' : `last seen ${ago(device.lastSeenAt, now)}`
  return {
    about: `device ${device.id}`,
    code: null,
    reading: null,
    means: device.paired
      ? `${line(device.name)} is paired since ${ago(device.approvedAt, now)}, ${seen}, and holds ${device.scopes.join(', ') || 'nothing'}.`
      : `${line(device.name)} was paired once and is revoked: its tokens are dead, and it has to be approved again.`,
    here: pending.map(request => describeRequest(request, now)),
    who: approver,
    fix: pending.length > 0 ? 'Approve what it asks for besides, if you know it.' : 'Nothing is asked for.',
    commands: pending.map(request => `deputy devices approve ${request.id}${flags}`),
  }
}
