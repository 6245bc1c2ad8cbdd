/**
 * A person's phone: a Signal device of its own that writes, reads, and asks again for what it cannot read.
 */
import { randomBytes } from 'node:crypto'
import type { proto, SignalKeyStoreWithTransaction } from 'baileys'
import {
  bigEndian,
  bytes,
  child,
  children,
  keysInMemory,
  quiet,
  type Stanza,
  seconds,
  serial,
  stanza,
  Turns,
  wa,
} from './kit.ts'
import type { Bundle, Device, Person } from './people.ts'
import type { Post } from './post.ts'

/** A message as it was written, for those who ask again. */
interface Written {
  id: string
  at: string
  /** A jid: the other person's in either form, a group's, or null for what a phone tells its own linked devices. */
  chat: string | null
  message: proto.IMessage
}

export class Phone {
  readonly person: Person
  readonly identity = wa.initAuthCreds()
  /** Ids of the messages it could not read at first. */
  readonly asked = new Map<string, number>()
  readonly #post: Post
  readonly #turns = new Turns()
  readonly #written = new Map<string, Written>()
  readonly #keys: SignalKeyStoreWithTransaction
  readonly #signal: ReturnType<typeof wa.DEFAULT_CONNECTION_CONFIG.makeSignalRepository>
  #nextKey = 1

  constructor(person: Person, post: Post) {
    this.person = person
    this.#post = post
    this.identity.me = { id: person.jid, lid: person.lid, name: person.name }
    this.#keys = wa.addTransactionCapability(keysInMemory(), quiet, { maxCommitRetries: 1, delayBetweenTriesMs: 1 })
    const auth = { creds: this.identity, keys: this.#keys }
    this.#signal = wa.DEFAULT_CONNECTION_CONFIG.makeSignalRepository(auth, quiet, async numbers =>
      numbers.flatMap(pn => {
        const lid = post.find(pn)?.lid
        return lid ? [{ pn, lid }] : []
      }),
    )
  }

  async bundle(): Promise<Bundle> {
    const id = this.#nextKey++
    const pair = wa.Curve.generateKeyPair()
    await this.#keys.set({ 'pre-key': { [String(id)]: pair } })
    const { keyId, keyPair, signature } = this.identity.signedPreKey
    return {
      registration: this.identity.registrationId,
      identity: this.identity.signedIdentityKey.public,
      signed: { id: keyId, key: keyPair.public, signature },
      once: { id, key: pair.public },
    }
  }

