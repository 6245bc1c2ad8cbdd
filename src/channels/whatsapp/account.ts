/**
 * One account of WhatsApp: its login, its line, what comes in and what goes out.
 *
 * Owns how the parts of this folder are put together. A message that comes in is handed over again and again until it is
 * taken; nothing behind it is read or receipted meanwhile, and when the connection ends first the service brings it again.
 */
import type { WAMessage, WASocket } from 'baileys'
import type { Route } from '../../core/types.ts'
import type { Account, AccountOptions } from '../channel.ts'
import { openStanding } from '../standing.ts'
import { type Answers, openAnswers } from './answers.ts'
import { guard } from './guard.ts'
import { takeFolder } from './folder.ts'
import { keepPath, openKeep } from './keep.ts'
import type { Library } from './library.ts'
import { Line, problemOf } from './line.ts'
import { type Login, openLogin, sentBefore } from './login.ts'
import type { Fetch } from './media.ts'
import { pair } from './pairing.ts'
import { jidOf, readMessage } from './reading.ts'
import { send } from './sending.ts'
import { openReader } from './signal.ts'
import { maxText, partsOf } from './writing.ts'

/** WhatsApp stops showing it by itself after some 25 seconds. */
const typingEveryMs = 10_000

interface Settings {
  authDir?: string
  textChunkLimit?: number
  sendReadReceipts?: boolean
  selfChatMode?: boolean
  allowFrom?: readonly string[]
}

