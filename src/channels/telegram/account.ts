/**
 * One bot: connects and stays connected, brings what is written to it into the house, and shows that it is at work.
 *
 * Owns the life of the account and its status. How updates come is polling.ts and webhook.ts, what they say inbound.ts, what
 * goes out outbound.ts. Invariants: an update counts as received only after `ingest` has resolved; a failure of the service
 * is a status and a later attempt, never an end of anything else; the token is in no line of the log.
 */
import type { Update, UserFromGetMe } from 'grammy/types'
import { type InboundMessage, type Ingested, isUsed } from '../../core/chat.ts'
import type { Route } from '../../core/types.ts'
import type { Account, AccountOptions } from '../channel.ts'
import { openTyping } from '../typing.ts'
import type { Hook } from '../hook.ts'
import { type Intake, openIntake } from '../intake.ts'
import { openStanding } from '../standing.ts'
import { pauseMs, problemOf, refusalOf, wordsOf } from './failure.ts'
import { chatIdOf, kindsFor, type Reading, toInbound } from './inbound.ts'
import { maxCommands, maxCommandWords, maxText } from './limits.ts'
import { openWayOut } from './outbound.ts'
import { type Polling, startPolling } from './polling.ts'
import { readSettings, type Settings } from './settings.ts'
import { startWebhook } from './webhook.ts'
import { asSignal, openWire, type Wire } from './wire.ts'

const mostOurs = 1000
/** The service shows it for five seconds. */
const typingAgainMs = 4500

interface Life {
  over: AbortController
  done: Promise<void>
  intake: Intake
  put(update: Update): Promise<void>
  polling: Polling | null
  webhook: Hook | null
  /** Answers to presses that are under way. */
  asides: Set<Promise<void>>
}

