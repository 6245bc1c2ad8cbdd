/**
 * Files of an OpenClaw home that become rows: who may write to an account, and which devices are let in.
 *
 * Reads and checks; what is written is src/store/bring.ts. Codes and requests that wait are never taken: nobody has decided
 * about them. A device's authority is what was approved, and a token's at most the device's.
 */
import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { intersect, isScope, normalise } from '../../protocol/scopes.ts'
import { type BroughtDevice, type BroughtSender, bringDevice, bringSender } from '../../store/bring.ts'
import type { Store } from '../../store/open.ts'
import { type Importing, type Item, item, names, readRecord, record, text, texts } from './item.ts'

const stores = /^(telegram|whatsapp|discord|slack)(?:-(.+))?-allowFrom\.json$/

/** `store` is null when nothing is to be written. */
export async function bringSenders({ source }: Importing, store: Store | null): Promise<Item[]> {
  const items: Item[] = []
  const folder = join(source, 'credentials')
  for (const name of names(folder)) {
    const from = join(folder, name)
    if (name.endsWith('-pairing.json'))
      items.push(
        item('left', 'codes that wait', from, 'nobody has decided about them; who writes again gets a new one'),
      )
    const [, channel, account = 'default'] = stores.exec(name) ?? []
    if (channel === undefined) continue
    const what = `people let in at ${channel} ${account}`
    const file = readRecord(from)
    const list = typeof file === 'string' || file === null ? null : file['allowFrom']
    if (!Array.isArray(list)) {
      const why = typeof file === 'string' ? file : 'it holds no list allowFrom'
      items.push(item('failed', what, from, why, 'They get a code when they write: deputy pairing list'))
      continue
    }
    const people = texts(list.map(String)).filter(one => one !== '*')
    let fresh = people.length
    if (store) {
      const rows = people.map((sender): BroughtSender => ({ id: randomUUID(), channel, account, sender }))
      const now = Date.now()
      fresh = await store.write('approve', async tx => {
        let count = 0
        for (const row of rows) if (await bringSender(tx, row, now)) count++
        return count
      })
    }
    const todo = `They count with dmPolicy "pairing" only; with "allowlist", add them to channels.${channel}.allowFrom.`
    if (fresh > 0) items.push(item('taken', what, from, `${fresh} of ${people.length}`, todo))
    else items.push(item('there', what, from, `all ${people.length} were known`))
  }
  return items
}

export async function bringDevices({ source }: Importing, store: Store | null): Promise<Item[]> {
  const from = join(source, 'devices', 'paired.json')
  const file = readRecord(from)
  if (file === null) return []
  if (typeof file === 'string') return [item('failed', 'devices', from, file, 'They pair again: deputy devices list')]
  const items: Item[] = []
  for (const [id, value] of Object.entries(file)) {
    const device = deviceOf(id, record(value) ?? {})
    const what = `device ${id.slice(0, 12)}`
    if (typeof device === 'string') {
      items.push(item('failed', what, from, device, 'It pairs again: deputy devices list'))
      continue
    }
    const now = Date.now()
    const fresh = store ? await store.write('device', async tx => bringDevice(tx, device, now)) : true
    const scopes = device.scopes.join(', ') || 'no scopes'
    if (fresh) items.push(item('taken', what, from, `${scopes}; ${device.tokens.length} tokens, kept as hashes`))
    else items.push(item('there', what, from, 'a device of this id was known, let in or removed'))
  }
  return items
}

/** Words when it is not what OpenClaw writes. */
function deviceOf(id: string, value: Record<string, unknown>): BroughtDevice | string {
  const key = Buffer.from(text(value['publicKey']) ?? '', 'base64url')
  if (key.length !== 32) return 'its public key is not 32 bytes'
  if (createHash('sha256').update(key).digest('hex') !== id) return 'its id does not fit its public key'
  const named = [...texts(value['roles']), text(value['role']) ?? '']
  const roles = (['operator', 'node'] as const).filter(role => named.includes(role))
  if (roles.length === 0) return 'it has no role that Deputy knows'
  const approved = texts(value['approvedScopes'] ?? value['scopes']).filter(isScope)
  const scopes = roles.includes('operator') ? normalise(approved) : []
  const createdAt = time(value['createdAtMs'])
  const tokens = roles.flatMap(role => {
    const one = record(record(value['tokens'])?.[role])
    const token = text(one?.['token'])
    if (!one || token === null || typeof one['revokedAtMs'] === 'number') return []
    const held = role === 'operator' ? normalise(intersect(texts(one['scopes']).filter(isScope), scopes)) : []
    return [{ role, scopes: held, token, createdAt: time(one['createdAtMs']) }]
  })
  const about = {
    displayName: text(value['displayName']),
    platform: text(value['platform']),
    deviceFamily: text(value['deviceFamily']),
    clientId: text(value['clientId']),
    clientMode: text(value['clientMode']),
    browserOrigin: null,
    remoteIp: text(value['remoteIp']),
  }
  const publicKey = key.toString('base64url')
  return { id, publicKey, roles, scopes, about, createdAt, approvedAt: time(value['approvedAtMs']), tokens }
}

const time = (value: unknown): number => (Number.isSafeInteger(value) ? Number(value) : Date.now())
