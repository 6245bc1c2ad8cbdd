/**
 * A chat service that keeps what it shows, and an outbox that sends to it: what the walks of core/delivery.walk.test.ts move
 * about in. Owns the world and its judgement; which machine works in it, and what happens when, the walks say.
 */
import {
  type Delivery,
  type DeliveryAct,
  type DeliveryEvent,
  doubtBlocksMs,
  maxAttempts,
  type next,
  type Service,
  type step,
} from '../../src/core/delivery.ts'
import type { SendOutcome } from '../../src/core/ports.ts'

export const faults = [
  'none',
  'answer lost',
  'answer late',
  'request lost',
  'refused',
  'hopeless',
  /** Of an opener: its message is there, its thread is not. */
  'half',
  'crash before the row',
  'crash before sending',
  'crash after sending',
] as const
export type Fault = (typeof faults)[number]
interface Shown {
  key: string
  text: 'preview' | 'final'
  marked: boolean
}
export interface Machine {
  step: typeof step
  next: typeof next
  /** Where what is said at the place of an opener goes once that has ended (core/opening.ts); null until then. */
  place(opener: Delivery, back: string): string | null
}

export class World {
  now = 1_000_000
  rows: Delivery[] = []
  chats = new Map<string, Shown[]>()
  hopeless = new Set<number>()
  streamed = new Set<number>()
  /** How many parts each row would be cut into at its next try; the first count holds. */
  cuts = new Map<number, number>()
  cut = new Map<number, number>()
  /** How often a first showing whose id was not known was asked for in vain. */
  recalls = new Map<number, number>()
  /** Chat that an opener stands in, and the threads that it has begun. */
  openers = new Map<number, { back: string; threads: Set<string> }>()
  /** Answers to first showings that come after the words became final. */
  late = new Map<number, DeliveryEvent>()
  machine: Machine
  service: Service
  constructor(machine: Machine, service: Service) {
    this.machine = machine
    this.service = service
  }

  chat(name: string): Shown[] {
    const shown = this.chats.get(name) ?? []
    this.chats.set(name, shown)
    return shown
  }
  open(): Delivery[] {
    return this.rows.filter(row => row.state !== 'sent' && row.state !== 'dead')
  }
  /** The row, and with an opener's end what waits for it, in one transaction. */
  put(row: Delivery): void {
    this.rows = this.rows.map(each => (each.id === row.id ? row : each))
    const place = row.opens ? this.machine.place(row, this.openers.get(row.id)!.back) : null
    if (place === null) return
    for (const each of this.open().filter(one => one.chat === row.chat)) this.put({ ...each, chat: place })
  }
  /** A thread is wanted in `back`; what is said for it meanwhile has its place. */
  addOpener(back: string): void {
    this.add(`opening:${this.rows.length + 1}`, 'pending', 1, back)
  }
  /** Says something where the thread of an opener is, or is to be. */
  addTo(opener: Delivery, parts: number): void {
    this.add(this.machine.place(opener, this.openers.get(opener.id)!.back) ?? opener.chat, 'pending', parts)
  }
  add(chat: string, state: 'pending' | 'streaming', parts = 1, back: string | null = null): void {
    const id = this.rows.length + 1
    this.cuts.set(id, parts)
    if (back !== null) this.openers.set(id, { back, threads: new Set() })
    if (state === 'streaming') this.streamed.add(id)
    const none = { attempt: 0, doubtSince: null, orphan: false, remoteId: null, error: null, notBefore: 0 }
    this.rows.push({
      id,
      chat,
      state,
      ...none,
      parts: 0,
      part: 0,
      remoteIds: [],
      opens: back !== null,
      createdAt: this.now,
      updatedAt: this.now,
    })
  }

