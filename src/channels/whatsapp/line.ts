/**
 * The line to WhatsApp: one socket of baileys at a time, opened again as long as that can help, and what is true of it now.
 *
 * Owns when to try again and when not: a service that sent the device away or gave its place to another client is not
 * bothered any more, and the state says what a person must do. Never reads a message.
 */
import type { ConnectionState, WASocket } from 'baileys'
import type { AccountStatus } from '../channel.ts'

export interface LineOptions {
  open(): WASocket
  /** The device was removed: what is kept of the login is of no use. */
  loggedOut(): void
  changed(): void
  now(): number
  log(level: 'info' | 'warn', message: string, fields?: Record<string, unknown>): void
}

type Problem = NonNullable<AccountStatus['problem']>

const fixLogin = 'Log in again: deputy channels login whatsapp'
const ends: Readonly<Record<number, Problem>> = {
  401: { code: 'CHANNEL_LOGGED_OUT', message: 'The device was removed on the phone.', fix: fixLogin },
  403: {
    code: 'CHANNEL_LOCKED',
    message: 'WhatsApp has locked the account.',
    fix: `Open WhatsApp on the phone to see why. ${fixLogin}`,
  },
  411: {
    code: 'CHANNEL_NO_DEVICES',
    message: 'The phone knows no linked devices.',
    fix: `Update WhatsApp on the phone. ${fixLogin}`,
  },
  440: {
    code: 'CHANNEL_CONFLICT',
    message: 'Another client took the place of this one, with the same login.',
    fix: 'Stop the other one, then restart this account: deputy channels login whatsapp',
  },
}
const restart = 515
const firstWaitMs = 250
const longestWaitMs = 60_000

export class Line {
  #state: AccountStatus['state'] = 'off'
  #problem: Problem | null = null
  #connectedAt: number | null = null
  #reconnects = 0
  #socket: WASocket | null = null
  #closed: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | null = null
  #failures = 0
  readonly #options: LineOptions
  readonly #watchers = new Set<(update: Partial<ConnectionState>) => void>()

  constructor(options: LineOptions) {
    this.#options = options
  }

  get status(): Pick<AccountStatus, 'state' | 'problem' | 'connectedAt' | 'reconnects'> {
    return { state: this.#state, problem: this.#problem, connectedAt: this.#connectedAt, reconnects: this.#reconnects }
  }
  /** The socket while it is open for messages. */
  get ready(): WASocket | null {
    return this.#state === 'connected' ? this.#socket : null
  }
  get socket(): WASocket | null {
    return this.#socket
  }

  begin(): void {
    if (this.#socket || this.#timer) return
    this.#become('connecting', null)
    this.#open()
  }
  /** There is no login: a person has to make one. */
  lacksLogin(): void {
    const message = 'No phone has linked this account yet.'
    this.#become('login', { code: 'CHANNEL_NOT_LINKED', message, fix: 'Log in: deputy channels login whatsapp' })
  }
  /** Resolves when the socket is gone. */
  async end(state: 'off' | 'login' = 'off'): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const socket = this.#socket
    this.#socket = null
    if (state === 'login') this.lacksLogin()
    else this.#become('off', null)
    if (socket) this.#closed = close(socket)
    await this.#closed
  }
  watch(watcher: (update: Partial<ConnectionState>) => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  #open(): void {
    const socket = this.#options.open()
    this.#socket = socket
    socket.ev.on('connection.update', update => {
      if (this.#socket !== socket) return
      if (update.connection === 'open') {
        this.#failures = 0
        this.#connectedAt = this.#options.now()
        this.#become('connected', null)
      }
      // The line has decided before anybody hears of it.
      if (update.connection === 'close') this.#lost(statusOf(update.lastDisconnect?.error))
      for (const watcher of [...this.#watchers]) watcher(update)
    })
  }

  #lost(status: number): void {
    this.#socket = null
    const end = ends[status]
    if (end) {
      if (status !== 440) this.#options.loggedOut()
      this.#options.log('warn', end.message, { status })
      this.#become('failed', end)
      return
    }
    if (status === restart) {
      this.#become('connecting', null)
      this.#open()
      return
    }
    if (this.#connectedAt !== null) this.#reconnects++
    const wait = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(this.#failures++, 20))
    this.#options.log('info', 'the connection was lost', { status, again: wait })
    const message = `WhatsApp cannot be reached, or closed the connection (${status}).`
    const problem = {
      code: 'CHANNEL_UNREACHABLE',
      message,
      fix: 'It is tried again by itself. See that this machine is online.',
    }
    this.#become(this.#connectedAt === null ? 'connecting' : 'reconnecting', this.#failures > 1 ? problem : null)
    this.#timer = setTimeout(
      () => {
        this.#timer = null
        this.#open()
      },
      wait * (0.75 + Math.random() / 2),
    )
  }

  #become(state: AccountStatus['state'], problem: Problem | null): void {
    this.#state = state
    this.#problem = problem
    this.#options.changed()
  }
}

function statusOf(error: unknown): number {
  return (error as { output?: { statusCode?: number } } | undefined)?.output?.statusCode ?? 428
}

/** A service that does not answer the goodbye is not waited for. */
async function close(socket: WASocket): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const enough = new Promise<void>(resolve => {
    timer = setTimeout(resolve, 1_000)
  })
  await Promise.race([socket.end(undefined), enough])
  clearTimeout(timer)
}
