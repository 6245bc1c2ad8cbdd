/**
 * The project's own WhatsApp: a service on loopback that real baileys clients pair with, log in to and write over.
 *
 * Owns the listening socket, the faults a test asks for, and the books. One a process: the root key that clients trust is
 * a setting of the whole process (trust), or of another process by preload.ts.
 */
import { EventEmitter, once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { host, type Stanza, seconds, stanza, wa } from './kit.ts'
import { type Identity, Line, type LineEvents } from './line.ts'
import { firstWords, type Guest, link, offer, readQr, typeCode } from './linking.ts'
import { type MediaStore, openMediaStore } from './media.ts'
import type { Device, Person } from './people.ts'
import { Post, type Verdict } from './post.ts'
import { answer } from './queries.ts'
import { Settings } from './settings.ts'

export interface ServiceOptions {
  allPreKeys?: boolean
  refs?: number
  /** Serves files over https, for clients that trust `media.certificate`. */
  media?: boolean
}

export class FakeWhatsApp {
  readonly post = new Post()
  /** Changes what becomes of a client's stanza. */
  judge: (stanza: Stanza, device: Device | null) => Verdict = () => 'pass'
  /** False keeps a stanza from the client. */
  tells: (stanza: Stanza, device: Device | null) => boolean = () => true
  readonly presences: { by: string; state: string }[] = []
  readonly rootKey: Buffer<ArrayBuffer>
  url = ''
  media: MediaStore | null = null
  readonly #settings = new Settings()
  readonly #identity: Identity
  readonly #lines = new Map<Line, { device: Device | null; guest: Guest | null }>()
  readonly #events = new EventEmitter().setMaxListeners(0)
  readonly #options: ServiceOptions
  #http: Server | null = null
  #port = 0

  constructor(options: ServiceOptions = {}) {
    this.#options = options
    const { CertChain } = wa.proto
    const { Details } = CertChain.NoiseCertificate
    const [root, between, key] = [1, 2, 3].map(() => wa.Curve.generateKeyPair()) as [Pair, Pair, Pair]
    const vouch = (serial: number, issuerSerial: number, public_: Uint8Array, by: Pair) => {
      const details = Details.encode({
        serial,
        issuerSerial,
        key: public_,
        notBefore: 0,
        notAfter: 4_000_000_000,
      }).finish()
      return { details, signature: wa.Curve.sign(by.private, details) }
    }
    const intermediate = vouch(1, wa.WA_CERT_DETAILS.SERIAL, between.public, root)
    const leaf = vouch(2, 1, key.public, between)
    this.#identity = { key, chain: CertChain.encode({ intermediate, leaf }).finish() }
    this.rootKey = Buffer.from(root.public)
  }

  /** On the same port again after `down`. */
  async up(): Promise<void> {
    if (this.#options.media && !this.media) this.media = await openMediaStore()
    const http = createServer()
    new WebSocketServer({ server: http }).on('connection', socket => {
      const line = new Line(socket, this.#identity, {
        hello: (of, payload) => this.#hello(of, payload),
        stanza: (of, said) => this.#stanza(of, said),
        closed: of => this.#closed(of),
        fault: (where, error) => this.post.fault(where, error),
        outgoing: (of, said) => this.tells(said, this.#lines.get(of)?.device ?? null),
      })
      this.#lines.set(line, { device: null, guest: null })
    })
    http.listen(this.#port, '127.0.0.1')
    await once(http, 'listening')
    this.#http = http
    this.#port = (http.address() as AddressInfo).port
    this.url = `ws://127.0.0.1:${this.#port}/ws/chat`
  }
  /** Nobody is listening and every line is cut; what people and devices have stays. */
  async down(): Promise<void> {
    for (const line of this.#lines.keys()) line.cut()
    const http = this.#http
    this.#http = null
    if (http) await new Promise(resolve => http.close(resolve))
  }
  async close(): Promise<void> {
    await this.down()
    await this.media?.close()
  }

  /** Makes clients of this process talk to this service. */
  trust(): void {
    wa.WA_CERT_DETAILS.PUBLIC_KEY = this.rootKey
    wa.DEFAULT_CONNECTION_CONFIG.waWebSocketUrl = this.url
  }

  person(name: string, phone: string): Person {
    return this.post.person(name, phone)
  }

  // ------------------------------------------------------------------------------------------------------- linking

  async scan(qr: string, person: Person): Promise<Device> {
    const { ref, identity, secret } = readQr(qr)
    const guest = this.#guests.find(one => one.refs.includes(ref))
    if (!guest) throw new Error('no client is showing this QR')
    return link(guest, person, identity, secret)
  }
  async type(code: string, person: Person): Promise<Device> {
    const asking = () => this.#guests.find(one => one.code?.jid === person.jid)
    await this.until(() => asking() !== undefined)
    const guest = asking()
    if (!guest) throw new Error('the client has gone')
    const { identity, secret } = await typeCode(guest, person, code)
    return link(guest, person, identity, secret)
  }

  // -------------------------------------------------------------------------------------------------------- faults

  cut(person: Person): void {
    for (const device of person.clients) device.line?.cut()
  }
  /** The clients' lines stay open and nothing moves until the returned function is called. */
  freeze(person: Person): () => void {
    const thaws = person.clients.map(device => device.line?.freeze())
    return () => {
      for (const thaw of thaws) thaw?.()
    }
  }
  /** Brings what was held back, in this order. */
  release(person: Person, order: (mail: Device['mail']) => Device['mail'] = mail => mail): void {
    person.held = false
    for (const device of person.clients) {
      const waiting = order(device.mail.filter(item => !item.brought))
      device.mail.splice(0, device.mail.length, ...device.mail.filter(item => item.brought), ...waiting)
      device.bring()
    }
  }
  /** The very same stanza once more. */
  again(person: Person, id: string): void {
    for (const device of person.clients) {
      const posted = device.posted.get(id)
      if (posted) device.post(posted)
    }
  }
  async streamError(person: Person, what: '515' | '503' | 'replaced'): Promise<void> {
    const conflict = [stanza('conflict', { type: 'replaced' })]
    const last = what === 'replaced' ? stanza('stream:error', {}, conflict) : stanza('stream:error', { code: what })
    for (const device of person.clients) await device.line?.bye(last)
  }
  /** The person removes the linked devices on the phone. */
  async unlink(person: Person): Promise<void> {
    for (const device of person.clients) {
      person.devices.delete(device.number)
      await device.line?.bye(stanza('stream:error', { code: '401' }, [stanza('conflict', { type: 'device_removed' })]))
    }
  }

  // --------------------------------------------------------------------------------------------------------- books

  online(person: Person): boolean {
    return person.clients.some(device => device.ready)
  }
  /** Resolves when it holds, now or after something has happened on the service. */
  async until(holds: () => boolean, ms = 20_000): Promise<void> {
    const signal = AbortSignal.timeout(ms)
    while (!holds()) await once(this.#events, 'step', { signal })
  }
  /** What a person's clients have not said that they have. */
  waiting(person: Person): string[] {
    return person.clients.flatMap(device => device.mail).map(item => item.stanza.attrs['id'] ?? '')
  }

  // -------------------------------------------------------------------------------------------------------- inside

  get #guests(): Guest[] {
    return [...this.#lines.values()].flatMap(({ guest }) => (guest ? [guest] : []))
  }

  async #hello(line: Line, payload: Parameters<LineEvents['hello']>[1]): Promise<void> {
    const role = this.#lines.get(line)
    if (!role) return
    if (payload.devicePairingData) {
      role.guest = offer(line, payload.devicePairingData, this.#options.refs ?? 5)
      return
    }
    const device = this.post.find(`${payload.username}@${host}`)?.devices.get(payload.device ?? 0)
    if (!device?.number || !device.noiseKey.equals(line.noiseKey)) {
      await line.bye(stanza('failure', { reason: '401', location: 'here' }))
      return
    }
    if (device.person.refused) return line.cut()
    void device.line?.bye(stanza('stream:error', {}, [stanza('conflict', { type: 'replaced' })]))
    device.gone()
    device.line = line
    line.slowness = () => device.person.slow
    role.device = device
    await line.send(stanza('success', { t: seconds(), lid: device.lid, display_name: device.person.name }))
  }

  async #stanza(line: Line, said: Stanza): Promise<void> {
    const { device = null, guest = null } = this.#lines.get(line) ?? {}
    const verdict = this.judge(said, device)
    if (verdict === 'cut') line.cut()
    if (verdict !== 'cut' && verdict !== 'swallow') {
      await this.#serve(line, said, device, guest, verdict)
      if (verdict === 'cut after') line.cut()
    }
    this.#events.emit('step')
  }

  async #serve(line: Line, said: Stanza, device: Device | null, guest: Guest | null, verdict: Verdict): Promise<void> {
    if (said.tag === 'iq') {
      const about = Array.isArray(said.content) ? said.content[0] : undefined
      const { reply, after } = await answer(
        { device, guest, iq: said, about },
        {
          post: this.post,
          settings: this.#settings,
          allPreKeys: this.#options.allPreKeys ?? false,
          mediaHosts: () => (this.media ? [this.media.host] : []),
          live: one => this.#live(one, line).catch(error => this.post.fault('going live', error)),
          unlinked: one => {
            one.person.devices.delete(one.number)
          },
        },
      )
      void line.send(reply)
      return after()
    }
    if (!device) return
    if (said.tag === 'message') {
      const reply = this.post.relay(device, said, verdict)
      await this.post.shown()
      if (reply && verdict !== 'cut after') await line.send(reply)
    } else if (said.tag === 'receipt') {
      this.post.taken(device, said)
      const { id, to, type, participant } = said.attrs
      void line.send(stanza('ack', { class: 'receipt', id, from: to, type, participant }))
    } else if (said.tag === 'ack') {
      const { class: of = '', id = '', error } = said.attrs
      if (error) this.post.refusals.push({ by: device.jid, id, code: error })
      device.has(of, id)
    } else if (said.tag === 'presence') {
      this.presences.push({ by: device.person.jid, state: said.attrs['type'] ?? 'named' })
    } else if (said.tag === 'chatstate') {
      const [state] = Array.isArray(said.content) ? said.content : []
      this.presences.push({ by: device.person.jid, state: state?.tag ?? '' })
    } else if (said.tag !== 'ib') this.post.unknown.push(said)
  }

  /** What waited, then word that this was all; the first time, what a phone tells a fresh device. */
  async #live(device: Device, line: Line): Promise<void> {
    if (device.line !== line) return
    const backlog = device.backlog()
    const count = String(backlog.length)
    await line.send(stanza('ib', { from: host }, [stanza('offline_preview', { count, message: count })]))
    for (const one of backlog) void line.send(one)
    await line.send(stanza('ib', { from: host }, [stanza('offline', { count })]))
    device.ready = true
    device.bring()
    this.#events.emit('step')
    if (device.greeted) return
    device.greeted = true
    await firstWords(device, this.#settings, [...this.post.people.values()])
  }

  #closed(line: Line): void {
    const role = this.#lines.get(line)
    this.#lines.delete(line)
    if (role?.device?.line === line) role.device.gone()
    this.#events.emit('step')
  }
}

type Pair = ReturnType<typeof wa.Curve.generateKeyPair>

/** Ends with `close`. */
export async function startFakeWhatsApp(options: ServiceOptions = {}): Promise<FakeWhatsApp> {
  const service = new FakeWhatsApp(options)
  await service.up()
  return service
}
