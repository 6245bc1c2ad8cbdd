/**
 * What a slash command is, and what it is handed when somebody gives it. Owns the shapes only.
 */
import type { AgentOptions } from '../../agent/room.ts'
import type { Principal } from '../../core/principal.ts'
import type { Part, Route, Session } from '../../core/types.ts'
import type { Scope } from '../../protocol/scopes.ts'
import type { Meant } from '../keys.ts'
import type { Accepted, AcceptInput, House } from '../types.ts'

/** One row of the table that everything about a command is read from: parsing, permission, help, `commands.list`. */
export interface Command {
  /** What is written behind the slash. */
  name: string
  aliases: readonly string[]
  category: 'session' | 'options' | 'status' | 'management'
  /** One line. */
  description: string
  /** What may follow the name, one form each; '' is nothing. */
  usage: readonly string[]
  /** What its caller must hold, which may depend on what follows the name and on the door it came through. */
  needs: Scope | ((args: string, method: AcceptInput['method']) => Scope)
  /** A sender of a channel may use it without being on commands.allowFrom. */
  open?: true
  /** Takes pictures and files along. */
  files?: true
  run(call: CommandCall): Promise<Answer> | Answer
}

/** The words of the answer, or a message that is to be accepted instead: its answer is the command's. */
export type Answer = string | { message: readonly Part[] }

/** What commands may do in the house: what a door may, with messages that are never read as commands again. */
export interface Hands extends Omit<House, 'accept' | 'open' | 'inject'> {
  post(input: AcceptInput): Promise<Accepted>
}

export interface CommandCall {
  principal: Principal
  /** As nameOf gives it. */
  who: string
  method: AcceptInput['method']
  at: Meant
  /** The open conversation. */
  session: Session
  /** True when there was no conversation before this command. */
  opened: boolean
  /** Set when this is a second try: when the first began. What it did before the gateway stopped is not known. */
  since: number | null
  /** Idempotency key of the message; what is made of it adds a suffix of its own. */
  key: string
  /** The chat that it was given in; null where there is none. */
  route: Route | null
  /** Key of the conversation that this chat has by itself: another one while it is bound. */
  home: string
  args: string
  files: readonly Part[]
  now: number
  house: Hands
  options: AgentOptions
  table: readonly Command[]
}

/** The senders that channels let command, from the configuration. */
export interface Senders {
  /** `commands.allowFrom`: channel or `*` → sender ids or `*`. */
  allowFrom: Readonly<Record<string, readonly string[]>>
  /** `channel/account` → ids that its own list names, as long as `commands.allowFrom` says nothing. No `*` counts here. */
  accounts?: Readonly<Record<string, readonly string[]>>
  /** `commands.ownerAllowFrom`: `channel:id`. */
  owners: readonly string[]
}
