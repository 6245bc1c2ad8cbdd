/**
 * The people, chats and messages of a fake Telegram: what happens there, and the books of what people saw.
 *
 * Owns the state that lies behind the Bot API: chats with their messages, edits and reactions, files, and the updates that
 * wait for the bot. People act through it (`say`, `edit`, `press`); methods.ts is how the bot does. Nothing is forgotten:
 * `shown` is every message and every change that ever stood in a chat, in order. Times are seconds, as in the Bot API.
 */
import { basename } from 'node:path'
import type { Entity } from './html.ts'

export interface User {
  id: number
  is_bot: boolean
  first_name: string
  username?: string
}

export interface TgChat {
  id: number
  type: 'private' | 'group' | 'supergroup' | 'channel'
  title?: string
  username?: string
  first_name?: string
  is_forum?: boolean
}

export interface StoredFile {
  id: string
  name: string
  path: string
  mimeType: string
  bytes: Buffer
}

export interface TgMessage {
  message_id: number
  date: number
  chat: TgChat
  from?: User
  text?: string
  caption?: string
  entities?: Entity[]
  caption_entities?: Entity[]
  message_thread_id?: number
  is_topic_message?: boolean
  reply_to_message?: TgMessage
  edit_date?: number
  reply_markup?: { inline_keyboard: { text: string; callback_data?: string }[][] }
  [kind: string]: unknown
}

export interface Update {
  update_id: number
  [kind: string]: unknown
}

/** One thing that became visible in a chat. */
export interface Shown {
  chat: number
  thread: number | null
  message: number
  by: 'bot' | 'person'
  what: 'sent' | 'edited' | 'reaction'
  text: string
  /** Kind of file, as its message names it. */
  media: string | null
}

export interface SayOptions {
  thread?: number
  replyTo?: TgMessage
  entities?: Entity[]
  extra?: Record<string, unknown>
}

export interface FileOptions extends SayOptions {
  kind: 'photo' | 'document' | 'voice' | 'audio' | 'video' | 'sticker'
  name?: string
  mimeType?: string
  caption?: string
}

export class World {
  readonly bot: User = { id: 700_100_200, is_bot: true, first_name: 'Deputy', username: 'deputy_test_bot' }
  readonly users = new Map<number, User>()
  readonly chats = new Map<number, TgChat>()
  readonly files = new Map<string, StoredFile>()
  readonly messages = new Map<string, TgMessage>()
  readonly reactions = new Map<string, string[]>()
  readonly shown: Shown[] = []
  readonly typing: { chat: number; thread: number | null; at: number }[] = []
  readonly answered: { id: string; text: string }[] = []
  /** Chats that don't let the bot write. */
  readonly blocked = new Set<number>()
  commands: { command: string; description: string }[] = []
  /** Not confirmed by the bot yet, by id. */
  updates: Update[] = []
  private nextUpdate = 870_000_001
  private readonly lastMessage = new Map<number, number>()
  private nextFile = 1
  private nextQuery = 1
  private readonly listeners = new Set<() => void>()

  user(id: number, name: string, username?: string): User {
    const user: User = { id, is_bot: false, first_name: name, ...(username ? { username } : {}) }
    this.users.set(id, user)
    this.chats.set(id, { id, type: 'private', first_name: name, ...(username ? { username } : {}) })
    return user
  }

  group(id: number, title: string, options: { forum?: boolean; type?: TgChat['type'] } = {}): TgChat {
    const chat: TgChat = { id, type: options.type ?? 'supergroup', title, ...(options.forum ? { is_forum: true } : {}) }
    this.chats.set(id, chat)
    return chat
  }

  /** A person writes into a chat: their own with the bot unless another is named. */
  say(from: User, text: string, chat: number = from.id, options: SayOptions = {}): TgMessage {
    const entities = options.entities ?? found(text)
    return this.comes(from, chat, options, { text, ...(entities.length > 0 ? { entities } : {}) })
  }

  sendFile(from: User, bytes: Buffer, options: FileOptions, chat: number = from.id): TgMessage {
    const mimeType = options.mimeType ?? (options.kind === 'photo' ? 'image/jpeg' : 'application/octet-stream')
    const file = this.keep(options.name ?? `${options.kind}.bin`, bytes, mimeType)
    const about = { file_id: file.id, file_unique_id: `u${file.id}`, file_size: bytes.length, mime_type: mimeType }
    const body =
      options.kind === 'photo'
        ? [
            { ...about, file_id: `${file.id}-thumb`, file_size: 1, width: 90, height: 90 },
            { ...about, width: 800, height: 800 },
          ]
        : { ...about, ...(options.name ? { file_name: options.name } : {}) }
    return this.comes(from, chat, options, {
      [options.kind]: body,
      ...(options.caption ? { caption: options.caption, caption_entities: found(options.caption) } : {}),
    })
  }

