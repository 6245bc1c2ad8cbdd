import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Delivery,
  type DeliveryAct,
  type DeliveryEvent,
  doubtBlocksMs,
  maxAttempts,
  next,
  type Service,
  step,
} from './delivery.ts'
import type { SendOutcome } from './ports.ts'

/**
 * A chat service that keeps what it shows, and an outbox that sends to it through lost requests, lost answers and crashes
 * at every point. Afterwards everything is drained without faults, and the chat must look as promised.
 */
const long = process.env['DEPUTY_LONG'] ? 40 : 1
const faults = [
  'none',
  'answer lost',
  'answer late',
  'request lost',
  'refused',
  'hopeless',
  'crash before the row',
  'crash before sending',
  'crash after sending',
] as const
type Fault = (typeof faults)[number]
interface Shown {
  key: string
  text: 'preview' | 'final'
  marked: boolean
}
interface Machine {
  step: typeof step
  next: typeof next
}

class World {
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
  put(row: Delivery): void {
    this.rows = this.rows.map(each => (each.id === row.id ? row : each))
  }
  add(chat: string, state: 'pending' | 'streaming', parts = 1): void {
    const id = this.rows.length + 1
    this.cuts.set(id, parts)
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
    this.cuts.set(row.id, (parts % 3) + 1)
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
    const at = this.chat(row.chat).findIndex(shown => shown.key === key)
    const there = at < 0 ? { is: 'absent' as const } : { is: 'sent' as const, remoteId: String(at) }
    const found = fault === 'none' ? there : { is: 'unknown' as const }
    this.settle(row, { on: 'lookedUp', part: row.part, attempt: row.attempt, showing, found, now: this.now })
  }
  /** A first showing was asked for in vain. */
  unanswered({ id }: Delivery): void {
    this.recalls.set(id, (this.recalls.get(id) ?? 0) + 1)
  }
  send(row: Delivery, act: Extract<DeliveryAct, { do: 'send' }>, fault: Fault): void {
    if (act.showing === 'recall' && fault !== 'none' && fault !== 'answer late') this.unanswered(row)
    const arrives = !['request lost', 'refused', 'hopeless'].includes(fault)
    const remoteId = arrives ? this.show(row, act) : null
    if (fault === 'crash after sending') {
      this.crash()
      return
    }
    if (fault === 'hopeless' && act.showing !== 'first') this.hopeless.add(row.id)
    const failed = { sent: false, retryable: fault !== 'hopeless', code: 'network', message: fault } as const
    const outcome: SendOutcome =
      fault === 'none' || fault === 'answer late'
        ? { sent: true, remoteId }
        : { ...failed, certain: fault === 'refused' || fault === 'hopeless' }
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
    const shown = this.chat(row.chat)
    if (act.edit !== null) {
      shown[Number(act.edit)]!.text = 'final'
      return act.edit
    }
    const key = act.showing === 'final' ? keyOf(row, act.part) : `${row.id}:first`
    const old = shown.findIndex(each => each.key === key)
    if (this.service.keyed && old >= 0) return String(old)
    if (act.showing !== 'first') this.inOrder(row)
    return String(shown.push({ key, text: act.showing === 'first' ? 'preview' : 'final', marked: act.maybeRepeat }) - 1)
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
    return this.chat(row.chat).filter(shown => shown.key === keyOf(row, part) || grown(shown))
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
    return row.doubtSince !== null && this.now - row.doubtSince >= doubtBlocksMs
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
      if (!dead && (row.parts !== parts || row.remoteIds.length !== parts)) throw new Error('parts were forgotten')
      for (let part = 0; part < parts; part++) {
        const seen = this.visible(row, part)
        if (seen.length === 0 && (part < row.part || !dead)) throw new Error('sent, but never shown')
        if (exact && seen.length > 1) throw new Error('shown twice')
        if (seen.slice(1).some(shown => !shown.marked)) throw new Error('a repeat is not marked')
        const orphan = this.chat(row.chat).some(shown => shown.key === `${row.id}:first` && shown.text === 'preview')
        if (part === 0 && orphan && seen.some(shown => !shown.marked)) {
          throw new Error('a repeat of a first showing is not marked')
        }
        const asked = this.recalls.get(row.id) ?? 0
        const left = this.service.keyed || (this.service.lookup && asked < 3)
        if (part === 0 && orphan && !dead && left) throw new Error('a first showing was left behind')
      }
    }
  }
  finish(row: Delivery): void {
    this.settle(row, { on: 'finish', now: this.now })
    const late = this.late.get(row.id)
    if (late) this.settle(this.rows.find(each => each.id === row.id)!, late)
    this.late.delete(row.id)
  }
}

