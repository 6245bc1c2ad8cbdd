/**
 * The tables of devices and of people who were let in, as Kysely sees them; the rules for columns are those of tables.ts.
 */
export interface DevicesTable {
  id: string
  public_key: string
  display_name: string | null
  operator_label: string | null
  platform: string | null
  device_family: string | null
  client_id: string | null
  client_mode: string | null
  /** JSON string[] */
  roles: string
  /** JSON Scope[]: what is approved now. */
  scopes: string
  generation: number
  state: string
  approved_via: string | null
  remote_ip: string | null
  created_at: number
  approved_at: number
  last_seen_at: number | null
}

export interface PairingRequestsTable {
  id: string
  device: string
  public_key: string
  /** JSON: displayName, platform, deviceFamily, clientId, clientMode, browserOrigin, remoteIp, reason, known */
  about: string
  /** JSON string[]: the roles asked for. */
  role: string
  /** JSON Scope[] */
  scopes: string
  state: string
  superseded_by: string | null
  decided_by: string | null
  created_at: number
  refreshed_at: number
  expires_at: number
  decided_at: number | null
}

export interface DeviceTokensTable {
  device: string
  role: string
  generation: number
  rotation: number
  /** JSON Scope[] */
  scopes: string
  /** Only for imported tokens, until they rotate (decisions.md 18). */
  imported_hash: string | null
  created_at: number
  rotated_at: number | null
  revoked_at: number | null
  last_used_at: number | null
}

export interface ChannelPairingsTable {
  id: string
  channel: string
  account: string
  sender: string
  label: string | null
  code: string
  state: string
  created_at: number
  last_seen_at: number
  expires_at: number
}
