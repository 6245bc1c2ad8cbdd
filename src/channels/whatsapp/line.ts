/**
 * The line to WhatsApp: one socket of baileys at a time, opened again as long as that can help, and what is true of it now.
 *
 * Owns when to try again and when not: a service that sent the device away or gave its place to another client is not
 * bothered any more, and the state says what a person must do. Never reads a message.
 */
import type { ConnectionState, WASocket } from 'baileys'
import type { Problem, Standing } from '../standing.ts'

export interface LineOptions {
  open(): WASocket
  /** The device was removed: what is kept of the login is of no use. */
  loggedOut(): void
  standing: Standing
  log(level: 'info', message: string, fields?: Record<string, unknown>): void
}

const restart = 515
const replaced = 440
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
  [replaced]: {
    code: 'CHANNEL_CONFLICT',
    message: 'Another client took the place of this one, with the same login.',
    fix: 'Stop the other one, then restart this account: deputy channels login whatsapp',
  },
}
const firstWaitMs = 250
const longestWaitMs = 60_000

export class Line {
  #socket: WASocket | null = null
  #closed: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | null = null
  #failures = 0
  readonly #options: LineOptions
  readonly #watchers = new Set<(update: Partial<ConnectionState>) => void>()

  constructor(options: LineOptions) {
    this.#options = options
  }

  /** The socket while it is open for messages. */
  get ready(): WASocket | null {
    return this.#options.standing.status.state === 'connected' ? this.#socket : null
  }
  get socket(): WASocket | null {
    return this.#socket
  }

  begin(): void {
    if (this.#socket || this.#timer) return
    this.#options.standing.begin()
    this.#open()
  }
  /** There is no login: a person has to make one. */
  lacksLogin(): void {
    const message = 'No phone has linked this account yet.'
    const fix = 'Log in: deputy channels login whatsapp'
    this.#options.standing.change({ state: 'login', problem: { code: 'CHANNEL_NOT_LINKED', message, fix } })
  }
  /** Resolves when the socket is gone. */
  async end(state: 'off' | 'login' = 'off'): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const socket = this.#socket
    this.#socket = null
    if (state === 'login') this.lacksLogin()
    else this.#options.standing.change({ state: 'off', problem: null })
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
        this.#options.standing.well()
      }
      // The line has decided before anybody hears of it.
      if (update.connection === 'close') this.#lost(statusOf(update.lastDisconnect?.error))
      for (const watcher of [...this.#watchers]) watcher(update)
    })
  }

  #lost(status: number): void {
    this.#socket = null
    const { standing } = this.#options
    if (status === restart) {
      standing.change({ state: 'connecting', problem: null })
      this.#open()
      return
    }
    if (standing.ill(status)) {
      if (status !== replaced) this.#options.loggedOut()
      return
    }
    const wait = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(this.#failures++, 20))
    this.#options.log('info', 'the connection was lost', { status, again: wait })
    this.#timer = setTimeout(
      () => {
        this.#timer = null
        this.#open()
      },
      wait * (0.75 + Math.random() / 2),
    )
  }
}

/** What the service's number for the end of a connection means. */
export function problemOf(status: unknown): Problem & { final: boolean } {
  const end = ends[Number(status)]
  if (end) return { ...end, final: true }
  return {
    code: 'CHANNEL_UNREACHABLE',
    message: `WhatsApp cannot be reached, or closed the connection (${status}).`,
    fix: 'It is tried again by itself. See that this machine is online.',
    final: false,
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