export function openAccount(options: AccountOptions): Account {
  const read = readSettings(options.settings)
  const standing = openStanding(options, { problemOf, pauseMs })
  const { change, well, ill, persist } = standing
  // What is wrong with the block is said when the account is started; until then nothing of it can be reached.
  const settings = read.ok ? read.settings : null
  let wire: Promise<Wire> | null = null
  let life: Life | null = null
  let me: UserFromGetMe | null = null
  /** What the bot wrote lately, by chat and message. */
  const ours = new Set<string>()

  function theWire(): Promise<Wire> {
    if (!settings) throw new Error('the account has no settings that work')
    wire ??= openWire(settings)
    return wire
  }

  async function live(mine: Life, known: Settings): Promise<void> {
    const { signal } = mine.over
    const { direct } = await theWire()
    const bot = await persist(() => direct.getMe(asSignal(signal)), signal)
    if (!bot) return
    me = bot
    change({ self: `@${me.username}` })
    if (known.webhook) {
      const { url, secret, certificate } = known.webhook
      const server = await startWebhook({ ...known.webhook, put: mine.put, log: options.log }).catch(error => {
        const fix = 'Free the port, or set channels.telegram.webhookPort and webhookHost.'
        const message = `The webhook cannot listen (${(error as NodeJS.ErrnoException).code}).`
        change({ state: 'failed', problem: { code: 'CHANNEL_WEBHOOK_PORT', message, fix } })
        return null
      })
      if (!server) return
      mine.webhook = server
      const { upload } = await theWire()
      const file = certificate ? { certificate: upload(certificate, 'certificate.pem') as never } : {}
      const hook = { secret_token: secret, allowed_updates: [...kindsFor(known.reactions)], ...file }
      if (!(await persist(() => direct.setWebhook(url, hook, asSignal(signal)), signal))) return
    } else if (!(await persist(() => direct.deleteWebhook({}, asSignal(signal)), signal))) return
    well()
    await list(known, signal)
    if (known.webhook || signal.aborted) return
    mine.polling = await startPolling({
      wire: await theWire(),
      kinds: kindsFor(known.reactions),
      put: mine.put,
      well,
      ill,
    })
    // Stopped meanwhile: whoever stopped it found nothing to stop yet.
    if (signal.aborted) await mine.polling.stop()
    await mine.polling.ended
  }

  /** The service shows them while a person types. Not worth more than one attempt. */
  async function list(known: Settings, signal: AbortSignal): Promise<void> {
    const commands = [...commandNames(), ...known.customCommands.map(one => [one.name, one] as const)]
      .filter(([name]) => /^[a-z0-9_]{1,32}$/.test(name))
      .slice(0, maxCommands)
      .map(([command, { description }]) => ({ command, description: description.slice(0, maxCommandWords) || command }))
    const { direct } = await theWire()
    await direct.setMyCommands(commands, {}, asSignal(signal)).catch(error => {
      if (!signal.aborted) options.log('warn', 'the commands could not be listed', { why: wordsOf(error) })
    })
  }

  function commandNames(): (readonly [string, { name: string; description: string }])[] {
    return options.commands().map(one => [one.name.toLowerCase().replaceAll('-', '_'), one])
  }

  /** `insist`: the service does not bring it again by itself while we hold it. */
  async function take(update: Update, mine: Life, insist: boolean): Promise<void> {
    let message: InboundMessage | null
    try {
      message = toInbound(update, reading())
    } catch (error) {
      options.log('warn', 'an update could not be read and is left out', {
        update: update.update_id,
        why: String(error),
      })
      return
    }
    const taken = message && (await standing.hand(message, mine.over.signal, () => insist))
    if (!update.callback_query?.id) return
    const aside = pressed(update.callback_query, taken).finally(() => mine.asides.delete(aside))
    mine.asides.add(aside)
  }

  /** Ends the waiting sign on the button, whatever it was; takes the buttons of a question that was answered. */
  async function pressed(query: NonNullable<Update['callback_query']>, taken: Ingested | null): Promise<void> {
    const { direct } = await theWire()
    const { message } = query
    const calls: Promise<unknown>[] = [direct.answerCallbackQuery(query.id)]
    if (taken && isUsed(taken) && message)
      calls.push(direct.editMessageReplyMarkup(message.chat.id, message.message_id))
    for (const call of await Promise.allSettled(calls)) {
      if (call.status === 'rejected' && !/message is not modified/.test(refusalOf(call.reason)?.description ?? '')) {
        options.log('debug', 'a press was taken, but not shown as such', { why: wordsOf(call.reason) })
      }
    }
  }

  function reading(): Reading {
    if (!me) throw new Error('not connected')
    const commands = new Map(commandNames().map(([listed, { name }]) => [listed, name]))
    const fetchFile: Reading['fetchFile'] = async (id, maxBytes, signal) => {
      try {
        return await (await theWire()).fetchFile(id, maxBytes, signal)
      } catch (error) {
        // What the library throws has the address in it, and the address the token.
        throw (error as { code?: unknown }).code === 'MEDIA_TOO_LARGE' ? error : new Error(wordsOf(error))
      }
    }
    const isOwn: Reading['isOwn'] = (chat, message) => ours.has(`${chat} ${message}`)
    return { account: options.account, me, fetchFile, commands, reactions: settings?.reactions ?? 'off', isOwn }
  }

  const typing = openTyping(typingAgainMs, async (route: Route) => {
    const thread = route.thread ? { message_thread_id: Number(route.thread) } : {}
    await (await theWire()).direct.sendChatAction(route.to, 'typing', thread)
  })

  return {
    start() {
      if (life) return
      if (!read.ok) return change({ state: 'failed', problem: read.problem })
      const insist = read.settings.webhook === null
      const mine: Life = {
        over: new AbortController(),
        done: Promise.resolve(),
        intake: openIntake(),
        put: update => mine.intake.put(String(update.update_id), chatIdOf(update), () => take(update, mine, insist)),
        polling: null,
        webhook: null,
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
      typing.stop()
      if (!mine) return change({ state: 'off' })
      mine.over.abort()
      await mine.polling?.stop()
      await mine.done
      await mine.intake.idle()
      await mine.webhook?.stop()
      await mine.polling?.confirm().catch(() => undefined)
      await Promise.all(mine.asides)
      life = null
      change({ state: 'off', problem: null })
    },
    status: () => ({ ...standing.status }),
    outbound: openWayOut({
      settings: settings ?? { linkPreview: true, textLimit: maxText },
      wire: theWire,
      clock: options.clock,
      sent(chat, message) {
        change({ lastOutboundAt: options.clock.now() })
        if (message !== null) ours.add(`${chat} ${message}`)
        for (const oldest of ours) {
          if (ours.size <= mostOurs) break
          ours.delete(oldest)
        }
      },
      log: options.log,
    }),
    typing: (route, on) => typing.set(route, on),
  }
}
