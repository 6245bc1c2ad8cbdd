/**
 * One account of a channel on its own, with what it brings in written down: for tests of a channel without the house.
 */
import { onTestFinished } from 'vitest'
import type { Account, Channel } from '../../src/channels/channel.ts'
import { until } from '../../src/channels/conformance.ts'
import type { Content, InboundMessage, Ingested } from '../../src/core/chat.ts'
import type { Clock, OutboundMessage, SendOutcome } from '../../src/core/ports.ts'
import type { Route } from '../../src/core/types.ts'
import { tempDir } from './temp.ts'

export interface Opened {
  account: Account
  taken: InboundMessage[]
  lines: string[]
  /** What becomes of the next messages. */
  ingest: (message: InboundMessage) => Promise<Ingested>
  /** Resolves with the nth message that came in, from 0. */
  came(n: number): Promise<InboundMessage>
  /** Cuts and sends, as the outbox does; what became of each part. */
  say(to: Omit<Route, 'channel' | 'account'>, content: Content, more?: Partial<OutboundMessage>): Promise<SendOutcome[]>
}

export async function openOne(
  channel: Channel,
  settings: Record<string, unknown>,
  commands: readonly { name: string; description: string }[] = [],
  more: { stateDir?: string; clock?: Clock } = {},
): Promise<Opened> {
  const opened: Opened = {
    taken: [],
    lines: [],
    ingest: async () => ({ done: 'accepted' }),
    account: null as never,
    came: n =>
      until(
        () => opened.taken[n],
        seen => seen !== undefined,
      ) as Promise<InboundMessage>,
    async say(to, content, more = {}) {
      const outcomes: SendOutcome[] = []
      for (const part of opened.account.outbound.parts(content)) {
        const key = `key-${Math.random()}`
        const route = { channel: channel.id, account: 'default', ...to }
        const message = { id: '1', route, content: part, key, edit: null, maybeRepeat: false, ...more }
        outcomes.push(await opened.account.outbound.send(message, AbortSignal.timeout(20_000)))
      }
      return outcomes
    },
  }
  opened.account = await channel.open({
    account: 'default',
    settings,
    stateDir: more.stateDir ?? tempDir(),
    ingest(message) {
      opened.taken.push(message)
      return opened.ingest(message)
    },
    changed: () => undefined,
    commands: () => commands,
    clock: more.clock ?? { now: () => Date.now() },
    log: (level, message, fields) => void opened.lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
  })
  onTestFinished(() => opened.account.stop())
  opened.account.start()
  return opened
}
