/**
 * What the keys of chat services mean together: what is not allowed, and what is allowed and probably not meant. Pure.
 */
import { isUserName, senderForm } from '../core/sender.ts'
import type { Finding } from './check.ts'
import type { Config } from './config.ts'
import { accessOf, accountsOf, channelVariables } from './read-channels.ts'
import type { ChannelsSettings } from './schema-channels.ts'

/** Credentials that the file leaves out are looked for in the environment, for the default account. */
export function withVariables(
  channels: ChannelsSettings,
  env: Readonly<Record<string, string | undefined>>,
): ChannelsSettings {
  const next: Record<string, unknown> = { ...channels }
  for (const [channel, variables] of Object.entries(channelVariables)) {
    const block = next[channel] as Record<string, unknown> | undefined
    if (block === undefined) continue
    const missing = Object.entries(variables).filter(([key, id]) => block[key] === undefined && env[id])
    const found = missing.map(([key, id]) => [key, { source: 'env', provider: 'default', id }] as const)
    next[channel] = { ...Object.fromEntries(found), ...block }
  }
  return next as ChannelsSettings
}

export function channelRules(config: Config, known: readonly string[]): Finding[] {
  const findings: Finding[] = []
  for (const each of accountsOf(config)) {
    const where =
      each.account === 'default' ? `channels.${each.channel}` : `channels.${each.channel}.accounts.${each.account}`
    const access = accessOf(config, each)
    if (access.dm.policy === 'open' && !access.dm.allowFrom.includes('*'))
      findings.push({
        path: `${where}.dmPolicy`,
        message: 'found "open"; allowed: only with "*" in allowFrom, so that it is said twice that everybody may write',
      })
    for (const pattern of access.mentionPatterns)
      if (!isPattern(pattern))
        findings.push({
          path: config.messages.groupChat.mentionPatterns.includes(pattern)
            ? 'messages.groupChat.mentionPatterns'
            : `${where}.mentionPatterns`,
          message: `found ${JSON.stringify(pattern)}; allowed: a regular expression of at most 200 characters`,
        })
    for (const [id, place] of Object.entries(access.places))
      for (const [topic, { agent }] of Object.entries(place.places))
        if (agent !== undefined && !known.includes(agent))
          findings.push({
            path: `${where}.groups.${id}.topics.${topic}.agentId`,
            message: `found "${agent}"; allowed: ${known.map(one => `"${one}"`).join(', ')}`,
          })
  }
  return findings
}

/** A pattern is tried on short texts only, so its length bounds what it can cost. */
function isPattern(text: string): boolean {
  try {
    return text.length <= 200 && Boolean(new RegExp(text, 'iu'))
  } catch {
    return false
  }
}

export function channelAdvice(config: Config): Finding[] {
  const groups = Object.keys(config.accessGroups)
  return accountsOf(config).flatMap(each => {
    const where =
      each.account === 'default' ? `channels.${each.channel}` : `channels.${each.channel}.accounts.${each.account}`
    const { dm, group } = accessOf(config, each)
    const missing = [...dm.allowFrom, ...group.senders]
      .filter(entry => entry.startsWith('accessGroup:'))
      .filter(entry => !groups.includes(entry.slice('accessGroup:'.length)))
    const named = [...dm.allowFrom, ...group.senders].filter(entry => isUserName(senderForm(each.channel, entry)))
    return [
      ...(each.enabled && !each.configured ? [{ path: where, message: "has no token and can't connect" }] : []),
      ...(each.channel === 'slack' && each.settings['mode'] === 'relay'
        ? [{ path: `${where}.mode`, message: 'found "relay", which is not served; set "socket" or "http"' }]
        : []),
      ...(each.settings['proxy']
        ? [{ path: `${where}.proxy`, message: 'is not served; the account does not connect while it is set' }]
        : []),
      ...named.map(entry => ({
        path: `${where}.allowFrom`,
        message: `"${entry}" is a user name, which anybody may take: it lets nobody in; write the id`,
      })),
      ...missing.map(entry => ({ path: `${where}.allowFrom`, message: `there is no "${entry}"; it lets nobody in` })),
    ]
  })
}
