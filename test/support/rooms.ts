/**
 * The rooms beside the house for tests of the door: a real configuration, real tools and a real log in a directory, one model.
 */
import { join } from 'node:path'
import { openAccounts } from '../../src/channels/accounts.ts'
import { openConfig } from '../../src/config/store.ts'
import type { ModelListing } from '../../src/models/options.ts'
import { openLogbook } from '../../src/gateway/logbook.ts'
import type { Rooms } from '../../src/gateway/rooms.ts'
import { DeputyError } from '../../src/protocol/errors.ts'
import { openTools } from '../../src/tools/toolbox.ts'

const listing: ModelListing = {
  ref: 'stub/model',
  provider: 'stub',
  model: 'model',
  name: 'The model',
  contextWindow: 1000,
  maxTokens: 100,
  price: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
  priced: false,
  key: null,
}

export function testRooms(dir: string): Rooms & { book: ReturnType<typeof openLogbook> } {
  const exec = {
    sandbox: 'off' as const,
    network: false,
    timeoutSeconds: 30,
    maxOutputBytes: 100_000,
    pathPrepend: [],
    env: {},
  }
  const tools = openTools({ stateDir: join(dir, 'none'), exec: () => exec })
  const book = openLogbook({
    file: join(dir, 'logs', 'deputy.log'),
    clock: { now: () => Date.now() },
    settings: () => ({
      level: 'info',
      consoleLevel: 'silent',
      consoleStyle: 'pretty',
      maxFileBytes: 1_000_000,
      redactPatterns: [],
    }),
    hide: value => value,
    console: () => undefined,
  })
  const accounts = openAccounts({
    channels: {},
    wishes: () => [],
    stateDir: () => dir,
    ingest: async () => ({ done: 'repeat' }),
    commands: () => [],
    changed: () => undefined,
    clock: { now: () => Date.now() },
    log: () => undefined,
  })
  const nobody = async () => {
    throw new DeputyError('SENDER_CODE_UNKNOWN', 'nobody waits')
  }
  const none = async () => {
    throw new DeputyError('DELIVERY_NO_CHANNEL', 'no chat service is set up in this test')
  }
  return {
    chats: {
      ...accounts,
      defaultAccount: () => 'default',
      policy: () => null,
      guests: { list: async () => [], approve: nobody, dismiss: nobody, ownerKnown: () => false },
    },
    config: openConfig({ home: dir, env: {} }),
    models: {
      list: () => [listing],
      resolve: ref => (ref === listing.ref ? { ok: true, model: listing } : { ok: false, reason: 'none', fix: 'none' }),
    },
    tools: {
      ready: tools.ready,
      list: tools.list,
      policy: () => ({ names: ['read', 'sessions_spawn'], profile: 'coding' }),
    },
    post: { send: none, list: async () => [], retry: none },
    files: () => ({ workspace: '/nowhere', stateDir: '/nowhere' }),
    log: book,
    book,
    identity: { deviceId: 'd', publicKey: 'k' },
    reloadSecrets: async () => [{ path: 'models.providers.x.apiKey', message: 'is not set' }],
  }
}
