/**
 * The outbox machine: what may follow what in the delivery of one message (decisions.md 22).
 *
 *   pending → sending → sent | pending again | uncertain | dead;   uncertain → looked up, or sent again → …
 *   streaming (a reply that grows in the chat by edits) → pending, once its words are final; → sent, when none come
 *
 * What is longer than one message of the service goes out in parts, fixed at the first try. The row always stands for the
 * part that is next: each has its own attempts, its own doubt and its own key, and when it is sent the row is the part after it.
 *
 * Owns the states, the backoff and the order within a chat; sends nothing. The shell writes the row that `step` returns,
 * and only then acts. Ids and `now` come in the event.
 *
 * Invariants:
 * D1 sent and dead absorb (but for an operator's `retry` of a dead one).
 * D2 whatever may have been seen is never sent again as if it had not: the service's key, its look-up or an edit makes
 *    the repeat invisible; where it has none of them the repeat is marked. A first showing whose id was never learnt is asked
 *    for by the same means, so that the final words replace it, whatever they say by then.
 * D3 in a chat the oldest open message goes first and blocks the others, until it is sent, dead, or 5 minutes in doubt.
 * D4 a crash turns `sending` into `uncertain`, never into `pending`.
 * D5 under a fair drain every message ends: it is dead after `maxAttempts` of one part.
 * D6 a part that was sent is never sent again, and no part before the one before it was.
 * D7 an opener begins the place that its chat is (core/opening.ts): it blocks those behind it until it has ended, however long
 *    it is in doubt, and it ends as sent only with the id of that place.
 */
import type { LookedUp, Outbound, OutboundMessage, SendOutcome } from './ports.ts'

/** How long a message that may have been seen holds up those behind it. */
export const doubtBlocksMs = 300_000
/** With the backoff below: about half an hour of trying (openclaw-facts.md §D6). */
export const maxAttempts = 14
/** A look-up that has not answered is asked again after this. */
const lookUpPatienceMs = 30_000
/** How often a lost first showing is looked up before the final words come beside it, marked. */
const mostLookUps = 3

/** A delivery as the machine sees it; route and words are the shell's. */
export interface Delivery {
  /** Row number: the order within the chat. */
  id: number
  /** Chat (channel, account, address, thread) as one name. */
  chat: string
  state: 'streaming' | 'pending' | 'sending' | 'uncertain' | 'sent' | 'dead'
  /** Sends and look-ups begun; while streaming, 1 once its first showing was sent. */
  attempt: number
  /** Since when it may have been seen without our knowing; null = it has surely not been. */
  doubtSince: number | null
  /** A first showing may stand in the chat whose id we never learnt, so that the final words repeat a part of it. */
  orphan: boolean
  /** The service's id of the message, once known: from then on sending is an edit, which may be repeated. */
  remoteId: string | null
  /** `code: message` of the last failure. */
  error: string | null
  notBefore: number
  /** How many parts it was cut into; 0 until the first try. */
  parts: number
  /** The one that is next, from 0. */
  part: number
  /** The service's ids of the parts that were sent; null where it gave none. */
  remoteIds: readonly (string | null)[]
  /** It opens the thread that its chat stands for. */
  opens: boolean
  createdAt: number
  updatedAt: number
}

/** What the chat service can tell apart (ports.ts `Outbound`). */
export interface Service {
  keyed: boolean
  lookup: boolean
}

/** What the service can tell apart now: it may know a key for some time only. */
export function serviceOf(
  out: Pick<Outbound, 'keyed' | 'keyedForMs' | 'lookup'>,
  row: Pick<Delivery, 'doubtSince' | 'orphan' | 'createdAt'>,
  now: number,
): Service {
  const since = row.doubtSince ?? (row.orphan ? row.createdAt : now)
  const inTime = now - since <= (out.keyedForMs ?? Number.POSITIVE_INFINITY)
  return { keyed: out.keyed && inTime, lookup: out.lookup !== undefined }
}

export type DeliveryEvent =
  /**
   * Its turn has come: see `next`. `parts` counts at the first try only; null: the first showing of a streaming reply, and
   * nothing when its words have become final meanwhile.
   */
  | { on: 'try'; service: Service; parts: number | null; now: number }
  | { on: 'outcome'; part: number; attempt: number; showing: Showing; outcome: SendOutcome; now: number }
  | { on: 'lookedUp'; part: number; attempt: number; showing: Showing; found: LookedUp; now: number }
  /** The words of a streaming reply are final. */
  | { on: 'finish'; now: number }
  /** It has no final words: what is shown of a streaming reply stays as it is. */
  | { on: 'leave'; now: number }
  /** After a crash, once per open row. */
  | { on: 'recover'; now: number }
  /** An operator wants a dead one tried again. */
  | { on: 'retry'; now: number }

/**
 * What a call of the service shows: the first words of a streaming reply, under a key of their own; the same again, to learn
 * which message they are; the final words, under the row's key.
 */
export type Showing = 'first' | 'recall' | 'final'

