/**
 * Rows that come from another home: people who may write, and devices with their tokens.
 *
 * Owns the statements. Who or what is known here already is left as it is: a second import changes nothing, and what was
 * taken away here does not come back. A token comes as its hash (decisions.md 18), never as itself.
 */
import type { Device, Role } from '../core/pairing.ts'
import { senderForm } from '../core/sender.ts'
import type { Scope } from '../protocol/scopes.ts'
import { importedHash } from './device-tokens.ts'
import type { Tx } from './open.ts'

export interface BroughtSender {
  id: string
  channel: string
  account: string
  sender: string
}

export type BroughtDevice = Pick<
  Device,
  'id' | 'publicKey' | 'roles' | 'scopes' | 'about' | 'createdAt' | 'approvedAt'
> & {
  tokens: readonly { role: Role; scopes: readonly Scope[]; token: string; createdAt: number }[]
}

/** True when the sender was not let in before. */
export async function bringSender(tx: Tx, who: BroughtSender, now: number): Promise<boolean> {
  const { id, channel, account } = who
  const sender = senderForm(channel, who.sender)
  const known = await tx
    .selectFrom('channel_pairings')
    .select('id')
    .where('channel', '=', channel)
    .where('account', '=', account)
    .where('sender', '=', sender)
    .where('state', '=', 'approved')
    .executeTakeFirst()
  if (known) return false
  await tx
    .insertInto('channel_pairings')
    .values({
      id,
      channel,
      account,
      sender,
      label: null,
      code: id,
      state: 'approved',
      created_at: now,
      last_seen_at: now,
      expires_at: now,
    })
    .execute()
  const details = JSON.stringify({ channel, account, sender })
  await tx.insertInto('audit').values({ at: now, who: 'operator', what: 'sender.import', details }).execute()
  return true
}

/** False when a device of that id was known before, a revoked one included. */
export async function bringDevice(tx: Tx, device: BroughtDevice, now: number): Promise<boolean> {
  const { id, about } = device
  const known = await tx.selectFrom('devices').select('id').where('id', '=', id).executeTakeFirst()
  if (known) return false
  await tx
    .insertInto('devices')
    .values({
      id,
      public_key: device.publicKey,
      display_name: about.displayName,
      operator_label: null,
      platform: about.platform,
      device_family: about.deviceFamily,
      client_id: about.clientId,
      client_mode: about.clientMode,
      roles: JSON.stringify(device.roles),
      scopes: JSON.stringify(device.scopes),
      generation: 1,
      state: 'paired',
      approved_via: 'import',
      remote_ip: about.remoteIp,
      created_at: device.createdAt,
      approved_at: device.approvedAt,
      last_seen_at: null,
    })
    .execute()
  for (const { role, scopes, token, createdAt } of device.tokens)
    await tx
      .insertInto('device_tokens')
      .values({
        device: id,
        role,
        generation: 1,
        rotation: 0,
        scopes: JSON.stringify(scopes),
        imported_hash: importedHash(token),
        created_at: createdAt,
        rotated_at: null,
        revoked_at: null,
        last_used_at: null,
      })
      .execute()
  const details = JSON.stringify({ device: id, scopes: device.scopes })
  await tx.insertInto('audit').values({ at: now, who: 'operator', what: 'device.import', details }).execute()
  return true
}
