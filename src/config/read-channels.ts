/**
 * What the configuration says of chat services: which accounts there are, with what they inherit, and who is let in where.
 *
 * Pure over the Config. Secrets stay SecretInput here; `resolved` has them read by whoever may. Owns the defaults of every
 * channel key. Invariants: a named account never has its channel's credentials; an absent and an empty map mean the same.
 */
import type { Growth } from '../core/ports.ts'
import type { DmScope } from '../core/route.ts'
import { isRecord, isSecretRef } from './check.ts'
import type { Config, SecretInput } from './config.ts'
import { agentIds, defaultAgent } from './read.ts'

/** Services with keys of their own, in the order of lists. */
export const services = ['whatsapp', 'telegram', 'discord', 'slack'] as const
export type Service = (typeof services)[number]

/** What each service calls its credentials: all of the first list are needed; neither list is inherited. */
const credentials: Record<Service, { needed: readonly string[]; further: readonly string[] }> = {
  whatsapp: { needed: [], further: ['authDir'] },
  telegram: { needed: ['botToken'], further: ['tokenFile', 'webhookSecret', 'webhookUrl', 'webhookPort'] },
  discord: { needed: ['token'], further: ['applicationId'] },
  slack: { needed: ['botToken', 'appToken'], further: ['signingSecret', 'webhookPort'] },
}

/** Variables that stand in for the default account's credentials (openclaw-facts.md §E7). */
export const channelVariables: Record<string, Readonly<Record<string, string>>> = {
  telegram: { botToken: 'TELEGRAM_BOT_TOKEN' },
  discord: { token: 'DISCORD_BOT_TOKEN' },
  slack: { botToken: 'SLACK_BOT_TOKEN', appToken: 'SLACK_APP_TOKEN' },
}

export interface ChannelAccount {
  channel: Service
  /** `default`, or the key under `accounts`. */
  account: string
  name: string | null
  enabled: boolean
  /** It has what it needs to connect; a login is not counted. */
  configured: boolean
  /** The account's block with the channel's keys inherited; secrets as they are written. */
  settings: Readonly<Record<string, unknown>>
}

export function isService(channel: string): channel is Service {
  return (services as readonly string[]).includes(channel)
}

/** Every account of the services that have a block, the default one first. */
export function accountsOf(config: Config): ChannelAccount[] {
  return services.flatMap(channel => {
    const block = config.channels[channel]
    if (block === undefined) return []
    const { accounts, defaultAccount: _, ...shared } = block
    const own: Readonly<Record<string, unknown>> = shared
    const { needed, further } = credentials[channel]
    const named = Object.keys(accounts).filter(id => id !== 'default')
    const has = needed.length > 0 && needed.some(key => own[key] !== undefined)
    const ids = has || Object.hasOwn(accounts, 'default') || named.length === 0 ? ['default', ...named] : named
    const inherited = without(own, [...needed, ...further, 'name'])
    return ids.map(account => {
      const mine: Record<string, unknown> = Object.hasOwn(accounts, account) ? { ...accounts[account] } : {}
      const settings = inherit(account === 'default' ? own : inherited, mine)
      const http = channel === 'slack' && settings['mode'] === 'http'
      const keys = http ? ['botToken', 'signingSecret'] : needed
      const token = keys.every(key => Boolean(settings[key]))
      return {
        channel,
        account,
        name: typeof settings['name'] === 'string' ? settings['name'] : null,
        enabled: block.enabled !== false && settings['enabled'] !== false,
        configured: token || Boolean(settings['tokenFile']),
        settings,
      }
    })
  })
}

export function accountOf(config: Config, channel: string, account: string): ChannelAccount | null {
  return accountsOf(config).find(each => each.channel === channel && each.account === account) ?? null
}

/** The account that is meant when none is named. */
export function defaultAccountOf(config: Config, channel: string): string {
  const block = isService(channel) ? config.channels[channel] : undefined
  const accounts = accountsOf(config).filter(each => each.channel === channel)
  return accounts.find(each => each.account === block?.defaultAccount)?.account ?? accounts[0]?.account ?? 'default'
}

function without(block: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(block).filter(([key]) => !keys.includes(key)))
}

