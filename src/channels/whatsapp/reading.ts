/**
 * A message of WhatsApp in the words of the house.
 *
 * Owns what of it is read: words, captions, places, cards, polls, answers of lists, edits. Not read: reactions, receipts,
 * votes, what devices tell each other. Who may write is decided elsewhere. A person is known by number where one is known
 * (`+4915…`), else by LID; the other forms stand in `also`.
 */
import type { proto, WAMessage } from 'baileys'
import type { InboundMessage, Quoted } from '../../core/chat.ts'
import type { Library } from './library.ts'
import { type Fetch, mediaOf } from './media.ts'

/** MessageAssociation.AssociationType.MEDIA_ALBUM */
const mediaAlbum = 1

export interface ReadingOptions {
  lib: Library
  channel: string
  account: string
  me: { id: string; lid: string }
  /** What the owner writes to themself is for the agent. */
  selfChat: boolean
  /** The number behind a LID, where it is known. */
  number(lid: string): Promise<string | null>
  title(group: string): string | null
  fetch: Fetch
}

/** Null when there is nothing in it for anybody to read. */
export async function readMessage(from: WAMessage, options: ReadingOptions): Promise<InboundMessage | null> {
  const { lib, me } = options
  const { key } = from
  const chat = key.remoteJid ?? ''
  const group = chat.endsWith('@g.us')
  if (!key.id || from.category === 'peer' || (!group && !isPerson(chat))) return null
  const mine = (jid: string) => [me.id, me.lid].some(own => own !== '' && lib.areJidsSameUser(own, jid))
  // What the owner writes on their own phone is for others, or a note of theirs.
  if (key.fromMe && !(options.selfChat && (group || mine(chat)))) return null

  const outer = lib.normalizeMessageContent(from.message)
  const edit = outer?.protocolMessage?.editedMessage ? outer.protocolMessage : null
  const message = edit ? lib.normalizeMessageContent(edit.editedMessage) : outer
  if (!message) return null
  const text = textOf(message)
  const media = mediaOf(message, options.fetch)
  if (text === '' && media.length === 0) return null

  const author = key.fromMe ? me.id : ((group ? key.participant : null) ?? chat)
  const alternative = key.fromMe ? me.lid : (group ? key.participantAlt : key.remoteJidAlt) || ''
  const sender = await identity(author, alternative, options)
  const context = contextOf(message)
  const quoted = await quotedIn(context, mine, options)
  const at = 1000 * Number(from.messageTimestamp ?? 0)
  const direct = group ? null : mine(chat) ? await identity(me.id, me.lid, options) : sender
  return {
    channel: options.channel,
    account: options.account,
    chat: {
      id: direct?.id ?? chat,
      kind: group ? 'group' : 'direct',
      title: group ? options.title(chat) : null,
      guild: null,
      thread: null,
      parent: null,
    },
    sender: { ...sender, name: from.pushName || null, roles: [], bot: false, self: key.fromMe === true },
    id: edit?.key?.id ?? key.id,
    edit: edit ? String(edit.timestampMs ?? key.id) : '',
    at,
    via: 'text',
    text,
    quoted,
    ...(context?.isForwarded ? { forwarded: true } : {}),
    mentioned: (context?.mentionedJid ?? []).some(mine) || quoted?.own === true,
    media,
    ...albumOf(message.messageContextInfo ?? from.message?.messageContextInfo),
  }
}

/** Where a message to this address goes: a number, a LID, or a group as it is. */
export function jidOf(address: string): string {
  if (address.includes('@')) return address
  return `${address.replace(/\D/g, '')}@s.whatsapp.net`
}

async function identity(
  jid: string,
  other: string,
  { lib, number }: ReadingOptions,
): Promise<{ id: string; also: string[] }> {
  const forms = [jid, other].map(form => lib.jidNormalizedUser(form || undefined)).filter(form => form !== '')
  const lid = forms.find(form => form.endsWith('@lid'))
  const phone = forms.find(form => form.endsWith('@s.whatsapp.net')) ?? (lid ? await number(lid) : null)
  const user = phone ? lib.jidDecode(phone)?.user : null
  const all = [...(user ? [`${user}@s.whatsapp.net`] : []), ...(lid ? [lid] : [])]
  return user ? { id: `+${user}`, also: all } : { id: lid ?? jid, also: [] }
}

/** The message that announces an album has no words; the pictures name it. */
function albumOf(context: proto.IMessageContextInfo | null | undefined): { album?: string } {
  const { associationType, parentMessageKey } = context?.messageAssociation ?? {}
  return associationType === mediaAlbum && parentMessageKey?.id ? { album: parentMessageKey.id } : {}
}

const isPerson = (jid: string): boolean => /@(s\.whatsapp\.net|lid)$/.test(jid)

async function quotedIn(
  context: proto.IContextInfo | null,
  mine: (jid: string) => boolean,
  options: ReadingOptions,
): Promise<Quoted | null> {
  if (!context?.stanzaId) return null
  const { participant } = context
  const message = options.lib.normalizeMessageContent(context.quotedMessage ?? undefined)
  const sender = participant ? (await identity(participant, '', options)).id : null
  return {
    id: context.stanzaId,
    sender,
    own: participant ? mine(participant) : false,
    text: message ? textOf(message) : '',
  }
}

function contextOf(message: proto.IMessage): proto.IContextInfo | null {
  for (const part of Object.values(message)) {
    const context = (part as { contextInfo?: proto.IContextInfo } | null)?.contextInfo
    if (context) return context
  }
  return null
}

function textOf(message: proto.IMessage): string {
  const place = message.locationMessage ?? message.liveLocationMessage
  const poll = message.pollCreationMessage ?? message.pollCreationMessageV2 ?? message.pollCreationMessageV3
  const cards = message.contactsArrayMessage?.contacts ?? (message.contactMessage ? [message.contactMessage] : [])
  const words = [
    message.conversation,
    message.extendedTextMessage?.text,
    message.imageMessage?.caption,
    message.videoMessage?.caption,
    message.documentMessage?.caption,
    message.buttonsResponseMessage?.selectedDisplayText,
    message.templateButtonReplyMessage?.selectedDisplayText,
    message.listResponseMessage?.title,
    place ? `[location] ${placeText(place)}` : null,
    ...cards.map(card => `[contact] ${card.displayName ?? ''} ${numbersIn(card.vcard ?? '')}`.trim()),
    poll
      ? [`[poll] ${poll.name ?? ''}`, ...(poll.options ?? []).map(one => `- ${one.optionName ?? ''}`)].join('\n')
      : null,
  ]
  return words.filter(word => typeof word === 'string' && word !== '').join('\n')
}

function placeText(place: proto.Message.ILocationMessage): string {
  const where = `${place.degreesLatitude ?? 0}, ${place.degreesLongitude ?? 0}`
  return [place.name, place.address, where].filter(Boolean).join(', ')
}

function numbersIn(card: string): string {
  return [...card.matchAll(/^TEL[^:]*:(.*)$/gim)].map(match => match[1]?.trim()).join(', ')
}
