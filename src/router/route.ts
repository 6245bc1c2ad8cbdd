/**
 * What becomes of a message from a chat: a conversation of an agent, a request to be let in, or a drop with its reason.
 *
 * Owns the order of the questions (openclaw-facts.md §E8): is it let in, who is this, which agent, which conversation, what
 * does it do while the agent works. A place that is bound belongs to its conversation and is addressed by it, and whoever may
 * not write there may not for that reason either. Decides on facts that it is handed and reads nothing itself.
 */
import type { Access, Routing } from '../config/read-channels.ts'
import type { Binding } from '../core/binding.ts'
import type { InboundMessage } from '../core/chat.ts'
import { formsOf } from '../core/sender.ts'
import { parse } from '../sessions/commands/parse.ts'
import { commandNamed } from '../sessions/commands/table.ts'
import type { QueueMode } from '../sessions/types.ts'
import { type DropReason, gate } from './access.ts'
import { agentFor, keyFor } from './binding.ts'
import type { Mentions } from './mention.ts'

export interface RouteFacts {
  access: Access
  routing: Routing
  approved: boolean
  /** `commands.ownerAllowFrom`, in the form of core/sender.ts. */
  owners: readonly string[]
  queue: { mode: QueueMode; debounceMs: number }
  /** The binding of the place that it was written in. */
  bound: Pick<Binding, 'id' | 'agent' | 'sessionKey'> | null
}

export type Routed =
  | {
      to: 'session'
      agent: string
      sessionKey: string
      /** The sender as they stand in rows. */
      sender: string
      owner: boolean
      /** What the sender wrote is a command of the house. */
      command: boolean
      /** The place is bound to that conversation; `home`: key of the one that it has by itself. */
      bound: { binding: number; home: string } | null
      mode: QueueMode
      debounceMs: number
    }
  | { to: 'pairing'; sender: string }
  | { to: 'drop'; reason: DropReason; overheard: boolean }

export function route(facts: RouteFacts, mentions: Mentions, message: InboundMessage): Routed {
  const { access, routing, bound, queue } = facts
  const [sender = message.sender.id] = formsOf(message.channel, message.sender)
  const owner = isOwner(facts.owners, message)
  const command = isCommand(message)
  const addressed =
    message.chat.kind !== 'direct' &&
    (bound !== null ||
      (command && owner) ||
      (!message.forwarded && mentions.matches(access.mentionPatterns, message.text)))
  const gated = gate({ access, accessGroups: routing.accessGroups, approved: facts.approved, addressed }, message)
  if (!gated.in)
    return gated.ask
      ? { to: 'pairing', sender }
      : { to: 'drop', reason: gated.reason, overheard: gated.overhear === true }
  const wished = gated.agent !== null && routing.agents.includes(gated.agent) ? gated.agent : null
  const agent = wished ?? agentFor(routing, message)
  const home = keyFor(routing, message, agent)
  const whose = bound
    ? { agent: bound.agent, sessionKey: bound.sessionKey, bound: { binding: bound.id, home } }
    : { agent, sessionKey: home, bound: null }
  return { to: 'session', ...whose, sender, owner, command, ...queue }
}

/** Owners are named one by one, as `channel:id`; nobody is one by a wildcard or a name. */
function isOwner(owners: readonly string[], { channel, sender }: InboundMessage): boolean {
  return formsOf(channel, sender).some(form => owners.includes(`${channel}:${form}`))
}

/** A command is what the sender wrote themself, now, at the very beginning of the message. */
export function isCommand({ text, forwarded, edit }: InboundMessage): boolean {
  if (forwarded || edit !== '') return false
  const said = parse(text)
  return said !== null && commandNamed(said.name) !== undefined
}
