/**
 * Who is on the fake service: people with their phones and linked devices, what waits for each device, and a book of what
 * each person was shown.
 *
 * Owns the mail of a device: a stanza stays until the device says that it has it, and is brought again after every cut.
 */
import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { proto } from 'baileys'
import type { Line } from './line.ts'
import { host, type Stanza, userOf, wa } from './kit.ts'
import type { Phone } from './phone.ts'

export interface Bundle {
  registration: number
  identity: Uint8Array
  signed: { id: number; key: Uint8Array; signature: Uint8Array }
  once: { id: number; key: Uint8Array } | null
}

interface Mail {
  stanza: Stanza
  brought: boolean
}

/** Device 0 is the phone itself, which lives in this process; the others are clients that were linked. */
export class Device {
  readonly person: Person
  readonly number: number
  readonly jid: string
  readonly lid: string
  line: Line | null = null
  /** The client has asked to be told things. */
  ready = false
  noiseKey: Buffer = Buffer.alloc(0)
  keys: Omit<Bundle, 'once'> | null = null
  readonly oneTime = new Map<number, Uint8Array>()
  readonly mail: Mail[] = []
  /** Everything it was ever sent, to bring it again. */
  readonly posted = new Map<string, Stanza>()
  greeted = false

  constructor(person: Person, number: number) {
    this.person = person
    this.number = number
    this.jid = wa.jidEncode(userOf(person.jid), host, number)
    this.lid = wa.jidEncode(userOf(person.lid), 'lid', number)
  }

  post(stanza: Stanza): void {
    if (stanza.tag === 'message') this.posted.set(stanza.attrs['id'] ?? '', stanza)
    this.mail.push({ stanza, brought: false })
    this.bring()
  }
  /** Everything that is waiting, as long as the line is up and nothing is held back. */
  bring(): void {
    if (!this.ready || !this.line || this.person.held) return
    for (const item of this.mail.filter(item => !item.brought)) {
      item.brought = true
      void this.line.send(item.stanza)
    }
  }
  /** The backlog of a client that was away, each stanza marked as such. */
  backlog(): Stanza[] {
    if (this.person.held) return []
    return this.mail.map((item, at) => {
      item.brought = true
      return { ...item.stanza, attrs: { ...item.stanza.attrs, offline: String(at) } }
    })
  }
  gone(): void {
    this.line = null
    this.ready = false
    for (const item of this.mail) item.brought = false
  }
  has(tag: string, id: string): void {
    const at = this.mail.findIndex(item => item.brought && item.stanza.tag === tag && item.stanza.attrs['id'] === id)
    if (at >= 0) this.mail.splice(at, 1)
  }
}

/** One message as a person sees it. */
export interface Shown {
  id: string
  /** The other person, or the group. */
  chat: string
  from: string
  mine: boolean
  at: number
  text: string
  message: proto.IMessage
  /** How often it arrived; shown once all the same. */
  times: number
  edits: number
}

/** The words in a message, whatever it is wrapped in. */
export function wordsOf(message: proto.IMessage | null | undefined): string {
  const inner = wa.normalizeMessageContent(message ?? undefined)
  return (
    inner?.conversation ??
    inner?.extendedTextMessage?.text ??
    inner?.imageMessage?.caption ??
    inner?.videoMessage?.caption ??
    inner?.documentMessage?.caption ??
    ''
  )
}

export class Person {
  readonly jid: string
  readonly lid: string
  name: string
  readonly devices = new Map<number, Device>()
  readonly shown: Shown[] = []
  readonly reactions: { message: string; emoji: string; from: string }[] = []
  readonly events = new EventEmitter().setMaxListeners(0)
  phone!: Phone
  /** Faults. */
  slow = 0
  held = false
  refused = false
  linked = 0

  constructor(jid: string, name: string) {
    this.jid = jid
    this.name = name
    const made = createHash('sha256').update(`lid of ${jid}`).digest().readUIntBE(0, 6)
    this.lid = `${100_000_000_000_000 + (made % 900_000_000_000_000)}@lid`
    this.devices.set(0, new Device(this, 0))
  }

  get clients(): Device[] {
    return [...this.devices.values()].filter(device => device.number > 0)
  }
  /** Texts in the order in which they were first shown, without this person's own. */
  get texts(): string[] {
    return this.shown.filter(one => !one.mine).map(one => one.text)
  }

  show(entry: Omit<Shown, 'text' | 'times' | 'edits'>): void {
    const { message } = entry
    if (message.protocolMessage?.editedMessage) {
      const edited = this.shown.find(one => one.id === message.protocolMessage?.key?.id && one.from === entry.from)
      if (edited)
        Object.assign(edited, { text: wordsOf(message.protocolMessage.editedMessage), edits: edited.edits + 1 })
    } else if (message.reactionMessage) {
      const { key, text } = message.reactionMessage
      this.reactions.push({ message: key?.id ?? '', emoji: text ?? '', from: entry.from })
    } else if (!message.protocolMessage) {
      const known = this.shown.find(one => one.id === entry.id && one.chat === entry.chat && one.from === entry.from)
      if (known) known.times++
      else this.shown.push({ ...entry, text: wordsOf(message), times: 1, edits: 0 })
    }
    this.events.emit('shown')
  }

  /** The first message shown that fits, now or later. */
  async sees(fits: (one: Shown) => boolean, ms = 20_000): Promise<Shown> {
    const signal = AbortSignal.timeout(ms)
    for (;;) {
      const found = this.shown.find(fits)
      if (found) return found
      try {
        await once(this.events, 'shown', { signal })
      } catch (error) {
        const all = this.shown.map(one => one.text.slice(0, 80)).join(' | ')
        throw new Error(`${this.name} saw no such message in ${ms} ms, only: ${all}`, { cause: error })
      }
    }
  }
}