const keyOf = (row: Delivery, part: number) => `${row.id}/${part}`

const move = fc.record({
  what: fc.constantFrom('add', 'add', 'stream', 'first', 'finish', 'drain', 'drain', 'drain', 'drain', 'pass', 'retry'),
  chat: fc.constantFrom('a', 'b'),
  pick: fc.nat(),
  fault: fc.constantFrom<Fault>('none', 'none', ...faults),
  ms: fc.constantFrom(1_000, 60_000, doubtBlocksMs),
})
const services = fc.record({ keyed: fc.boolean(), lookup: fc.boolean() })
const walks = fc.tuple(services, fc.array(move, { minLength: 1, maxLength: 60, size: 'max' }))

const walk = (machine: Machine) =>
  fc.property(walks, ([service, moves]) => {
    const world = new World(machine, service)
    for (const { what, chat, pick, fault, ms } of moves) {
      const streams = world.rows.filter(row => row.state === 'streaming')
      const dead = world.rows.filter(row => row.state === 'dead')
      if (what === 'add') world.add(chat, 'pending', (pick % 3) + 1)
      else if (what === 'stream') world.add(chat, 'streaming', (pick % 3) + 1)
      else if (what === 'first' && streams.length > 0) world.attempt(streams[pick % streams.length]!, fault)
      else if (what === 'finish' && streams.length > 0) world.finish(streams[pick % streams.length]!)
      else if (what === 'drain') world.drain(pick, fault)
      else if (what === 'pass') world.now += ms
      else if (what === 'retry' && dead.length > 0) {
        world.settle(dead[pick % dead.length]!, { on: 'retry', now: world.now })
      }
    }
    world.end()
  })

