/**
 * Devices, tokens and pairing requests as rows: reading the facts of the pairing machine, carrying its effects out.
 *
 * Owns the three tables, and the audit row of whatever somebody decided. Decides nothing (core/pairing.ts). Invariants: 1. `carryOut` writes exactly what the effects say,
 * in the caller's transaction. 2. an imported token's hash stands only as long as the counters it came with. 3. what must
 * end with a device's authority is a row (`revoked:<device>`) in the transaction that takes it, so that a crash forgets
 * none of it. A device's browser origin stands with its request only.
 */
import type { Insertable, Kysely, Selectable } from 'kysely'
import type {
  About,
  Actor,
  Device,
  DeviceToken,
  Pairing,
  PairingEffect,
  PairingEvent,
  PairingRefusal,
  PairingRequest,
  PairingStep,
  Role,
} from '../core/pairing.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Scope } from '../protocol/scopes.ts'
import { getValue, setValue } from './kv.ts'
import type { Tx } from './open.ts'
import type { Tables } from './tables.ts'
import type { DevicesTable, DeviceTokensTable, PairingRequestsTable } from './tables-pairing.ts'

/** All that is known of one device id, and what only rows know. */
export interface Loaded {
  state: Pairing
  /** Hash of the imported token, by role. */
  imported: Partial<Record<Role, string>>
}

/** How a request stands in its row beside the machine's facts. */
interface AboutRow extends About {
  reason: PairingRequest['reason']
  /** Made by somebody who showed the shared secret; not counted with strangers'. */
  known: boolean
}

export interface Decided {
  device: string
  event: PairingEvent
  state: Pairing
  /** Rows are written; the rest is the caller's to carry out. */
  effects: readonly PairingEffect[]
}

export interface Ending {
  device: string
  at: number
  /** Who took the authority, as in rows. */
  by: string
}

const endingPrefix = 'revoked:'

/** `request`: one that has to be among the requests, beside the pending one. */
export async function loadPairing(db: Kysely<Tables>, device: string, request?: string): Promise<Loaded> {
  const row = await db.selectFrom('devices').selectAll().where('id', '=', device).executeTakeFirst()
  const tokens = row
    ? await db.selectFrom('device_tokens').selectAll().where('device', '=', device).orderBy('role').execute()
    : []
  const pending = await db
    .selectFrom('pairing_requests')
    .selectAll()
    .where('device', '=', device)
    .where('state', '=', 'pending')
    .execute()
  const named =
    request === undefined || pending.some(each => each.id === request)
      ? []
      : await db
          .selectFrom('pairing_requests')
          .selectAll()
          .where('id', '=', request)
          .where('device', '=', device)
          .execute()
  const imported: Loaded['imported'] = {}
  for (const token of tokens) if (token.imported_hash !== null) imported[token.role as Role] = token.imported_hash
  return {
    state: {
      device: row ? deviceOf(row) : null,
      tokens: tokens.map(tokenOf),
      requests: [...pending, ...named].map(requestOf),
    },
    imported,
  }
}

/** How a request stands; null when there is none of that id. */
export async function loadRequest(
  db: Kysely<Tables>,
  request: string,
): Promise<{ device: string; state: PairingRequest['state'] } | null> {
  const row = await db
    .selectFrom('pairing_requests')
    .select(['device', 'state'])
    .where('id', '=', request)
    .executeTakeFirst()
  return row ? { device: row.device, state: row.state as PairingRequest['state'] } : null
}

export async function pendingRows(db: Kysely<Tables>): Promise<Selectable<PairingRequestsTable>[]> {
  return db.selectFrom('pairing_requests').selectAll().where('state', '=', 'pending').orderBy('created_at').execute()
}

export function isKnown(row: Selectable<PairingRequestsTable>): boolean {
  return (JSON.parse(row.about) as AboutRow).known
}

/** `about` is what the transaction knows besides: whether a new request's maker showed the secret, and who takes authority. */
export async function carryOut(
  tx: Tx,
  effects: readonly PairingEffect[],
  about: { known: boolean; by: string; at: number },
): Promise<void> {
  for (const effect of effects) {
    if (effect.do === 'putDevice') await putDevice(tx, effect.device)
    else if (effect.do === 'putToken') await putToken(tx, effect.token)
    else if (effect.do === 'putRequest') await putRequest(tx, effect.request, about.known)
    else if (effect.do === 'endRuns') {
      const value: Omit<Ending, 'device'> = { at: about.at, by: about.by }
      await setValue(tx, endingPrefix + effect.device, JSON.stringify(value))
    }
  }
}

/** Carries a decision out, with its audit row when somebody took it. Throws the refusal. */
export async function record(tx: Tx, device: string, event: PairingEvent, done: PairingStep): Promise<Decided> {
  if (!done.ok) throw refused(done)
  const { effects, state } = done
  const actor = 'actor' in event ? event.actor : null
  await carryOut(tx, effects, { known: false, by: actor?.name ?? device, at: event.now })
  if (actor && effects.length > 0) {
    const { on, now, actor: _, ...details } = event as PairingEvent & { actor: Actor }
    const row = { at: now, who: actor.name, what: `device.${on}`, details: JSON.stringify({ device, ...details }) }
    await tx.insertInto('audit').values(row).execute()
  }
  return { device, event, state, effects }
}

