/**
 * A home as OpenClaw 2026.4.12 lays it (openclaw-facts.md §G2), for tests of the import. Its WhatsApp login is made by real
 * baileys in baileys' own folder of files.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { library } from '../../src/channels/whatsapp/library.ts'
import type { Person } from './whatsapp/people.ts'
import type { FakeWhatsApp } from './whatsapp/server.ts'

export function put(home: string, path: string, value: unknown): void {
  const file = join(home, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value))
}

/** A device as it stands in devices/paired.json, and its token. */
export function pairedDevice(scopes: readonly string[], key = randomBytes(32)) {
  const deviceId = createHash('sha256').update(key).digest('hex')
  const token = randomBytes(32).toString('base64url')
  const entry = {
    deviceId,
    publicKey: key.toString('base64url'),
    platform: 'linux',
    clientId: 'cli',
    clientMode: 'cli',
    role: 'operator',
    roles: ['operator'],
    scopes,
    approvedScopes: scopes,
    tokens: { operator: { token, role: 'operator', scopes, createdAtMs: 1_700_000_000_000 } },
    createdAtMs: 1_700_000_000_000,
    approvedAtMs: 1_700_000_000_000,
  }
  return { deviceId, token, entry }
}

/** Links the owner's phone as OpenClaw does; resolves when the socket was online once and is closed. */
export async function linkFolder(service: FakeWhatsApp, owner: Person, folder: string): Promise<void> {
  const lib = await library()
  const { state, saveCreds } = await lib.useMultiFileAuthState(folder)
  const nothing = () => undefined
  const logger = {
    level: 'silent',
    child: () => logger,
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: nothing,
  }
  const open = () => {
    const socket = lib.makeWASocket({ auth: state, logger, syncFullHistory: false })
    socket.ev.on('creds.update', saveCreds)
    return socket
  }
  const first = open()
  await new Promise<void>((done, failed) => {
    first.ev.on('connection.update', ({ qr, connection }) => {
      if (qr) service.scan(qr, owner).catch(failed)
      if (connection === 'close') done()
    })
  })
  const second = open()
  await service.until(() => service.online(owner))
  await service.until(() => service.waiting(owner).length === 0)
  await saveCreds()
  await second.end(undefined)
  await service.until(() => !service.online(owner))
  await quiet(folder)
}

/** The library tells nobody when its last file is written: what has not changed for a while is. */
async function quiet(folder: string): Promise<void> {
  const look = () =>
    readdirSync(folder)
      .sort()
      .map(name => [name, statSync(join(folder, name)).mtimeMs, statSync(join(folder, name)).size])
  for (let [seen, same] = ['', 0]; same < 5; ) {
    const now = JSON.stringify(look())
    same = now === seen && !now.includes(',0]') ? same + 1 : 0
    seen = now
    await sleep(100)
  }
}
