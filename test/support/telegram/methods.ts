/**
 * The methods of the Bot API that a bot calls to act: what each takes, refuses and answers, on the world of world.ts.
 *
 * Owns the rules of the service (lengths, ids, formats, who may be written to) and its words for what is wrong. Knows no
 * HTTP, no faults and no updates: those are service.ts.
 */
import { type Entity, ParseError, readHtml } from './html.ts'
import type { UploadedFile } from './multipart.ts'
import type { TgChat, TgMessage, World } from './world.ts'

export type Params = Record<string, unknown>
type Files = Record<string, UploadedFile>

/** What the Bot API answers when it refuses. */
export class Refused extends Error {
  code: number
  parameters: Record<string, number> | undefined

  constructor(code: number, description: string, parameters?: Record<string, number>) {
    super(description)
    this.code = code
    this.parameters = parameters
  }
}

const maxText = 4096
const maxCaption = 1024
const maxUpload = 50_000_000
const maxPhoto = 10_000_000
const maxDownload = 20_000_000
const actions = ['typing', 'upload_photo', 'record_video', 'upload_video', 'record_voice', 'upload_voice']
const emojis = ['👍', '👎', '❤', '🔥', '🎉', '👀', '🤔', '👌', '😁', '💯']

export function callMethod(world: World, method: string, params: Params, files: Files): unknown {
  const chat = 'chat_id' in params ? chatOf(world, params['chat_id']) : null
  switch (method) {
    case 'getMe':
      return { ...world.bot, can_join_groups: true, can_read_all_group_messages: true, supports_inline_queries: false }
    case 'sendMessage':
      return world.put(chat!, { ...place(world, chat!, params), ...words(params, 'text'), ...markup(params) })
    case 'sendPhoto':
    case 'sendDocument':
    case 'sendVoice':
    case 'sendAudio':
    case 'sendVideo':
      return sendFile(world, chat!, method.slice(4).toLowerCase(), params, files)
    case 'sendPoll':
      return sendPoll(world, chat!, params)
    case 'editMessageText':
    case 'editMessageCaption':
      return editWords(world, chat!, params, method === 'editMessageText' ? 'text' : 'caption')
    case 'editMessageReplyMarkup': {
      const message = own(world, chat!, params)
      const changed = { ...message, ...markup(params) }
      if (!('reply_markup' in params)) delete changed.reply_markup
      if (JSON.stringify(message.reply_markup) === JSON.stringify(changed.reply_markup)) same()
      world.change(changed)
      return changed
    }
    case 'setMessageReaction': {
      const reactions = (params['reaction'] ?? []) as { type: string; emoji: string }[]
      if (reactions.some(one => !emojis.includes(one.emoji))) throw new Refused(400, 'Bad Request: REACTION_INVALID')
      if (!world.message(chat!.id, Number(params['message_id']))) {
        throw new Refused(400, 'Bad Request: message to react not found')
      }
      world.react(
        chat!.id,
        Number(params['message_id']),
        reactions.map(one => one.emoji),
      )
      return true
    }
    case 'sendChatAction':
      if (!actions.includes(String(params['action']))) throw new Refused(400, 'Bad Request: wrong parameter action')
      world.typing.push({ chat: chat!.id, thread: Number(params['message_thread_id']) || null, at: Date.now() })
      world.stir()
      return true
    case 'answerCallbackQuery':
      world.answered.push({ id: String(params['callback_query_id']), text: String(params['text'] ?? '') })
      world.stir()
      return true
    case 'setMyCommands':
      return setCommands(world, params)
    case 'getFile': {
      const file = world.files.get(String(params['file_id']))
      if (!file) throw new Refused(400, 'Bad Request: invalid file_id')
      if (file.bytes.length > maxDownload) throw new Refused(400, 'Bad Request: file is too big')
      return { file_id: file.id, file_unique_id: `u${file.id}`, file_size: file.bytes.length, file_path: file.path }
    }
    default:
      throw new Refused(404, 'Not Found: method not found')
  }
}

function chatOf(world: World, id: unknown): TgChat {
  const chat = world.chats.get(Number(id))
  if (!chat) throw new Refused(400, 'Bad Request: chat not found')
  const moved = (chat as { migrated?: number }).migrated
  if (moved) {
    throw new Refused(400, 'Bad Request: group chat was upgraded to a supergroup chat', { migrate_to_chat_id: moved })
  }
  if (world.blocked.has(chat.id)) {
    throw new Refused(
      403,
      chat.type === 'private'
        ? 'Forbidden: bot was blocked by the user'
        : 'Forbidden: bot was kicked from the supergroup chat',
    )
  }
  return chat
}

/** Thread and reply, checked. */
function place(world: World, chat: TgChat, params: Params): Partial<TgMessage> {
  const thread = Number(params['message_thread_id']) || null
  if (thread !== null && !chat.is_forum) throw new Refused(400, 'Bad Request: message thread not found')
  const reply = params['reply_parameters'] as { message_id: number; allow_sending_without_reply?: boolean } | undefined
  const quoted = reply ? world.message(chat.id, reply.message_id) : undefined
  if (reply && !quoted && !reply.allow_sending_without_reply) {
    throw new Refused(400, 'Bad Request: message to be replied not found')
  }
  return {
    ...(thread !== null ? { message_thread_id: thread, is_topic_message: true } : {}),
    ...(quoted ? { reply_to_message: quoted } : {}),
  }
}

