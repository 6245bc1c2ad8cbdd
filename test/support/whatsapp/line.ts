/**
 * One WebSocket of a client, as the service has it: the Noise handshake as its responder, then encrypted frames of stanzas.
 *
 * Owns framing, order and the faults of a line: frozen, slow, cut. What a stanza means is decided by whoever opened it.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import type { proto } from 'baileys'
import type WebSocket from 'ws'
import { bigEndian, type Stanza, serial, Turns, wa } from './kit.ts'

/** The service's long-lived Noise key with the chain of certificates that vouches for it. */
export interface Identity {
  key: { private: Uint8Array; public: Uint8Array }
  chain: Uint8Array
}

export interface LineEvents {
  /** The handshake is through: who the client says it is. */
  hello(line: Line, payload: proto.IClientPayload): Promise<void>
  stanza(line: Line, stanza: Stanza): Promise<void>
  closed(line: Line): void
  fault(where: string, error: unknown): void
  /** What the client is about to be told; false keeps it from being told. */
  outgoing(line: Line, stanza: Stanza): boolean
}

const empty = Buffer.alloc(0)

function nonce(count: number): Buffer {
  const iv = Buffer.alloc(12)
  iv.writeUInt32BE(count, 8)
  return iv
}

function seal(key: Buffer, count: number, plain: Uint8Array, extra: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce(count)).setAAD(extra)
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function unseal(key: Buffer, count: number, sealed: Uint8Array, extra: Uint8Array): Buffer {
  const cipher = createDecipheriv('aes-256-gcm', key, nonce(count)).setAAD(extra)
  cipher.setAuthTag(sealed.subarray(sealed.length - 16))
  return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()])
}

/** Noise_XX_25519_AESGCM_SHA256, the responder's half. */
class Responder {
  #chaining: Buffer = Buffer.from(wa.NOISE_MODE, 'binary')
  #transcript: Buffer = this.#chaining
  #key: Buffer = this.#chaining
  #count = 0