  /** One try of one row, with a fault. */
  attempt(row: Delivery, fault: Fault): void {
    const { now, service } = this
    if (row.state === 'streaming' && row.attempt > 0) return
    const parts = this.cuts.get(row.id)!
    const tried = this.machine.step(row, { on: 'try', service, parts, now })
    if (!tried.ok || !tried.act) throw new Error('a due row can be tried, and does something')
    if (fault !== 'crash before the row') {
      this.put(tried.row)
      if (row.state !== 'streaming' && !this.cut.has(row.id)) this.cut.set(row.id, parts)
    }
    // As another version of the renderer would: what was cut stays as it is.
    if (!row.opens) this.cuts.set(row.id, (parts % 3) + 1)
    if (fault === 'crash before sending' && tried.act.showing === 'recall') this.unanswered(row)
    if (fault === 'crash before the row' || fault === 'crash before sending') this.crash()
    else if (tried.act.do === 'lookUp') this.lookUp(tried.row, tried.act, fault)
    else this.send(tried.row, tried.act, fault)
  }
  lookUp(row: Delivery, { showing }: DeliveryAct, fault: Fault): void {
    if (showing === 'recall' && fault !== 'none') this.unanswered(row)
    if (fault === 'crash after sending') {
      this.crash()
      return
    }
    const key = showing === 'recall' ? `${row.id}:first` : keyOf(row, row.part)
    const at = this.chat(this.where(row)).findIndex(shown => shown.key === key)
    if (at >= 0 && row.opens && fault === 'none') this.begin(row, at)
    const there = at < 0 ? { is: 'absent' as const } : { is: 'sent' as const, remoteId: String(at) }
    const found = fault === 'none' ? there : { is: 'unknown' as const }
    this.settle(row, { on: 'lookedUp', part: row.part, attempt: row.attempt, showing, found, now: this.now })
  }
  /** A first showing was asked for in vain. */
  unanswered({ id }: Delivery): void {
    this.recalls.set(id, (this.recalls.get(id) ?? 0) + 1)
  }
  send(row: Delivery, act: Extract<DeliveryAct, { do: 'send' }>, fault: Fault): void {
    if (act.showing === 'recall' && !['none', 'answer late', 'half'].includes(fault)) this.unanswered(row)
    const arrives = !['request lost', 'refused', 'hopeless'].includes(fault)
    const half = fault === 'half' && row.opens
    const remoteId = arrives ? this.show(row, act) : null
    if (arrives && row.opens && !half) this.begin(row, Number(remoteId))
    if (fault === 'crash after sending') {
      this.crash()
      return
    }
    if (fault === 'hopeless' && act.showing !== 'first') this.hopeless.add(row.id)
    const failed = { sent: false, retryable: fault !== 'hopeless', code: 'network', message: fault } as const
    const outcome: SendOutcome =
      fault === 'none' || fault === 'answer late' || (fault === 'half' && !half)
        ? { sent: true, remoteId }
        : {
            ...failed,
            certain: half || fault === 'refused' || fault === 'hopeless',
            ...(half && { remoteId: remoteId! }),
          }
    const { part, attempt, showing } = act
    const event = { on: 'outcome', part, attempt, showing, outcome, now: this.now } as const
    if (showing === 'first' && fault === 'answer late') {
      this.late.set(row.id, event)
      return
    }
    const after = this.settle(row, event)
    if (outcome.sent && showing !== 'first') return
    const again = after.state === 'pending' || after.state === 'uncertain'
    if (again && after.notBefore < this.now + 1000) throw new Error('no backoff after a failure')
  }
  settle(row: Delivery, event: DeliveryEvent): Delivery {
    const done = this.machine.step(row, event)
    if (!done.ok) throw new Error(`its own ${event.on} is refused: ${done.reason}`)
    this.put(done.row)
    return done.row
  }

  /** The service's side of a send: returns the id of the message. */
  show(row: Delivery, act: Extract<DeliveryAct, { do: 'send' }>): string {
    if (row.chat.startsWith('opening:') && !row.opens) throw new Error('said at a place that is not there')
    const shown = this.chat(this.where(row))
    if (act.edit !== null && row.opens) return act.edit
    if (act.edit !== null) {
      shown[Number(act.edit)]!.text = 'final'
      return act.edit
    }
    const key = act.showing === 'final' ? keyOf(row, act.part) : `${row.id}:first`
    const old = shown.findIndex(each => each.key === key)
    if (this.service.keyed && old >= 0) return String(old)
    if (act.showing !== 'first' && !row.opens) this.inOrder(row)
    return String(shown.push({ key, text: act.showing === 'first' ? 'preview' : 'final', marked: act.maybeRepeat }) - 1)
  }
  /** A thread has the id of the message that it begins on, and a message one thread at most. */
  begin(row: Delivery, on: number): void {
    this.openers.get(row.id)!.threads.add(String(on))
  }
  where(row: Delivery): string {
    return this.openers.get(row.id)?.back ?? row.chat
  }
  /** D3: whoever is shown for the first time comes after all that were put before it, save those in doubt for 5 minutes. */
  inOrder(row: Delivery): void {
    if (this.visible(row, row.part).length > 0) return
    if (row.part > 0 && this.visible(row, row.part - 1).length === 0) throw new Error('a part before the one before it')
    for (const before of this.rows.filter(each => each.chat === row.chat && each.id < row.id)) {
      const last = this.cut.has(before.id) && this.visible(before, this.cut.get(before.id)! - 1).length > 0
      const settled = before.state === 'sent' || before.state === 'dead' || last
      if (!settled && !this.waited(before) && before.state !== 'streaming') throw new Error('out of order')
    }
  }
  visible(row: Delivery, part: number): Shown[] {
    const grown = (shown: Shown) => part === 0 && shown.key === `${row.id}:first` && shown.text === 'final'
    return this.chat(this.where(row)).filter(shown => shown.key === keyOf(row, part) || grown(shown))
  }

