/**
 * One bot: connects and stays connected, brings what is written to it into the house, and shows that it is at work.
 *
 * Owns the life of the account and its status. How events come is line.ts, what they say inbound.ts, what goes out
 * outbound.ts. Invariants: an event counts as received only after `ingest` has resolved; messages of one channel are taken
 * one after the other; a failure of the service is a status and a later attempt, never an end of anything else.
 */
import type { REST } from '@discordjs/rest'
import type { APIChannel, APIInteraction, APIMessage, GatewayDispatchPayload } from 'discord-api-types/v10'
import type { InboundMessage } from '../../core/chat.ts'
import type { Route } from '../../core/types.ts'
import type { Account, AccountOptions } from '../channel.ts'
import { type Intake, openIntake } from '../intake.ts'
import { openStanding } from '../standing.ts'
import { openTyping } from '../typing.ts'
import { problemOf, statusOf, wordsOf } from './failure.ts'
import { fetchFile } from './files.ts'
import { isEdit, isWords, type RawMessage, readInteraction, readMessage, type Reading } from './inbound.ts'
import { openAnswer } from './interactions.ts'
import { maxCommands, maxCommandWords, maxText } from './limits.ts'
import { type Line, openLine } from './line.ts'
import { openMemory, type Remembering } from './memory.ts'
import { fetchMissed, pageSize } from './missed.ts'
import { channelOf, openWayOut } from './outbound.ts'
import { openPlaces, type Places } from './places.ts'
import { readSettings, type Settings } from './settings.ts'

/** The service shows it for ten seconds. */
const typingAgainMs = 8000

interface Life {
  over: AbortController
  begun: Promise<void>
  line: Line | null
  remembering: Remembering
  places: Places
  /** The bot's own id, and that of its application. */
  me: string
  application: string
  /** A line that came back may tell what is still being taken. */
  intake: Intake
}