/** What to do once the row is written; `edit` is the id of the message to change. */
export type DeliveryAct =
  | {
      do: 'send'
      part: number
      attempt: number
      showing: Showing
      maybeRepeat: OutboundMessage['maybeRepeat']
      edit: string | null
    }
  | { do: 'lookUp'; part: number; attempt: number; showing: Showing }

export type DeliveryStep = { ok: true; row: Delivery; act: DeliveryAct | null } | { ok: false; reason: string }

export function step(row: Delivery, event: DeliveryEvent): DeliveryStep {
  switch (event.on) {
    case 'try':
      return attempt(row, event.service, event.parts, event.now)
    case 'outcome':
      return outcome(row, event)
    case 'lookedUp':
      return lookedUp(row, event)
    case 'finish':
      return finish(row, event.now)
    case 'leave':
      if (row.state !== 'streaming') return { ok: false, reason: `${row.state} is not streaming` }
      return to(row, event.now, { state: 'sent', error: null })
    case 'recover':
      return recover(row, event.now)
    case 'retry':
      if (row.state !== 'dead') return { ok: false, reason: `${row.state} is not dead` }
      if (row.opens) return { ok: false, reason: 'what it was opened for is somewhere else now' }
      return to(row, event.now, {
        state: row.doubtSince === null ? 'pending' : 'uncertain',
        attempt: 0,
        notBefore: event.now,
      })
  }
}

/**
 * Which rows may be tried now, at most one that holds up its chat and those that do so no more, and when to look again.
 * `open` are the rows of any number of chats that are neither sent nor dead, by id.
 */
export function next(open: readonly Delivery[], now: number): { due: Delivery[]; wakeAt: number | null } {
  const due: Delivery[] = []
  const wakes: number[] = []
  const blocked = new Set<string>()
  for (const row of open) {
    if (row.state === 'streaming' || blocked.has(row.chat)) continue
    const freeAt = row.doubtSince === null || row.opens ? null : row.doubtSince + doubtBlocksMs
    if (freeAt === null || now < freeAt) {
      blocked.add(row.chat)
      if (freeAt !== null) wakes.push(freeAt)
    }
    if (row.state === 'sending') continue
    if (row.notBefore <= now) due.push(row)
    else wakes.push(row.notBefore)
  }
  return { due, wakeAt: wakes.length > 0 ? Math.min(...wakes) : null }
}

type Failed = Extract<SendOutcome, { sent: false }>

/** Wait before the next try, by what went wrong, where the service names no time itself. */
export function backoffMs(code: string, attempt: number): number {
  const [first, most] = waits[code] ?? waits['network']!
  return Math.min(most, first * 2 ** Math.min(attempt - 1, 20))
}

/** A service that names a time knows it better than we do, but not one that has been wrong about it again and again. */
function waitMs({ code, retryAtMs }: Failed, attempt: number, now: number): number {
  if (retryAtMs === undefined) return backoffMs(code, attempt)
  const believed = Math.floor(maxAttempts / 2)
  return Math.max(1000, retryAtMs - now, attempt > believed ? backoffMs(code, attempt - believed) : 0)
}

/** First wait and longest wait, in milliseconds. A credential is mended by a person: no use in hurrying. */
const waits: Record<string, [number, number]> = {
  network: [1_000, 300_000],
  server: [2_000, 300_000],
  rate_limit: [5_000, 300_000],
  auth: [60_000, 300_000],
}

function attempt(row: Delivery, service: Service, made: number | null, now: number): DeliveryStep {
  const nth = row.attempt + 1
  const { remoteId, doubtSince, part } = row
  if (row.state === 'streaming' && row.attempt === 0) {
    const act = { do: 'send', part, attempt: nth, showing: 'first', maybeRepeat: false, edit: null } as const
    return { ...to(row, now, { attempt: nth }), act }
  }
  if (row.state !== 'pending' && row.state !== 'uncertain')
    return { ok: false, reason: `${row.state} is not to be tried` }
  if (made === null) return { ok: false, reason: `${row.state} is not streaming` }
  const parts = row.parts || made
  // Nothing that the service could show.
  if (parts === 0) return to(row, now, { state: 'sent', error: null })
  const visible = doubtSince !== null && !service.keyed && remoteId === null
  const lost = row.orphan && remoteId === null
  const recall = lost && doubtSince === null && (service.keyed || row.attempt <= mostLookUps)
  const asked = { ...to(row, now, { parts, attempt: nth, notBefore: now + lookUpPatienceMs }) }
  const showing = recall ? 'recall' : 'final'
  if (recall && service.keyed)
    return { ...asked, act: { do: 'send', part, attempt: nth, showing, maybeRepeat: false, edit: null } }
  if ((recall || visible) && service.lookup) return { ...asked, act: { do: 'lookUp', part, attempt: nth, showing } }
  const act = {
    do: 'send',
    part,
    attempt: nth,
    showing: 'final',
    maybeRepeat: visible || lost,
    edit: remoteId,
  } as const
  return { ...to(row, now, { state: 'sending', parts, attempt: nth }), act }
}

