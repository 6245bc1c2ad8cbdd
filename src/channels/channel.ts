/**
 * The contract between a chat service and the house. One folder a service; nothing outside the folder knows its library.
 *
 * Owns the shapes. A channel turns what its service says into `InboundMessage` and what the house says into calls of the
 * service. It never decides who may write, which agent answers or what a command means, keeps no conversation, and reads no
 * configuration but the block of its own account.
 *
 * Invariants, held by conformance.ts for every channel:
 * 1. The service is told that a message came only after `ingest` has resolved; when it fails, the service must bring the
 *    message again, or the channel keeps it until it is taken.
 * 2. Messages of one chat are handed to `ingest` one after the other, in the order of the service.
 * 3. `send` says `sent` only on the service's own answer, and `certain` only when nobody can have seen the message.
 * 4. `status` is what is so now; nothing that a service does ends the process.
 */
import type { AccountStatus, Capabilities, InboundMessage, Ingested, LoginStep } from '../core/chat.ts'
import type { Clock, Outbound } from '../core/ports.ts'
import type { Route } from '../core/types.ts'

export type { AccountStatus, LoginStep } from '../core/chat.ts'

/** One service, before anything of it is running. Its library is loaded by `open`, not by import of the folder. */
export interface Channel {
  /** As configuration and session keys name it: `telegram`. */
  id: string
  /** As people name it: `Telegram`. */
  label: string
  capabilities: Capabilities
  open(options: AccountOptions): Promise<Account>
}

export interface AccountOptions {
  /** `default`, or the key under `accounts`. */
  account: string
  /** The account's block of the configuration with the channel's keys inherited; secret references are resolved. */
  settings: Readonly<Record<string, unknown>>
  /** Folder of this account for what the service wants kept (0700, made on demand); write files 0600 and atomically. */
  stateDir: string
  ingest(message: InboundMessage): Promise<Ingested>
  /** The state, the line or the name of the account has changed. */
  changed(): void
  /** Slash commands to register where the service lists them. */
  commands(): readonly { name: string; description: string }[]
  clock: Clock
  log(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}

export interface Account {
  /** Begins to connect, and goes on trying by itself; resolves at once. What is wrong stands in `status`. */
  start(): void
  /** Resolves when nothing of it is at work any more and no `ingest` is open. */
  stop(): Promise<void>
  status(): AccountStatus
  outbound: Outbound
  /** Shown while a run works; the channel repeats it as its service needs. */
  typing?(route: Route, on: boolean): void
  /** For services without a token: `phone` asks for a code to type instead of a QR. */
  login?(options: { phone: string | null; signal: AbortSignal }): AsyncIterable<LoginStep>
  /** Ends the login at the service and removes what was kept of it. */
  logout?(): Promise<void>
}
