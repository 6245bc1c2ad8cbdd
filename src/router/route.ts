/**
 * What becomes of a message from a chat: a conversation of an agent, a request to be let in, or a drop with its reason.
 *
 * Owns the order of the questions (openclaw-facts.md §E8): is it let in, who is this, which agent, which conversation, what
 * does it do while the agent works. Decides on facts that it is handed and reads nothing itself.
 */
import type { Access, Routing } from '../config/read-channels.ts'
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
      mode: QueueMode
      debounceMs: number
    }
  | { to: 'pairing'; sender: string }
  | { to: 'drop'; reason: DropReason; overheard: boolean }

export function route(facts: RouteFacts, mentions: Mentions, message: InboundMessage): Routed {
  const { access, routing } = facts
  const [sender = message.sender.id] = formsOf(message.channel, message.sender)
  const owner = isOwner(facts.owners, message)
  const command = isCommand(message)
  const addressed =
    message.chat.kind !== 'direct' &&
    ((command && owner) || (!message.forwarded && mentions.matches(access.mentionPatterns, message.text)))
  const gated = gate({ access, accessGroups: routing.accessGroups, approved: facts.approved, addressed }, message)
  if (!gated.in)
    return gated.ask
      ? { to: 'pairing', sender }
      : { to: 'drop', reason: gated.reason, overheard: gated.overhear === true }
  const wished = gated.agent !== null && routing.agents.includes(gated.agent) ? gated.agent : null
  const agent = wished ?? agentFor(routing, message)
  return { to: 'session', agent, sessionKey: keyFor(routing, message, agent), sender, owner, command, ...facts.queue }
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