function outcome(row: Delivery, event: Extract<DeliveryEvent, { on: 'outcome' }>): DeliveryStep {
  const { outcome, showing, now } = event
  // The words may have become final while the first showing was on its way.
  const states = { first: ['streaming', 'pending'], recall: ['pending'], final: ['sending', 'uncertain'] }[showing]
  if (row.attempt !== event.attempt || row.part !== event.part || !states.includes(row.state)) {
    return { ok: false, reason: `attempt ${event.attempt} is not the one in flight` }
  }
  if (showing === 'first') return firstShown(row, outcome, now)
  if (showing === 'recall' && outcome.sent) return recalled(row, outcome.remoteId, now)
  if (outcome.sent) return shown(row, outcome.remoteId ?? row.remoteId, now)
  if (row.state === 'uncertain') return { ok: false, reason: 'already uncertain' }
  const error = `${outcome.code}: ${outcome.message}`
  const again = now + waitMs(outcome, row.attempt, now)
  // What is in doubt of a recall is in doubt already.
  const doubtSince = outcome.certain || showing === 'recall' ? row.doubtSince : (row.doubtSince ?? now)
  const remoteId = outcome.remoteId ?? row.remoteId
  const hopeless = outcome.certain && !outcome.retryable
  if (hopeless || row.attempt >= maxAttempts) return to(row, now, { state: 'dead', doubtSince, remoteId, error })
  const state = doubtSince === null ? 'pending' : 'uncertain'
  return to(row, now, { state, doubtSince, remoteId, error, notBefore: again })
}

/** This part is there: on with the one after it. */
function shown(row: Delivery, remoteId: string | null, now: number): DeliveryStep {
  if (row.opens && remoteId === null)
    return to(row, now, { state: 'dead', error: 'no_thread: the service named no thread' })
  const remoteIds = [...row.remoteIds, remoteId]
  const known = { doubtSince: null, error: null, remoteIds }
  if (row.part + 1 >= row.parts) return to(row, now, { ...known, state: 'sent', remoteId })
  const fresh = { state: 'pending', attempt: 0, orphan: false, remoteId: null, notBefore: now } as const
  return to(row, now, { ...known, ...fresh, part: row.part + 1 })
}

/** The first showing is a courtesy: it is not repeated by itself, and the final words come whatever became of it. */
function firstShown(row: Delivery, outcome: SendOutcome, now: number): DeliveryStep {
  if (outcome.sent && outcome.remoteId !== null) return to(row, now, { remoteId: outcome.remoteId, orphan: false })
  if (outcome.sent || !outcome.certain) return to(row, now, { orphan: true })
  return to(row, now, { attempt: 0, orphan: false, error: `${outcome.code}: ${outcome.message}` })
}

/** It stands there: as this message when its id is known, and then it is changed into the final words. */
function recalled(row: Delivery, remoteId: string | null, now: number): DeliveryStep {
  return to(row, now, { ...(remoteId === null ? {} : { remoteId, orphan: false }), error: null, notBefore: now })
}

function finish(row: Delivery, now: number): DeliveryStep {
  if (row.state !== 'streaming') return { ok: false, reason: `${row.state} is not streaming` }
  return to(row, now, { state: 'pending', orphan: row.orphan || inFlight(row), notBefore: now })
}

function lookedUp(row: Delivery, event: Extract<DeliveryEvent, { on: 'lookedUp' }>): DeliveryStep {
  const { found, showing, now } = event
  const recall = showing === 'recall'
  if (row.state !== (recall ? 'pending' : 'uncertain') || row.attempt !== event.attempt || row.part !== event.part)
    return { ok: false, reason: 'not looked up any more' }
  if (found.is === 'sent') return recall ? recalled(row, found.remoteId, now) : shown(row, found.remoteId, now)
  if (recall && found.is === 'absent') return to(row, now, { orphan: false, notBefore: now })
  if (row.attempt >= maxAttempts) return to(row, now, { state: 'dead' })
  if (found.is === 'absent') return to(row, now, { state: 'pending', doubtSince: null, notBefore: now })
  return to(row, now, { notBefore: now + backoffMs('server', row.attempt) })
}

function recover(row: Delivery, now: number): DeliveryStep {
  if (row.state === 'sending')
    return to(row, now, { state: 'uncertain', doubtSince: row.doubtSince ?? now, notBefore: now })
  if (row.state === 'streaming' && inFlight(row)) return to(row, now, { orphan: true })
  // Whoever was asked where it stands will not answer any more.
  const notBefore = Math.min(row.notBefore, now + 1000)
  if (row.state === 'uncertain') return to(row, now, { notBefore })
  // A question that a death cut off is no answer: it is not counted as one of those that were asked in vain.
  if (row.state === 'pending' && row.orphan) return to(row, now, { notBefore, attempt: Math.max(1, row.attempt - 1) })
  return { ok: true, row, act: null }
}

/** Whether the first showing of a streaming reply was sent and nothing has been heard of it. */
function inFlight(row: Delivery): boolean {
  return row.attempt > 0 && row.remoteId === null && !row.orphan
}

function to(row: Delivery, now: number, change: Partial<Delivery>): { ok: true; row: Delivery; act: null } {
  return { ok: true, row: { ...row, ...change, updatedAt: now }, act: null }
}
