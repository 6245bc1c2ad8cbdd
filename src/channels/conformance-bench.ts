/**
 * What the channels' suite needs of a service: a fake of it, and the account's block that leads there.
 *
 * Owns the shapes. Only tests import this; each channel's author makes one (test/support/).
 */
import type { Route } from '../core/types.ts'
import type { Channel } from './channel.ts'

/** A fake of the service, speaking its real protocol on loopback, and the people who use it. */
export interface FakeService {
  /** Somebody writes to the account in a direct chat; the service's id of the message. Kept while the account is away. */
  write(message: { from: string; text: string }): Promise<string>
  /** Brings a message again, as a service does that heard no acknowledgement. */
  redeliver(id: string): Promise<void>
  /** The author changes what they wrote. Left out where nobody can. */
  edit?(id: string, text: string): Promise<void>
  /** Whether the service was told that the message came. */
  acknowledged(id: string): boolean
  /** Breaks every connection off; the next one is let in. */
  drop(): Promise<void>
  /** On: nothing is answered and nothing let in, until it is off. */
  outage(on: boolean): Promise<void>
  /** The next call that says something fails: refused for good, too many, an error of the service, or shown and never answered. */
  failNext(how: 'refused' | 'rate_limit' | 'server' | 'lost'): void
  /** What that person sees of the account's words, oldest first: edits carried out. */
  seen(from: string): readonly { id: string; text: string }[]
  /** Sends what no service should: broken frames, events of no known kind, fields that are missing. */
  garbage(): Promise<void>
}

export interface Bench {
  channel: Channel
  service: FakeService
  /** The account's block of the configuration: it leads to the fake. A login that is needed has been made. */
  settings: Readonly<Record<string, unknown>>
  /** Empty, or with what a login has left. */
  stateDir: string
  /** Where an answer to that person goes. */
  route(from: string): Route
  /** A chat that threads can be opened in, and what stands in it (null) or in a thread of it. For services that open them. */
  threads?: { route: Route; seen(thread: string | null): readonly string[] }
  /** Texts that may stand in no log line: tokens, keys. */
  secrets: readonly string[]
  close(): Promise<void>
}