  note(data: Uint8Array): void {
    this.#transcript = createHash('sha256').update(this.#transcript).update(data).digest()
  }
  agree(mine: Uint8Array, theirs: Uint8Array): void {
    const [chaining, key] = this.#derive(wa.Curve.sharedKey(mine, theirs))
    this.#chaining = chaining
    this.#key = key
    this.#count = 0
  }
  say(plain: Uint8Array): Buffer {
    const sealed = seal(this.#key, this.#count++, plain, this.#transcript)
    this.note(sealed)
    return sealed
  }
  hear(sealed: Uint8Array): Buffer {
    const plain = unseal(this.#key, this.#count++, sealed, this.#transcript)
    this.note(sealed)
    return plain
  }
  /** The keys of the two directions: what the client writes with comes first. */
  finish(): [Buffer, Buffer] {
    return this.#derive(empty)
  }
  #derive(secret: Uint8Array): [Buffer, Buffer] {
    const both = Buffer.from(hkdfSync('sha256', secret, this.#chaining, '', 64))
    return [both.subarray(0, 32), both.subarray(32)]
  }
}

export class Line {
  /** The key that the client proved; set once the handshake is through. */
  noiseKey: Buffer = empty
  /** Milliseconds that everything to this client takes. */
  slowness: () => number = () => 0
  readonly #socket: WebSocket
  readonly #events: LineEvents
  readonly #identity: Identity
  readonly #noise = new Responder()
  readonly #ephemeral = wa.Curve.generateKeyPair()
  readonly #in = new Turns()
  readonly #out = new Turns()
  readonly #asked = new Map<string, (answer: Stanza | null) => void>()
  #pending: Buffer = empty
  #greeted = false
  #stage: 'hello' | 'finish' | 'open' = 'hello'
  #readKey: Buffer = empty
  #writeKey: Buffer = empty
  #read = 0
  #written = 0
  #thawed: Promise<void> = Promise.resolve()

  constructor(socket: WebSocket, identity: Identity, events: LineEvents) {
    this.#socket = socket
    this.#identity = identity
    this.#events = events
    socket.on('message', (data: Buffer) => this.#take(data))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      for (const done of this.#asked.values()) done(null)
      events.closed(this)
    })
  }

  get open(): boolean {
    return this.#socket.readyState === 1
  }

  send(stanza: Stanza): Promise<void> {
    const due = Date.now() + this.slowness()
    return this.#out.take(async () => {
      await this.#thawed
      const early = due - Date.now()
      if (early > 0) await new Promise(resolve => setTimeout(resolve, early))
      if (!this.open || !this.#events.outgoing(this, stanza)) return
      this.#frame(seal(this.#writeKey, this.#written++, wa.encodeBinaryNode(stanza), empty))
    })
  }

  /** Asks the client; null when the line is cut before it answers. */
  ask(question: Stanza): Promise<Stanza | null> {
    const id = question.attrs['id'] ?? serial('Q')
    return new Promise(resolve => {
      this.#asked.set(id, answer => {
        this.#asked.delete(id)
        resolve(answer)
      })
      void this.send({ ...question, attrs: { ...question.attrs, id } })
    })
  }

  /** A frame that nobody sealed. */
  babble(bytes: Uint8Array): void {
    this.#frame(bytes)
  }

  /** Last words, then a close that the client sees. */
  async bye(last: Stanza): Promise<void> {
    await this.send(last)
    this.#socket.close()
  }
  /** As a cable that is pulled. */
  cut(): void {
    this.#socket.terminate()
  }
  /** The socket stays open and nothing moves until the returned function is called. */
  freeze(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#thawed = promise
    return resolve
  }

  #frame(data: Uint8Array): void {
    if (this.open) this.#socket.send(Buffer.concat([bigEndian(data.length, 3), data]))
  }

  #take(data: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, data])
    if (!this.#greeted) {
      // A client that was told where its data lives begins with that: `ED`, two bytes, three of length.
      if (this.#pending.subarray(0, 2).toString('latin1') === 'ED') {
        this.#pending = this.#pending.subarray(7 + this.#pending.readUIntBE(4, 3))
      }
      this.#noise.note(this.#pending.subarray(0, 4))
      this.#pending = this.#pending.subarray(4)
      this.#greeted = true
    }
    while (this.#pending.length >= 3 && this.#pending.length >= 3 + this.#pending.readUIntBE(0, 3)) {
      const length = this.#pending.readUIntBE(0, 3)
      const frame = Buffer.from(this.#pending.subarray(3, 3 + length))
      this.#pending = this.#pending.subarray(3 + length)
      try {
        this.#handle(frame)
      } catch (error) {
        this.#events.fault('frame', error)
        this.cut()
        return
      }
    }
  }

  #handle(frame: Buffer): void {
    const noise = this.#noise
    if (this.#stage === 'hello') {
      const theirs = wa.proto.HandshakeMessage.decode(frame).clientHello?.ephemeral ?? empty
      noise.note(theirs)
      noise.note(this.#ephemeral.public)
      noise.agree(this.#ephemeral.private, theirs)
      const fixed = noise.say(this.#identity.key.public)
      noise.agree(this.#identity.key.private, theirs)
      const payload = noise.say(this.#identity.chain)
      const serverHello = { ephemeral: this.#ephemeral.public, static: fixed, payload }
      this.#frame(wa.proto.HandshakeMessage.encode({ serverHello }).finish())
      this.#stage = 'finish'
      return
    }
    if (this.#stage === 'finish') {
      const finish = wa.proto.HandshakeMessage.decode(frame).clientFinish
      this.noiseKey = noise.hear(finish?.static ?? empty)
      noise.agree(this.#ephemeral.private, this.noiseKey)
      const payload = wa.proto.ClientPayload.decode(noise.hear(finish?.payload ?? empty))
      ;[this.#readKey, this.#writeKey] = noise.finish()
      this.#stage = 'open'
      this.#serve(() => this.#events.hello(this, payload))
      return
    }
    const plain = unseal(this.#readKey, this.#read++, frame, empty)
    this.#serve(async () => {
      await this.#thawed
      const stanza = await wa.decodeBinaryNode(plain)
      const answered = this.#asked.get(stanza.attrs['id'] ?? '')
      if (stanza.tag === 'iq' && ['result', 'error'].includes(stanza.attrs['type'] ?? '')) answered?.(stanza)
      else await this.#events.stanza(this, stanza)
    })
  }

  #serve(job: () => Promise<void>): void {
    this.#in.take(job).catch(error => this.#events.fault('stanza', error))
  }
}
