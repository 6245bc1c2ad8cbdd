/**
 * Who of the people on chat services may give commands.
 *
 * Pure over the Config. Invariants: a channel's own list makes nobody a commander but whom it names one by one, at the very
 * account whose list it is: not by `*` in whatever spelling, not by an access group, a user name, an approval, or a list of a
 * group or of one chat. Only `commands.allowFrom` can open commands to everybody, by a `*` that stands there itself.
 */
import { isUserName, senderForm } from '../core/sender.ts'
import type { Config } from './config.ts'
import { accountsOf } from './read-channels.ts'

export interface CommandSenders {
  /** `commands.allowFrom`: channel or `*` → ids or `*`. */
  allowFrom: Readonly<Record<string, readonly string[]>>
  /** By `channel/account`: the ids that its own list names. Empty as soon as `commands.allowFrom` says anything. */
  accounts: Readonly<Record<string, readonly string[]>>
  /** `commands.ownerAllowFrom`, as `channel:id`. */
  owners: readonly string[]
}

/** openclaw-facts.md §E4, §E8; that the list of the account counts, as in the peer's command gate. */
export function commandSendersOf(config: Config): CommandSenders {
  const { allowFrom, ownerAllowFrom } = config.commands
  const owners = ownerAllowFrom.flatMap(ownerForm)
  if (Object.keys(allowFrom).length === 0) return { allowFrom: {}, accounts: namedByAccounts(config), owners }
  const said = Object.entries(allowFrom).map(([channel, senders]) => {
    const given = senders.map(sender => String(sender).trim())
    if (channel === '*') return [channel, given]
    const everybody = given.includes('*') ? ['*'] : []
    return [channel, [...everybody, ...given.flatMap(entry => named(channel, entry))]]
  })
  return { allowFrom: Object.fromEntries(said), accounts: {}, owners }
}

function namedByAccounts(config: Config): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const { channel, account, settings } of accountsOf(config)) {
    const list = Array.isArray(settings['allowFrom']) ? settings['allowFrom'] : []
    const ids = list.flatMap(entry => named(channel, String(entry)))
    if (ids.length > 0) found[`${channel}/${account}`] = ids
  }
  return found
}

/** The id that an entry names; none for everybody, a group of people, or a name. */
function named(channel: string, entry: string): string[] {
  if (entry.trim().startsWith('accessGroup:')) return []
  const form = senderForm(channel, entry)
  return form === '' || form.includes('*') || isUserName(form) ? [] : [form]
}

/** `channel:id` with the id in the one form that a sender has. */
function ownerForm(entry: string): string[] {
  const [, channel = '', id = ''] = /^([^:]+):(.+)$/.exec(entry.trim().toLowerCase()) ?? []
  return channel === '' ? [] : named(channel, id).map(form => `${channel}:${form}`)
}
