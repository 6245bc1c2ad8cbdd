/**
 * `device.*` (openclaw-facts.md §B7): who waits, who is paired, and deciding about them.
 * Owns the shapes of the answers. Who may decide what is the pairing machine's to say; a device token goes to the device
 * that it belongs to and to nobody else.
 */
import { deviceOf } from '../../core/principal.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import { covers, type Scope } from '../../protocol/scopes.ts'
import type { Call, Handlers } from '../dispatch.ts'
import type { Decider } from '../types.ts'
import type { Room } from './room.ts'

/** `device.scopes.waitUpgrade` without a timeout, ms. */
const waitMs = 30_000

type Names = Extract<keyof Handlers, `device.${string}`>

export function deviceHandlers(room: Room): Pick<Handlers, Names> {
  const { devices } = room
  return {
    'device.pair.list': (_, call) => list(room, call),
    'device.pair.approve': async ({ requestId }, call) => {
      const { device } = await devices.approve(requestId, decider(call))
      const found = (await devices.list(connected(room))).paired.find(each => each.deviceId === device)
      if (!found) throw new DeputyError('UNKNOWN_DEVICE', 'the device was removed again', { details: { device } })
      return { requestId, device: found }
    },
    'device.pair.reject': async ({ requestId }, call) => {
      const { device } = await devices.reject(requestId, decider(call))
      return { requestId, deviceId: device }
    },
    'device.pair.remove': async ({ deviceId, keepRuns = false }, call) => ({
      deviceId,
      ...(await devices.remove(deviceId, { ...decider(call), keepRuns })),
    }),
    'device.pair.rename': async ({ deviceId, label }, call) => {
      await devices.rename(deviceId, { ...decider(call), label: label.trim() || null })
      return { deviceId, label: label.trim() }
    },
    'device.pair.setupCode': async (params, call) => setupCode(room, params, call),
    'device.token.rotate': async ({ deviceId, role, scopes = null }, call) => {
      const { token, scopes: held, rotatedAt } = await devices.rotate(deviceId, { ...decider(call), role, scopes })
      const own = deviceOf(call.principal) === deviceId
      return {
        deviceId,
        role,
        scopes: held,
        rotatedAtMs: rotatedAt,
        ...(own ? { tokenDelivery: 'in-band', token } : { tokenDelivery: 'withheld-cross-device' }),
      }
    },
    'device.token.revoke': async ({ deviceId, role, keepRuns = false }, call) => {
      const { endedRuns } = await devices.revoke(deviceId, { ...decider(call), role, keepRuns })
      return { deviceId, role, revokedAtMs: room.now(), endedRuns }
    },
    'device.scopes.requestUpgrade': ({ scopes }, call) => requestUpgrade(call, scopes),
    'device.scopes.waitUpgrade': (params, call) => waitUpgrade(room, params, call),
  }
}

function decider({ principal, connection }: Call): Decider {
  return { principal, connection: connection?.id ?? null }
}

function connected(room: Room): (device: string) => boolean {
  const here = new Set([...room.fanout.connections].flatMap(({ session }) => session?.cell?.device ?? []))
  return device => here.has(device)
}

/** A device without admin sees what is its own. */
async function list(room: Room, { principal }: Call): Promise<Result<'device.pair.list'>> {
  const { pending, paired } = await room.devices.list(connected(room))
  const own = deviceOf(principal)
  if (own === undefined || covers(principal.scopes, 'operator.admin')) return { pending, paired }
  return {
    pending: pending.filter(each => each.deviceId === own),
    paired: paired.filter(each => each.deviceId === own),
  }
}

async function setupCode(
  room: Room,
  params: Params<'device.pair.setupCode'>,
  call: Call,
): Promise<Result<'device.pair.setupCode'>> {
  const { settings, devices } = room
  const { host, port } = room.address() ?? { host: settings.hosts()[0]!, port: settings.port() }
  const scopes: readonly Scope[] = params.scopes ?? ['operator.read', 'operator.write']
  const { id, code, expiresAt } = await devices.setupCode({ ...decider(call), scopes, lifeMs: params.lifeMs })
  const origin = `ws://${host.includes(':') ? `[${host}]` : host}:${port}`
  const gatewayUrl = (settings.publicOrigin()?.replace(/^http/, 'ws') ?? origin) + settings.page().basePath
  return { setupId: id, setupCode: code, gatewayUrl, scopes, expiresAtMs: expiresAt }
}

async function requestUpgrade(
  { connection, principal }: Call,
  scopes: readonly Scope[],
): Promise<Result<'device.scopes.requestUpgrade'>> {
  const cell = principal.kind === 'device' ? connection?.session?.cell : null
  if (!cell) {
    throw new DeputyError('INVALID_REQUEST', 'only a device that connected as itself can ask for an upgrade', {
      fix: 'Whoever knows the secret connects again and asks for the scopes.',
    })
  }
  const request = await cell.upgrade(scopes)
  return request
    ? { ...request, status: 'pending', scopes: cell.scopes }
    : { requestId: null, status: 'approved', scopes: cell.scopes }
}

async function waitUpgrade(
  room: Room,
  { requestId, timeoutMs = waitMs }: Params<'device.scopes.waitUpgrade'>,
  { principal }: Call,
): Promise<Result<'device.scopes.waitUpgrade'>> {
  const { devices } = room
  const decided = Promise.withResolvers<void>()
  // Before the row is read, so that no decision falls between.
  const stop = devices.watch(change => {
    if (change.change !== 'told' || change.event !== 'device.pair.resolved') return
    if (change.payload.requestId === requestId) decided.resolve()
  })
  const timer = setTimeout(() => decided.resolve(), timeoutMs).unref()
  try {
    const known = async () => {
      const found = await devices.request(requestId)
      const may = found && (found.device === deviceOf(principal) || covers(principal.scopes, 'operator.pairing'))
      if (!may) throw new DeputyError('UNKNOWN_REQUEST', 'unknown requestId', { details: { requestId } })
      return found.state
    }
    if ((await known()) === 'pending') await decided.promise
    return { requestId, status: await known(), scopes: principal.scopes }
  } finally {
    clearTimeout(timer)
    stop()
  }
}
