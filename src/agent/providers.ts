/**
 * Configuration and secrets → the options of the models room, which must know neither.
 * Owns the mapping only. Keys are made known to the secrets as they are found, so that none is ever stored.
 */
import { agentOf, defaultAgent, modelsOf } from '../config/read.ts'
import type { Secrets } from '../config/secrets.ts'
import type { ConfigStore } from '../config/types.ts'
import type { Clock } from '../core/ports.ts'
import { openCredentials } from '../models/credentials.ts'
import type { ModelsOptions, ModelsSettings } from '../models/options.ts'

export function modelsOptions(
  config: ConfigStore,
  secrets: Secrets,
  clock: Clock,
  log: ModelsOptions['log'],
): ModelsOptions {
  let settings: { of: unknown; value: ModelsSettings } | null = null
  const read = () => modelsOf(config.current())
  const credentials = openCredentials({
    environment: config.env,
    agentDir: agent => agentOf(config.current(), agent).agentDir,
    mainAgent: () => defaultAgent(config.current()),
    configured(provider) {
      const key = read().providers[provider]?.apiKey
      return key === undefined ? null : secrets.read(key)
    },
    order: provider => read().order[provider] ?? [],
    secret: reference => secrets.read(reference as Parameters<Secrets['read']>[0]),
    now: clock.now,
    log,
  })
  return {
    settings() {
      if (settings?.of !== config.current()) {
        const { providers, aliases } = read()
        settings = {
          of: config.current(),
          value: {
            aliases,
            providers: Object.entries(providers).map(
              ([id, { apiKey: _key, ...provider }]) =>
                ({
                  id,
                  ...provider,
                  headers: Object.fromEntries(
                    Object.entries(provider.headers).map(([name, value]) => [name, secrets.read(value)]),
                  ),
                }) as ModelsSettings['providers'][number],
            ),
          },
        }
      }
      return settings.value
    },
    modelsFor: agent => agentOf(config.current(), agent).model,
    keysFor(agent, provider) {
      const keys = credentials.keysFor(agent, provider)
      for (const key of keys) secrets.add(key.id, key.secret)
      return keys
    },
    environment: config.env,
    clock,
    log,
  }
}