const real: Machine = { step, next }
const spoilt = (spoil: (row: Delivery, before: Delivery, on: string) => Partial<Delivery>): Machine => ({
  ...real,
  step: (row, event) => {
    const done = step(row, event)
    return done.ok ? { ...done, row: { ...done.row, ...spoil(done.row, row, event.on) } } : done
  },
})
/** Decides whose turn it is by rows that are seen wrongly. */
const misjudged = (see: (row: Delivery) => Delivery): Machine => ({
  ...real,
  next: (open, now) => {
    const { due, wakeAt } = next(open.map(see), now)
    return { due: open.filter(row => due.some(each => each.id === row.id)), wakeAt }
  },
})
const planted: Record<string, Machine> = {
  sendingToPending: spoilt((row, before, on) =>
    on === 'recover' && before.state === 'sending' ? { state: 'pending', doubtSince: null } : row,
  ),
  sendingStaysAfterACrash: spoilt((row, before, on) => (on === 'recover' ? before : row)),
  sendingToSent: spoilt((row, before, on) =>
    on === 'recover' && before.state === 'sending' ? { state: 'sent' } : row,
  ),
  uncertainTakenForFailed: spoilt((row, _, on) =>
    on === 'outcome' && row.state === 'uncertain' ? { state: 'pending', doubtSince: null } : row,
  ),
  doubtForgottenAfterAFailure: spoilt((row, before, on) =>
    on === 'outcome' && row.error?.includes('refused') && before.state === 'sending'
      ? { doubtSince: null, state: row.state === 'uncertain' ? 'pending' : row.state }
      : row,
  ),
  deadAtTheFirstFailure: spoilt((row, _, on) =>
    on === 'outcome' && row.state === 'pending' ? { state: 'dead' } : row,
  ),
  absentTakenForSent: spoilt((row, before, on) =>
    on === 'lookedUp' && row.doubtSince === null && before.doubtSince !== null ? { state: 'sent' } : row,
  ),
  noBackoff: spoilt((row, _, on) => (on === 'outcome' ? { notBefore: 0 } : row)),
  orphanForgotten: spoilt((row, _, on) => (on === 'recover' || on === 'finish' ? { orphan: false } : row)),
  repeatNotMarked: {
    ...real,
    step: (row, event) => {
      const done = step(row, event)
      return done.ok && done.act?.do === 'send' ? { ...done, act: { ...done.act, maybeRepeat: false } } : done
    },
  },
  editsSentAnew: {
    ...real,
    step: (row, event) => {
      const done = step(row, event)
      return done.ok && done.act?.do === 'send' ? { ...done, act: { ...done.act, edit: null } } : done
    },
  },
  neverLooksUp: {
    ...real,
    step: (row, event) =>
      event.on === 'try' ? step(row, { ...event, service: { ...event.service, lookup: false } }) : step(row, event),
  },
  headDoesNotBlock: {
    ...real,
    next: (open, now) => {
      const due = open.filter(row => ['pending', 'uncertain'].includes(row.state) && row.notBefore <= now)
      return { due, wakeAt: next(open, now).wakeAt }
    },
  },
  doubtDoesNotBlock: misjudged(row => (row.doubtSince === null ? row : { ...row, doubtSince: 0 })),
  doubtBlocksForEver: misjudged(row => ({ ...row, doubtSince: null })),
  partsStartAgainAfterACrash: spoilt((row, before, on) =>
    on === 'recover' && before.state === 'sending' ? { part: 0, remoteIds: [] } : row,
  ),
  partsStartAgainWhenRetried: spoilt((row, _, on) => (on === 'retry' ? { part: 0, remoteIds: [] } : row)),
  sentAfterTheFirstPart: spoilt((row, before, on) =>
    on === 'outcome' && row.part > before.part ? { state: 'sent' } : row,
  ),
  aPartIsSkipped: spoilt((row, before) =>
    row.part > before.part && row.part + 1 < row.parts
      ? { part: row.part + 1, remoteIds: [...row.remoteIds, null] }
      : row,
  ),
  nextPartEditsTheOneBefore: spoilt((row, before) =>
    row.part > before.part ? { remoteId: row.remoteIds.at(-1)! } : row,
  ),
  cutAnewAtEachTry: {
    ...real,
    step: (row, event) => {
      const done = step(row, event)
      return done.ok && event.on === 'try' && row.state !== 'streaming'
        ? { ...done, row: { ...done.row, parts: Math.max(event.parts ?? 0, row.part + 1) } }
        : done
    },
  },
  lookedUpPartEndsAll: spoilt((row, _, on) => (on === 'lookedUp' && row.part > 0 ? { state: 'sent' } : row)),
  lateFirstShowingForgotten: {
    ...real,
    step: (row, event) =>
      event.on === 'outcome' && event.showing === 'first' && row.state === 'pending'
        ? { ok: true, row: { ...row, orphan: false }, act: null }
        : step(row, event),
  },
  lostShowingNotAskedFor: {
    ...real,
    step: (row, event) =>
      event.on === 'try' && row.orphan && row.doubtSince === null
        ? step(row, { ...event, service: { keyed: false, lookup: false } })
        : step(row, event),
  },
  recallTakenForTheFinalWords: {
    ...real,
    step: (row, event) =>
      event.on === 'lookedUp' && event.showing === 'recall' && event.found.is === 'sent'
        ? { ok: true, row: { ...row, state: 'sent', remoteId: event.found.remoteId }, act: null }
        : step(row, event),
  },
  recalledIdForgotten: spoilt((row, before, on) =>
    (on === 'lookedUp' || on === 'outcome') && before.state === 'pending' && before.orphan
      ? { remoteId: null, orphan: false }
      : row,
  ),
  neverWakes: { ...real, next: (open, now) => ({ ...next(open, now), wakeAt: null }) },
}

describe('an outbox through faults and crashes', () => {
  test('each message once and in order, or at least once with every repeat marked; nothing stuck', () => {
    fc.assert(walk(real), { numRuns: 3000 * long })
  }, 600_000)

  test.each(Object.keys(planted))('the walks catch %s', name => {
    expect(fc.check(walk(planted[name]!), { numRuns: 5000, endOnFailure: true }).failed).toBe(true)
  })
})
