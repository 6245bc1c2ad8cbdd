/**
 * What an update of the Bot API says, as a message for the house; null when it says nothing to read.
 *
 * Owns the reading of messages, edits and button presses, who is meant, what is quoted and which files hang on. Decides
 * nothing about who may write. Throws only when the service breaks its own form. Everything here is content from outside.
 */
import type { Message, MessageEntity, Update, UserFromGetMe } from 'grammy/types'
import type { Chat, ChatSender, InboundMessage, Quoted } from '../../core/chat.ts'
import { mediaOf } from './media.ts'

export interface Reading {
  account: string
  me: UserFromGetMe
  /** Fetches a file by its id. */
  fetchFile(id: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>
  reactions: 'off' | 'own' | 'all'
  /** Whether the bot wrote it; of what it wrote before the start nobody knows. */
  isOwn(chat: number, message: number): boolean
  /** Names of the house's commands by the names they are listed under here: no `-` is allowed in those. */
  commands: ReadonlyMap<string, string>
}

type Names = {
  id: number
  username?: string
  first_name?: string
  last_name?: string
  title?: string
  is_bot?: boolean
}

/** The kinds of updates that are asked for: those which `toInbound` reads. */
const kinds = ['message', 'edited_message', 'channel_post', 'edited_channel_post', 'callback_query'] as const

/** Reactions come only where they are asked for, and in groups only to an administrator. */
export function kindsFor(reactions: Reading['reactions']) {
  return reactions === 'off' ? kinds : ([...kinds, 'message_reaction'] as const)
}

export function toInbound(update: Update, reading: Reading): InboundMessage | null {
  const message = update.message ?? update.channel_post
  if (message) return readMessage(message, '', reading)
  const edited = update.edited_message ?? update.edited_channel_post
  // Two edits within one second carry the same time: the update tells them apart, and is the same when it comes again.
  if (edited) return readMessage(edited, `${edited.edit_date ?? edited.date}.${update.update_id}`, reading)
  if (update.callback_query) return readPress(update.callback_query, reading)
  if (update.message_reaction) return readReaction(update.message_reaction, reading)
  return null
}

/** What the order is kept within. */
export function chatIdOf(update: Update): string {
  const message =
    update.message ??
    update.edited_message ??
    update.channel_post ??
    update.edited_channel_post ??
    update.callback_query?.message ??
    update.message_reaction
  return String(message?.chat?.id ?? update.callback_query?.from?.id ?? '')
}

function readMessage(message: Message, edit: string, reading: Reading): InboundMessage | null {
  const media = mediaOf(message, reading.fetchFile)
  const raw = message.text ?? message.caption ?? ''
  const entities = message.entities ?? message.caption_entities ?? []
  const { text, addressed, command } = readCommand(raw, entities, reading, message.chat.type === 'private')
  const body = command ? text : withLinks(raw, entities) || inWords(message)
  if (body === '' && media.length === 0) return null
  const chat = chatOf(message)
  const sender: Names = message.from ?? message.sender_chat ?? message.chat
  const quoted = quotedOf(message, reading)
  return {
    channel: 'telegram',
    account: reading.account,
    chat,
    // An anonymous administrator writes as the group; who posts in a channel is the channel.
    sender: senderOf(message.sender_chat && sender.is_bot !== false ? message.sender_chat : sender),
    id: String(message.message_id),
    edit,
    at: (message.edit_date ?? message.date) * 1000,
    via: command ? 'command' : 'text',
    text: body,
    quoted,
    forwarded: message.forward_origin !== undefined,
    mentioned: addressed || quoted?.own === true || entities.some(entity => mentions(raw, entity, reading)),
    media,
    ...(message.media_group_id ? { album: message.media_group_id } : {}),
  }
}

function readPress(query: NonNullable<Update['callback_query']>, reading: Reading): InboundMessage | null {
  const { message, data } = query
  if (!message?.chat || data === undefined) return null
  const shown = 'text' in message ? (message.text ?? '') : ''
  return {
    channel: 'telegram',
    account: reading.account,
    chat: chatOf(message as Message),
    sender: senderOf(query.from),
    id: `press-${query.id}`,
    edit: '',
    at: 'date' in message && message.date > 0 ? message.date * 1000 : 0,
    via: 'button',
    text: data,
    quoted: { id: String(message.message_id), sender: String(reading.me.id), own: true, text: shown },
    mentioned: true,
    media: [],
  }
}

/** The service says which message, not whose, nor in which topic. What is taken off again is nothing to speak of. */
function readReaction(update: NonNullable<Update['message_reaction']>, reading: Reading): InboundMessage | null {
  const { chat, message_id, date, old_reaction, new_reaction } = update
  const from = update.user ?? update.actor_chat
  const own = reading.isOwn(chat.id, message_id)
  if (!from || reading.reactions === 'off' || (reading.reactions === 'own' && !own)) return null
  const signOf = (one: (typeof new_reaction)[number]) => (one.type === 'emoji' ? one.emoji : `(${one.type})`)
  const before = old_reaction.map(signOf)
  const fresh = new_reaction.map(signOf).filter(sign => !before.includes(sign))
  if (fresh.length === 0) return null
  return {
    channel: 'telegram',
    account: reading.account,
    chat: chatOf({ chat } as Message),
    sender: senderOf(from),
    id: `reaction-${message_id}-${from.id}-${fresh.join('')}`,
    edit: '',
    at: date * 1000,
    via: 'text',
    text: `[reaction: ${fresh.join(' ')}]`,
    quoted: { id: String(message_id), sender: own ? String(reading.me.id) : null, own, text: '' },
    mentioned: own,
    media: [],
  }
}

function chatOf(message: Message): Chat {
  const { chat } = message
  const thread = message.is_topic_message ? message.message_thread_id : undefined
  return {
    id: String(chat.id),
    kind: chat.type === 'private' ? 'direct' : chat.type === 'channel' ? 'channel' : 'group',
    title: chat.title ?? null,
    guild: null,
    thread: thread === undefined ? null : String(thread),
    parent: null,
  }
}

function senderOf(from: Names): ChatSender {
  const name = [from.first_name, from.last_name].filter(Boolean).join(' ') || from.title || null
  return {
    id: String(from.id),
    also: from.username ? [`@${from.username}`] : [],
    name,
    roles: [],
    bot: from.is_bot === true,
    self: false,
  }
}

/** In a topic, a message that answers nothing "replies" to the notice that began the topic. */
function quotedOf(message: Message, reading: Reading): Quoted | null {
  const quote = message.quote?.text
  const answered = message.reply_to_message
  if (answered && !('forum_topic_created' in answered && answered.forum_topic_created)) {
    const from: Names = answered.from ?? answered.sender_chat ?? answered.chat
    const text = quote ?? answered.text ?? answered.caption ?? inWords(answered as Message)
    return { id: String(answered.message_id), sender: String(from.id), own: from.id === reading.me.id, text }
  }
  if (quote === undefined) return null
  return { id: String(message.external_reply?.message_id ?? ''), sender: null, own: false, text: quote }
}

function mentions(text: string, entity: MessageEntity, reading: Reading): boolean {
  if (entity.type === 'text_mention') return entity.user.id === reading.me.id
  if (entity.type !== 'mention') return false
  return same(text.slice(entity.offset, entity.offset + entity.length), `@${reading.me.username}`)
}

/** A command is the first word, as the service itself found it; one that names another bot is not for us. */
function readCommand(
  text: string,
  entities: readonly MessageEntity[],
  reading: Reading,
  alone: boolean,
): { text: string; addressed: boolean; command: boolean } {
  const first = entities.find(entity => entity.type === 'bot_command' && entity.offset === 0)
  if (!first) return { text, addressed: false, command: false }
  const [name = '', bot] = text.slice(1, first.length).split('@')
  const addressed = bot !== undefined && same(bot, reading.me.username)
  if (bot !== undefined && !addressed) return { text, addressed: false, command: false }
  const known = reading.commands.get(name.toLowerCase())
  // Among others, a command that we don't know and that names nobody may be for another bot.
  if (!known && !addressed && !alone) return { text, addressed: false, command: false }
  return { text: `/${known ?? name}${text.slice(first.length)}`, addressed, command: true }
}

function same(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}

/** An address that stands behind words is a part of what was said. */
function withLinks(text: string, entities: readonly MessageEntity[]): string {
  let said = ''
  let at = 0
  for (const entity of [...entities].sort((a, b) => a.offset - b.offset)) {
    const end = entity.offset + entity.length
    if (entity.type !== 'text_link' || end < at) continue
    said += text.slice(at, end)
    if (text.slice(entity.offset, end) !== entity.url) said += ` (${entity.url})`
    at = end
  }
  return said + text.slice(at)
}

/** What is neither text nor a file. */
function inWords(message: Message): string {
  const { venue, location, contact, poll, dice } = message
  if (venue) return `[Place: ${venue.title}, ${venue.address}, ${venue.location.latitude} ${venue.location.longitude}]`
  if (location) return `[Location: ${location.latitude} ${location.longitude}]`
  if (contact)
    return `[Contact: ${[contact.first_name, contact.last_name].filter(Boolean).join(' ')}, ${contact.phone_number}]`
  if (poll) return `[Poll: ${poll.question} ${poll.options.map(option => `(${option.text})`).join(' ')}]`
  return dice ? `[${dice.emoji} ${dice.value}]` : ''
}