  /** Types a message into a chat; the same id again is the same message, freshly encrypted. */
  say(chat: string, said: string | proto.IMessage, more: { id?: string; at?: string } = {}): Promise<string> {
    const message = typeof said === 'string' ? { conversation: said } : said
    const written: Written = { id: more.id ?? serial('3EB0'), at: more.at ?? seconds(), chat, message }
    return this.#turns.take(async () => {
      this.#written.set(written.id, written)
      const group = this.#post.groups.get(chat)
      if (group) {
        const me = group.lids ? this.person.lid : this.person.jid
        const { ciphertext, senderKeyDistributionMessage } = await this.#signal.encryptGroupMessage({
          group: chat,
          meId: me,
          data: wa.encodeWAMessage(message),
        })
        const introduction = this.#introduction(chat, senderKeyDistributionMessage)
        for (const device of this.#post.devicesIn(group, this.#mine)) {
          const sealed = [await this.#seal(device, introduction), stanza('enc', { v: '2', type: 'skmsg' }, ciphertext)]
          this.#post.deliver(device, this.#envelope(written, device, sealed))
        }
        return written.id
      }
      const other = this.#post.must(chat)
      for (const person of new Set([other, this.person])) {
        for (const device of person.devices.values()) {
          if (device === this.#mine) continue
          const sealed = await this.#seal(device, this.#for(device, written))
          this.#post.deliver(device, this.#envelope(written, device, [sealed]))
        }
      }
      return written.id
    })
  }

  /** What a phone tells a linked device of its own: keys, history. */
  tell(device: Device, protocolMessage: proto.Message.IProtocolMessage): Promise<void> {
    const written: Written = { id: serial('3EB0'), at: seconds(), chat: null, message: { protocolMessage } }
    return this.#turns.take(async () => {
      this.#written.set(written.id, written)
      const sealed = await this.#seal(device, written.message)
      this.#post.deliver(device, this.#envelope(written, device, [sealed]))
    })
  }

  /** A message for this phone: what it says is shown, and the one who wrote it is told that it came. */
  receive(message: Stanza): Promise<void> {
    return this.#turns.take(async () => {
      const { id = '', from = '', participant, recipient, t } = message.attrs
      const author = this.#post.device(participant ?? from)
      if (!author) throw new Error(`a message of nobody: ${participant ?? from}`)
      const read: proto.IMessage = {}
      try {
        for (const sealed of children(message, 'enc')) Object.assign(read, await this.#open(message, sealed, author))
      } catch (error) {
        await this.#askAgain(message, author, error)
        return
      }
      if (Object.keys(read).length === 0) return
      const chat = from.endsWith('@g.us') ? from : (this.#post.find(recipient ?? from)?.jid ?? from)
      const mine = author.person === this.person
      this.person.show({ id, chat, from: author.person.jid, mine, at: Number(t), message: read })
      if (!mine) this.#post.receipt(this.person, author.person, message)
    })
  }

  /** Asks a client for a message that it heard of and never got. */
  askFor(device: Device, id: string): Promise<void> {
    const unread = stanza('message', { id, t: seconds(), from: device.jid })
    return this.#turns.take(() => this.#askAgain(unread, device, new Error('it never came')))
  }

  /** A device could not read what this phone wrote: it is encrypted again, into the session that it offers. */
  again(device: Device, request: Stanza): Promise<void> {
    return this.#turns.take(async () => {
      const written = this.#written.get(request.attrs['id'] ?? '')
      const count = child(request, 'retry')?.attrs['count'] ?? '1'
      if (!written || Number(count) > 5) return
      await this.#begin(device, wa.extractE2ESessionFromRetryReceipt(request))
      let message = this.#for(device, written)
      const group = this.#post.groups.get(written.chat ?? '')
      if (group && written.chat) {
        const meId = group.lids ? this.person.lid : this.person.jid
        const key = await this.#signal.getSenderKeyDistributionMessage({ group: written.chat, meId })
        message = { ...message, ...this.#introduction(written.chat, key) }
      }
      const sealed = await this.#seal(device, message)
      sealed.attrs['count'] = count
      this.#post.deliver(device, this.#envelope(written, device, [sealed]))
    })
  }

  get #mine(): Device {
    return this.person.devices.get(0)!
  }

  /** Own devices are told in whose chat it was written. */
  #for(device: Device, { chat, message }: Written): proto.IMessage {
    const other = chat === null || chat.endsWith('@g.us') ? null : this.#post.must(chat)
    if (!other || device.person !== this.person || other === this.person) return message
    return { deviceSentMessage: { destinationJid: other.jid, message } }
  }

  #introduction(groupId: string, key: Uint8Array): proto.IMessage {
    return { senderKeyDistributionMessage: { groupId, axolotlSenderKeyDistributionMessage: key } }
  }

  #envelope(written: Written, device: Device, content: Stanza[]): Stanza {
    const type = written.message.reactionMessage ? 'reaction' : wordsOfMedia(written.message) ? 'media' : 'text'
    const edit = written.message.protocolMessage?.editedMessage ? '1' : undefined
    return this.#post.envelope({
      from: this.#mine,
      to: device,
      chat: written.chat,
      id: written.id,
      at: written.at,
      type,
      edit,
      content,
    })
  }

  async #begin(device: Device, offered: ReturnType<typeof wa.extractE2ESessionFromRetryReceipt>): Promise<void> {
    const session = offered ?? (await this.#sessionWith(device))
    await this.#signal.injectE2ESession({ jid: device.lid, session })
  }

  async #sessionWith(device: Device) {
    const { registration, identity, signed, once } = await this.#post.bundle(device)
    const key = (raw: Uint8Array) => wa.generateSignalPubKey(raw)
    return {
      registrationId: registration,
      identityKey: key(identity),
      signedPreKey: { keyId: signed.id, publicKey: key(signed.key), signature: signed.signature },
      ...(once ? { preKey: { keyId: once.id, publicKey: key(once.key) } } : {}),
    }
  }

  async #seal(device: Device, message: proto.IMessage): Promise<Stanza> {
    const known = await this.#signal.validateSession(device.lid)
    if (!known.exists) await this.#begin(device, null)
    const data = wa.encodeWAMessage(message)
    const { type, ciphertext } = await this.#signal.encryptMessage({ jid: device.lid, data })
    return stanza('enc', { v: '2', type }, ciphertext)
  }

  async #open(message: Stanza, sealed: Stanza, author: Device): Promise<proto.IMessage> {
    const { from = '', participant = '' } = message.attrs
    const type = sealed.attrs['type']
    const ciphertext = bytes(sealed)
    const plain =
      type === 'skmsg'
        ? await this.#signal.decryptGroupMessage({ group: from, authorJid: participant, msg: ciphertext })
        : await this.#signal.decryptMessage({ jid: author.lid, type: type === 'pkmsg' ? 'pkmsg' : 'msg', ciphertext })
    const outer = wa.proto.Message.decode(wa.unpadRandomMax16(plain))
    const inner = outer.deviceSentMessage?.message ?? outer
    const item = inner.senderKeyDistributionMessage
    if (item) await this.#signal.processSenderKeyDistributionMessage({ authorJid: participant, item })
    const {
      senderKeyDistributionMessage: _,
      messageContextInfo: __,
      ...rest
    } = wa.proto.Message.toObject(inner as proto.Message)
    return rest as proto.IMessage
  }

  async #askAgain(message: Stanza, author: Device, error: unknown): Promise<void> {
    const { id = '', t, from = '', participant, recipient } = message.attrs
    const count = (this.asked.get(id) ?? 0) + 1
    this.asked.set(id, count)
    if (count > 5) return this.#post.fault(`${this.person.name}'s phone cannot read ${id}`, error)
    const { registration, identity, signed, once } = await this.bundle()
    const me = (participant ?? from).endsWith('@lid') ? this.person.lid : this.person.jid
    const key = (tag: string, id: number, value: Uint8Array, more: Stanza[] = []) =>
      stanza(tag, {}, [stanza('id', {}, bigEndian(id, 3)), stanza('value', {}, value), ...more])
    const keys = [
      stanza('type', {}, wa.KEY_BUNDLE_TYPE),
      stanza('identity', {}, identity),
      ...(once ? [key('key', once.id, once.key)] : []),
      key('skey', signed.id, signed.key, [stanza('signature', {}, signed.signature)]),
    ]
    const request = stanza(
      'receipt',
      {
        id,
        t: seconds(),
        type: 'retry',
        from: participant ? from : me,
        participant: participant ? me : undefined,
        recipient,
      },
      [
        stanza('retry', { count: String(count), id, t, v: '1', error: '0' }),
        stanza('registration', {}, bigEndian(registration, 4)),
        stanza('keys', {}, keys),
      ],
    )
    this.#post.askAgain(author, request, this.#mine)
  }
}

function wordsOfMedia(message: proto.IMessage): boolean {
  return !!(
    message.imageMessage ||
    message.videoMessage ||
    message.audioMessage ||
    message.documentMessage ||
    message.stickerMessage
  )
}

/** The key under which a person's settings are kept for their linked devices. */
export function settingsKey(): { id: Buffer; data: Buffer } {
  return { id: Buffer.concat([Buffer.from([0, 0]), randomBytes(4)]), data: randomBytes(32) }
}
