/**
 * Devices and pairing requests as their rows stand, for those who explain and examine: closed requests too.
 *
 * Owns the reading, through a connection that only reads: the same whether a gateway runs or not. Decides nothing; a request
 * whose time is over counts as expired, whoever has not yet written that down.
 */
import type { Selectable } from 'kysely'
import { covers, type Scope } from '../protocol/scopes.ts'
import type { Reader } from '../store/reader.ts'
import type { DevicesTable, PairingRequestsTable } from '../store/tables-pairing.ts'

export interface DeviceFact {
  id: string
  name: string
  paired: boolean
  scopes: readonly Scope[]
  platform: string | null
  clientId: string | null
  approvedAt: number
  lastSeenAt: number | null
}

export interface RequestFact {
  id: string
  device: string
  name: string
  /** What is asked for; an approval grants exactly this. */
  scopes: readonly Scope[]
  /** What the device holds now. */
  held: readonly Scope[]
  /** Of what is asked, what it does not hold. */
  added: readonly Scope[]
  reason: string
  state: 'pending' | 'approved' | 'rejected' | 'expired' | 'superseded'
  supersededBy: string | null
  decidedBy: string | null
  clientId: string | null
  platform: string | null
  address: string | null
  createdAt: number
  refreshedAt: number
  expiresAt: number
  decidedAt: number | null
}

export interface PairingFacts {
  devices: readonly DeviceFact[]
  /** Newest first. */
  requests: readonly RequestFact[]
}

export async function pairingFacts(read: Reader['read'], now: number): Promise<PairingFacts> {
  const rows = await read.selectFrom('devices').selectAll().orderBy('approved_at', 'desc').execute()
  const devices = rows.map(deviceOf)
  const requests = await read.selectFrom('pairing_requests').selectAll().orderBy('refreshed_at', 'desc').execute()
  return { devices, requests: requests.map(row => requestOf(row, devices, now)) }
}

export function pendingOf({ requests }: PairingFacts): RequestFact[] {
  return requests.filter(({ state }) => state === 'pending')
}

function deviceOf(row: Selectable<DevicesTable>): DeviceFact {
  return {
    id: row.id,
    name: row.operator_label ?? row.display_name ?? row.client_id ?? 'a device without a name',
    paired: row.state === 'paired',
    scopes: row.state === 'paired' ? (JSON.parse(row.scopes) as Scope[]) : [],
    platform: row.platform,
    clientId: row.client_id,
    approvedAt: row.approved_at,
    lastSeenAt: row.last_seen_at,
  }
}

function requestOf(row: Selectable<PairingRequestsTable>, devices: readonly DeviceFact[], now: number): RequestFact {
  const about = JSON.parse(row.about) as Record<string, string | null | undefined>
  const scopes = JSON.parse(row.scopes) as Scope[]
  const device = devices.find(each => each.id === row.device)
  const held = device?.scopes ?? []
  const state = row.state as RequestFact['state']
  return {
    id: row.id,
    device: row.device,
    name: device?.name ?? about['displayName'] ?? about['clientId'] ?? 'a device without a name',
    scopes,
    held,
    added: scopes.filter(scope => !covers(held, scope)),
    reason: about['reason'] ?? 'not-paired',
    state: state === 'pending' && row.expires_at <= now ? 'expired' : state,
    supersededBy: row.superseded_by,
    decidedBy: row.decided_by,
    clientId: about['clientId'] ?? null,
    platform: about['platform'] ?? null,
    address: about['remoteIp'] ?? null,
    createdAt: row.created_at,
    refreshedAt: row.refreshed_at,
    expiresAt: row.expires_at,
    decidedAt: row.decided_at,
  }
}