  crash(): void {
    this.late.clear()
    for (const row of this.open()) this.settle(row, { on: 'recover', now: this.now })
  }

  drain(pick: number, fault: Fault): void {
    const { due, wakeAt } = this.machine.next(this.open(), this.now)
    const idle = this.open().find(row => this.isDue(row) && !due.includes(row))
    if (idle) throw new Error('a row whose turn it is must wait')
    if (due.length > 0) this.attempt(due[pick % due.length]!, fault)
    else if (wakeAt !== null) this.now = Math.max(this.now, wakeAt)
  }
  isDue(row: Delivery): boolean {
    const ready = (row.state === 'pending' || row.state === 'uncertain') && row.notBefore <= this.now
    const before = this.open().filter(each => each.chat === row.chat && each.id < row.id && each.state !== 'streaming')
    return ready && before.every(each => this.waited(each))
  }
  /** In doubt for so long that others may pass. */
  waited(row: Delivery): boolean {
    return !row.opens && row.doubtSince !== null && this.now - row.doubtSince >= doubtBlocksMs
  }

  /** D5, D2: everything ends, and the chat shows what was promised. */
  end(): void {
    for (const row of this.rows.filter(each => each.state === 'streaming')) this.finish(row)
    for (let i = 0; this.open().length > 0; i++) {
      if (i > 60 * this.rows.length + 20) throw new Error('stuck')
      this.drain(i, 'none')
    }
    const exact = this.service.keyed || this.service.lookup
    for (const row of this.rows) {
      const dead = row.state === 'dead'
      if (dead && row.attempt < maxAttempts && !this.hopeless.has(row.id)) throw new Error('given up too early')
      const parts = this.cut.get(row.id) ?? 0
      this.inPlace(row, dead)
      if (!dead && (row.parts !== parts || row.remoteIds.length !== parts)) throw new Error('parts were forgotten')
      for (let part = 0; part < parts; part++) {
        const seen = this.visible(row, part)
        if (seen.length === 0 && (part < row.part || !dead)) throw new Error('sent, but never shown')
        if (exact && seen.length > 1) throw new Error('shown twice')
        if (seen.slice(1).some(shown => !shown.marked)) throw new Error('a repeat is not marked')
        const orphan = this.chat(this.where(row)).some(
          shown => shown.key === `${row.id}:first` && shown.text === 'preview',
        )
        if (part === 0 && orphan && seen.some(shown => !shown.marked)) {
          throw new Error('a repeat of a first showing is not marked')
        }
        const asked = this.recalls.get(row.id) ?? 0
        const left = this.service.keyed || (this.service.lookup && asked < 3)
        if (part === 0 && orphan && !dead && left) throw new Error('a first showing was left behind')
      }
    }
  }
  /** O1, O2: nothing is left at a place that never came to be; an opener that was sent names a thread that is there. */
  inPlace(row: Delivery, dead: boolean): void {
    const opener = this.openers.get(row.id)
    if (!opener && row.chat.startsWith('opening:')) throw new Error('left where nothing is')
    if (opener && !dead && !opener.threads.has(row.remoteId ?? '')) throw new Error('it names no thread of its own')
    const exact = this.service.keyed || this.service.lookup
    if (opener && exact && opener.threads.size > 1) throw new Error('opened twice')
  }
  finish(row: Delivery): void {
    this.settle(row, { on: 'finish', now: this.now })
    const late = this.late.get(row.id)
    if (late) this.settle(this.rows.find(each => each.id === row.id)!, late)
    this.late.delete(row.id)
  }
}

export const keyOf = (row: Delivery, part: number) => `${row.id}/${part}`
