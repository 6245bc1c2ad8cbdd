/**
 * The door of the chat services: a message becomes a row, whatever is to become of it, and then its channel is told.
 *
 * Owns who a sender is (their Principal), what is asked in which order, and repeats: a message is known by channel, account,
 * chat, its id and which edit it is (decisions.md 38). Decides nothing about access: the router does. Invariants:
 * 1. `take` resolves after the row and not before; when it rejects, nothing was kept and the message may come again.
 * 2. messages of one chat are taken one after the other, in the order they came.
 * 3. a stranger's message starts no run, opens no conversation and fetches no file.
 */
import { randomInt } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { accessOf, accountOf, type Access, queueOf, routingOf } from '../config/read-channels.ts'
import { commandSendersOf } from '../config/senders.ts'
import { codeAlphabet, codeLength, codeLivesMs } from '../core/admission.ts'
import type { Ingested, InboundMessage } from '../core/chat.ts'
import type { Clock } from '../core/ports.ts'
import type { Principal } from '../core/principal.ts'
import { formsOf } from '../core/sender.ts'
import type { Part, Route } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Scope } from '../protocol/scopes.ts'
import { openMentions } from '../router/mention.ts'
import { type Routed, route } from '../router/route.ts'
import { plainName, speaker, wordsOf } from '../router/words.ts'
import type { Bound } from '../sessions/bound.ts'
import { wasRefused } from '../sessions/commands/claims.ts'
import type { House } from '../sessions/types.ts'
import { apply } from '../store/apply.ts'
import { isAdmitted, knocked, knockKey } from '../store/guests.ts'
import type { Store, Tx } from '../store/open.ts'
import { albumMs, openAlbums } from './albums.ts'
import { openInbox } from './inbox.ts'
import { openOverheard } from './overheard.ts'
import type { Log } from './types.ts'

export interface IngestOptions {
  store: Store
  house: Pick<House, 'accept'>
  config(): Config
  /** The live binding of a place. */
  bound: Bound['at']
  /** Absolute. */
  workspace(agent: string): string
  clock: Clock
  uuid(): string
  /** Something was put into the outbox. */
  outbox(): void
  log: Log
}

export interface Ingest {
  take(message: InboundMessage): Promise<Ingested>
  /** Where the person is whose message a conversation had last; null before the first since the start. */
  routeOf(session: string): Route | null
  /** Nothing is begun any more: runs that wait for more words of their person are rows, and begin at the next start. */
  stop(): void
}

/** What somebody who is let in may: talk, and have the agent work. */
const guestScopes: readonly Scope[] = ['operator.read', 'operator.write']
/** What owners may besides: answer the questions that work waits for, let others in. */
const ownerScopes: readonly Scope[] = [...guestScopes, 'operator.approvals', 'operator.pairing']

/** Conversations whose place is kept in mind for showing that work goes on. */
const mostRoutes = 2000

/** Mistakes of the message or the configuration: the same again would be refused again. */
const hopeless = ['MESSAGE_TOO_LARGE', 'INVALID_PARAMS', 'MODEL_UNKNOWN', 'UNKNOWN_AGENT']

type ToSession = Routed & { to: 'session' }

