import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Fault, faults, type Machine, World } from '../../test/support/delivery-world.ts'
import { type Delivery, doubtBlocksMs, next, step } from './delivery.ts'
import { placeOf } from './opening.ts'

/**
 * An outbox that sends through lost requests, lost answers and crashes at every point. Afterwards everything is drained
 * without faults, and the chat must look as promised.
 */
const long = process.env['DEPUTY_LONG'] ? 40 : 1

const move = fc.record({
  what: fc.constantFrom(
    ...(['add', 'add', 'stream', 'first', 'finish', 'drain', 'drain', 'drain', 'drain', 'pass', 'retry'] as const),
    ...(['open', 'into', 'into'] as const),
  ),
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
      const dead = world.rows.filter(row => row.state === 'dead' && !row.opens)
      const openers = world.rows.filter(row => row.opens)
      if (what === 'add') world.add(chat, 'pending', (pick % 3) + 1)
      else if (what === 'stream') world.add(chat, 'streaming', (pick % 3) + 1)
      else if (what === 'first' && streams.length > 0) world.attempt(streams[pick % streams.length]!, fault)
      else if (what === 'finish' && streams.length > 0) world.finish(streams[pick % streams.length]!)
      else if (what === 'drain') world.drain(pick, fault)
      else if (what === 'pass') world.now += ms
      else if (what === 'open') world.addOpener(chat)
      else if (what === 'into' && openers.length > 0) world.addTo(openers[pick % openers.length]!, (pick % 3) + 1)
      else if (what === 'retry' && dead.length > 0) {
        world.settle(dead[pick % dead.length]!, { on: 'retry', now: world.now })
      }
    }
    world.end()
  })

/** As core/opening.ts says it of routes. */
const place: Machine['place'] = (opener, back) => {
  const route = { channel: 'c', account: '', to: back, thread: opener.chat }
  const opens = { name: 'n', session: 's', by: '', back: null }
  const found = placeOf({ ...opener, route, content: { text: '', opens } })
  return found && (found.thread === undefined ? found.to : `thread:${found.to}:${found.thread}`)
}
const real: Machine = { step, next, place }
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
  openerFreesItsPlaceWhenInDoubt: {
    ...real,
    next: (open, now) =>
      next(
        open.map(row => ({ ...row, opens: false })),
        now,
      ),
  },
  threadOfAFailedOpener: { ...real, place: (opener, back) => place({ ...opener, state: 'sent', remoteId: '0' }, back) },
  nothingFallsBack: { ...real, place: (opener, back) => (opener.state === 'dead' ? null : place(opener, back)) },
  placeIsForgotten: { ...real, place: () => null },
  standingMessageForgotten: spoilt((row, before, on) =>
    on === 'outcome' && row.opens && row.state === 'pending' ? { remoteId: before.remoteId } : row,
  ),
  openerSentWithoutAThread: spoilt((row, _, on) => (on === 'lookedUp' && row.opens ? { remoteId: null } : row)),
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
