/**
 * Which secret references of a configuration are in use: those of the door's mode, of the store, of every provider, of every channel.
 * Pure. Never resolves one.
 */
import { isSecretRef } from './check.ts'
import type { Config, SecretInput, SecretRef } from './config.ts'
import { channelSecrets } from './read-channels.ts'

export interface ActiveRef {
  path: string
  ref: SecretRef
  /** Nothing can start without it. */
  needed: boolean
}

export function activeRefs(config: Config): ActiveRef[] {
  const refs: ActiveRef[] = []
  const add = (path: string, input: SecretInput | undefined, needed: boolean) => {
    if (isSecretRef(input)) refs.push({ path, ref: input, needed })
  }
  const { auth } = config.gateway
  if (auth.mode !== 'none' && auth.mode !== 'password')
    add('gateway.auth.token', auth.token, auth.mode !== 'trusted-proxy')
  if (auth.mode !== 'none' && auth.mode !== 'token')
    add('gateway.auth.password', auth.password, auth.mode === 'password')
  add('store.url', config.store.url, true)
  for (const [id, provider] of Object.entries(config.models.providers)) {
    add(`models.providers.${id}.apiKey`, provider.apiKey, false)
    for (const [name, value] of Object.entries(provider.headers))
      add(`models.providers.${id}.headers.${name}`, value, false)
  }
  for (const { path, input } of channelSecrets(config)) add(path, input, false)
  return refs
}
