/**
 * Who of the people on chat services may give commands.
 *
 * Pure over the Config. Invariant: nobody may by a wildcard of a channel's own list, only who is named.
 */
import { senderForm } from '../core/sender.ts'
import type { Config } from './config.ts'

/**
 * The senders of channels that may give commands (openclaw-facts.md §E4): by channel or `*`, and owners as `channel:id`. As
 * long as `commands.allowFrom` says nothing, these are the ones that a channel's own `allowFrom` names one by one.
 */
export function commandSendersOf(config: Config): {
  allowFrom: Readonly<Record<string, readonly string[]>>
  owners: readonly string[]
} {
  const { allowFrom, ownerAllowFrom } = config.commands
  const said = Object.keys(allowFrom).length > 0 ? allowFrom : namedByChannels(config)
  const names = Object.entries(said).map(([channel, senders]) => [
    channel,
    senders.map(sender => (channel === '*' ? String(sender) : senderForm(channel, String(sender)))),
  ])
  return { allowFrom: Object.fromEntries(names), owners: ownerAllowFrom.map(ownerForm) }
}

/** Neither everybody nor a group of people: who is let in by those is not named. */
function namedByChannels(config: Config): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const channel of ['whatsapp', 'telegram', 'discord', 'slack'] as const) {
    const block = config.channels[channel]
    if (!block) continue
    const lists = [block.allowFrom, ...Object.values(block.accounts).map(account => account.allowFrom)]
    const named = lists.flatMap(list => list ?? []).map(String)
    const ids = named.filter(entry => entry !== '*' && !entry.startsWith('accessGroup:'))
    if (ids.length > 0) found[channel] = ids
  }
  return found
}

/** `channel:id` with the id in the one form that a sender has. */
function ownerForm(entry: string): string {
  const [, channel = '', id = ''] = /^([^:]+):(.+)$/.exec(entry.trim().toLowerCase()) ?? []
  return channel === '' ? entry : `${channel}:${senderForm(channel, id)}`
}
