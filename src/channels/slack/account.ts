/**
 * One app in one workspace: connects and stays connected, brings what is written to it into the house.
 *
 * Owns the life of the account and its status. Invariants: an envelope is acknowledged only after `ingest` has resolved; a
 * failure of the service is a status and a later attempt, never an end of anything else; no token is in a line of the log.
 */
import { type InboundMessage, isUsed } from '../../core/chat.ts'
import type { Account, AccountOptions } from '../channel.ts'
import { type Intake, openIntake } from '../intake.ts'
import { openStanding } from '../standing.ts'
import { openDirectory } from './directory.ts'
import { pauseMs, problemOf, refusalOf, wordsOf } from './failure.ts'
import { chatIdOf, type Envelope, envelopeIdOf, type Reading, toInbound } from './inbound.ts'
import { maxText } from './limits.ts'
import { openMemory } from './memory.ts'
import { fetchMissed, type Gate, longestMs, openGate } from './missed.ts'
import { openWayOut } from './outbound.ts'
import { startRequests } from './requests.ts'
import { readSettings, type Settings } from './settings.ts'
import { keepConnected } from './socket.ts'
import { openWire, type Wire } from './wire.ts'

/** Within that, Slack brings by itself again what it got no answer for. */
const repeatsMs = 60_000
/** Clocks differ, and what comes twice is known. */
const marginMs = 120_000
const hearEveryMs = 15_000
/** What is written meanwhile waits so long for what was missed. */
const gateMs = 30_000

interface Life {
  /** Nothing new is begun. */
  over: AbortController
  /** The connection is ended. */
  parted: AbortController
  done: Promise<void>
  intake: Intake
  gate: Gate
  /** What was missed is being fetched. */
  catching: Promise<void> | null
  /** Buttons that are being taken away. */
  asides: Set<Promise<void>>
}

