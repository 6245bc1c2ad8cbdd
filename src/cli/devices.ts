/**
 * Deciding about devices from the host. Owns what is done over the wire and what on the rows (desk.ts owns the choice between
 * the two), and the naming of devices and requests by a short form.
 */
import { randomUUID } from 'node:crypto'
import type { Client } from '../client/connect.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { DeviceList, DeviceResults, PairedDevice, PendingDevice } from '../protocol/results.ts'
import { covers, isScope, type Scope } from '../protocol/scopes.ts'
import type { Context } from './context.ts'
import { type Rows, withDesk } from './desk.ts'
import { line } from './format.ts'

export type DeviceRole = 'operator' | 'node'

/** Answers with the shapes of the wire (protocol/results-devices.ts), whichever way is taken. */
export interface DeviceDesk {
  /** False: the gateway is stopped, and what has to follow waits for its next start. */
  running: boolean
  list(): Promise<DeviceList>
  approve(request: string): Promise<DeviceResults['device.pair.approve']>
  reject(request: string): Promise<DeviceResults['device.pair.reject']>
  remove(device: string, keepRuns: boolean): Promise<DeviceResults['device.pair.remove']>
  rename(device: string, label: string): Promise<DeviceResults['device.pair.rename']>
  rotate(device: string, role: DeviceRole, scopes: Scope[] | null): Promise<DeviceResults['device.token.rotate']>
  revoke(device: string, role: DeviceRole, keepRuns: boolean): Promise<DeviceResults['device.token.revoke']>
}

export function withDevices<T>(context: Context, body: (desk: DeviceDesk) => Promise<T>): Promise<T> {
  return withDesk(context, { wire: overWire, rows: at => onRows(context, at) }, body)
}

function overWire(client: Client): DeviceDesk {
  return {
    running: true,
    list: () => client.request('device.pair.list', {}),
    approve: requestId => client.request('device.pair.approve', { requestId }),
    reject: requestId => client.request('device.pair.reject', { requestId }),
    remove: (deviceId, keepRuns) => client.request('device.pair.remove', { deviceId, keepRuns }),
    rename: (deviceId, label) => client.request('device.pair.rename', { deviceId, label }),
    rotate: (deviceId, role, scopes) =>
      client.request('device.token.rotate', { deviceId, role, ...(scopes && { scopes }) }),
    revoke: (deviceId, role, keepRuns) => client.request('device.token.revoke', { deviceId, role, keepRuns }),
  }
}

async function onRows(context: Context, { store, clock }: Rows): Promise<DeviceDesk> {
  const [{ openPairings, owner }, { gatewayKey }, { listDevices, showDevice }] = await Promise.all([
    import('../store/pairing.ts'),
    import('../store/key.ts'),
    import('../store/pairing-view.ts'),
  ])
  const key = await gatewayKey(context.home.dir)
  const pairings = openPairings({ store, key, clock, uuid: randomUUID })
  const by = { actor: owner }
  return {
    running: false,
    list: () => listDevices(store.read, clock.now(), () => false),
    async approve(requestId) {
      const { device } = await pairings.approve(requestId, { ...by, via: 'owner' })
      return { requestId, device: (await showDevice(store.read, device, false))! }
    },
    reject: async requestId => ({ requestId, deviceId: (await pairings.reject(requestId, by)).device }),
    async remove(deviceId, keepRuns) {
      await pairings.remove(deviceId, { ...by, keepRuns })
      return { deviceId, endedRuns: 0 }
    },
    async rename(deviceId, label) {
      await pairings.rename(deviceId, { ...by, label: label || null })
      return { deviceId, label }
    },
    async rotate(deviceId, role, scopes) {
      const { state } = await pairings.rotate(deviceId, { ...by, role, scopes })
      const token = state.tokens.find(each => each.role === role)!
      const rotatedAtMs = token.rotatedAt ?? clock.now()
      return { deviceId, role, scopes: token.scopes, rotatedAtMs, tokenDelivery: 'withheld-cross-device' }
    },
    async revoke(deviceId, role, keepRuns) {
      await pairings.revoke(deviceId, { ...by, role, keepRuns })
      return { deviceId, role, revokedAtMs: clock.now(), endedRuns: 0 }
    },
  }
}

/** How lists write ids: enough to tell them apart, and taken wherever an id is. */
export function shortRequest(id: string): string {
  return id.slice(0, 8)
}

export function shortDevice(id: string): string {
  return id.slice(0, 12)
}

export function nameOf(device: PairedDevice | PendingDevice): string {
  const label = 'operatorLabel' in device ? device.operatorLabel : undefined
  return line(label ?? device.displayName ?? device.clientId ?? 'without a name')
}

/** A request by its id or the beginning of it; one that no pending request begins with is passed on as it is. */
export function requestNamed({ pending }: DeviceList, text: string): string {
  const found = pending.filter(each => each.requestId.startsWith(text.toLowerCase()))
  return (
    only(
      found.map(each => each.requestId),
      text,
      'requests',
    ) ?? text
  )
}

/** A device by its id, the beginning of it, or its name. */
export function deviceNamed({ paired }: DeviceList, text: string): string {
  const byId = paired.filter(each => text.length >= 4 && each.deviceId.startsWith(text.toLowerCase()))
  const found = byId.length > 0 ? byId : paired.filter(each => nameOf(each).toLowerCase() === text.toLowerCase())
  return (
    only(
      found.map(each => each.deviceId),
      text,
      'devices',
    ) ?? text
  )
}

function only(ids: readonly string[], text: string, what: string): string | undefined {
  if (ids.length < 2) return ids[0]
  throw new DeputyError('USAGE', `${text} stands for ${ids.length} ${what}: ${ids.slice(0, 4).join(', ')}.`, {
    fix: 'Write the whole id.',
  })
}

/** `read,write` or `operator.read,operator.write`. */
export function scopesNamed(text: string): Scope[] {
  const names = text.split(',').flatMap(name => name.trim() || [])
  return names.map(name => {
    const full = name.startsWith('operator.') ? name : `operator.${name}`
    if (isScope(full)) return full
    throw new DeputyError('USAGE', `There is no scope ${name}.`, {
      fix: 'Scopes: admin, read, write, approvals, questions, pairing, talk, talk.secrets, sessions.read, sessions.write.',
    })
  })
}

/** Scopes as people read them: without what another of them brings along. */
export function scopeWords(scopes: readonly string[]): string {
  const known = scopes.filter(isScope)
  const widest = known.filter(scope => !known.some(other => other !== scope && covers([other], scope)))
  return widest.map(scope => scope.replace(/^operator\./, '')).join(', ') || 'nothing'
}