export function openAccount(options: AccountOptions): Account {
  const read = readSettings(options.settings)
  const settings = read.ok ? read.settings : null
  const standing = openStanding(options, { problemOf })
  const { status, change, ill, persist } = standing
  let rest: Promise<REST> | null = null
  let life: Life | null = null

  function theRest(): Promise<REST> {
    if (!settings) throw new Error('the account has no settings that work')
    rest ??= openRest(settings)
    return rest
  }

  async function live(mine: Life, known: Settings): Promise<void> {
    const { signal } = mine.over
    const api = await theRest()
    const me = (await persist(() => api.get('/users/@me', { signal }), signal)) as {
      id: string
      username: string
    } | null
    if (!me) return
    mine.me = me.id
    change({ self: `@${me.username}` })
    const app = (await persist(() => api.get('/applications/@me', { signal }), signal)) as { id: string } | null
    if (!app) return
    mine.application = app.id
    const knew = mine.remembering.memory.session !== null || mine.remembering.memory.newest.size > 0
    const line = await openLine({
      token: known.token,
      rest: api,
      remembering: mine.remembering,
      event: payload => event(payload, mine),
      up: fresh => up(fresh, knew || status.connectedAt !== null, mine),
      down() {
        if (!signal.aborted && status.state === 'connected') change({ state: 'reconnecting' })
      },
      failed: error => void ill(error),
    })
    mine.line = line
    if (signal.aborted) return
    // The library's promise stays open when the line is closed before it was up.
    const stopped = new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
    await Promise.race([persist(() => line.connect(), signal), stopped])
  }

  function up(fresh: boolean, before: boolean, mine: Life): void {
    if (mine.over.signal.aborted) return
    standing.well()
    if (!fresh) return
    void list(mine)
    if (before) void catchUp(mine)
  }

  /** The service shows them while a person types. Not worth more than one attempt. */
  async function list({ application, over: { signal } }: Life): Promise<void> {
    const body = options
      .commands()
      .filter(({ name }) => /^[-_a-z0-9]{1,32}$/.test(name))
      .slice(0, maxCommands)
      .map(({ name, description }) => ({
        name,
        description: description.slice(0, maxCommandWords) || name,
        options: [{ type: 3, name: 'args', description: 'What follows the command', required: false }],
      }))
    const api = await theRest()
    await api.put(`/applications/${application}/commands`, { body, signal }).catch(error => {
      if (!signal.aborted) options.log('warn', 'the commands could not be listed', { why: wordsOf(error) })
    })
  }

  /** A line that was begun anew tells nothing of what was written before. */
  async function catchUp(mine: Life): Promise<void> {
    const { signal } = mine.over
    const api = await theRest()
    const found = await fetchMissed({
      newest: new Map(mine.remembering.memory.newest),
      signal,
      async page(channel, after) {
        const query = new URLSearchParams({ after, limit: String(pageSize) })
        const got = await persist(
          () => api.get(`/channels/${channel}/messages`, { query, signal }) as Promise<APIMessage[]>,
          signal,
          error => (statusOf(error) ?? 500) < 500,
        )
        return got?.reverse() ?? null
      },
      take: message => takeMessage(message, false, mine).catch(() => undefined),
    }).catch(error => options.log('warn', 'missed messages could not be fetched', { why: wordsOf(error) }))
    if (found) options.log('info', 'fetched what was written meanwhile', { messages: found })
  }

  async function event(payload: GatewayDispatchPayload, mine: Life): Promise<void> {
    const { t } = payload
    if (t === 'CHANNEL_UPDATE' || t === 'CHANNEL_DELETE' || t === 'THREAD_UPDATE' || t === 'THREAD_DELETE')
      return mine.places.forget(payload.d.id)
    if (t === 'MESSAGE_CREATE' || t === 'MESSAGE_UPDATE')
      if (payload.d.guild_id === undefined && typeof payload.d.channel_id === 'string')
        mine.places.isDirect(payload.d.channel_id)
    if (t === 'MESSAGE_CREATE') return takeMessage(payload.d, false, mine)
    if (t === 'MESSAGE_UPDATE' && isEdit(payload.d)) return takeMessage(payload.d, true, mine)
    if (t === 'INTERACTION_CREATE') return takeInteraction(payload.d, mine)
  }

  function takeMessage(raw: RawMessage, edited: boolean, mine: Life): Promise<void> {
    if (!wellFormed(raw)) {
      options.log('warn', 'a message could not be read and is left out')
      return Promise.resolve()
    }
    if (!isWords(raw, mine.me)) return Promise.resolve()
    const key = `${raw.id} ${edited ? raw.edited_timestamp : ''}`
    return inTurn(raw.channel_id, key, mine, async () => {
      const message = await readSafely(raw.channel_id, mine, reading => readMessage(raw, edited, reading))
      if (message) await standing.hand(message, mine.over.signal)
      const { memory, changed } = mine.remembering
      const newest = memory.newest.get(raw.channel_id)
      memory.newest.delete(raw.channel_id)
      memory.newest.set(raw.channel_id, newest && BigInt(newest) > BigInt(raw.id) ? newest : raw.id)
      changed()
    })
  }

  function takeInteraction(raw: APIInteraction, mine: Life): Promise<void> {
    const channel = raw.channel?.id
    if (typeof raw.id !== 'string' || typeof channel !== 'string') return Promise.resolve()
    const { application } = mine
    const answer = openAnswer(raw, { rest: theRest, application, ephemeral: settings?.ephemeral !== false })
    return inTurn(channel, raw.id, mine, async () => {
      const message = await readSafely(channel, mine, reading => readInteraction(raw, reading))
      if (!message) return
      const done = await standing.hand(message, mine.over.signal)
      await answer
        .taken({ text: message.text, done })
        .catch(error =>
          options.log('debug', 'a press or command was taken, but not shown as such', { why: wordsOf(error) }),
        )
    }).finally(answer.over)
  }

  async function readSafely(
    channel: string,
    mine: Life,
    read: (reading: Reading) => InboundMessage | null,
  ): Promise<InboundMessage | null> {
    const { signal } = mine.over
    const message = await persist(
      async () =>
        read({
          account: options.account,
          me: mine.me,
          place: await mine.places.of(channel),
          fetchFile: (url, maxBytes, until) => fetchFile(settings!, url, maxBytes, until),
        }),
      signal,
      error => {
        const answered = statusOf(error)
        const away = answered === null ? !(error instanceof TypeError) : answered >= 500 || answered === 429
        if (!away) options.log('warn', 'a message could not be read and is left out', { why: wordsOf(error) })
        return !away
      },
    )
    // What was not read because the account stops was not taken.
    signal.throwIfAborted()
    return message
  }

  function inTurn(channel: string, key: string, mine: Life, take: () => Promise<void>): Promise<void> {
    return mine.intake.put(key, channel, async () => {
      try {
        await take()
      } catch (error) {
        if (!mine.over.signal.aborted) options.log('error', 'a message could not be taken', { why: String(error) })
        throw error
      }
    })
  }

  const typing = openTyping(typingAgainMs, async (route: Route) => {
    await (await theRest()).post(`/channels/${channelOf(route)}/typing`)
  })

  return {
    start() {
      if (life) return
      if (!read.ok) return change({ state: 'failed', problem: read.problem })
      const mine: Life = {
        over: new AbortController(),
        begun: Promise.resolve(),
        line: null,
        remembering: openMemory(options.stateDir, why =>
          options.log('warn', 'how far messages were taken could not be kept', { why }),
        ),
        places: openPlaces(async channel => (await (await theRest()).get(`/channels/${channel}`)) as APIChannel),
        me: '',
        application: '',
        intake: openIntake(),
      }
      life = mine
      standing.begin()
      mine.begun = live(mine, read.settings).catch(error => {
        if (!mine.over.signal.aborted) ill(error)
      })
    },
    async stop() {
      const mine = life
      typing.stop()
      if (!mine) return change({ state: 'off' })
      mine.over.abort()
      await mine.line?.close()
      await mine.begun
      await mine.intake.idle()
      mine.remembering.flush()
      life = null
      change({ state: 'off', problem: null })
    },
    status: () => ({ ...standing.status }),
    outbound: openWayOut({
      rest: theRest,
      textLimit: settings?.textLimit ?? maxText,
      clock: options.clock,
      sent: () => change({ lastOutboundAt: options.clock.now() }),
    }),
    typing: (route, on) => typing.set(route, on),
  }
}

/** The library waits for nobody's limits and repeats nothing by itself: what is to be sent stands in the outbox. */
async function openRest({ token, apiRoot }: Settings): Promise<REST> {
  const { REST } = await import('@discordjs/rest')
  return new REST({ version: '10', api: apiRoot, retries: 0, rejectOnRateLimit: () => true }).setToken(token)
}

function wellFormed(raw: RawMessage): boolean {
  return (
    typeof raw.id === 'string' &&
    /^\d+$/.test(raw.id) &&
    typeof raw.channel_id === 'string' &&
    typeof raw.author?.id === 'string' &&
    typeof raw.content === 'string'
  )
}