/** The text or caption with its entities, checked. */
function words(params: Params, field: 'text' | 'caption'): Partial<TgMessage> {
  const raw = String(params[field] ?? '')
  const mode = params['parse_mode']
  let read: { text: string; entities: Entity[] } = { text: raw.trim(), entities: [] }
  if (mode === 'HTML') {
    try {
      read = readHtml(raw)
    } catch (error) {
      throw error instanceof ParseError ? new Refused(400, error.message) : error
    }
  } else if (mode !== undefined) {
    throw new Refused(400, 'Bad Request: unsupported parse_mode')
  } else if (Array.isArray(params['entities'])) {
    read = { text: raw, entities: params['entities'] as Entity[] }
  }
  if (field === 'text' && read.text === '') throw new Refused(400, 'Bad Request: message text is empty')
  if (field === 'text' && read.text.length > maxText) throw new Refused(400, 'Bad Request: message is too long')
  if (field === 'caption' && read.text.length > maxCaption) {
    throw new Refused(400, 'Bad Request: message caption is too long')
  }
  if (read.text === '') return {}
  const list = read.entities.length > 0 ? { [field === 'text' ? 'entities' : 'caption_entities']: read.entities } : {}
  return { [field]: read.text, ...list }
}

function markup(params: Params): Partial<TgMessage> {
  const given = params['reply_markup'] as TgMessage['reply_markup'] | undefined
  if (!given) return {}
  for (const button of given.inline_keyboard.flat()) {
    if (Buffer.byteLength(button.callback_data ?? '') > 64) throw new Refused(400, 'Bad Request: BUTTON_DATA_INVALID')
    if (button.text === '') throw new Refused(400, 'Bad Request: BUTTON_TEXT_INVALID')
  }
  return given.inline_keyboard.length > 0 ? { reply_markup: given } : {}
}

function own(world: World, chat: TgChat, params: Params): TgMessage {
  const message = world.message(chat.id, Number(params['message_id']))
  if (!message) throw new Refused(400, 'Bad Request: message to edit not found')
  if (message.from?.id !== world.bot.id) throw new Refused(400, "Bad Request: message can't be edited")
  return message
}

function editWords(world: World, chat: TgChat, params: Params, field: 'text' | 'caption'): TgMessage {
  const message = own(world, chat, params)
  if (field === 'text' && message.text === undefined) {
    throw new Refused(400, 'Bad Request: there is no text in the message to edit')
  }
  const { text: _t, entities: _e, caption: _c, caption_entities: _ce, reply_markup: _m, ...rest } = message
  const next = { ...rest, ...words(params, field), ...markup(params) } as TgMessage
  const look = (one: TgMessage): string =>
    JSON.stringify([one.text, one.entities, one.caption, one.caption_entities, one.reply_markup])
  if (look(next) === look(message)) same()
  const changed: TgMessage = { ...next, edit_date: Math.floor(Date.now() / 1000) }
  world.change(changed)
  world.show(changed, 'bot', 'edited')
  return changed
}

function same(): never {
  throw new Refused(
    400,
    'Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a ' +
      'current content and reply markup of the message',
  )
}

function sendFile(world: World, chat: TgChat, kind: string, params: Params, files: Files): TgMessage {
  const where = place(world, chat, params)
  const ref = String(params[kind] ?? '')
  const file = ref.startsWith('attach://') ? files[ref.slice('attach://'.length)] : undefined
  if (!file) throw new Refused(400, `Bad Request: there is no ${kind} in the request`)
  if (file.bytes.length === 0) throw new Refused(400, 'Bad Request: file must be non-empty')
  if (file.bytes.length > maxUpload) throw new Refused(413, 'Request Entity Too Large')
  if (kind === 'photo' && file.bytes.length > maxPhoto) {
    throw new Refused(400, 'Bad Request: file is too big for a photo')
  }
  if (kind === 'photo' && !isImage(file.bytes)) throw new Refused(400, 'Bad Request: IMAGE_PROCESS_FAILED')
  const kept = world.keep(file.name, file.bytes, 'application/octet-stream')
  const about = { file_id: kept.id, file_unique_id: `u${kept.id}`, file_size: file.bytes.length, file_name: file.name }
  return world.put(chat, {
    ...where,
    [kind]: kind === 'photo' ? [about] : about,
    ...words(params, 'caption'),
    ...markup(params),
  })
}

function sendPoll(world: World, chat: TgChat, params: Params): TgMessage {
  const options = (params['options'] ?? []) as { text: string }[]
  const question = String(params['question'] ?? '')
  if (question === '' || question.length > 300) throw new Refused(400, 'Bad Request: poll question is wrong')
  if (options.length < 1 || options.length > 12) throw new Refused(400, 'Bad Request: poll must have 1-12 options')
  if (options.some(one => one.text === '' || one.text.length > 100)) {
    throw new Refused(400, 'Bad Request: poll option is wrong')
  }
  const multiple = params['allows_multiple_answers'] === true
  return world.put(chat, {
    ...place(world, chat, params),
    poll: { question, options, allows_multiple_answers: multiple },
  })
}

function setCommands(world: World, params: Params): true {
  const commands = (params['commands'] ?? []) as World['commands']
  if (commands.length > 100) throw new Refused(400, 'Bad Request: BOT_COMMANDS_TOO_MUCH')
  for (const { command, description } of commands) {
    if (!/^[a-z0-9_]{1,32}$/.test(command)) throw new Refused(400, 'Bad Request: BOT_COMMAND_INVALID')
    if (description.length < 1 || description.length > 256) {
      throw new Refused(400, 'Bad Request: BOT_COMMAND_DESCRIPTION_INVALID')
    }
  }
  world.commands = commands
  world.stir()
  return true
}

/** The service looks at pixels; a beginning that fits is enough here. */
function isImage(bytes: Buffer): boolean {
  return (
    bytes.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff])) ||
    bytes.subarray(0, 4).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47])) ||
    bytes.subarray(8, 12).toString('latin1') === 'WEBP'
  )
}
