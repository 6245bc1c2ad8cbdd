/**
 * The four services as places where a person sends words and files and is sent some, each over its own wire.
 *
 * Owns how they get into a message of a service and out of one, also those of whom nobody has let in. What becomes of it
 * between is the house's.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { proto } from 'baileys'
import { openDiscord } from './discord/service.ts'
import { openSlack } from './slack/service.ts'
import { openTelegram } from './telegram/service.ts'
import { linkByQr, numbers, openAccount } from './whatsapp/bench.ts'
import { openSealed, putSealed, type SealedKind } from './whatsapp/media.ts'
import type { Person } from './whatsapp/people.ts'
import { startFakeWhatsApp } from './whatsapp/server.ts'

export type FileKind = 'picture' | 'voice' | 'document' | 'sticker'

export interface Sample {
  kind: FileKind
  name: string
  mimeType: string
  bytes: Buffer
  /** Its size as the sender's device says it, when that is not so. */
  claims?: number
}

/** What somebody else may have to do with somebody's words. */
export interface About {
  /** They answer to this, said by the account or by somebody else. */
  quotes?: { text: string; own: boolean }
  /** They are somebody else's, and only passed on. */
  passedOn?: true
}

/** What a person was sent: files with what they were shown as; words under a file are its caption. */
export interface Received {
  text: string
  file: { as: string; bytes: Buffer } | null
}

export interface FilePlace {
  /** Of `channels`. */
  block: Record<string, Record<string, unknown>>
  /** Resolves when the service knows the bot: before, some keep nothing for it. */
  there?(): Promise<void>
  /** The person who is let in, as `commands.ownerAllowFrom` has them, and the key of the conversation with them. */
  owner: string
  key: string
  say(text: string, about?: About): Promise<void>
  /** What `say` can't say here. */
  cannot: readonly (keyof About)[]
  /** So many people whom nobody has let in write this. */
  strangers(count: number, text: string): Promise<void>
  /** What those were told. */
  toldStrangers(): string[]
  /** Messages that the service was not told of as received. */
  waiting(): number
  send(sample: Sample, caption: string): Promise<void>
  /** Several pictures that the service shows as one message, where they come one by one. */
  album?(samples: readonly Sample[], caption: string): Promise<void>
  received(): Received[]
  close(): Promise<void>
}

