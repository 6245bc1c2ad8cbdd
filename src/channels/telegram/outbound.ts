/**
 * The way out: one part of an outbox row as one call of the Bot API, and what the service answered.
 *
 * Owns which method says what, and what is done when the service does not take it as it is: words without their marks, a
 * picture as a document, a group under its new number. The service has neither a key nor a look-up for what was sent, so a
 * repeat is marked in its words. Never sends more than one message for one part.
 */
import type { Button, Content, OutboundMedia } from '../../core/chat.ts'
import type { Clock, Outbound, OutboundMessage, SendOutcome } from '../../core/ports.ts'
import { failureOf, refusalOf } from './failure.ts'
import { maxPollOption, maxPollOptions, maxPollQuestion, maxUploadBytes } from './limits.ts'
import { type SendKind, sendKindOf } from './media.ts'
import { markRepeat } from '../repeat.ts'
import { unsendable } from '../sendable.ts'
import { cut, plainOf } from './render.ts'
import type { Settings } from './settings.ts'
import { asSignal, type Wire } from './wire.ts'

export interface WayOutOptions {
  settings: Pick<Settings, 'linkPreview' | 'textLimit'>
  wire(): Promise<Wire>
  clock: Clock
  sent(chat: string, message: string | null): void
  log(level: 'warn' | 'info', message: string, fields?: Record<string, unknown>): void
}

type Params = Record<string, unknown>
/** The raw methods by name: which one is called is data here. */
type Methods = Record<string, (params: Params, signal?: unknown) => Promise<unknown>>

export function openWayOut(options: WayOutOptions): Outbound {
  const { settings, clock } = options

  async function send(message: OutboundMessage, signal: AbortSignal): Promise<SendOutcome> {
    const problem = await unsendable(message.content.media?.[0], 'Telegram', maxUploadBytes)
    if (problem) return problem
    try {
      const wire = await options.wire()
      const call = (method: string, params: Params): Promise<unknown> =>
        (wire.paced.raw as unknown as Methods)[method]!(params, asSignal(signal))
      const remoteId = await deliver(message, message.route.to, call, wire)
      // What is reacted to is somebody else's.
      options.sent(message.route.to, message.content.react ? null : remoteId)
      return { sent: true, remoteId }
    } catch (error) {
      return failureOf(error, clock.now())
    }
  }

  async function deliver(message: OutboundMessage, chat: string, call: Call, wire: Wire): Promise<string | null> {
    try {
      return await sayIn(message, chat, call, wire)
    } catch (error) {
      const moved = refusalOf(error)?.parameters?.migrate_to_chat_id
      if (moved === undefined || String(moved) === chat) throw error
      options.log('info', 'a group has become a supergroup: its address changes', { from: chat, to: moved })
      return deliver(message, String(moved), call, wire)
    }
  }

  async function sayIn(message: OutboundMessage, chat: string, call: Call, wire: Wire): Promise<string | null> {
    const { content } = message
    const { react, poll } = content
    if (react) {
      const reaction = react.emoji === '' ? [] : [{ type: 'emoji', emoji: react.emoji }]
      await call('setMessageReaction', { chat_id: chat, message_id: Number(react.message), reaction })
      return react.message
    }
    if (poll) return idOf(await call('sendPoll', { ...where(message, chat), ...pollOf(poll) }))
    if (content.media?.[0]) return sayFile(message, chat, content.media[0], call, wire)
    const target = message.edit ?? content.edit
    if (target === undefined || target === null) return sayWords(message, chat, call)
    try {
      return await editWords(message, chat, target, call)
    } catch (error) {
      // Somebody has removed the message that was growing: its final words are still owed.
      if (message.edit === null || !/message to edit not found|MESSAGE_ID_INVALID/i.test(described(error))) throw error
      return sayWords({ ...message, edit: null }, chat, call)
    }
  }

  async function sayWords(message: OutboundMessage, chat: string, call: Call): Promise<string | null> {
    const base = { ...where(message, chat), ...keyboard(message.content), ...preview() }
    return idOf(await formatted(words(message), text => call('sendMessage', { ...base, ...text }), 'text'))
  }

  async function editWords(message: OutboundMessage, chat: string, target: string, call: Call): Promise<string> {
    const base = { chat_id: chat, message_id: Number(target), ...keyboard(message.content) }
    const text = words(message)
    try {
      await formatted(text, given => call('editMessageText', { ...base, ...preview(), ...given }), 'text')
    } catch (error) {
      if (/message is not modified/i.test(described(error))) return target
      if (!/no text in the message to edit/i.test(described(error))) throw error
      await formatted(text, given => call('editMessageCaption', { ...base, ...given }), 'caption')
    }
    return target
  }

  async function sayFile(
    message: OutboundMessage,
    chat: string,
    media: OutboundMedia,
    call: Call,
    wire: Wire,
  ): Promise<string | null> {
    const base = { ...where(message, chat), ...keyboard(message.content) }
    const as = (kind: SendKind): Promise<unknown> =>
      formatted(
        words(message),
        text => {
          const method = `send${kind[0]!.toUpperCase()}${kind.slice(1)}`
          return call(method, { ...base, ...text, [kind]: wire.upload(media.path, media.name) })
        },
        'caption',
      )
    const kind = sendKindOf(media)
    try {
      return idOf(await as(kind))
    } catch (error) {
      if (kind === 'document' || refusalOf(error)?.error_code !== 400 || !unfit.test(described(error))) throw error
      return idOf(await as('document'))
    }
  }

  function preview(): Params {
    return settings.linkPreview ? {} : { link_preview_options: { is_disabled: true } }
  }

  return {
    channel: 'telegram',
    keyed: false,
    parts: content => cut(content, settings.textLimit),
    send,
  }
}

