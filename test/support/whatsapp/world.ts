/**
 * A fake WhatsApp and the shipped gateway as a process beside it, with an account that a phone has linked.
 *
 * Owns where the login lies in a home and how a gateway is made to trust the fake: by a preload, since nothing in its
 * configuration could do it.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { GatewayProcess, Gateways } from '../gateway.ts'
import { linkByQr, numbers, openAccount } from './bench.ts'
import type { Person } from './people.ts'
import { type FakeWhatsApp, type ServiceOptions, startFakeWhatsApp } from './server.ts'

export interface World {
  service: FakeWhatsApp
  home: string
  owner: Person
  ann: Person
  /** Resolves when the gateway is up; its account may still be connecting. */
  start(env?: Record<string, string>): Promise<GatewayProcess>
  close(): Promise<void>
}

/** The environment of a gateway that is to talk to the fake. */
export function trusting(service: FakeWhatsApp): Record<string, string> {
  const preload = join(import.meta.dirname, 'preload.mjs')
  return {
    NODE_OPTIONS: `--import ${preload}`,
    FAKE_WHATSAPP_URL: service.url,
    FAKE_WHATSAPP_ROOT: service.rootKey.toString('hex'),
    ...(service.media ? { NODE_EXTRA_CA_CERTS: service.media.certificatePath } : {}),
  }
}

export async function openWorld(
  gateways: Gateways,
  config: Record<string, unknown>,
  options: ServiceOptions = {},
): Promise<World> {
  const service = await startFakeWhatsApp(options)
  service.trust()
  const owner = service.person('Olga', numbers.owner)
  const ann = service.person('Ann', numbers.ann)
  const home = gateways.home(config)
  await link(service, owner, home)
  return {
    service,
    home,
    owner,
    ann,
    start: (env = {}) => gateways.start(home, { env: { ...trusting(service), ...env } }),
    close: () => service.close(),
  }
}

/** Puts the login of the account into a home. */
export async function link(service: FakeWhatsApp, owner: Person, home: string): Promise<void> {
  const stateDir = join(home, 'channels', 'whatsapp', 'default')
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const { account } = await openAccount(stateDir)
  await linkByQr(service, owner, account)
  await service.until(() => service.waiting(owner).length === 0)
  await account.stop()
  await service.until(() => !service.online(owner))
}

/** The user's configuration as in the thread that this project answers, with a model that needs no key. */
export function seedConfig(more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    gateway: { port: 0, bind: 'loopback', auth: { mode: 'token', token: 'a-token-of-thirty-two-characters' } },
    agents: {
      defaults: { model: 'rehearsal/rehearsal', subagents: { maxSpawnDepth: 2 } },
      list: [{ id: 'main', default: true, subagents: { allowAgents: ['extractor'] } }, { id: 'extractor' }],
    },
    channels: { whatsapp: { dmPolicy: 'allowlist', allowFrom: [numbers.ann] } },
    ...more,
  }
}
