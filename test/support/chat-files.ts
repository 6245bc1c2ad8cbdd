/**
 * The four services as places where a person sends files and is sent some, each over its own wire.
 *
 * Owns how a file gets into a message of a service and out of one. What becomes of it between is the house's.
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
import { startFakeWhatsApp } from './whatsapp/server.ts'

export type FileKind = 'picture' | 'voice' | 'document' | 'sticker'

export interface Sample {
  kind: FileKind
  name: string
  mimeType: string
  bytes: Buffer
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
    const fields: Record<FileKind, [SealedKind, string]> = {
      picture: ['image', 'imageMessage'],
      voice: ['audio', 'audioMessage'],
      document: ['document', 'documentMessage'],
      sticker: ['sticker', 'stickerMessage'],
    }
    return {
      block: { whatsapp: { dmPolicy: 'allowlist', allowFrom: [numbers.ann] } },
      async send({ kind, name, mimeType, bytes }, caption) {
        const [sealed, field] = fields[kind]
        const part = {
          ...putSealed(store, bytes, sealed, mimeType),
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
    const kinds = { picture: 'photo', voice: 'voice', document: 'document', sticker: 'sticker' } as const
    return {
      block: {
        telegram: { botToken: service.token, apiRoot: service.url, dmPolicy: 'allowlist', allowFrom: [ann.id] },
      },
      async send({ kind, name, mimeType, bytes }, caption) {
        world.sendFile(ann, bytes, {
          kind: kinds[kind],
          mimeType,
          ...(kind === 'document' ? { name } : {}),
          ...(caption ? { caption } : {}),
        })
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
    return {
      block: {
        discord: { token: service.token, apiRoot: service.url(), dmPolicy: 'allowlist', allowFrom: [ann.id] },
      },
      async there() {
        while (service.gateway.sessions() === 0) await sleep(20)
      },
      async send({ kind, name, mimeType, bytes }, caption) {
        const file = world.attach(name, mimeType, bytes, service.url())
        const voice = kind === 'voice' ? { waveform: 'AAAA', duration_secs: 1 } : {}
        service.say(ann, direct, caption, {
          attachments: [{ ...file, ...voice }],
          ...(kind === 'voice' ? { flags: 1 << 13 } : {}),
        })
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
      async send({ kind, name, mimeType, bytes }, caption) {
        const id = world.keep(name, mimeType, bytes)
        const file = { id, name, mimetype: mimeType, size: bytes.length, mode: 'hosted' }
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