  edit(message: TgMessage, text: string): void {
    const changed = { ...this.message(message.chat.id, message.message_id)!, text, edit_date: now() }
    changed.entities = found(text)
    this.messages.set(key(message.chat.id, message.message_id), changed)
    this.show(changed, 'person', 'edited')
    this.tell({ edited_message: changed })
  }

  /** A person presses a button under a message of the bot. */
  press(from: User, message: TgMessage, value: string): Update {
    const id = String(4_000_000_000 + this.nextQuery++)
    return this.tell({ callback_query: { id, from, message, chat_instance: '1', data: value } })
  }

  message(chat: number, id: number): TgMessage | undefined {
    return this.messages.get(key(chat, id))
  }

  /** What stands in a chat now of what the bot wrote there, in order. */
  byBot(chat: number, thread: number | null = null): TgMessage[] {
    const all = [...this.messages.values()].filter(one => one.chat.id === chat && one.from?.id === this.bot.id)
    return thread === null ? all : all.filter(one => one.message_thread_id === thread)
  }

  /** The bot writes; methods.ts has checked it. */
  put(chat: TgChat, body: Record<string, unknown>, from: User = this.bot): TgMessage {
    const id = (this.lastMessage.get(chat.id) ?? 0) + 1
    this.lastMessage.set(chat.id, id)
    const message: TgMessage = { message_id: id, date: now(), chat, from, ...body }
    this.messages.set(key(chat.id, id), message)
    this.show(message, from.id === this.bot.id ? 'bot' : 'person', 'sent')
    return message
  }

  change(message: TgMessage): void {
    this.messages.set(key(message.chat.id, message.message_id), message)
  }

  show(message: TgMessage, by: Shown['by'], what: Shown['what'], text?: string): void {
    const media = ['photo', 'document', 'voice', 'audio', 'video', 'sticker', 'poll'].find(kind => kind in message)
    this.shown.push({
      chat: message.chat.id,
      thread: message.message_thread_id ?? null,
      message: message.message_id,
      by,
      what,
      text: text ?? message.text ?? message.caption ?? '',
      media: media ?? null,
    })
    this.stir()
  }

  react(chat: number, message: number, emoji: string[]): void {
    this.reactions.set(key(chat, message), emoji)
    const on = this.message(chat, message)
    if (on) this.show(on, 'bot', 'reaction', emoji.join(''))
  }

  keep(name: string, bytes: Buffer, mimeType: string): StoredFile {
    const id = `file-${this.nextFile++}`
    const file = { id, name, path: `documents/${id}-${basename(name).replace(/[^\w.-]/g, '_')}`, mimeType, bytes }
    this.files.set(id, file)
    return file
  }

  /** Puts an update into the bot's queue. */
  tell(body: Record<string, unknown>): Update {
    const update = { update_id: this.nextUpdate++, ...body }
    this.updates.push(update)
    this.stir()
    return update
  }

  confirm(below: number): void {
    this.updates = this.updates.filter(update => update.update_id >= below)
  }

  /** Called whenever something has happened; returns how to stop. */
  watch(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Resolves when `done` holds; asked again whenever something happens. */
  async until<T>(done: () => T | undefined | null | false, what: string, ms = 15_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = done()
        if (found === undefined || found === null || found === false) return
        clearTimeout(timer)
        stop()
        resolve(found as T)
      }
      const stop = this.watch(look)
      const timer = setTimeout(() => {
        stop()
        reject(new Error(`never: ${what}; shown: ${JSON.stringify(this.shown.slice(-8))}`))
      }, ms)
      look()
    })
  }

  stir(): void {
    for (const listener of [...this.listeners]) listener()
  }

  private comes(from: User, chat: number, options: SayOptions, body: Record<string, unknown>): TgMessage {
    const where = this.chats.get(chat)
    if (!where) throw new Error(`no chat ${chat}`)
    const message = this.put(
      where,
      {
        ...body,
        ...(options.thread ? { message_thread_id: options.thread, is_topic_message: true } : {}),
        ...(options.replyTo ? { reply_to_message: options.replyTo } : {}),
        ...options.extra,
      },
      from,
    )
    this.tell(where.type === 'channel' ? { channel_post: message } : { message })
    return message
  }
}

export function now(): number {
  return Math.floor(Date.now() / 1000)
}

function key(chat: number, message: number): string {
  return `${chat}/${message}`
}

/** Mentions and commands, as the service finds them by itself. */
function found(text: string): Entity[] {
  const entities: Entity[] = []
  for (const hit of text.matchAll(/(?<![\w@/])@\w{4,}|(?<![\w/])\/\w{1,32}(?:@\w+)?/g)) {
    const type = hit[0].startsWith('@') ? 'mention' : 'bot_command'
    entities.push({ type, offset: hit.index, length: hit[0].length })
  }
  return entities
}
