/**
 * Whether a message is let in: group allowed, then sender allowed, then addressed (openclaw-facts.md §E8).
 *
 * Pure. What a service says about people counts as ids only; names and titles that strangers choose open nothing. Invariants:
 * 1. under any policy but `open` a sender whom nothing names never gets in. 2. approval counts for direct chats under
 * `pairing` and nowhere else. 3. whatever is not said is refused.
 */
import type { Access, GroupPolicy, Place, Routing } from '../config/read-channels.ts'
import type { InboundMessage } from '../core/chat.ts'
import { formsOf, senderForm } from '../core/sender.ts'

export type DropReason =
  | 'bot'
  | 'dm-disabled'
  | 'sender-not-allowed'
  | 'pairing-required'
  | 'group-disabled'
  | 'group-not-allowed'
  | 'not-addressed'

export type Gate =
  | { in: true; agent: string | null }
  /** `ask`: a sender who may ask for approval. `overhear`: let in, but not spoken to. */
  | { in: false; reason: DropReason; ask?: true; overhear?: true }

export interface AccessFacts {
  access: Access
  accessGroups: Routing['accessGroups']
  /** An operator has approved this sender for this account. */
  approved: boolean
  /** The words address the account by a pattern of the configuration, or are a command of somebody who is listed. */
  addressed: boolean
}

export function gate(facts: AccessFacts, message: InboundMessage): Gate {
  const { access } = facts
  const { sender } = message
  if (sender.bot && (access.bots === 'never' || (access.bots === 'mentions' && !message.mentioned)))
    return { in: false, reason: 'bot' }
  return message.chat.kind === 'direct' ? direct(facts, message) : group(facts, message)
}

function direct(facts: AccessFacts, { channel, chat, sender }: InboundMessage): Gate {
  const { access } = facts
  const peer = Object.hasOwn(access.peers, chat.id) ? access.peers[chat.id] : undefined
  const policy = peer?.policy ?? access.dm.policy
  const allowFrom = peer?.allowFrom ?? access.dm.allowFrom
  if (policy === 'disabled') return { in: false, reason: 'dm-disabled' }
  const forms = formsOf(channel, sender)
  // Whoever holds the account itself, writing to themself; what they write to others is for those.
  if (sender.self && forms.includes(senderForm(channel, chat.id))) return pass()
  const named = listed(facts, channel, forms, allowFrom)
  if (policy === 'open') return allowFrom.includes('*') || named ? pass() : stranger()
  if (named) return pass()
  if (policy === 'pairing') return facts.approved ? pass() : { in: false, reason: 'pairing-required', ask: true }
  return stranger()
}

function group(facts: AccessFacts, message: InboundMessage): Gate {
  const { access } = facts
  const { channel } = message
  const conversation = message.chat.kind === 'group' ? access.conversations : null
  if (access.group.policy === 'disabled') return { in: false, reason: 'group-disabled' }
  if (conversation) {
    const { enabled, ids } = conversation
    if (!enabled || !(ids.includes('*') || ids.includes(message.chat.id)))
      return { in: false, reason: 'group-not-allowed' }
  }
  const places = conversation ? [] : placesFor(access, message)
  if (places === null || places.some(place => !place.enabled)) return { in: false, reason: 'group-not-allowed' }
  if (!conversation && places.length === 0 && access.group.policy !== 'open')
    return { in: false, reason: 'group-not-allowed' }
  const policy = last(places, place => place.policy) ?? access.group.policy
  if (policy === 'disabled') return { in: false, reason: 'group-disabled' }
  if (!mayWrite(facts, channel, message, places, policy)) return stranger()
  const must = last(places, place => place.requireMention) ?? access.group.requireMention
  const spokenTo = message.mentioned || message.via !== 'text' || message.quoted?.own === true || facts.addressed
  if (must && !spokenTo) return { in: false, reason: 'not-addressed', overhear: true }
  return { in: true, agent: last(places, place => place.agent) ?? null }
}

function mayWrite(
  facts: AccessFacts,
  channel: string,
  { sender }: InboundMessage,
  places: readonly Place[],
  policy: GroupPolicy,
): boolean {
  if (sender.self) return true
  const forms = formsOf(channel, sender)
  // The innermost list counts; an empty one lets nobody in.
  const place = places.findLast(each => each.senders !== null || each.roles.length > 0)
  if (place)
    return (
      (place.senders !== null && listed(facts, channel, forms, place.senders)) ||
      place.roles.some(role => sender.roles.includes(role))
    )
  return policy === 'open' || listed(facts, channel, forms, facts.access.group.senders)
}

/** The places that a chat lies in, outermost first; empty when there is no list of places, null when it is on none. */
function placesFor(access: Access, { chat }: InboundMessage): Place[] | null {
  if (Object.keys(access.places).length === 0) return []
  // Names only within a server or workspace, whose people can't be joined by strangers naming a group of their own.
  const named = access.conversations !== null && chat.title !== null ? [chat.title, `#${chat.title}`] : []
  const room = [chat.id, ...(chat.parent === null ? [] : [chat.parent]), ...named]
  const outer = find(access.places, access.servers ? [chat.guild ?? ''] : room)
  if (!outer) return null
  if (Object.keys(outer.places).length === 0) return [outer]
  const inner = find(outer.places, access.servers ? room : chat.thread === null ? [] : [chat.thread])
  // A list of a server's channels is the whole list; topics only differ from their group.
  if (!inner) return access.servers ? null : [outer]
  return [outer, inner]
}

function find(places: Readonly<Record<string, Place>>, names: readonly string[]): Place | undefined {
  for (const name of [...names.map(each => each.toLowerCase()), '*'])
    if (name !== '' && Object.hasOwn(places, name)) return places[name]
  return undefined
}

function listed(
  facts: Pick<AccessFacts, 'accessGroups'>,
  channel: string,
  forms: readonly string[],
  entries: readonly string[],
): boolean {
  return entries.some(entry => {
    if (entry === '*') return true
    if (!entry.startsWith('accessGroup:')) return forms.includes(senderForm(channel, entry))
    const name = entry.slice('accessGroup:'.length)
    const members = Object.hasOwn(facts.accessGroups, name) ? facts.accessGroups[name] : undefined
    const ids = [channel, '*'].flatMap(each => (members && Object.hasOwn(members, each) ? (members[each] ?? []) : []))
    return ids.some(id => forms.includes(senderForm(channel, id)))
  })
}

/** What the innermost place that says anything says. */
function last<T>(places: readonly Place[], of: (place: Place) => T | undefined): T | undefined {
  return places.map(of).findLast(value => value !== undefined)
}

function pass(): Gate {
  return { in: true, agent: null }
}

function stranger(): Gate {
  return { in: false, reason: 'sender-not-allowed' }
}
