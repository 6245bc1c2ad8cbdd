/**
 * A whole Deputy with one chat service of our own in the place of Telegram, and the rehearsal model.
 * Owns opening and closing both.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, openApp } from '../../src/app.ts'
import { type Client, connect } from '../../src/client/connect.ts'
import { fakeChannel } from '../support/fake-channel.ts'
import { type ChatService, startService } from '../support/fake-service.ts'

export interface ChatWorld {
  dir: string
  app: App
  service: ChatService
  owner: Client
  log: string[]
  restart(): Promise<void>
  close(): Promise<void>
}

export async function openChatWorld(
  telegram: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Promise<ChatWorld> {
  const service = await startService()
  const dir = mkdtempSync(join(tmpdir(), 'deputy-chat-'))
  const block = { botToken: service.token, apiRoot: service.url, ...telegram }
  const config = {
    gateway: { port: 0, auth: { token: 'a-token-that-nobody-may-see-0123456789' } },
    agents: { defaults: { model: 'rehearsal/rehearsal' } },
    ...more,
    channels: { telegram: block },
  }
  writeFileSync(join(dir, 'deputy.json'), JSON.stringify(config), { mode: 0o600 })
  const log: string[] = []
  const open = () =>
    openApp({
      home: dir,
      env: {},
      log: line => void log.push(line),
      tcp: false,
      version: '9.9.9',
      channels: { telegram: async () => fakeChannel('telegram') },
    })
  const app = await open()
  const world: ChatWorld = {
    dir,
    app,
    service,
    owner: await connect({ socketPath: app.ready.socket }),
    log,
    async restart() {
      world.owner.close()
      await world.app.stop()
      world.app = await open()
      world.owner = await connect({ socketPath: world.app.ready.socket })
    },
    async close() {
      world.owner.close()
      await world.app.stop()
      await service.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
  return world
}