/** Each is opened for the home in which the gateway will start. */
export const places: Record<string, (home: string) => Promise<FilePlace>> = {
  async whatsapp(home) {
    const service = await startFakeWhatsApp({ media: true })
    service.trust()
    const store = service.media!
    store.trust()
    const [owner, ann] = [service.person('Olga', numbers.owner), service.person('Ann', numbers.ann)]
    const stateDir = join(home, 'channels', 'whatsapp', 'default')
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    const { account } = await openAccount(stateDir)
    await linkByQr(service, owner, account)
    await service.until(() => service.waiting(owner).length === 0)
    await account.stop()
    await service.until(() => !service.online(owner))
    const unknown: Person[] = []
    const fields: Record<FileKind, [SealedKind, string]> = {
      picture: ['image', 'imageMessage'],
      voice: ['audio', 'audioMessage'],
      document: ['document', 'documentMessage'],
      sticker: ['sticker', 'stickerMessage'],
    }
    return {
      block: { whatsapp: { dmPolicy: 'allowlist', allowFrom: [numbers.ann] } },
      owner: `whatsapp:${numbers.ann}`,
      key: `agent:main:whatsapp:direct:${numbers.ann}`,
      cannot: [],
      async say(text, { quotes, passedOn } = {}) {
        const quoted = quotes && {
          stanzaId: 'ABCDEF0123456789',
          participant: quotes.own ? owner.jid : '4915100000009@s.whatsapp.net',
          quotedMessage: { conversation: quotes.text },
        }
        const contextInfo = { ...quoted, ...(passedOn && { isForwarded: true, forwardingScore: 1 }) }
        await ann.phone.say(owner.jid, { extendedTextMessage: { text, contextInfo } })
      },
      async strangers(count, text) {
        for (let i = 0; i < count; i++) {
          const person = service.person(`S${i}`, `+49152${1_000_000 + i}`)
          unknown.push(person)
          await person.phone.say(owner.jid, text)
        }
      },
      toldStrangers: () => unknown.flatMap(({ texts }) => texts),
      waiting: () => service.waiting(owner).length,
      async send({ kind, name, mimeType, bytes, claims }, caption) {
        const [sealed, field] = fields[kind]
        const part = {
          ...putSealed(store, bytes, sealed, mimeType),
          ...(claims === undefined ? {} : { fileLength: claims }),
          ...(caption ? { caption } : {}),
          ...(kind === 'document' ? { fileName: name } : {}),
          ...(kind === 'voice' ? { ptt: true } : {}),
        }
        await ann.phone.say(owner.jid, { [field]: part } as proto.IMessage)
      },
      async album(samples, caption) {
        const album = { expectedImageCount: samples.length }
        const id = await ann.phone.say(owner.jid, { albumMessage: album })
        for (const [n, { bytes, mimeType }] of samples.entries()) {
          const imageMessage = { ...putSealed(store, bytes, 'image', mimeType), ...(n === 0 ? { caption } : {}) }
          const messageAssociation = {
            associationType: 1,
            parentMessageKey: { id, remoteJid: owner.jid, fromMe: true },
          }
          await ann.phone.say(owner.jid, { imageMessage, messageContextInfo: { messageAssociation } })
        }
      },
      received: () =>
        ann.shown
          .filter(one => !one.mine)
          .map(({ text, message }) => {
            const found = Object.values(fields).find(([, field]) => message[field as 'imageMessage'])
            if (!found) return { text, file: null }
            const part = message[found[1] as 'audioMessage']!
            return { text, file: { as: part.ptt ? 'voice' : found[0], bytes: openSealed(store, found[0], part) } }
          }),
      close: () => service.close(),
    }
  },

  async telegram() {
    const service = await openTelegram()
    const { world } = service
    const ann = world.user(21, 'Ann', 'ann_a')
    const firstStranger = 5000
    const kinds = { picture: 'photo', voice: 'voice', document: 'document', sticker: 'sticker' } as const
    return {
      block: {
        telegram: { botToken: service.token, apiRoot: service.url, dmPolicy: 'allowlist', allowFrom: [ann.id] },
      },
      owner: `telegram:${ann.id}`,
      key: `agent:main:telegram:direct:${ann.id}`,
      cannot: [],
      async say(text, { quotes, passedOn } = {}) {
        const chat = world.chats.get(ann.id)!
        const from = quotes?.own ? world.bot : { id: 77, is_bot: false, first_name: 'Somebody' }
        const replyTo = quotes && { message_id: 9, date: 1_700_000_000, chat, from, text: quotes.text }
        const origin = { type: 'hidden_user', sender_user_name: 'Somebody', date: 1_700_000_000 }
        const extra = passedOn ? { forward_origin: origin } : {}
        world.say(ann, text, ann.id, { ...(replyTo && { replyTo }), extra })
      },
      async strangers(count, text) {
        for (let i = 0; i < count; i++) world.say(world.user(firstStranger + i, `S${i}`), text)
      },
      toldStrangers: () =>
        [...world.chats.keys()]
          .filter(id => id >= firstStranger)
          .flatMap(id => world.byBot(id).map(message => message.text ?? '')),
      waiting: () => world.updates.length,
      async send({ kind, name, mimeType, bytes, claims }, caption) {
        const message = world.sendFile(ann, bytes, {
          kind: kinds[kind],
          mimeType,
          ...(kind === 'document' ? { name } : {}),
          ...(caption ? { caption } : {}),
        })
        if (claims !== undefined) Object.assign(message[kinds[kind]] as object, { file_size: claims })
      },
      async album(samples, caption) {
        for (const [n, { bytes, mimeType }] of samples.entries()) {
          world.sendFile(ann, bytes, {
            kind: 'photo',
            mimeType,
            ...(n === 0 ? { caption } : {}),
            extra: { media_group_id: '13579' },
          })
        }
      },
      received: () =>
        world.byBot(ann.id).map(message => {
          const as = ['photo', 'voice', 'audio', 'document'].find(kind => kind in message)
          const text = message.text ?? (message['caption'] as string | undefined) ?? ''
          if (!as) return { text, file: null }
          const [about] = [message[as]].flat() as { file_id: string }[]
          return { text, file: { as, bytes: world.files.get(about!.file_id)!.bytes } }
        }),
      close: () => service.close(),
    }
  },

  async discord() {
    const service = await openDiscord()
    const { world } = service
    const [ann, direct] = [world.user('ann'), world.direct('ann')]
    let told = 0
    const note = (s: number): void => {
      told = s
    }
    return {
      block: {
        discord: { token: service.token, apiRoot: service.url(), dmPolicy: 'allowlist', allowFrom: [ann.id] },
      },
      async there() {
        while (service.gateway.sessions() === 0) await sleep(20)
      },
      owner: `discord:${ann.id}`,
      key: `agent:main:discord:direct:${ann.id}`,
      cannot: [],
      async say(text, { quotes, passedOn } = {}) {
        const author = quotes?.own ? world.bot : world.user('somebody')
        const referenced_message = quotes && world.message(author, world.channel('elsewhere', '1'), quotes.text)
        const message_reference = { type: 1, message_id: '9', channel_id: '9' }
        note(
          service.say(ann, direct, text, {
            ...(referenced_message && { referenced_message }),
            ...(passedOn && { message_reference }),
          }).s,
        )
      },
      async strangers(count, text) {
        for (let i = 0; i < count; i++) note(service.say(world.user(`s${i}`), world.direct(`s${i}`), text).s)
      },
      toldStrangers: () =>
        [...world.channels.values()]
          .filter(({ id, type }) => type === 1 && id !== direct.id)
          .flatMap(({ id }) => world.byBot(id).map(({ content }) => content)),
      waiting: () => (service.gateway.confirmed(told) ? 0 : 1),
      async send({ kind, name, mimeType, bytes, claims }, caption) {
        const file = { ...world.attach(name, mimeType, bytes, service.url()), ...(claims && { size: claims }) }
        const voice = kind === 'voice' ? { waveform: 'AAAA', duration_secs: 1 } : {}
        const flags = kind === 'voice' ? { flags: 1 << 13 } : {}
        note(service.say(ann, direct, caption, { attachments: [{ ...file, ...voice }], ...flags }).s)
      },
      received: () =>
        world.byBot(direct.id).flatMap(({ content, attachments }): Received[] => {
          if (attachments.length === 0) return [{ text: content, file: null }]
          return attachments.map(one => ({
            text: content,
            file: { as: one.filename, bytes: world.files.get(one.id)! },
          }))
        }),
      close: () => service.close(),
    }
  },

  async slack() {
    const service = await openSlack()
    const { world } = service
    const ann = world.user('U0ANN', 'Ann')
    const tokens = { botToken: service.botToken, appToken: service.appToken, apiRoot: service.url }
    return {
      block: { slack: { ...tokens, dmPolicy: 'allowlist', allowFrom: [ann.id] } },
      owner: `slack:${ann.id}`,
      key: `agent:main:slack:direct:${ann.id.toLowerCase()}`,
      cannot: ['quotes', 'passedOn'],
      async say(text) {
        world.say(ann, text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'))
      },
      async strangers(count, text) {
        for (let i = 0; i < count; i++) world.say(world.user(`U1S${i}`, `S${i}`), text)
      },
      toldStrangers: () =>
        [...world.channels.keys()]
          .filter(id => id.startsWith('D1S'))
          .flatMap(id => world.byApp(id).map(one => one.text)),
      waiting: () => world.pending.length,
      async send({ kind, name, mimeType, bytes, claims }, caption) {
        const id = world.keep(name, mimeType, bytes)
        const file = { id, name, mimetype: mimeType, size: claims ?? bytes.length, mode: 'hosted' }
        const url_private_download = `${new URL(service.url).origin}/files-pri/${id}`
        const voice = kind === 'voice' ? { subtype: 'slack_audio' } : {}
        world.say(ann, caption, undefined, {
          subtype: 'file_share',
          files: [{ ...file, url_private_download, ...voice }],
        })
      },
      received: () =>
        world.byApp('D0ANN').flatMap(({ text, files }): Received[] => {
          if (!files?.length) return [{ text, file: null }]
          return files.map(({ id }) => {
            const { name, bytes } = world.files.get(String(id))!
            return { text, file: { as: name, bytes } }
          })
        }),
      close: () => service.close(),
    }
  },
}
