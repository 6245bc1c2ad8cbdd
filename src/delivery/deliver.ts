/**
 * Drains the outbox: each message goes out through its channel, in order within its chat, and what became of it is a row.
 *
 * Owns calling `Outbound.send` and `lookup` (nobody else may), and the rows of the outbox after they were put. The machine of
 * core/delivery.ts says what may follow; here it is carried out: the state is written first, then the service is asked, then
 * its answer is written (decisions.md 22). A channel that is missing or throws never stops the others, and an account that
 * is told to slow down says one thing at a time until it may go on.
 *
 * Invariant: at most one call of the service is at work for a row, the edits of growing words (growing.ts) included.
 */
import { type DeliveryAct, type DeliveryEvent, type DeliveryStep, next, serviceOf, step } from '../core/delivery.ts'
import type { Content } from '../core/chat.ts'
import type { Clock, Growth, HouseEvent, Outbound, OutboundMessage, SendOutcome } from '../core/ports.ts'
import type { Route } from '../core/types.ts'
import type { CrashPoints } from '../store/crash.ts'
import type { Store } from '../store/open.ts'
import { deliveryColumns, growingKey, outboxOf, type OutboxRow } from '../store/outbox.ts'
import { settleOpening } from '../store/opening.ts'
import { openGrowing } from './growing.ts'
import { accountsWith, headRows } from './rows.ts'

export type Place = Pick<Route, 'channel' | 'account'>

export interface DeliverOptions {
  store: Store
  /** The way out of an account; null while it is not running: its messages wait. */
  outbound(place: Place): Outbound | null
  /** Whether words to this address are shown while they grow: configuration wants it, and the service can edit. */
  grows(route: Route): Growth
  clock: Clock
  crash: CrashPoints
  log: (line: string) => void
}

export interface Deliverer {
  /** Something was put into the outbox, or a channel has come up. */
  ring(): void
  /** Shows words while they grow. */
  hear(event: HouseEvent): void
  /** After a crash: what was being sent is in doubt, never simply sent again. Then drains. */
  start(): Promise<void>
  /** An operator wants a dead message tried again. False when it is not dead. */
  retry(id: number): Promise<boolean>
  /** Told of each row after it has changed. */
  watch(listener: (row: OutboxRow) => void): () => void
  stop(): Promise<void>
}

/** What growing.ts needs of the drain. */
export interface Flights {
  /** Works on a row alone; false when somebody else is at it. */
  fly(id: number, work: () => Promise<void>): boolean
  change(id: number, event: DeliveryEvent, name: 'sending' | 'sent' | 'recover'): Promise<Changed | null>
  send(out: Outbound, message: OutboundMessage): Promise<SendOutcome>
}

type Changed = DeliveryStep & { ok: true }

/** Longest that a service may take to answer; then the send is in doubt. */
const sendMs = 60_000
/** Calls of the service at once for one account; while it slows down, one. */
const atOnce = 8
/** setTimeout fires at once beyond 24.8 days. */
const longestMs = 3_600_000

