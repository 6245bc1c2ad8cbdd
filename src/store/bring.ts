/**
 * Rows that come from another home: people who may write, devices with their tokens, and conversations.
 *
 * Owns the statements. Who or what is known here already is left as it is: a second import changes nothing, and what was
 * taken away here does not come back. A token comes as its hash (decisions.md 18), never as itself.
 */
import type { Part } from '../core/messages.ts'
import type { Device, Role } from '../core/pairing.ts'
import { senderForm } from '../core/sender.ts'
import type { Scope } from '../protocol/scopes.ts'
import { apply } from './apply.ts'
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

export interface BroughtSession {
  id: string
  agent: string
  key: string
  label: string | null
  /** When something was said there last. */
  at: number
  /** In their order. */
  messages: readonly { id: string; role: 'user' | 'assistant'; parts: readonly Part[]; at: number }[]
}

/** False when there was a conversation of that key before, a closed one included. */
export async function bringSession(tx: Tx, from: BroughtSession, now: number): Promise<boolean> {
  const { id, key, agent, label, at, messages } = from
  const known = await tx.selectFrom('sessions').select('id').where('key', '=', key).limit(1).executeTakeFirst()
  if (known) return false
  const createdAt = Math.min(at, ...messages.map(message => message.at))
  const none = { parentSession: null, spawnedBy: null, route: null, closedAt: null }
  const session = { ...none, id, key, agent, tree: id, depth: 0, label, seq: 0, createdAt, updatedAt: at }
  const said = messages.map((message, n) => ({
    do: 'message.put' as const,
    // Seen by whatever model comes: at its own place, as what a run wrote itself.
    message: { ...message, session: id, seq: n + 1, ord: n + 1, run: null, step: null, meta: { from: 'import' } },
  }))
  await apply(tx, [{ do: 'session.put', session }, ...said])
  await tx.updateTable('sessions').set({ updated_at: at }).where('id', '=', id).execute()
  const details = JSON.stringify({ session: id, key, messages: messages.length })
  await tx.insertInto('audit').values({ at: now, who: 'operator', what: 'session.import', details }).execute()
  return true
}