export function openIngest(options: IngestOptions): Ingest {
  const { store, clock, log } = options
  const mentions = openMentions()
  const inbox = openInbox(log)
  const overheard = openOverheard()
  const albums = openAlbums()
  /** The newest message of each chat that is being taken. */
  const chats = new Map<string, Promise<unknown>>()
  const routes = new Map<string, Route>()
  /** Runs that wait a moment for the next message, by session key. */
  const held = new Map<string, { timer: NodeJS.Timeout; ring(): void }>()

  function take(message: InboundMessage): Promise<Ingested> {
    const { channel, account, chat } = message
    const line = [channel, account, chat.id].join('\n')
    const before = chats.get(line) ?? Promise.resolve()
    const mine = before.then(() => decide(message))
    const over = mine.then(
      () => undefined,
      () => undefined,
    )
    chats.set(line, over)
    void over.then(() => {
      if (chats.get(line) === over) chats.delete(line)
    })
    return mine
  }

  async function decide(message: InboundMessage, again = false): Promise<Ingested> {
    const before = await known(store.read, message)
    if (before) return before
    const config = options.config()
    const account = accountOf(config, message.channel, message.account)
    if (!account?.enabled) return drop(message, 'account-unknown')
    const access = accessOf(config, account)
    const senders = formsOf(message.channel, message.sender)
    const approved =
      access.dm.policy === 'pairing' &&
      (await isAdmitted(store.read, { channel: message.channel, account: message.account, senders }))
    const bound = await options.bound(placeOf(message))
    const routed = route(
      {
        access,
        approved,
        routing: routingOf(config),
        owners: commandSendersOf(config).owners,
        queue: queueOf(config, message.channel),
        bound,
      },
      mentions,
      albums.meant(message),
    )
    switch (routed.to) {
      case 'drop':
        if (routed.overheard) overheard.add(message, access.historyLimit)
        return drop(message, routed.reason)
      case 'pairing':
        return knock(message, routed.sender)
      case 'session':
        return accept(message, routed, access, again)
    }
  }

  async function accept(message: InboundMessage, routed: ToSession, access: Access, again: boolean): Promise<Ingested> {
    const { channel, account } = message
    const at = placeOf(message)
    const principal: Principal = {
      kind: 'sender',
      channel,
      account,
      sender: routed.sender,
      scopes: routed.owner ? ownerScopes : guestScopes,
    }
    const parts = await partsOf(message, routed, access)
    const debounceMs = Math.max(routed.debounceMs, message.album === undefined ? 0 : albumMs)
    try {
      const done = await options.house.accept({
        principal,
        method: 'ingest',
        agent: routed.agent,
        sessionKey: routed.sessionKey,
        parts,
        idempotencyKey: keyOf(message),
        mode: albums.mode(message, routed.mode),
        route: at,
        ...(routed.bound && { bound: routed.bound }),
        ...(debounceMs > 0 && { begin: (ring: () => void) => hold(routed.sessionKey, debounceMs, ring) }),
      })
      remember(done.session.id, at)
      overheard.told(message)
      albums.letIn(message, done.status === 'started')
      if (done.status === 'absorbed' && debounceMs > 0) hold(routed.sessionKey, debounceMs)
      if (done.status !== 'command') return { done: 'accepted' }
      return { done: 'command', ...(done.refused && { refused: true }) }
    } catch (error) {
      if (!(error instanceof DeputyError)) throw error
      if (error.code === 'IDEMPOTENCY_CONFLICT') return { done: 'repeat' }
      // What it was bound to ended just now: it is for the conversation that the place has by itself.
      if (error.code === 'SESSION_CLOSED' && routed.bound && !again) return decide(message, true)
      if (!hopeless.includes(error.code)) throw error
      log('warn', 'a message was refused', { channel, account, code: error.code, error: error.message })
      return refuse(message, error.code, at)
    }
  }

  async function partsOf(message: InboundMessage, routed: ToSession, access: Access): Promise<Part[]> {
    // Only what the sender wrote is a command's; what they answer to is no part of it.
    if (routed.command) return [{ type: 'text', text: message.text }]
    const said = wordsOf(message, overheard.before(message))
    const parts: Part[] = said.map(text => ({ type: 'text', text }))
    const at = { workspace: options.workspace(routed.agent), maxBytes: access.mediaBytes }
    return [...parts, ...(await inbox.take(message.media, at))]
  }

  function remember(session: string, at: Route): void {
    routes.delete(session)
    routes.set(session, at)
    for (const oldest of routes.keys()) {
      if (routes.size <= mostRoutes) break
      routes.delete(oldest)
    }
  }

  /** A new turn begins when nobody has written for a moment. */
  function hold(sessionKey: string, ms: number, ring?: () => void): void {
    const before = held.get(sessionKey)
    const begin = ring ?? before?.ring
    if (!begin) return
    if (before) clearTimeout(before.timer)
    const timer = setTimeout(() => {
      held.delete(sessionKey)
      begin()
    }, ms)
    held.set(sessionKey, { timer, ring: begin })
  }

  async function drop(message: InboundMessage, reason: string): Promise<Ingested> {
    const now = clock.now()
    await store.write('drop', async tx => {
      await putDrop(tx, message, reason, now)
    })
    return { done: 'dropped', reason }
  }

  /** It will not be asked for again, so whoever wrote it hears of it; an empty message is nothing to speak of. */
  async function refuse(message: InboundMessage, code: string, at: Route): Promise<Ingested> {
    const now = clock.now()
    const reason = `refused:${code}`
    const text =
      code === 'MESSAGE_TOO_LARGE'
        ? 'This message is too long. Send it in parts, or as a file.'
        : "The agent can't answer this now. Whoever runs it finds the reason in the log."
    await store.write('drop', async tx => {
      await putDrop(tx, message, reason, now)
      if (code !== 'INVALID_PARAMS')
        await apply(tx, [
          {
            do: 'outbox.put',
            session: '',
            run: null,
            key: `refused:${keyOf(message)}`,
            route: at,
            content: { text },
            at: now,
          },
        ])
    })
    options.outbox()
    return { done: 'dropped', reason }
  }

  /** A stranger is told a code, once; nothing else happens. */
  async function knock(message: InboundMessage, sender: string): Promise<Ingested> {
    const { channel, account } = message
    const now = clock.now()
    const code = Array.from({ length: codeLength }, () => codeAlphabet[randomInt(codeAlphabet.length)]).join('')
    const fresh = { id: options.uuid(), code, now, expiresAt: now + codeLivesMs }
    const label = plainName(message.sender.name, '') || null
    const told = await store.write('pair', async tx => {
      const given = await knocked(tx, { channel, account, sender, label }, fresh)
      await putDrop(tx, message, 'pairing-required', now)
      if (given === null) return false
      const text = [
        'This assistant does not know you yet.',
        `Your id here: ${sender}`,
        `Pairing code: ${given}`,
        '',
        'Whoever runs it lets you in with:',
        `deputy pairing approve ${channel} ${given}${account === 'default' ? '' : ` --account ${account}`}`,
      ].join('\n')
      // No conversation exists for it, and none is made.
      await apply(tx, [
        {
          do: 'outbox.put',
          session: '',
          run: null,
          key: knockKey(fresh.id),
          route: placeOf(message),
          content: { text },
          at: now,
        },
      ])
      return true
    })
    if (told) {
      log('info', 'somebody asks to be let in', { channel, account, sender: speaker(message) })
      options.outbox()
    }
    return { done: 'dropped', reason: 'pairing-required' }
  }

  return {
    take,
    routeOf: session => routes.get(session) ?? null,
    stop() {
      for (const { timer } of held.values()) clearTimeout(timer)
      held.clear()
    },
  }
}

