/**
 * What passes between a chat service and the house: a message that came in, and the words, files and buttons that go out.
 *
 * Owns shapes, and what can be read off them. Ids are the service's own, as text. Everything that a person wrote, and every name a service gives, is
 * content from outside: data, never instructions, and never authority. Never holds a token or a socket.
 */

import type { ErrorCode } from '../protocol/errors.ts'

/** Where people talk: one person, a group, or a channel of a server or workspace that many may read. */
export type ChatKind = 'direct' | 'group' | 'channel'

export interface Chat {
  id: string
  kind: ChatKind
  title: string | null
  /** Discord server. */
  guild: string | null
  /** Slack workspace. */
  team?: string | null
  /** Forum topic or thread within it; null = the chat itself. */
  thread: string | null
  /** Where the thread is an own chat of the service (Discord): the one that it belongs to. */
  parent: string | null
}

export interface ChatSender {
  id: string
  /** Other ids of the same person on this service (WhatsApp: number and LID; user names with `@`). */
  also: readonly string[]
  name: string | null
  /** Roles that the service gives (Discord). */
  roles: readonly string[]
  bot: boolean
  /** The owner of this very account wrote it, on a device of their own (WhatsApp). */
  self: boolean
}

export interface InboundMedia {
  kind: 'image' | 'audio' | 'video' | 'document' | 'sticker'
  /** As the sender's device names it: never a path. */
  name: string
  /** As the service claims it. */
  mimeType: string
  /** As the service claims it; null when it does not say. */
  bytes: number | null
  /** A voice message. */
  voice: boolean
  /** Fetches it, once it is known to be wanted. Fails with MEDIA_TOO_LARGE beyond `maxBytes`, whatever was claimed. */
  read(maxBytes: number, signal: AbortSignal): Promise<Uint8Array>
}

export interface Quoted {
  id: string
  /** Null when the service does not say. */
  sender: string | null
  /** True when it quotes what this account wrote. */
  own: boolean
  text: string
}

/** One message, edit or button press as a service tells it. */
export interface InboundMessage {
  channel: string
  account: string
  chat: Chat
  sender: ChatSender
  /** The service's id of the message: a repeat is known by (channel, account, chat, id, edit) (decisions.md 38). */
  id: string
  /** Empty for a message; else which edit of it this is (its time, its version). */
  edit: string
  at: number
  /** `command`: a native slash command, written out as `/name args`; `button`: the value of a button that was pressed. */
  via: 'text' | 'command' | 'button'
  text: string
  quoted: Quoted | null
  /** The sender only passes on what somebody else wrote: it is never a command. Absent where the service does not say. */
  forwarded?: boolean
  /** The service itself says that this account is addressed: a mention, or a reply to what it wrote. */
  mentioned: boolean
  media: readonly InboundMedia[]
  /** Messages that the service shows as one, each with a file of it, carry the same. */
  album?: string
}

/**
 * What became of a message. Whatever it is, it is a row by now, and the service may be told that it came: `accepted` and
 * `command` are read or answered, `repeat` was known already, `dropped` nobody reads (the reason is in `drops`).
 */
export type Ingested =
  | { done: 'accepted' | 'repeat' }
  /** `refused`: its sender may not give it, so that a button which others may press stays. */
  | { done: 'command'; refused?: true }
  | { done: 'dropped'; reason: string }

/** Whether a press has used a button up. */
export function isUsed(pressed: Ingested): boolean {
  return pressed.done !== 'dropped' && !(pressed.done === 'command' && pressed.refused)
}

// ------------------------------------------------------------------------------------------------------------- out

/** A file of the gateway's own media folder: complete and unchanging, whatever becomes of the workspace. */
export interface OutboundMedia {
  path: string
  name: string
  mimeType: string
  bytes: number
  kind: InboundMedia['kind']
  voice: boolean
}

/** A press comes back as a message `via: 'button'` with `value` as its text. At most 64 bytes, the least any service takes. */
export interface Button {
  label: string
  value: string
  style?: 'primary' | 'danger'
}

/** A thread that a message begins, and the conversation that it is for (core/opening.ts). */
export interface Opens {
  /** As the service shows it: one line, at most 100 characters. */
  name: string
  session: string
  /** Who asked for it, as nameOf gives it. */
  by: string
  /** Thread of the chat that asked for it, where its words go when it cannot be opened; null = the chat itself. */
  back: string | null
}

/** What one outbox row says. Exactly one of words (with files and buttons), a change, a reaction and a poll. */
export interface Content {
  /** Markdown; each channel renders it in its service's own form. Empty where there are only files. */
  text: string
  media?: readonly OutboundMedia[]
  /** Rows of buttons; a service without them shows the values as words to send. */
  buttons?: readonly (readonly Button[])[]
  /** The service's id of the message that this answers. */
  replyTo?: string
  /** The service's id of a message of ours whose words these replace. */
  edit?: string
  /** Set on, or (empty emoji) taken off, a message. */
  react?: { message: string; emoji: string }
  poll?: { question: string; options: readonly string[]; multiple: boolean }
  /** These words stand in the chat itself and begin a thread; the service's id of the message is then that of the thread. */
  opens?: Opens
}

/** What a service can show; what it cannot is said in words instead, never lost. */
export interface Capabilities {
  edit: boolean
  threads: boolean
  reactions: boolean
  media: boolean
  typing: boolean
  buttons: boolean
  polls: boolean
  /**
   * How a conversation gets a place of its own there: a new thread, in chats of these kinds; `here`, by taking the very chat;
   * null = not at all.
   */
  binds: { opens: readonly ChatKind[] } | 'here' | null
  /** Longest text of one message, in the service's own unit. */
  maxText: number
}

// -------------------------------------------------------------------------------------------------------- accounts

export interface AccountStatus {
  /** `off`: stopped; `login`: waits for a person to log in; `failed`: will not try again by itself. */
  state: 'off' | 'connecting' | 'connected' | 'reconnecting' | 'login' | 'failed'
  /** Who the account is on its service, once known: a number, a bot's name. */
  self: string | null
  /** Stable code and words of what is wrong now, and how to mend it. */
  problem: { code: ErrorCode; message: string; fix: string } | null
  connectedAt: number | null
  lastInboundAt: number | null
  lastOutboundAt: number | null
  reconnects: number
}

/** How a person is asked to log in: what to show them now. Ends with `done` or `failed`. */
export type LoginStep =
  | { show: 'qr'; data: string; expiresAt: number }
  | { show: 'code'; code: string; expiresAt: number }
  | { show: 'done'; self: string | null }
  | { show: 'failed'; code: ErrorCode; message: string; fix: string }

/** One account of a service as operators see it. */
export interface AccountView {
  channel: string
  /** As people name the service. */
  label: string
  account: string
  name: string | null
  enabled: boolean
  /** It has what it needs to connect; a login is not counted. */
  configured: boolean
  /** The service works with a login instead of a token; null while its folder was not read. */
  login: boolean | null
  status: AccountStatus
  startedAt: number | null
  stoppedAt: number | null
}
