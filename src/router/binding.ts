/**
 * Which agent answers a chat, and which conversation it is (openclaw-facts.md §D4, §E4).
 *
 * Pure. Invariants: the most exact rule wins whatever the order of the list, which only breaks ties; a rule counts only when
 * everything that it names fits; the same message and configuration always give the same key.
 */
import { createHash } from 'node:crypto'
import type { Routing } from '../config/read-channels.ts'
import type { Chat, InboundMessage } from '../core/chat.ts'
import { buildKey, directKey } from '../core/route.ts'
import { formsOf, senderForm } from '../core/sender.ts'

type Rule = Routing['bindings'][number]

/** How exact each kind of rule is; the lowest wins. */
const exactness = {
  peer: 0,
  parent: 1,
  anyPeer: 2,
  roles: 3,
  guild: 4,
  team: 5,
  account: 6,
  channel: 7,
} as const

export function agentFor(routing: Routing, message: InboundMessage): string {
  let best: { rank: number; agent: string } | null = null
  for (const rule of routing.bindings) {
    const rank = rankOf(rule, message)
    const agent = rule.agentId?.toLowerCase()
    if (rank === null || agent === undefined || !routing.agents.includes(agent)) continue
    if (best === null || rank < best.rank) best = { rank, agent }
  }
  return best?.agent ?? routing.defaultAgent
}

/** Null when the rule says nothing about this message. */
function rankOf({ type, match }: Rule, message: InboundMessage): number | null {
  const { chat, sender, channel, account } = message
  if (type !== 'route' || match.channel?.toLowerCase() !== channel) return null
  if (match.accountId !== '*' && (match.accountId ?? 'default') !== account) return null
  if (match.guildId !== undefined && match.guildId !== chat.guild) return null
  if (match.teamId !== undefined && match.teamId !== (chat.team ?? null)) return null
  if (match.roles?.length && !match.roles.some(role => sender.roles.includes(role))) return null
  if (match.peer) {
    const kind = match.peer.kind === 'dm' ? 'direct' : match.peer.kind
    if (kind !== chat.kind || match.peer.id === undefined) return null
    if (match.peer.id === '*') return exactness.anyPeer
    if (peersOf(message).includes(senderForm(channel, match.peer.id))) return exactness.peer
    return chat.parent !== null && match.peer.id === chat.parent ? exactness.parent : null
  }
  if (match.guildId !== undefined) return match.roles?.length ? exactness.roles : exactness.guild
  if (match.teamId !== undefined) return exactness.team
  return match.accountId === '*' ? exactness.channel : exactness.account
}

/** The ids that a direct chat or a group goes by. */
function peersOf({ channel, chat, sender }: InboundMessage): readonly string[] {
  const own = senderForm(channel, chat.id)
  return chat.kind === 'direct' ? [own, ...formsOf(channel, sender)] : [own]
}

/** The full session key. */
export function keyFor(routing: Routing, message: InboundMessage, agent: string): string {
  const { chat, channel, account } = message
  if (chat.kind === 'direct') {
    const forms = formsOf(channel, message.sender)
    const linked = forms.map(form => routing.links[`${channel}:${form}`]).find(name => name !== undefined)
    // A link exists so that one person has one conversation, wherever they write.
    const scope = linked !== undefined && routing.dmScope !== 'main' ? 'per-peer' : routing.dmScope
    return buildKey(directKey(scope, { agent, channel, account, peer: word(linked ?? forms[0] ?? chat.id) }))
  }
  if (routing.groupScope === 'main') return buildKey({ kind: 'main', agent })
  return buildKey({ kind: chat.kind, agent, channel, peer: word(chat.id), ...within(chat) })
}

function within({ kind, thread }: Chat): { topic: string | null; thread: string | null } {
  const id = thread === null ? null : word(thread)
  return kind === 'group' ? { topic: id, thread: null } : { topic: null, thread: id }
}

/** A longer id is cut, and stays another one by its hash. */
const longestId = 120

/** An id as part of a key, where spaces and marks that keys are made of would mean something else. */
function word(id: string): string {
  const whole = id.toWellFormed()
  const plain = encodeURIComponent(whole).replace(/%(40|2B|23)/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  if (plain.length <= longestId) return plain
  return `${plain.slice(0, 40)}~${createHash('sha256').update(whole).digest('hex').slice(0, 32)}`
}
