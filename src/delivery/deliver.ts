/**
 * Drains the outbox: each message goes out through its channel, in order within its chat, and what became of it is a row.
 *
 * Owns calling `Outbound.send` and `lookup` (nobody else may), and the rows of the outbox after they were put. The machine of
 * core/delivery.ts says what may follow; here it is carried out: the state is written first, then the service is asked, then
 * its answer is written (decisions.md 22). A channel that is missing or throws never stops the others.
 */
import { type Delivery, type DeliveryAct, type DeliveryEvent, type DeliveryStep, next, step } from '../core/delivery.ts'
import type { Content } from '../core/chat.ts'
import type { Clock, Outbound, OutboundMessage, SendOutcome } from '../core/ports.ts'
import type { Route } from '../core/types.ts'
import type { CrashPoints } from '../store/crash.ts'
import type { Store, Tx } from '../store/open.ts'

export interface DeliverOptions {
  store: Store
  /** The way out of an account; null while it is not running: its messages wait. */
  outbound(route: Pick<Route, 'channel' | 'account'>): Outbound | null
  clock: Clock
  crash: CrashPoints
  log: (line: string) => void
}

export interface Deliverer {
  /** Something was put into the outbox, or a channel has come up. */
  ring(): void
  /** After a crash: what was being sent is in doubt, never simply sent again. Then drains. */
  start(): Promise<void>
  /** An operator wants a dead message tried again. False when it is not dead. */
  retry(id: number): Promise<boolean>
  stop(): Promise<void>
}

interface Row extends Delivery {
  key: string
  channel: string
  route: Route
  content: Content
}

/** Longest that a service may take to answer; then the send is in doubt. */
const sendMs = 60_000
/** Rows looked at in one pass; more chats than this at once wait for the next. */
const atOnce = 500
/** setTimeout fires at once beyond 24.8 days. */
const longestMs = 3_600_000

export function openDeliverer(options: DeliverOptions): Deliverer {
  const { store, clock } = options
  const flying = new Map<number, Promise<void>>()
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
        const rows = await openRows(store.read)
        const ready = rows.filter(row => options.outbound(row.route) !== null)
        const { due, wakeAt } = next(ready, clock.now())
        for (const row of due) if (!flying.has(row.id)) fly(row as Row)
        sleep(wakeAt)
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

  function fly(row: Row): void {
    const flight = deliver(row)
      .catch(error => options.log(`outbox ${row.id}: ${words(error)}`))
      .finally(() => {
        flying.delete(row.id)
        void pass()
      })
    flying.set(row.id, flight)
  }

  async function deliver(row: Row): Promise<void> {
    const out = options.outbound(row.route)
    if (!out) return
    const service = { keyed: out.keyed, lookup: out.lookup !== undefined }
    const tried = await change(row.id, { on: 'try', service, now: clock.now() }, 'sending')
    if (!tried?.act) return
    options.crash.hit('send', 'before')
    const event = await ask(out, row, tried.act)
    options.crash.hit('send', 'after')
    await change(row.id, event, 'sent')
  }

  async function ask(out: Outbound, row: Row, act: DeliveryAct): Promise<DeliveryEvent> {
    const message: OutboundMessage = {
      id: String(row.id),
      route: row.route,
      content: row.content,
      key: row.key,
      edit: act.do === 'send' ? act.edit : null,
      maybeRepeat: act.do === 'send' && act.maybeRepeat,
    }
    const signal = AbortSignal.timeout(sendMs)
    if (act.do === 'lookUp') {
      const found = await out.lookup?.(message, signal).catch(error => {
        options.log(`outbox ${row.id}: the look-up failed: ${words(error)}`)
        return 'unknown' as const
      })
      return { on: 'lookedUp', attempt: act.attempt, found: found ?? 'unknown', now: clock.now() }
    }
    // Whatever a channel throws may have happened after the message was seen.
    const outcome: SendOutcome = await out
      .send(message, signal)
      .catch(
        error => ({ sent: false, certain: false, retryable: true, code: 'network', message: words(error) }) as const,
      )
    return { on: 'outcome', attempt: act.attempt, outcome, now: clock.now() }
  }

  /** One step of the machine on the row as it is now; null when it does not follow. */
  async function change(
    id: number,
    event: DeliveryEvent,
    name: 'sending' | 'sent' | 'recover',
  ): Promise<(DeliveryStep & { ok: true }) | null> {
    return store.write(name, async tx => {
      const found = await tx.selectFrom('outbox').selectAll().where('id', '=', id).executeTakeFirst()
      if (!found) return null
      const decided = step(rowOf(found), event)
      if (!decided.ok) return null
      const { row } = decided
      await tx
        .updateTable('outbox')
        .set({
          state: row.state,
          attempt: row.attempt,
          doubt_since: row.doubtSince,
          orphan: Number(row.orphan),
          remote_id: row.remoteId,
          error: row.error,
          not_before: row.notBefore,
          updated_at: row.updatedAt,
        })
        .where('id', '=', id)
        .execute()
      return decided
    })
  }

  return {
    ring: () => void pass(),
    async start() {
      const now = clock.now()
      const open = await store.read
        .selectFrom('outbox')
        .select('id')
        .where('state', 'in', ['sending', 'streaming', 'uncertain'])
        .orderBy('id')
        .execute()
      for (const { id } of open) await change(id, { on: 'recover', now }, 'recover')
      await pass()
    },
    async retry(id) {
      const done = await change(id, { on: 'retry', now: clock.now() }, 'sending')
      void pass()
      return done !== null
    },
    async stop() {
      stopped = true
      if (timer) clearTimeout(timer)
      await Promise.all(flying.values())
    },
  }
}

/** The oldest open rows; the order within each chat is the order of the whole. */
async function openRows(db: Tx): Promise<Row[]> {
  const rows = await db
    .selectFrom('outbox')
    .selectAll()
    .where('state', 'not in', ['sent', 'dead'])
    .orderBy('channel')
    .orderBy('account')
    .orderBy('chat')
    .orderBy('id')
    .limit(atOnce)
    .execute()
  return rows.map(rowOf)
}

function rowOf(row: {
  id: number
  key: string
  channel: string
  account: string
  chat: string
  route: string
  payload: string
  state: string
  attempt: number
  remote_id: string | null
  error: string | null
  not_before: number
  doubt_since: number | null
  orphan: number
  created_at: number
  updated_at: number
}): Row {
  const route = JSON.parse(row.route) as Route
  return {
    id: row.id,
    chat: [row.channel, row.account, row.chat, route.thread ?? ''].join('\n'),
    state: row.state as Delivery['state'],
    attempt: row.attempt,
    doubtSince: row.doubt_since,
    orphan: row.orphan === 1,
    remoteId: row.remote_id,
    error: row.error,
    notBefore: row.not_before,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    key: row.key,
    channel: row.channel,
    route,
    content: JSON.parse(row.payload) as Content,
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
