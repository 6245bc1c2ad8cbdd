/**
 * Long polling: fetches updates with grammY's runner and confirms each only after it was taken.
 *
 * The runner's own fetcher confirms a batch as soon as it asks for the next, while its updates are still being worked on: a
 * crash then loses them. So the runner gets a supplier that names the oldest update which is not taken yet as its offset.
 * What is still open therefore comes again with every fetch and is left out; while something is open the fetches are short
 * ones, so that a slow chat holds up no other.
 *
 * Invariants: the offset never passes an update that was not taken; an update that is open is not handed on twice.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Update } from 'grammy/types'
import { refusalOf } from './failure.ts'
import type { kindsFor } from './inbound.ts'
import { asSignal, type Wire } from './wire.ts'

export interface PollingOptions {
  wire: Wire
  kinds: ReturnType<typeof kindsFor>
  /** Takes an update, however long that needs; fails only when polling is over. */
  put(update: Update): Promise<void>
  /** A fetch went well. */
  well(): void
  /** One did not. True when there is no use in trying again. */
  ill(error: unknown): boolean
}

export interface Polling {
  /** Resolves when it has ended by itself, since there is no use in going on. */
  ended: Promise<void>
  /** Ends fetching; what is being taken goes on. */
  stop(): Promise<void>
  /** Tells the service what was taken, as far as the next fetch would have. */
  confirm(): Promise<void>
}

/** How long the service may keep a fetch open without news, and how much later it is given up. */
const holdSeconds = 30
const graceMs = 15_000
/** While something is open: how long until the next fetch, unless it is taken before. */
const openMs = 500
/** Taken updates that are known again: more than one fetch brings. */
const remembered = 1000
const firstWaitMs = 250
const longestWaitMs = 30_000

export class Window {
  /** Handed on and not taken. */
  private readonly open = new Set<number>()
  /** Taken, the newest last: behind one that is open, or in the answer to a fetch that was under way meanwhile. */
  private readonly taken = new Set<number>()
  private next = 0

  get offset(): number {
    return this.open.size > 0 ? Math.min(...this.open) : this.next
  }

  get busy(): boolean {
    return this.open.size > 0
  }

  /** Those of a fetch that are new. */
  fresh(updates: readonly Update[]): Update[] {
    return updates.filter(({ update_id: id }) => {
      if (!Number.isSafeInteger(id) || this.open.has(id) || this.taken.has(id)) return false
      this.open.add(id)
      return true
    })
  }

  done(id: number): void {
    this.open.delete(id)
    this.taken.add(id)
    this.next = Math.max(this.next, id + 1)
    const { offset } = this
    for (const one of this.taken) {
      if (this.taken.size <= remembered) break
      if (one < offset) this.taken.delete(one)
    }
  }
}

export async function startPolling(options: PollingOptions): Promise<Polling> {
  const { createRunner, createSource } = await import('@grammyjs/runner')
  const { wire } = options
  const window = new Window()
  const over = new AbortController()
  let doneOne = Promise.withResolvers<void>()
  let failures = 0

  async function fetchOnce(): Promise<Update[]> {
    if (window.busy) {
      const waited = new AbortController()
      await Promise.race([doneOne.promise, sleep(openMs, undefined, { signal: waited.signal }).catch(() => undefined)])
      waited.abort()
    }
    doneOne = Promise.withResolvers()
    // After a failure a short one: whether it goes again is known at once.
    const timeout = window.busy || failures > 0 ? 0 : holdSeconds
    const patience = AbortSignal.timeout(timeout * 1000 + graceMs)
    const offset = window.offset
    const updates = await wire.direct.getUpdates(
      { timeout, limit: 100, allowed_updates: [...options.kinds], ...(offset > 0 ? { offset } : {}) },
      asSignal(AbortSignal.any([over.signal, patience])),
    )
    return window.fresh(updates)
  }

  async function supply(): Promise<Update[]> {
    for (;;) {
      try {
        const updates = await fetchOnce()
        failures = 0
        options.well()
        return updates
      } catch (error) {
        if (over.signal.aborted || options.ill(error)) throw error
        failures += 1
        await sleep(waitMs(error, failures), undefined, { signal: over.signal })
      }
    }
  }

  const sink = {
    async handle(updates: Update[]) {
      for (const update of updates) {
        void options.put(update).then(
          () => {
            window.done(update.update_id)
            doneOne.resolve()
          },
          // Polling is over: it stays unconfirmed and comes again after the next start.
          () => undefined,
        )
      }
      return Number.POSITIVE_INFINITY
    },
    size: () => 0,
    snapshot: () => [],
  }
  const runner = createRunner(createSource({ supply }), sink)
  runner.start()
  const ended = (runner.task() ?? Promise.resolve()).catch(() => undefined)
  return {
    ended,
    async stop() {
      over.abort()
      if (runner.isRunning()) await runner.stop()?.catch(() => undefined)
      await ended
    },
    async confirm() {
      const { offset } = window
      if (offset === 0) return
      await wire.direct.getUpdates({ offset, limit: 1, timeout: 0 }, asSignal(AbortSignal.timeout(2000)))
    },
  }
}

function waitMs(error: unknown, failures: number): number {
  const asked = (refusalOf(error)?.parameters?.retry_after ?? 0) * 1000
  return Math.max(asked, Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(failures - 1, 10)))
}
