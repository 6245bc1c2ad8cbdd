/**
 * What Discord tells, as a message for the house; null when it says nothing to read.
 *
 * Owns the reading of messages, edits, slash commands and button presses, who is meant, what is quoted and which files hang
 * on. Decides nothing about who may write. Throws only when the service breaks its own form. Everything here is content from
 * outside.
 */
import type {
  APIAttachment,
  APIInteraction,
  APIMessage,
  APIUser,
  GatewayMessageCreateDispatchData,
} from 'discord-api-types/v10'
import type { Chat, ChatSender, InboundMedia, InboundMessage, Quoted } from '../../core/chat.ts'

/** Where a channel of the service stands: itself, or, for a thread, the channel that it belongs to. */
export interface Place {
  kind: Chat['kind']
  /** The channel, or the parent of a thread. */
  id: string
  thread: string | null
  title: string | null
  guild: string | null
}

export interface Reading {
  account: string
  me: string
  place: Place
  fetchFile(url: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>
}

export type RawMessage = APIMessage & Partial<Pick<GatewayMessageCreateDispatchData, 'guild_id' | 'member'>>

/** Words of people and programs; joins, pins and the like are not. */
const said = new Set([0, 19, 20])
const voiceFlag = 1 << 13
const ephemeral = 64

/** Whether there is anything to read in it, before its place is asked for. */
export function isWords(message: RawMessage, me: string): boolean {
  return said.has(message.type) && message.author.id !== me && ((message.flags ?? 0) & ephemeral) === 0
}

/** An edit by its author; the service also tells of embeds that it has added by itself. */
export function isEdit(message: RawMessage): boolean {
  return typeof message.edited_timestamp === 'string' && message.author !== undefined
}

export function readMessage(message: RawMessage, edited: boolean, reading: Reading): InboundMessage | null {
  const media = (message.attachments ?? []).map(one => mediaOf(one, message, reading))
  const text = readable(message, reading.me)
  if (text === '' && media.length === 0) return null
  const quoted = quotedOf(message, reading.me)
  const named = new RegExp(`<@!?${reading.me}>`).test(message.content)
  return {
    channel: 'discord',
    account: reading.account,
    chat: chatOf(reading.place),
    sender: senderOf(message.author, message),
    id: message.id,
    edit: edited ? String(message.edited_timestamp) : '',
    at: Date.parse(edited ? message.edited_timestamp! : message.timestamp),
    via: 'text',
    text,
    quoted,
    forwarded: message.message_reference?.type === 1,
    mentioned: named || quoted?.own === true,
    media,
  }
}

/** A slash command as it would be written, or the value of a button. */
export function readInteraction(interaction: APIInteraction, reading: Reading): InboundMessage | null {
  const user = interaction.member?.user ?? interaction.user
  if (!user) return null
  const written = writtenOf(interaction)
  if (!written) return null
  return {
    channel: 'discord',
    account: reading.account,
    chat: chatOf(reading.place),
    sender: senderOf(user, interaction),
    id: interaction.id,
    edit: '',
    at: snowflakeTime(interaction.id),
    ...written,
    quoted: null,
    mentioned: true,
    media: [],
  }
}

function writtenOf(interaction: APIInteraction): Pick<InboundMessage, 'via' | 'text'> | null {
  if (interaction.type === 3 && 'custom_id' in interaction.data)
    return { via: 'button', text: interaction.data.custom_id }
  if (interaction.type !== 2 || !('name' in interaction.data)) return null
  const options = 'options' in interaction.data ? (interaction.data.options ?? []) : []
  const args = options.flatMap(option => ('value' in option ? [String(option.value)] : []))
  return { via: 'command', text: [`/${interaction.data.name}`, ...args].join(' ').trim() }
}

/** Ids of the service begin with its time: milliseconds since 2015. */
export function snowflakeTime(id: string): number {
  return Number(BigInt(id) >> 22n) + 1_420_070_400_000
}

function chatOf(place: Place): Chat {
  const { kind, id, title, guild, thread } = place
  return { id, kind, title, guild, thread, parent: thread === null ? null : id }
}

function senderOf(user: APIUser, about: { member?: unknown; webhook_id?: string }): ChatSender {
  const member = about.member as { nick?: string | null; roles?: string[] } | undefined
  return {
    id: user.id,
    also: [`@${user.username}`],
    name: member?.nick ?? user.global_name ?? user.username,
    roles: member?.roles ?? [],
    bot: user.bot === true || about.webhook_id !== undefined,
    self: false,
  }
}

/** Names instead of numbers; a mention of this account at the beginning only says whom it is for. */
function readable(message: RawMessage, me: string): string {
  const names = new Map((message.mentions ?? []).map(user => [user.id, user.global_name ?? user.username]))
  return message.content
    .replace(new RegExp(`^\\s*<@!?${me}>[,:]?\\s*`), '')
    .replace(/<@!?(\d+)>/g, (all, id: string) => (names.has(id) ? `@${names.get(id)}` : all))
    .trim()
}

function quotedOf(message: RawMessage, me: string): Quoted | null {
  const quoted = message.referenced_message
  if (!quoted) return null
  return {
    id: quoted.id,
    sender: quoted.author.global_name ?? quoted.author.username,
    own: quoted.author.id === me,
    text: quoted.content,
  }
}

function mediaOf(file: APIAttachment, message: RawMessage, reading: Reading): InboundMedia {
  const mimeType = file.content_type ?? 'application/octet-stream'
  const [family] = mimeType.split('/')
  const kind = family === 'image' || family === 'audio' || family === 'video' ? family : 'document'
  return {
    kind,
    name: file.filename,
    mimeType,
    bytes: file.size,
    voice: ((message.flags ?? 0) & voiceFlag) !== 0,
    read: (maxBytes, signal) => reading.fetchFile(file.url, maxBytes, signal),
  }
}