/** Where it was written, and where what answers it goes. */
function placeOf({ channel, account, chat }: InboundMessage): Route {
  return { channel, account, to: chat.id, ...(chat.thread === null ? {} : { thread: chat.thread }) }
}

/** The idempotency key; every part is escaped, so that no two messages share one. */
function keyOf({ channel, account, chat, id, edit }: InboundMessage): string {
  return `in:${[channel, account, chat.id, id, edit].map(part => encodeURIComponent(part.toWellFormed())).join(':')}`
}

/**
 * What became of it, when it has a row: a press that was refused or dropped has used no button up when it comes again either.
 * A command that was begun and never answered is taken up again.
 */
async function known(db: Tx, message: InboundMessage): Promise<Ingested | null> {
  const { channel, account, chat, id, edit } = message
  const accepted = await db
    .selectFrom('rpc_keys')
    .select('answer')
    .where('key', '=', keyOf(message))
    .where('method', '=', 'ingest')
    .where(eb => eb.or([eb('run', 'is not', null), eb('answer', 'is not', null)]))
    .executeTakeFirst()
  if (accepted?.answer && wasRefused(accepted.answer)) return { done: 'command', refused: true }
  if (accepted) return { done: 'repeat' }
  const dropped = await db
    .selectFrom('drops')
    .select('reason')
    .where('channel', '=', channel)
    .where('account', '=', account)
    .where('chat', '=', chat.id)
    .where('message', '=', id)
    .where('edit', '=', edit)
    .executeTakeFirst()
  return dropped ? { done: 'dropped', reason: dropped.reason } : null
}

async function putDrop(tx: Tx, message: InboundMessage, reason: string, at: number): Promise<void> {
  const { channel, account, chat, id, edit } = message
  await tx
    .insertInto('drops')
    .values({ channel, account, chat: chat.id, message: id, edit, reason, at })
    .onConflict(conflict => conflict.columns(['channel', 'account', 'chat', 'message', 'edit']).doNothing())
    .execute()
}
