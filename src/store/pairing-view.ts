/**
 * Devices and requests as they are shown: the shapes of `device.pair.list` (openclaw-facts.md §B6, §B7), which the gateway
 * answers with and the CLI prints. Owns the mapping; shows no token and no hash of one.
 */
import type { Kysely, Selectable } from 'kysely'
import { type Device, type Pairing, type PairingRequest, tokenOf } from '../core/pairing.ts'
import { missingScopes } from '../core/authorize.ts'
import type { DeviceList, PairedDevice, PendingDevice } from '../protocol/results.ts'
import { deviceOf, pendingRows, requestOf, tokenOf as tokenFact } from './pairing-rows.ts'
import type { Tables } from './tables.ts'
import type { DevicesTable, DeviceTokensTable } from './tables-pairing.ts'

/** What waits and what is paired, oldest first. `connected` says who is here now. */
export async function listDevices(
  db: Kysely<Tables>,
  now: number,
  connected: (device: string) => boolean,
): Promise<DeviceList> {
  const devices = await db.selectFrom('devices').selectAll().orderBy('approved_at').execute()
  const tokens = await db.selectFrom('device_tokens').selectAll().orderBy('role').execute()
  const asking = await pendingRows(db)
  const of = (device: string) => tokens.filter(token => token.device === device)
  return {
    pending: asking
      .map(requestOf)
      .filter(request => request.expiresAt > now)
      .map(request => {
        const row = devices.find(({ id }) => id === request.device)
        return pendingView(request, {
          device: row ? deviceOf(row) : null,
          tokens: of(request.device).map(tokenFact),
          requests: [],
        })
      }),
    paired: devices.filter(row => row.state === 'paired').map(row => pairedView(row, of(row.id), connected(row.id))),
  }
}

/** Null when the device is not paired. */
export async function showDevice(db: Kysely<Tables>, device: string, connected: boolean): Promise<PairedDevice | null> {
  const row = await db.selectFrom('devices').selectAll().where('id', '=', device).executeTakeFirst()
  if (row?.state !== 'paired') return null
  const tokens = await db.selectFrom('device_tokens').selectAll().where('device', '=', device).orderBy('role').execute()
  return pairedView(row, tokens, connected)
}

export function pendingView(request: PairingRequest, state: Pairing): PendingDevice {
  const { about } = request
  const paired = state.device?.state === 'paired' ? state.device : null
  // Another key starts with nothing (core/pairing.ts).
  const held = paired?.publicKey === request.publicKey ? (tokenOf(state, 'operator')?.scopes ?? []) : []
  return {
    requestId: request.id,
    deviceId: request.device,
    publicKey: request.publicKey,
    ...said({ displayName: about.displayName, ...clientOf(about) }),
    ...said({ browserOrigin: about.browserOrigin }),
    role: request.roles[0] ?? 'operator',
    roles: request.roles,
    scopes: request.scopes,
    ...said({ remoteIp: about.remoteIp }),
    silent: false,
    isRepair: paired !== null,
    ts: request.createdAt,
    refreshedAtMs: request.refreshedAt,
    reason: request.reason,
    heldScopes: held,
    ...(held.length > 0 && paired ? { heldVia: paired.approvedVia } : {}),
    newScopes: missingScopes(held, request.scopes),
    expiresAtMs: request.expiresAt,
  }
}

function pairedView(
  row: Selectable<DevicesTable>,
  tokens: readonly Selectable<DeviceTokensTable>[],
  connected: boolean,
): PairedDevice {
  const { about, publicKey, label, roles, scopes, approvedVia, createdAt, approvedAt }: Device = deviceOf(row)
  return {
    deviceId: row.id,
    publicKey,
    ...said({ displayName: about.displayName, operatorLabel: label, ...clientOf(about) }),
    role: roles[0] ?? 'operator',
    roles,
    scopes,
    ...said({ remoteIp: about.remoteIp }),
    approvedVia,
    createdAtMs: createdAt,
    approvedAtMs: approvedAt,
    ...said({ lastSeenAtMs: row.last_seen_at }),
    connected,
    tokens: tokens.map(token => ({
      role: token.role,
      scopes: JSON.parse(token.scopes) as string[],
      createdAtMs: token.created_at,
      ...said({
        rotatedAtMs: token.rotated_at,
        revokedAtMs: token.revoked_at,
        lastUsedAtMs: token.last_used_at,
      }),
    })),
  }
}

function clientOf({ platform, deviceFamily, clientId, clientMode }: Device['about']) {
  return { platform, deviceFamily, clientId, clientMode }
}

/** The wire leaves out what is not known. */
function said<T extends Record<string, string | number | null>>(fields: T): { [K in keyof T]?: Exclude<T[K], null> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as never
}
