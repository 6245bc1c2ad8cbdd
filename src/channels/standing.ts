/**
 * How an account stands with its service: its status, what ails it, and the trying again that all services have in common.
 *
 * Owns the status and the waits between attempts. Knows no service: what a failure means, a channel's own failure.ts says.
 * Invariants: the house hears of a change of state, name or problem and of nothing else; a failure is a status and a later
 * attempt, never an end of anything else; nothing is begun after `signal` has aborted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { InboundMessage, Ingested } from '../core/chat.ts'
import type { AccountOptions, AccountStatus } from './channel.ts'

export type Problem = NonNullable<AccountStatus['problem']>

const firstWaitMs = 250
const longestWaitMs = 30_000

/** Of an account that was never started. */
export const atRest: AccountStatus = {
  state: 'off',
  self: null,
  problem: null,
  connectedAt: null,
  lastInboundAt: null,
  lastOutboundAt: null,
  reconnects: 0,
}

export interface Service {
  /** `final`: there is no use in trying again. */
  problemOf(error: unknown): Problem & { final: boolean }
  /** How long the service wants to be left alone, in ms; 0 when it does not say. */
  pauseMs?(error: unknown): number
}

export interface Standing {
  readonly status: Readonly<AccountStatus>
  change(to: Partial<AccountStatus>): void
  /** Begins anew: whatever was before counts no more. */
  begin(): void
  /** Connected. */
  well(): void
  /** True when there is no use in trying again. */
  ill(error: unknown): boolean
  /** Whatever it takes, until it is done or `signal` aborts. Null when there is no use in it. */
  persist<T>(call: () => Promise<T>, signal: AbortSignal, hopeless?: (error: unknown) => boolean): Promise<T | null>
  /** Hands a message over until it is taken. Throws when `signal` aborts first, or when `again` says no after a failure. */
  hand(message: InboundMessage, signal: AbortSignal, again?: () => boolean): Promise<Ingested>
}

export function openStanding(
  options: Pick<AccountOptions, 'ingest' | 'changed' | 'clock' | 'log'>,
  service: Service,
): Standing {
  const { clock, log } = options
  const status = { ...atRest }
  const seen = () => JSON.stringify([status.state, status.self, status.problem])

  function change(to: Partial<AccountStatus>): void {
    const before = seen()
    Object.assign(status, to)
    if (seen() !== before) options.changed()
  }

  function ill(error: unknown): boolean {
    const { final, ...problem } = service.problemOf(error)
    if (status.problem?.code !== problem.code) log('warn', problem.message, { code: problem.code })
    change({ state: final ? 'failed' : status.connectedAt === null ? 'connecting' : 'reconnecting', problem })
    return final
  }

  return {
    status,
    change,
    begin: () => change({ state: 'connecting', problem: null, connectedAt: null }),
    well() {
      if (status.state === 'connected') return
      const again = status.state === 'reconnecting' && status.connectedAt !== null
      if (again) log('info', 'connected again')
      const reconnects = status.reconnects + Number(again)
      change({ state: 'connected', problem: null, connectedAt: clock.now(), reconnects })
    },
    ill,
    async persist(call, signal, hopeless = ill) {
      for (let wait = firstWaitMs; ; wait = Math.min(longestWaitMs, wait * 2)) {
        try {
          return await call()
        } catch (error) {
          if (signal.aborted || hopeless(error)) return null
          const asked = service.pauseMs?.(error) ?? 0
          await sleep(Math.max(wait, asked), undefined, { signal }).catch(() => undefined)
          if (signal.aborted) return null
        }
      }
    },
    async hand(message, signal, again = () => true) {
      change({ lastInboundAt: clock.now() })
      for (let wait = firstWaitMs; ; wait = Math.min(longestWaitMs, wait * 2)) {
        signal.throwIfAborted()
        try {
          return await options.ingest(message)
        } catch (error) {
          log('error', 'a message could not be taken; it is brought again until it is', {
            id: message.id,
            why: error instanceof Error ? error.message : String(error),
          })
          if (!again()) throw error
          await sleep(wait, undefined, { signal })
        }
      }
    },
  }
}
