/**
 * Reads what comes in so that the row is written first, and keeps sending and reading out of each other's way.
 *
 * baileys sends the receipt before it tells anybody of the message. So the message is handed over where it is decrypted:
 * within the transaction that moves the Signal session on, and before baileys goes on to the receipt.
 *
 * Invariants: 1. a session has moved on only if the message it read is a row: after any crash the service brings the message
 * again, and it can be read again; 2. one transaction at a time, whoever opens it: baileys locks sending and reading with a
 * person by different keys, and the last to write would win; 3. what is encrypted is kept before it is sent: a session
 * never encrypts two messages with one key; 4. what follows from a message runs outside of the transaction.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { BinaryNode, proto, SignalKeyStoreWithTransaction, SocketConfig, WAMessage } from 'baileys'
import { hear, heardOf } from './login.ts'
import type { Keep } from './keep.ts'
import type { Library } from './library.ts'

type Factory = SocketConfig['makeSignalRepository']
type Repository = ReturnType<Factory>

export interface Reader {
  makeSignalRepository: Factory
  /** A stanza has come in: to be called before baileys gets to it. */
  came(stanza: BinaryNode): void
}

export interface ReaderOptions {
  lib: Library
  keep: Keep
  me(): { id: string; lid: string }
  /** Resolves when it is a row, or is nothing that anybody reads. Rejects when the connection is gone before that. */
  take(message: WAMessage, people: Repository['lidMapping']): Promise<{ text: string } | null>
}

export function openReader(options: ReaderOptions): Reader {
  const stanzas = new WeakMap<Uint8Array, BinaryNode>()
  const outside = AsyncLocalStorage.snapshot()
  return {
    came(stanza) {
      for (const sealed of sealedIn(stanza)) stanzas.set(sealed.content, stanza)
    },
    makeSignalRepository(auth, logger, numbers) {
      const keys = auth.keys as SignalKeyStoreWithTransaction
      const buffered = oneAtATime(keys)
      const inner = options.lib.DEFAULT_CONNECTION_CONFIG.makeSignalRepository(auth, logger, numbers)
      const opened = new WeakMap<Uint8Array, Uint8Array>()

      /** All of a stanza at once: what introduces a group's key and what is sealed with it stand side by side. */
      async function open(stanza: BinaryNode): Promise<void> {
        const { lib, keep } = options
        const { id, lid } = options.me()
        const { fullMessage, author, sender } = lib.decodeMessageNode(stanza, id, lid)
        const jid = await lib.getDecryptionJid(author, inner)
        const { key } = fullMessage
        const plain: [Uint8Array, Uint8Array][] = []
        try {
          await buffered(async () => {
            for (const { type, content } of sealedIn(stanza)) {
              const bytes =
                type === 'skmsg'
                  ? await inner.decryptGroupMessage({ group: sender, authorJid: author, msg: content })
                  : await inner.decryptMessage({ jid, type: type === 'pkmsg' ? 'pkmsg' : 'msg', ciphertext: content })
              plain.push([content, bytes])
              const message = wordsIn(lib, bytes)
              const item = message.senderKeyDistributionMessage
              if (item) await inner.processSenderKeyDistributionMessage({ authorJid: author, item })
              fullMessage.message = Object.assign(fullMessage.message ?? {}, message)
            }
            const read = await outside(() => options.take(fullMessage, inner.lidMapping))
            if (!read || !key.id || !key.remoteJid) return
            const participant = key.participant ?? null
            const heard = {
              chat: key.remoteJid,
              participant,
              mine: key.fromMe === true,
              text: read.text.slice(0, 1000),
            }
            await keys.set(hear(keep, key.id, heard))
          })
        } catch (error) {
          // Brought again although it was read and only the receipt was lost: it is an empty message now, and gets one.
          if (!key.id || !heardOf(keep, key.id)) throw error
          const empty = lib.encodeWAMessage({})
          for (const { content } of sealedIn(stanza)) opened.set(content, empty)
          return
        }
        for (const [content, bytes] of plain) opened.set(content, bytes)
      }

      async function read(sealed: Uint8Array, otherwise: () => Promise<Uint8Array>): Promise<Uint8Array> {
        const stanza = stanzas.get(sealed)
        if (!stanza) return otherwise()
        if (!opened.has(sealed)) await open(stanza)
        return opened.get(sealed)!
      }

      return {
        ...inner,
        decryptMessage: of => read(of.ciphertext, () => inner.decryptMessage(of)),
        decryptGroupMessage: of => read(of.msg, () => inner.decryptGroupMessage(of)),
      }
    },
  }
}

/**
 * From now on `transaction` is one lock for everybody, and what is set within it is kept at once. The returned function
 * is the only one that keeps everything at its end or nothing.
 */
export function oneAtATime(keys: SignalKeyStoreWithTransaction): (work: () => Promise<void>) => Promise<void> {
  const whole = keys.transaction
  const held = new AsyncLocalStorage<{ open: boolean }>()
  let last: Promise<unknown> = Promise.resolve()
  function exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (held.getStore()?.open) return work()
    const lock = { open: true }
    const mine = last
      .then(() => held.run(lock, work))
      .finally(() => {
        lock.open = false
      })
    last = mine.catch(() => undefined)
    return mine
  }
  keys.transaction = work => exclusive(work)
  return work => exclusive(() => whole(work, 'reading'))
}

function wordsIn(lib: Library, bytes: Uint8Array): proto.IMessage {
  const message = lib.proto.Message.decode(lib.unpadRandomMax16(bytes))
  return message.deviceSentMessage?.message ?? message
}

function sealedIn(stanza: BinaryNode): { type: string; content: Uint8Array }[] {
  const children = Array.isArray(stanza.content) ? stanza.content : []
  return children.flatMap(({ tag, attrs, content }) =>
    tag === 'enc' && content instanceof Uint8Array ? [{ type: attrs['type'] ?? '', content }] : [],
  )
}