export function openDeliverer(options: DeliverOptions): Deliverer {
  const { store, clock } = options
  const flying = new Map<number, Promise<void>>()
  const busy = new Map<string, number>()
  const slowUntil = new Map<string, number>()
  const watchers = new Set<(row: OutboxRow) => void>()
  let timer: NodeJS.Timeout | null = null
  let looking = false
  let again = false
  let stopped = false

  async function pass(): Promise<void> {
    if (stopped) return
    if (looking) {
      again = true
      return
    }
    looking = true
    try {
      do {
        again = false
        const accounts = (await accountsWith(store.read)).filter(place => options.outbound(place) !== null)
        const wakes: number[] = []
        for (const place of accounts) {
          const { due, wakeAt } = next(await headRows(store.read, place), clock.now())
          for (const row of due) begin(row as OutboxRow, place)
          if (wakeAt !== null) wakes.push(wakeAt)
        }
        sleep(wakes.length > 0 ? Math.min(...wakes) : null)
      } while (again && !stopped)
    } catch (error) {
      if (!stopped) {
        options.log(`outbox: ${words(error)}; looked at again in a second`)
        sleep(clock.now() + 1000)
      }
    } finally {
      looking = false
    }
  }

  function sleep(at: number | null): void {
    if (timer) clearTimeout(timer)
    timer = null
    if (at === null || stopped) return
    timer = setTimeout(() => void pass(), Math.min(longestMs, Math.max(1, at - clock.now())))
    timer.unref()
  }

  function begin(row: OutboxRow, place: Place): void {
    const account = `${place.channel}\n${place.account}`
    const most = clock.now() < (slowUntil.get(account) ?? 0) ? 1 : atOnce
    const now = busy.get(account) ?? 0
    if (now >= most) return
    const flown = fly(row.id, async () => {
      busy.set(account, (busy.get(account) ?? 0) + 1)
      try {
        const retryAt = await deliver(row)
        if (retryAt !== null) slowUntil.set(account, retryAt)
      } finally {
        busy.set(account, (busy.get(account) ?? 1) - 1)
      }
    })
    if (!flown) return
  }

  function fly(id: number, work: () => Promise<void>): boolean {
    if (flying.has(id) || stopped) return false
    const flight = work()
      .catch(error => options.log(`outbox ${id}: ${words(error)}`))
      .finally(() => {
        flying.delete(id)
        void pass()
      })
    flying.set(id, flight)
    return true
  }

  /** Answers until when the account is asked to be slow. */
  async function deliver(row: OutboxRow): Promise<number | null> {
    const out = options.outbound(row.route)
    if (!out) return null
    const service = serviceOf(out, row, clock.now())
    const cut = row.cut ?? cutOf(out, row)
    const tried = await change(row.id, { on: 'try', service, parts: cut.length, now: clock.now() }, 'sending', cut)
    if (!tried?.act) return null
    options.crash.hit('send', 'before')
    const event = await ask(out, row, cut, tried.act)
    options.crash.hit('send', 'after')
    await change(row.id, event, 'sent')
    const slow = event.on === 'outcome' && !event.outcome.sent && event.outcome.code === 'rate_limit'
    return slow ? ((event.outcome as { retryAtMs?: number }).retryAtMs ?? null) : null
  }

  function cutOf(out: Outbound, row: OutboxRow): readonly Content[] {
    // What opens a thread is one message.
    if (row.opens) return [row.content]
    try {
      return out.parts(row.content)
    } catch (error) {
      options.log(`outbox ${row.id}: it could not be cut, and goes out whole: ${words(error)}`)
      return [row.content]
    }
  }

  async function ask(out: Outbound, row: OutboxRow, cut: readonly Content[], act: DeliveryAct): Promise<DeliveryEvent> {
    const { part, attempt, showing } = act
    const key = showing === 'final' ? row.key : growingKey(row)
    const { thread, ...chat } = row.route
    const message: OutboundMessage = {
      id: String(row.id),
      // An opener stands in the chat itself.
      route: row.opens || thread === undefined ? chat : { ...chat, thread },
      content: cut[part] ?? row.content,
      key: part === 0 ? key : `${key}/${part + 1}`,
      edit: act.do === 'send' ? act.edit : null,
      maybeRepeat: act.do === 'send' && act.maybeRepeat,
    }
    if (act.do === 'lookUp') {
      const found = await out.lookup?.(message, AbortSignal.timeout(sendMs)).catch(error => {
        options.log(`outbox ${row.id}: the look-up failed: ${words(error)}`)
        return null
      })
      return { on: 'lookedUp', part, attempt, showing, found: found ?? { is: 'unknown' }, now: clock.now() }
    }
    const outcome = await send(out, message)
    return { on: 'outcome', part, attempt, showing, outcome, now: clock.now() }
  }

  /** Whatever a channel throws may have happened after the message was seen. */
  async function send(out: Outbound, message: OutboundMessage): Promise<SendOutcome> {
    try {
      return await out.send(message, AbortSignal.timeout(sendMs))
    } catch (error) {
      return { sent: false, certain: false, retryable: true, code: 'network', message: words(error) }
    }
  }

  /** One step of the machine on the row as it is now; null when it does not follow. */
  async function change(
    id: number,
    event: DeliveryEvent,
    name: 'sending' | 'sent' | 'recover',
    cut?: readonly Content[],
  ): Promise<Changed | null> {
    const done = await store.write(name, async tx => {
      const found = await tx.selectFrom('outbox').selectAll().where('id', '=', id).executeTakeFirst()
      if (!found) return null
      const before = outboxOf(found)
      const decided = step(before, event)
      if (!decided.ok) return null
      const parts = decided.row.parts > 0 && before.cut === null && cut ? { parts: JSON.stringify(cut) } : {}
      await tx
        .updateTable('outbox')
        .set({ ...deliveryColumns(decided.row), ...parts })
        .where('id', '=', id)
        .execute()
      await settleOpening(tx, before, decided.row, event.now)
      return { decided, row: { ...before, ...decided.row } }
    })
    if (!done) return null
    for (const watcher of watchers) watcher(done.row)
    return done.decided
  }

  const growing = openGrowing(options, { fly, change, send })

  return {
    ring: () => void pass(),
    hear: growing.hear,
    async start() {
      const now = clock.now()
      const open = await store.read
        .selectFrom('outbox')
        .select('id')
        .where('state', 'not in', ['sent', 'dead'])
        .where(where => where.or([where('state', '!=', 'pending'), where('orphan', '=', 1)]))
        .orderBy('id')
        .execute()
      for (const { id } of open) await change(id, { on: 'recover', now }, 'recover')
      await growing.settle()
      await pass()
    },
    async retry(id) {
      const done = await change(id, { on: 'retry', now: clock.now() }, 'sending')
      void pass()
      return done !== null
    },
    watch(listener) {
      watchers.add(listener)
      return () => void watchers.delete(listener)
    },
    async stop() {
      stopped = true
      if (timer) clearTimeout(timer)
      growing.stop()
      await Promise.all(flying.values())
    },
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
