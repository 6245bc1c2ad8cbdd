/**
 * Socket mode: one connection after the other, each envelope acknowledged only after it was taken.
 *
 * Owns the life of a connection and when the next one is opened. The library's client is used once for each connection and
 * does not reconnect by itself: its own way back ends in an unhandled failure when the first attempt fails, and says nothing
 * that a status could be made of. An envelope that was taken after its connection had gone cannot be acknowledged; the
 * service sends it again, and the house knows it by its id.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SocketModeClient } from '@slack/socket-mode'
import { pauseMs } from './failure.ts'
import type { Envelope } from './inbound.ts'

export interface SocketOptions {
  open(asked: () => void): SocketModeClient
  signal: AbortSignal
  /** Takes an envelope, however long that needs; fails only when all is over. */
  take(envelope: Envelope): Promise<void>
  well(): void
  /** A connection failed or ended. True when there is no use in another. */
  ill(error: unknown): boolean
}

interface Arrival {
  ack(): Promise<void>
  type: string
  body: Record<string, unknown>
}

const firstWaitMs = 250
const longestWaitMs = 30_000
/** From asking for a connection to the service's hello. */
const helloMs = 20_000
const partingMs = 3000

export async function keepConnected(options: SocketOptions): Promise<void> {
  const { signal } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      await oneConnection(options, () => {
        failures = 0
      })
      // The service asks for a new connection every few hours: that is no failure, and no time is lost.
    } catch (error) {
      failures += 1
      if (signal.aborted || options.ill(error)) return
      const wait = Math.max(pauseMs(error), Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(failures - 1, 10)))
      await sleep(wait, undefined, { signal }).catch(() => undefined)
    }
  }
}

/** Resolves when the service has ended it in good order; fails when it broke or was never made. */
async function oneConnection(options: SocketOptions, up: () => void): Promise<void> {
  let asked = false
  const client = options.open(() => {
    asked = true
  })
  const gone = Promise.withResolvers<void>()
  client.on('disconnected', () => gone.resolve())
  client.on('slack_event', (arrival: Arrival) => {
    const { type, body } = arrival
    if (typeof body !== 'object' || body === null) return
    void options.take({ type, body }).then(
      () => arrival.ack().catch(() => undefined),
      () => undefined,
    )
  })
  const stop = (): void => void part(client)
  options.signal.addEventListener('abort', stop, { once: true })
  try {
    await within(client.start(), helloMs, gone.promise)
    up()
    options.well()
    await gone.promise
    if (!asked && !options.signal.aborted) throw new Error('the connection broke off')
  } finally {
    options.signal.removeEventListener('abort', stop)
    await part(client)
  }
}

/** Ends the connection, but waits no longer than a moment for the other side. */
async function part(client: SocketModeClient): Promise<void> {
  const waited = new AbortController()
  const ended = client.disconnect().catch(() => undefined)
  await Promise.race([ended, sleep(partingMs, undefined, { signal: waited.signal }).catch(() => undefined)])
  waited.abort()
}

async function within(started: Promise<unknown>, ms: number, gone: Promise<void>): Promise<void> {
  const waited = new AbortController()
  const late = sleep(ms, undefined, { signal: waited.signal }).then(() => {
    throw new Error('Slack said no hello')
  })
  const broken = gone.then(() => {
    throw new Error('the connection broke off')
  })
  broken.catch(() => undefined)
  try {
    // The library fails with nothing when the connection ends before its hello.
    await Promise.race([started.catch(error => Promise.reject(error ?? new Error('no hello'))), late, broken])
  } finally {
    waited.abort()
    late.catch(() => undefined)
  }
}
