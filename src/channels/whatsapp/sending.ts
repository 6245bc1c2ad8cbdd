/**
 * Sends one message and says what became of it.
 *
 * Owns the outcome. baileys is done when the bytes are written; here a message is sent when the service has answered it.
 * Its id comes from the outbox's key, and phones show an id once: a message in doubt is sent again as it was.
 *
 * Invariant: what is sent can be asked for again by any device, also after a restart: it is kept before it is sent.
 */
import type { AnyMessageContent, proto, WAMessage, WASocket } from 'baileys'
import type { Content } from '../../core/chat.ts'
import type { OutboundMessage, SendOutcome } from '../../core/ports.ts'
import { unsendable } from '../sendable.ts'
import type { Answers } from './answers.ts'
import type { Keep } from './keep.ts'
import type { Library } from './library.ts'
import { heardOf, rememberSent } from './login.ts'
import { contentOf } from './media.ts'
import { jidOf } from './reading.ts'
import { maxUploadBytes, messageId } from './writing.ts'

export interface SendingOptions {
  lib: Library
  keep: Keep
  /** The socket while it is open, with what the service answers on it. */
  open(): { socket: WASocket; answers: Answers } | null
  now(): number
}

const restMs = 30_000

export async function send(
  message: OutboundMessage,
  signal: AbortSignal,
  options: SendingOptions,
): Promise<SendOutcome> {
  const line = options.open()
  if (!line) return failed('network', 'There is no connection to WhatsApp.', { certain: true })
  const problem = await unsendable(message.content.media?.[0], 'WhatsApp', maxUploadBytes)
  if (problem) return problem
  const { socket, answers } = line
  const jid = jidOf(message.route.to)
  const id = messageId(message.key)
  const content = contentFor(message, jid, options.keep)
  if (!content)
    return failed('bad_request', 'There is nothing in this that WhatsApp could show.', {
      certain: true,
      retryable: false,
    })
  let whole: WAMessage
  try {
    whole = await options.lib.generateWAMessage(jid, content, {
      userJid: socket.user?.id ?? '',
      messageId: id,
      upload: socket.waUploadToServer,
      ...quote(message.content, jid, options),
    })
  } catch (error) {
    // Nothing but an upload can fail here.
    return failed('network', `The file could not be handed over: ${wordsOf(error)}`, { certain: true })
  }
  const made = whole.message
  if (!made) return failed('bad_request', 'There is nothing in this to send.', { certain: true, retryable: false })
  await rememberSent(options.keep, id, options.lib.proto.Message.encode(made).finish())
  const answer = answers.to(id, signal)
  try {
    await socket.relayMessage(jid, made, {
      messageId: id,
      ...('edit' in content ? { additionalAttributes: { edit: '1' } } : {}),
      ...('poll' in content ? { additionalNodes: [{ tag: 'meta', attrs: { polltype: 'creation' } }] } : {}),
    })
    return outcome(await answer.arrived, message.edit ?? id, options.now())
  } catch (error) {
    return failed('network', wordsOf(error), { certain: false })
  } finally {
    answer.forget()
  }
}

function contentFor({ content, edit }: OutboundMessage, jid: string, keep: Keep): AnyMessageContent | null {
  const [media] = content.media ?? []
  if (content.react) return { react: { text: content.react.emoji, key: keyOf(content.react.message, jid, keep) } }
  if (content.poll) {
    const { question, options, multiple } = content.poll
    return { poll: { name: question, values: [...options], selectableCount: multiple ? options.length : 1 } }
  }
  const changed = edit ?? content.edit
  // No preview: it would fetch whatever address stands in the words.
  if (changed) return { text: content.text, linkPreview: null, edit: { remoteJid: jid, id: changed, fromMe: true } }
  if (media) return contentOf(media, content.text)
  return content.text === '' ? null : { text: content.text, linkPreview: null, ...mentions(content.text) }
}

/** Numbers that the words address (`@4915…`) are told to the service, or nobody would be rung for. */
function mentions(text: string): { mentions?: string[] } {
  const numbers = [...text.matchAll(/(?<![\w@])@(\d{7,15})\b/g)].map(match => `${match[1]}@s.whatsapp.net`)
  return numbers.length > 0 ? { mentions: numbers } : {}
}

function keyOf(id: string, jid: string, keep: Keep): proto.IMessageKey {
  const heard = heardOf(keep, id)
  if (!heard) return { remoteJid: jid, id, fromMe: true }
  return { remoteJid: heard.chat, id, fromMe: heard.mine, participant: heard.participant }
}

function quote(content: Content, jid: string, { lib, keep }: SendingOptions): { quoted?: WAMessage } {
  if (!content.replyTo) return {}
  const heard = heardOf(keep, content.replyTo)
  if (!heard) return {}
  const key = keyOf(content.replyTo, jid, keep)
  const message = { conversation: heard.text }
  return { quoted: lib.proto.WebMessageInfo.fromObject({ key, message }) as WAMessage }
}

/** The service has answered: nobody has seen what it refused. */
function outcome(error: string | null, remoteId: string, now: number): SendOutcome {
  if (error === null) return { sent: true, remoteId }
  const said = `WhatsApp refused the message (${error}).`
  if (error === '429')
    return { ...failed('rate_limit', said, { certain: true }), retryAtMs: now + restMs } as SendOutcome
  // 479: the device list was out of date, and is fetched again.
  if (error.startsWith('5') || error === '479') return failed('server', said, { certain: true })
  if (error === '463') {
    const message = `${said} The account may not begin new conversations now; see WhatsApp on the phone.`
    return failed('refused', message, { certain: true, retryable: false })
  }
  return failed('refused', said, { certain: true, retryable: false })
}

function failed(code: string, message: string, how: { certain: boolean; retryable?: boolean }): SendOutcome {
  return { sent: false, certain: how.certain, retryable: how.retryable ?? true, code, message }
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