export function openAccount(options: AccountOptions): Account {
  const read = readSettings(options.settings)
  const standing = openStanding(options, { problemOf, pauseMs })
  const { change, well, ill } = standing
  // What is wrong with the block is said when the account is started; until then nothing of it can be reached.
  const settings = read.ok ? read.settings : null
  let wire: Promise<Wire> | null = null
  let life: Life | null = null
  let me: (Reading['me'] & { team: string | null }) | null = null
  const memory = openMemory(options.stateDir, why =>
    options.log('warn', 'how far messages were heard could not be kept', { why }),
  )

  function theWire(): Promise<Wire> {
    if (!settings) throw new Error('the account has no settings that work')
    wire ??= openWire(settings)
    return wire
  }

  const web = async (): Promise<Wire['web']> => (await theWire()).web
  const directory = openDirectory(web, options.clock)

  async function live(mine: Life, known: Settings): Promise<void> {
    const { signal } = mine.over
    const { web, socket } = await theWire()
    me ??= await standing.persist(async () => {
      const { user_id, bot_id, user, team, team_id } = await web.auth.test()
      if (!user_id || !bot_id) throw new Error('Slack did not say who the app is')
      change({ self: `@${user} in ${team}` })
      return { user: user_id, bot: bot_id, team: team_id ?? null }
    }, signal)
    if (!me) return
    const take = (envelope: Envelope): Promise<void> =>
      mine.intake.put(envelopeIdOf(envelope), chatIdOf(envelope), async () => {
        if (envelope.type === 'events_api') await mine.gate.pass(chatIdOf(envelope))
        await takeOne(envelope, mine, known)
      })
    const up = (): void => {
      const fresh = standing.status.state !== 'connected'
      well()
      if (fresh) mine.catching ??= catchUp(mine, known).finally(() => (mine.catching = null))
    }
    const lost = (error: unknown): boolean => {
      mine.gate.close()
      return ill(error)
    }
    const hearing = setInterval(() => hear(mine), hearEveryMs).unref()
    try {
      if (known.http) await listen(mine, known.http, take, up)
      else await keepConnected({ open: socket, signal: mine.parted.signal, take, well: up, ill: lost })
    } finally {
      clearInterval(hearing)
      await mine.catching
    }
  }

  /** Until the account stops. */
  async function listen(
    mine: Life,
    where: NonNullable<Settings['http']>,
    take: (envelope: Envelope) => Promise<void>,
    up: () => void,
  ): Promise<void> {
    const { signal } = mine.parted
    try {
      const hook = await startRequests({ ...where, take, clock: options.clock, log: options.log })
      up()
      if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
      await hook.stop()
    } catch (error) {
      const message = `Slack's requests cannot be listened for (${(error as NodeJS.ErrnoException).code}).`
      const fix = 'Free the port, or set channels.slack.webhookPort and webhookHost.'
      change({ state: 'failed', problem: { code: 'CHANNEL_WEBHOOK_PORT', message, fix } })
    }
  }

  /** All was heard until now, unless something still waits to be taken. */
  function hear(mine: Life): void {
    if (standing.status.state !== 'connected' || mine.catching || mine.intake.busy()) return
    memory.hear(options.clock.now())
  }

  async function catchUp(mine: Life, known: Settings): Promise<void> {
    const now = options.clock.now()
    const { heard } = memory
    if (heard === null || now - heard <= repeatsMs) {
      mine.gate.openAll()
      return memory.hear(now)
    }
    const { signal } = mine.over
    try {
      const found = await fetchMissed({
        web: await web(),
        since: Math.max(heard - marginMs, now - longestMs),
        threads: memory.threads(),
        signal,
        ask: call => standing.persist(call, signal, refused),
        take: (message, channel, channel_type) => {
          const event = { ...message, type: 'message', channel, channel_type }
          return takeOne({ type: 'events_api', body: { team_id: me?.team, event } }, mine, known)
        },
        done: channel => mine.gate.open(channel),
      })
      if (signal.aborted) return
      options.log('info', 'fetched what was written meanwhile', { ...found })
      memory.hear(now)
    } catch (error) {
      if (!signal.aborted)
        options.log('warn', 'what was written meanwhile could not be fetched', { why: wordsOf(error) })
    } finally {
      mine.gate.openAll()
    }
  }

  /** A refusal is final for this call; a pause that the service asks for, and a line that is away, are not. */
  function refused(error: unknown): boolean {
    const word = refusalOf(error)
    if (word === null || word === 'ratelimited') return false
    options.log('warn', 'a conversation could not be asked for what was missed', { why: wordsOf(error) })
    return true
  }

  async function takeOne(envelope: Envelope, mine: Life, known: Settings): Promise<void> {
    let message: InboundMessage | null
    try {
      message = await toInbound(envelope, reading(known))
    } catch (error) {
      options.log('warn', 'an event could not be read and is left out', { type: envelope.type, why: String(error) })
      return
    }
    if (!message) return
    if (message.chat.thread) memory.thread(message.chat.id, message.chat.thread)
    const stamped = message.at > 0 ? message : { ...message, at: options.clock.now() }
    // The service gives an event up after a few attempts: while we hold it, we try by ourselves.
    const taken = await standing.hand(stamped, mine.over.signal)
    if (message.via !== 'button' || !isUsed(taken)) return
    const aside = pressed(envelope.body).finally(() => mine.asides.delete(aside))
    mine.asides.add(aside)
  }

  /** Takes the buttons of a question that was answered. */
  async function pressed(body: Record<string, unknown>): Promise<void> {
    const { channel, message } = body as {
      channel: { id: string }
      message: { ts: string; text?: string; blocks?: { type: string }[] }
    }
    const blocks = (message.blocks ?? []).filter(block => block.type !== 'actions') as never[]
    try {
      await (await web()).chat.update({ channel: channel.id, ts: message.ts, text: message.text ?? '', blocks })
    } catch (error) {
      const level = refusalOf(error) === 'message_not_found' ? 'debug' : 'warn'
      options.log(level, 'a press was taken, but its buttons still stand', { why: wordsOf(error) })
    }
  }

  function reading(known: Settings): Reading {
    if (!me) throw new Error('not connected')
    return {
      account: options.account,
      me,
      slashName: known.slashName,
      commands: new Set(options.commands().map(({ name }) => name)),
      directory,
      fetchFile: async (url, maxBytes, signal) => (await theWire()).fetchFile(url, maxBytes, signal),
    }
  }

  return {
    start() {
      if (life) return
      if (!read.ok) return change({ state: 'failed', problem: read.problem })
      const mine: Life = {
        over: new AbortController(),
        parted: new AbortController(),
        done: Promise.resolve(),
        intake: openIntake(),
        gate: openGate(gateMs),
        catching: null,
        asides: new Set(),
      }
      life = mine
      standing.begin()
      mine.done = live(mine, read.settings).catch(error => {
        if (!mine.over.signal.aborted) ill(error)
      })
    },
    async stop() {
      const mine = life
      if (!mine) return change({ state: 'off' })
      // First what is under way, so that it can still be acknowledged; a retry that is waiting is given up.
      mine.over.abort()
      mine.gate.openAll()
      await mine.intake.idle()
      mine.parted.abort()
      await mine.done
      await Promise.all(mine.asides)
      life = null
      change({ state: 'off', problem: null })
    },
    status: () => ({ ...standing.status }),
    outbound: openWayOut({
      settings: settings ?? { textLimit: maxText },
      web,
      clock: options.clock,
      sent(channel, thread) {
        change({ lastOutboundAt: options.clock.now() })
        if (thread) memory.thread(channel, thread)
      },
    }),
  }
}
