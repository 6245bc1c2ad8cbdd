/**
 * Between the configuration and the accounts of chat services: what each is to run with, and when it shows that work goes on.
 *
 * Owns the mapping only. The accounts themselves live in channels/accounts.ts, which the composition root hands what is here.
 */
import { createHash } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { accountsOf, resolved } from '../config/read-channels.ts'
import type { Secrets } from '../config/secrets.ts'
import type { HouseEvent } from '../core/ports.ts'
import type { Route } from '../core/types.ts'
import { commandTable } from '../sessions/commands/table.ts'

export interface Wish {
  channel: string
  account: string
  name: string | null
  enabled: boolean
  configured: boolean
  print: string
  settings(): Readonly<Record<string, unknown>>
}

/** Every account of the configuration with the settings that its channel reads; their secrets are known, and so hidden. */
export function wishesOf(config: Config, secrets: Pick<Secrets, 'read' | 'add'>): Wish[] {
  return accountsOf(config).map(({ channel, account, name, enabled, configured, settings }) => ({
    channel,
    account,
    name,
    enabled,
    configured,
    print: createHash('sha256').update(JSON.stringify(settings)).digest('hex'),
    settings() {
      const read = resolved(settings, secrets.read)
      for (const [key, value] of Object.entries(read))
        if (typeof value === 'string' && /token|secret/i.test(key) && key !== 'tokenFile')
          secrets.add(`channels.${channel}.${account}.${key}`, value)
      return read
    },
  }))
}

export function menuCommands(): readonly { name: string; description: string }[] {
  return commandTable.map(({ name, description }) => ({ name, description }))
}

/** Shows that work goes on where the person is: from the start of a run until it waits or is done. */
export function typingListener(
  routeOf: (session: string) => Route | null,
  typing: (route: Route, on: boolean) => void,
): (event: HouseEvent) => void {
  return event => {
    if (event.on !== 'run.state') return
    const route = routeOf(event.session)
    if (route) typing(route, event.change === 'started' || event.change === 'woken')
  }
}