type Call = (method: string, params: Params) => Promise<unknown>

/** What the service says when it can't show a file as what it was sent as. */
const unfit =
  /IMAGE_PROCESS_FAILED|PHOTO_INVALID_DIMENSIONS|PHOTO_EXT_INVALID|too big for a photo|VOICE_MESSAGES_FORBIDDEN/i

/** With its marks; when the service does not understand them, without. */
async function formatted(
  html: string,
  call: (text: Params) => Promise<unknown>,
  field: 'text' | 'caption',
): Promise<unknown> {
  if (html === '') return call({})
  try {
    return await call({ [field]: html, parse_mode: 'HTML' })
  } catch (error) {
    if (!/can't parse entities/i.test(described(error))) throw error
    return call({ [field]: plainOf(html) })
  }
}

function words({ content, maybeRepeat }: OutboundMessage): string {
  return markRepeat(content.text, maybeRepeat)
}

function where({ route, content }: OutboundMessage, chat: string): Params {
  return {
    chat_id: chat,
    ...(route.thread ? { message_thread_id: Number(route.thread) } : {}),
    ...(content.replyTo
      ? { reply_parameters: { message_id: Number(content.replyTo), allow_sending_without_reply: true } }
      : {}),
  }
}

function keyboard(content: Content): Params {
  if (!content.buttons || content.buttons.length === 0) return {}
  const inline_keyboard = content.buttons.map(row =>
    row.map(({ label, value, style }: Button) => ({ text: label, callback_data: value, ...(style ? { style } : {}) })),
  )
  return { reply_markup: { inline_keyboard } }
}

function pollOf(poll: NonNullable<Content['poll']>): Params {
  return {
    question: poll.question.slice(0, maxPollQuestion),
    options: poll.options.slice(0, maxPollOptions).map(text => ({ text: text.slice(0, maxPollOption) })),
    allows_multiple_answers: poll.multiple,
    is_anonymous: false,
  }
}

function described(error: unknown): string {
  return refusalOf(error)?.description ?? ''
}

function idOf(sent: unknown): string | null {
  const id = (sent as { message_id?: unknown } | null)?.message_id
  return typeof id === 'number' ? String(id) : null
}