export function openAccount(options: AccountOptions, lib: Library): Account {
  const { clock } = options
  const settings = options.settings as Settings
  const path = keepPath(settings.authDir ?? options.stateDir)
  takeFolder(path, lib, {
    remove: settings.authDir === undefined,
    log: words => options.log('warn', words),
  })
  let keep = openKeep(path)
  let closed = false
  const titles = new Map<string, string>()
  const typing = new Map<string, NodeJS.Timeout>()
  const taking = new Set<Promise<unknown>>()
  const answers = new WeakMap<WASocket, Answers>()
  let login: Login = openLogin(keep, lib, false)
  const standing = openStanding(options, { problemOf })
  /** While the account runs. */
  let life: AbortController | null = null

  const me = () => {
    const { id = '', lid = '' } = login.state.creds.me ?? {}
    return { id, lid: lid ?? '' }
  }
  const self = () => {
    const user = login.linked() ? lib.jidDecode(me().id)?.user : undefined
    return user ? `+${user}` : null
  }
  /** The account is the owner's own number: they talk with the agent by writing to themselves. */
  const selfChat = () => {
    const own = self()?.slice(1)
    return settings.selfChatMode ?? (settings.allowFrom ?? []).some(entry => entry.replace(/\D/g, '') === own)
  }
  const line: Line = new Line({
    open: openSocket,
    loggedOut() {
      login = openLogin(keep, lib, true)
    },
    standing,
    log: options.log,
  })

  /** By the socket that brought the message: what was written meanwhile comes before the line counts as connected. */
  const fetchBy =
    (brought: WASocket): Fetch =>
    async (from, type, signal) => {
      const socket = brought.ws.isOpen ? brought : line.ready
      if (!socket) throw new Error('there is no connection to WhatsApp')
      const { hosts } = await socket.refreshMediaConn(false)
      const host = hosts[0]?.hostname
      if (!host) throw new Error('WhatsApp names no host for files')
      return lib.downloadContentFromMessage(from, type, { host, options: { signal } })
    }

  function openSocket(): WASocket {
    const reader = openReader({ lib, keep, me, take: (message, people) => take(message, people, socket) })
    const socket: WASocket = lib.makeWASocket({
      auth: login.state,
      logger: quietly(options),
      browser: ['Deputy', 'Chrome', '1.0.0'],
      // The owner's phone goes on ringing.
      markOnlineOnConnect: false,
      syncFullHistory: false,
      shouldIgnoreJid: jid => lib.isJidStatusBroadcast(jid) === true || lib.isJidNewsletter(jid) === true,
      getMessage: async key => (key.id ? sentBefore(keep, lib, key.id) : undefined),
      cachedGroupMetadata: async () => undefined,
      transactionOpts: { maxCommitRetries: 3, delayBetweenTriesMs: 200 },
      makeSignalRepository: reader.makeSignalRepository,
    })
    answers.set(socket, openAnswers(socket))
    guard(socket, words => options.log('warn', words))
    const { state, changed } = login
    socket.ws.prependListener('CB:message', reader.came)
    socket.ev.on('creds.update', update => {
      if (login.state === state && !closed) changed(update)
      options.changed()
    })
    socket.ev.on('groups.upsert', groups => {
      for (const { id, subject } of groups) titles.set(id, subject)
    })
    socket.ev.on('groups.update', groups => {
      for (const { id, subject } of groups) if (id && subject) titles.set(id, subject)
    })
    socket.ev.on('connection.update', ({ connection }) => {
      if (connection !== 'open') return
      socket.groupFetchAllParticipating().then(
        groups => {
          for (const { id, subject } of Object.values(groups)) titles.set(id, subject)
        },
        () => options.log('debug', 'the names of groups are not known'),
      )
    })
    return socket
  }

  /** Another may have had the file since it was stopped. */
  function reopen(): void {
    if (!closed) return
    keep = openKeep(path)
    login = openLogin(keep, lib, false)
    closed = false
  }

  function openForSending(): { socket: WASocket; answers: Answers } | null {
    const socket = line.ready
    const heard = socket ? answers.get(socket) : undefined
    return socket && heard ? { socket, answers: heard } : null
  }

  /** Resolves when it is a row, or nothing to read; rejects when that cannot be any more. */
  async function take(
    from: WAMessage,
    people: WASocket['signalRepository']['lidMapping'],
    socket: WASocket,
  ): Promise<{ text: string } | null> {
    const message = await readMessage(from, {
      lib,
      channel: 'whatsapp',
      account: options.account,
      me: me(),
      selfChat: selfChat(),
      number: lid => people.getPNForLID(lid),
      title: group => titles.get(group) ?? null,
      fetch: fetchBy(socket),
    })
    if (!message) return null
    if (!life) throw new Error('stopped before the message was taken')
    const handed = standing.hand(message, life.signal, () => socket.ws.isOpen)
    const settled = handed.catch(() => undefined)
    taking.add(settled)
    void settled.then(() => taking.delete(settled))
    const { done } = await handed
    if (done === 'accepted' || done === 'command') read(from, socket)
    return { text: message.text }
  }

  function read({ key }: WAMessage, socket: WASocket): void {
    if (settings.sendReadReceipts === false || key.fromMe) return
    socket.readMessages([key]).catch(() => options.log('debug', 'a read receipt was not sent'))
  }

  function showTyping(route: Route, state: 'composing' | 'paused'): void {
    line.ready?.sendPresenceUpdate(state, jidOf(route.to)).catch(() => options.log('debug', 'typing was not shown'))
  }

  return {
    start() {
      if (life) return
      reopen()
      life = new AbortController()
      if (login.linked()) line.begin()
      else line.lacksLogin()
    },

    async stop() {
      life?.abort()
      life = null
      for (const timer of typing.values()) clearInterval(timer)
      typing.clear()
      await line.end()
      await Promise.all(taking)
      closed = true
      await keep.close()
    },

    status: () => ({ ...standing.status, self: self() }),

    outbound: {
      channel: 'whatsapp',
      keyed: true,
      parts: content => partsOf(content, Math.min(maxText, settings.textChunkLimit ?? maxText)),
      async send(message, signal) {
        const outcome = await send(message, signal, { lib, keep, open: openForSending, now: () => clock.now() })
        if (outcome.sent) standing.change({ lastOutboundAt: clock.now() })
        return outcome
      },
    },

    typing(route, on) {
      const known = typing.get(route.to)
      if (on === (known !== undefined)) return
      if (on) typing.set(route.to, setInterval(() => showTyping(route, 'composing'), typingEveryMs).unref())
      else {
        clearInterval(known)
        typing.delete(route.to)
      }
      showTyping(route, on ? 'composing' : 'paused')
    },

    async *login({ phone, signal }) {
      if (line.ready) return void (yield { show: 'done' as const, self: self() })
      reopen()
      life ??= new AbortController()
      if (!login.linked()) login = openLogin(keep, lib, true)
      await line.end('login')
      try {
        yield* pair({ line, phone, signal, self, now: () => clock.now() })
      } finally {
        // A login that was there before is still good, whatever kept it from connecting just now.
        if (life && login.linked()) line.begin()
        if (!closed && !login.linked()) login = openLogin(keep, lib, true)
      }
    },

    async logout() {
      reopen()
      await line.ready?.logout().catch(() => options.log('warn', 'WhatsApp was not told that the device is gone'))
      await line.end('login')
      login = openLogin(keep, lib, true)
    },
  }
}

type Logger = ReturnType<NonNullable<Parameters<Library['makeWASocket']>[0]['logger']>['child']>

/** baileys' own words go into the log without what it hands along: keys and messages are in it. */
function quietly({ log }: AccountOptions): Logger {
  const say = (level: 'debug' | 'warn') => (about: unknown, words?: unknown) => {
    const text = typeof words === 'string' ? words : about
    if (typeof text === 'string') log(level, `baileys: ${text.slice(0, 200)}`)
  }
  const nothing = () => undefined
  const logger: Logger = {
    level: 'info',
    child: () => logger,
    trace: nothing,
    debug: nothing,
    info: say('debug'),
    warn: say('debug'),
    error: say('warn'),
  }
  return logger
}