/** What is absent or empty below is as it is above. */
function inherit(above: Readonly<Record<string, unknown>>, own: Readonly<Record<string, unknown>>) {
  const empty = (value: unknown) => value === undefined || (isRecord(value) && Object.keys(value).length === 0)
  return { ...above, ...Object.fromEntries(Object.entries(own).filter(([, value]) => !empty(value))) }
}

/** The block with every secret read. */
export function resolved(
  settings: Readonly<Record<string, unknown>>,
  read: (input: SecretInput) => string,
): Record<string, unknown> {
  const entries = Object.entries(settings)
  return Object.fromEntries(entries.map(([key, value]) => [key, isSecretRef(value) ? read(value) : value]))
}

/** References in use, by the path that a person would write. */
export function channelSecrets(config: Config): { path: string; input: SecretInput }[] {
  return accountsOf(config)
    .filter(({ enabled }) => enabled)
    .flatMap(({ channel, account, settings }) =>
      Object.entries(settings).flatMap(([key, value]) => {
        const where = account === 'default' ? `channels.${channel}` : `channels.${channel}.accounts.${account}`
        return isSecretRef(value) ? [{ path: `${where}.${key}`, input: value }] : []
      }),
    )
}

// ---------------------------------------------------------------------------------------------------------- who gets in

export type DmPolicy = 'pairing' | 'allowlist' | 'open' | 'disabled'
export type GroupPolicy = 'open' | 'allowlist' | 'disabled'

/** A group, a channel of a server, a topic: what holds there besides what holds around it. */
export interface Place {
  enabled: boolean
  requireMention?: boolean
  policy?: GroupPolicy
  /** Null: whoever the account lets in. */
  senders: readonly string[] | null
  roles: readonly string[]
  agent?: string
  /** Topics of a group, channels of a server; by id, by name, `*`. */
  places: Readonly<Record<string, Place>>
}

export interface Access {
  dm: { policy: DmPolicy; allowFrom: readonly string[] }
  /** Rules of one direct chat, by its id. */
  peers: Readonly<Record<string, { policy?: DmPolicy; allowFrom: readonly string[] | null }>>
  group: { policy: GroupPolicy; senders: readonly string[]; requireMention: boolean }
  /** Group conversations without a place of their own (Slack, Discord); null where groups are places. */
  conversations: { enabled: boolean; ids: readonly string[] } | null
  places: Readonly<Record<string, Place>>
  /** Whether the outer places are servers, and those within them the channels. */
  servers: boolean
  bots: 'never' | 'mentions' | 'always'
  mentionPatterns: readonly string[]
  historyLimit: number
  mediaBytes: number
}

type Block = Readonly<Record<string, unknown>>

/** How an account lets people in, with every default filled in. */
export function accessOf(config: Config, { channel, settings }: ChannelAccount): Access {
  const { defaults } = config.channels
  const allowFrom = texts(settings['allowFrom']) ?? []
  const dm = block(settings['dm'])
  const servers = channel === 'discord'
  const rooms = servers || channel === 'slack'
  const bots = settings['allowBots']
  return {
    dm: {
      policy: dm['enabled'] === false ? 'disabled' : ((settings['dmPolicy'] as DmPolicy | undefined) ?? 'pairing'),
      allowFrom,
    },
    peers: Object.fromEntries(
      Object.entries(block(settings['direct'])).map(([id, peer]) => [
        id,
        {
          ...(block(peer)['dmPolicy'] === undefined ? {} : { policy: block(peer)['dmPolicy'] as DmPolicy }),
          allowFrom: texts(block(peer)['allowFrom']),
        },
      ]),
    ),
    group: {
      policy: (settings['groupPolicy'] as GroupPolicy | undefined) ?? defaults.groupPolicy ?? 'allowlist',
      // Servers and workspaces let in whom a channel lists; without a list, everybody who can write there.
      senders: rooms ? ['*'] : (texts(settings['groupAllowFrom']) ?? allowFrom),
      requireMention: settings['requireMention'] !== false,
    },
    conversations: rooms ? { enabled: dm['groupEnabled'] === true, ids: texts(dm['groupChannels']) ?? ['*'] } : null,
    places: placesOf(settings[servers ? 'guilds' : rooms ? 'channels' : 'groups'], servers ? 'channels' : 'topics'),
    servers,
    bots: bots === 'mentions' ? 'mentions' : bots === true ? 'always' : 'never',
    mentionPatterns: [...config.messages.groupChat.mentionPatterns, ...(texts(settings['mentionPatterns']) ?? [])],
    historyLimit: number(settings['historyLimit']) ?? config.messages.groupChat.historyLimit,
    mediaBytes: Math.round((number(settings['mediaMaxMb']) ?? 20) * 1_000_000),
  }
}

