/**
 * The channel to fake-service.ts: the smallest that keeps every promise of channel.ts, for tests of what lies behind channels.
 * Polls, hands over one message of a chat after the other, acknowledges what was taken.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account, AccountOptions, AccountStatus, Channel } from '../../src/channels/channel.ts'
import { atRest } from '../../src/channels/standing.ts'
import type { Content, InboundMedia } from '../../src/core/chat.ts'
import type { Outbound, OutboundMessage, SendOutcome } from '../../src/core/ports.ts'
import { DeputyError } from '../../src/protocol/errors.ts'
import type { Update } from './fake-service.ts'

const maxText = 200

/** `id`: the service that it stands in for, so that its block of the configuration is this channel's. */
export function fakeChannel(id: string, options: { login?: boolean } = {}): Channel {
  return {
    id,
    label: 'Fake',
    capabilities: {
      edit: true,
      threads: true,
      reactions: false,
      media: false,
      typing: true,
      buttons: false,
      polls: false,
      binds: { opens: ['direct', 'group', 'channel'] },
      maxText,
    },
    open: async given => openAccount(id, given, options.login === true),
  }
}

/** As far as a block of Telegram's keys can say where the service is. */
function placeOf(settings: AccountOptions['settings']): { url: string; token: string } {
  return { url: String(settings['apiRoot'] ?? ''), token: String(settings['botToken'] ?? '') }
}

function openAccount(channel: string, options: AccountOptions, login: boolean): Account {
  const { url, token } = placeOf(options.settings)
  const status: { -readonly [K in keyof AccountStatus]: AccountStatus[K] } = { ...atRest }
  let stop = new AbortController()
  let loop: Promise<void> = Promise.resolve()
  const taking = new Map<number, Promise<void>>()
  const chats = new Map<string, Promise<void>>()

  const change = (to: Partial<AccountStatus>) => {
    Object.assign(status, to)
    options.changed()
  }
  const ask = async (path: string, body: unknown, signal: AbortSignal) =>
    fetch(`${url}${path}`, {
      headers: { authorization: `Bearer ${token}` },
      signal,
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    })

  async function poll(signal: AbortSignal): Promise<void> {
    let known = false
    while (!signal.aborted) {
      try {
        const me = await ask('/me', undefined, signal)
        if (me.status === 401)
          return change({
            state: 'failed',
            problem: { code: 'CHANNEL_TOKEN_REFUSED', message: 'the token is wrong', fix: 'Set another.' },
          })
        const { name } = (await me.json()) as { name: string }
        if (status.state !== 'connected')
          change({
            state: 'connected',
            self: name,
            problem: null,
            connectedAt: options.clock.now(),
            reconnects: status.reconnects + (known ? 1 : 0),
          })
        known = true
        const answer = (await (await ask('/updates', undefined, signal)).json()) as { updates?: unknown }
        for (const each of Array.isArray(answer.updates) ? answer.updates : []) take(each, signal)
        await sleep(2)
      } catch (error) {
        if (signal.aborted) return
        const message = error instanceof Error ? error.message : String(error)
        change({
          state: 'reconnecting',
          problem: { code: 'CHANNEL_UNREACHABLE', message, fix: 'It is tried again by itself.' },
        })
        await sleep(20)
      }
    }
  }

  function take(each: unknown, signal: AbortSignal): void {
    const { n, update } = (each ?? {}) as { n?: unknown; update?: Update }
    if (typeof n !== 'number' || typeof update?.text !== 'string' || taking.has(n)) return
    const chat = `${update.chat.id}\n${update.chat.thread ?? ''}`
    const mine = (chats.get(chat) ?? Promise.resolve()).then(async () => {
      if (signal.aborted) return
      try {
        await options.ingest({ ...update, channel, account: options.account, media: (update.media ?? []).map(mediaOf) })
        change({ lastInboundAt: options.clock.now() })
        await ask('/ack', { n }, AbortSignal.timeout(5000))
      } catch (error) {
        options.log('warn', 'a message was not taken; it comes again', { error: String(error) })
      }
    })
    taking.set(n, mine)
    chats.set(chat, mine)
    void mine.then(() => {
      taking.delete(n)
      if (chats.get(chat) === mine) chats.delete(chat)
    })
  }

  async function send(message: OutboundMessage, signal: AbortSignal): Promise<SendOutcome> {
    const { route, key, edit, content, maybeRepeat } = message
    const text = maybeRepeat ? `(may be a repeat) ${content.text}` : content.text
    const refused = (
      code: string,
      more: { certain: boolean; retryable: boolean; retryAtMs?: number },
    ): SendOutcome => ({
      sent: false,
      code,
      message: code,
      ...more,
    })
    try {
      const answer = await ask('/send', { chat: route.to, thread: route.thread, key, edit, text }, signal)
      const body = (await answer.json()) as { id?: string; retryAfterMs?: number }
      if (answer.status === 429)
        return refused('rate_limit', {
          certain: true,
          retryable: true,
          retryAtMs: options.clock.now() + (body.retryAfterMs ?? 1000),
        })
      if (answer.status >= 500) return refused('server', { certain: false, retryable: true })
      if (!answer.ok) return refused('refused', { certain: true, retryable: false })
      change({ lastOutboundAt: options.clock.now() })
      return { sent: true, remoteId: body.id ?? null }
    } catch {
      return refused('network', { certain: false, retryable: true })
    }
  }

  const outbound: Outbound = { channel, keyed: true, parts: cut, send }
  return {
    start() {
      if (status.state !== 'off') return
      stop = new AbortController()
      change({ state: 'connecting' })
      loop = poll(stop.signal)
    },
    async stop() {
      stop.abort()
      await loop
      await Promise.all(taking.values())
      change({ state: 'off', connectedAt: null })
    },
    status: () => ({ ...status }),
    outbound,
    typing(route, on) {
      void ask('/typing', { chat: route.to, on }, AbortSignal.timeout(5000)).catch(() => undefined)
    },
    ...(login && {
      async *login({ phone }: { phone: string | null }) {
        const expiresAt = options.clock.now() + 60_000
        yield phone === null
          ? ({ show: 'qr', data: 'otpauth://fake/login', expiresAt } as const)
          : ({ show: 'code', code: 'ABCD-1234', expiresAt } as const)
        await sleep(50)
        yield { show: 'done', self: 'deputy_bot' } as const
      },
      async logout() {
        change({ state: 'login' })
      },
    }),
  }
}

function mediaOf(media: NonNullable<Update['media']>[number]): InboundMedia {
  const data = Buffer.from(media.data, 'base64')
  return {
    kind: media.kind,
    name: media.name,
    mimeType: media.mimeType,
    bytes: media.claims ?? data.length,
    voice: media.voice === true,
    async read(maxBytes) {
      if (data.length > maxBytes) throw new DeputyError('MEDIA_TOO_LARGE', `more than ${maxBytes} bytes`)
      return data
    },
  }
}

function cut(content: Content): readonly Content[] {
  const parts: Content[] = []
  let rest = content.text
  while (rest.length > maxText) {
    const at = rest.lastIndexOf(' ', maxText)
    parts.push({ text: rest.slice(0, at > 0 ? at : maxText) })
    rest = rest.slice(at > 0 ? at + 1 : maxText)
  }
  return [...parts, { ...content, text: rest }]
}