/** The machine's refusal in the words of the wire (openclaw-facts.md §A2). */
function refused({ code, message, details }: PairingRefusal): DeputyError {
  const { missing, required } = details as { missing?: Scope[]; required?: Scope[] }
  if (code !== 'MISSING_SCOPE' || !missing) return new DeputyError(code, message, { details })
  return new DeputyError(code, message, {
    fix: 'Whoever holds these scopes can decide; so can the owner of the gateway, on its host: deputy devices --help',
    details: { missingScope: missing[0], requiredScopes: required },
  })
}

/** Devices whose runs are still to be ended. */
export async function endings(db: Kysely<Tables>): Promise<Ending[]> {
  const rows = await db
    .selectFrom('kv')
    .selectAll()
    .where('key', '>=', endingPrefix)
    .where('key', '<', `${endingPrefix}~`)
    .execute()
  return rows.map(({ key, value }) => ({ device: key.slice(endingPrefix.length), ...JSON.parse(value) }))
}

/** A later ending of the same device stays. */
export async function ended(tx: Tx, { device, at }: Ending): Promise<void> {
  const value = await getValue(tx, endingPrefix + device)
  if (value !== null && (JSON.parse(value) as Ending).at === at) await setValue(tx, endingPrefix + device, null)
}

async function putDevice(tx: Tx, device: Device): Promise<void> {
  const { id, about } = device
  const row: Omit<Insertable<DevicesTable>, 'id'> = {
    public_key: device.publicKey,
    display_name: about.displayName,
    operator_label: device.label,
    platform: about.platform,
    device_family: about.deviceFamily,
    client_id: about.clientId,
    client_mode: about.clientMode,
    roles: JSON.stringify(device.roles),
    scopes: JSON.stringify(device.scopes),
    generation: device.generation,
    state: device.state,
    approved_via: device.approvedVia,
    remote_ip: about.remoteIp,
    created_at: device.createdAt,
    approved_at: device.approvedAt,
  }
  await tx
    .insertInto('devices')
    .values({ id, ...row, last_seen_at: null })
    .onConflict(conflict => conflict.column('id').doUpdateSet(row))
    .execute()
}

async function putToken(tx: Tx, token: DeviceToken): Promise<void> {
  const { device, role } = token
  const before = await tx
    .selectFrom('device_tokens')
    .select(['generation', 'rotation', 'imported_hash'])
    .where('device', '=', device)
    .where('role', '=', role)
    .executeTakeFirst()
  const kept = before?.generation === token.generation && before.rotation === token.rotation && token.revokedAt === null
  const row: Omit<Insertable<DeviceTokensTable>, 'device' | 'role'> = {
    generation: token.generation,
    rotation: token.rotation,
    scopes: JSON.stringify(token.scopes),
    imported_hash: kept ? before.imported_hash : null,
    created_at: token.createdAt,
    rotated_at: token.rotatedAt,
    revoked_at: token.revokedAt,
  }
  await tx
    .insertInto('device_tokens')
    .values({ device, role, ...row, last_used_at: null })
    .onConflict(conflict => conflict.columns(['device', 'role']).doUpdateSet(row))
    .execute()
}

async function putRequest(tx: Tx, request: PairingRequest, known: boolean): Promise<void> {
  const { id, device, publicKey } = request
  const about: AboutRow = { ...request.about, reason: request.reason, known }
  const row = {
    state: request.state,
    superseded_by: request.supersededBy,
    decided_by: request.decidedBy,
    refreshed_at: request.refreshedAt,
    expires_at: request.expiresAt,
    decided_at: request.decidedAt,
  }
  await tx
    .insertInto('pairing_requests')
    .values({
      id,
      device,
      public_key: publicKey,
      about: JSON.stringify(about),
      role: JSON.stringify(request.roles),
      scopes: JSON.stringify(request.scopes),
      created_at: request.createdAt,
      ...row,
    })
    // What was asked never changes under an id (P5): a repeat and a decision change how it stands.
    .onConflict(conflict => conflict.column('id').doUpdateSet(row))
    .execute()
}

export function deviceOf(row: Selectable<DevicesTable>): Device {
  return {
    id: row.id,
    publicKey: row.public_key,
    state: row.state as Device['state'],
    generation: row.generation,
    roles: JSON.parse(row.roles) as Role[],
    scopes: JSON.parse(row.scopes) as Scope[],
    about: {
      displayName: row.display_name,
      platform: row.platform,
      deviceFamily: row.device_family,
      clientId: row.client_id,
      clientMode: row.client_mode,
      browserOrigin: null,
      remoteIp: row.remote_ip,
    },
    label: row.operator_label,
    approvedVia: row.approved_via ?? 'owner',
    createdAt: row.created_at,
    approvedAt: row.approved_at,
  }
}

export function tokenOf(row: Selectable<DeviceTokensTable>): DeviceToken {
  return {
    device: row.device,
    role: row.role as Role,
    generation: row.generation,
    rotation: row.rotation,
    scopes: JSON.parse(row.scopes) as Scope[],
    createdAt: row.created_at,
    rotatedAt: row.rotated_at,
    revokedAt: row.revoked_at,
  }
}

export function requestOf(row: Selectable<PairingRequestsTable>): PairingRequest {
  const { reason, known: _, ...about } = JSON.parse(row.about) as AboutRow
  return {
    id: row.id,
    device: row.device,
    publicKey: row.public_key,
    roles: JSON.parse(row.role) as Role[],
    scopes: JSON.parse(row.scopes) as Scope[],
    about,
    reason,
    state: row.state as PairingRequest['state'],
    supersededBy: row.superseded_by,
    decidedBy: row.decided_by,
    createdAt: row.created_at,
    refreshedAt: row.refreshed_at,
    expiresAt: row.expires_at,
    decidedAt: row.decided_at,
  }
}