/** In short, for lists; null for an account that is not there. */
export function policyOf(config: Config, channel: string, account: string) {
  const found = accountOf(config, channel, account)
  if (!found) return null
  const { dm } = accessOf(config, found)
  return { dmPolicy: dm.policy, allowFrom: dm.allowFrom }
}

function placesOf(value: unknown, inner: 'topics' | 'channels'): Record<string, Place> {
  const places: Record<string, Place> = Object.create(null)
  for (const [key, each] of Object.entries(block(value))) {
    const place = block(each)
    const requireMention = place['requireMention']
    places[key.toLowerCase()] = {
      enabled: place['enabled'] !== false,
      ...(typeof requireMention === 'boolean' && { requireMention }),
      ...(place['groupPolicy'] !== undefined && { policy: place['groupPolicy'] as GroupPolicy }),
      senders: texts(place['users']) ?? texts(place['allowFrom']),
      roles: texts(place['roles']) ?? [],
      ...(typeof place['agentId'] === 'string' && { agent: place['agentId'].toLowerCase() }),
      places: placesOf(place[inner], inner),
    }
  }
  return places
}

function block(value: unknown): Block {
  return isRecord(value) ? value : {}
}

function texts(value: unknown): string[] | null {
  return Array.isArray(value) ? value.map(String) : null
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

// --------------------------------------------------------------------------------------------------------- where it goes

export interface Routing {
  bindings: Config['bindings']
  agents: readonly string[]
  defaultAgent: string
  dmScope: DmScope
  groupScope: 'per-group' | 'main'
  /** Lower-case `channel:id` → the person's name. */
  links: Readonly<Record<string, string>>
  /** By name, then by channel or `*`. */
  accessGroups: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
}

export function routingOf(config: Config): Routing {
  const links: Record<string, string> = Object.create(null)
  for (const [name, peers] of Object.entries(config.session.identityLinks))
    for (const peer of peers) links[peer.toLowerCase()] ??= name.toLowerCase()
  const groups: Record<string, Record<string, string[]>> = Object.create(null)
  for (const [name, { members }] of Object.entries(config.accessGroups))
    groups[name] = Object.fromEntries(Object.entries(members).map(([channel, ids]) => [channel, ids.map(String)]))
  return {
    bindings: config.bindings,
    agents: agentIds(config),
    defaultAgent: defaultAgent(config),
    dmScope: config.session.scope === 'global' ? 'main' : config.session.dmScope,
    groupScope: config.session.scope === 'global' ? 'main' : config.session.groupScope,
    links,
    accessGroups: groups,
  }
}

/** What a message does while the agent works, and how long a new turn waits for the next one. */
export function queueOf(config: Config, channel: string) {
  const { queue, inbound } = config.messages
  return {
    mode: queue.byChannel[channel] ?? queue.mode,
    debounceMs: inbound.byChannel[channel] ?? inbound.debounceMs,
  }
}

/**
 * How words are shown there while they are written; unless it is switched off, they are. `progress` is shown as `partial`, as in
 * the peer on Telegram and Discord. `streamMode` is the name that an older generation gives the key.
 */
export function growthOf(config: Config, at: { channel: string; account: string }): Growth {
  const settings = accountOf(config, at.channel, at.account)?.settings ?? {}
  const { streaming = settings['streamMode'] } = settings as { streaming?: unknown }
  const mode = isRecord(streaming) ? streaming['mode'] : streaming
  return mode === 'off' || mode === false ? 'off' : mode === 'block' ? 'block' : 'partial'
}
