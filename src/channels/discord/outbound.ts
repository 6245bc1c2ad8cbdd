/**
 * The way out: one part of an outbox row as one call of the service, and what it answered.
 *
 * Owns which call says what. Every new message carries a nonce made from its key, which the service enforces: within a few
 * minutes the same key is the same message, whatever happened to the answer. How a thread begins is threads.ts. Never sends
 * more than one message for one part, and never repeats a call by itself.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { REST } from '@discordjs/rest'
import type { Button, Content, OutboundMedia } from '../../core/chat.ts'
import type { Clock, Outbound, OutboundMessage, SendOutcome } from '../../core/ports.ts'
import type { Route } from '../../core/types.ts'
import { markRepeat } from '../repeat.ts'
import { unsendable } from '../sendable.ts'
import { failureOf, statusOf } from './failure.ts'
import {
  maxLabel,
  maxPollOption,
  maxPollOptions,
  maxPollQuestion,
  maxRowButtons,
  maxRows,
  maxUploadBytes,
} from './limits.ts'
import { cut } from './render.ts'
import { openThread } from './threads.ts'

export interface WayOutOptions {
  rest(): Promise<REST>
  textLimit: number
  clock: Clock
  sent(): void
}

type Body = Record<string, unknown>

/** The service says "a few minutes" of its nonces; this is surely within them. */
const keyedForMs = 120_000

/** A thread is a channel of its own to the service. */
export function channelOf(route: Route): string {
  return route.thread ?? route.to
}

export function openWayOut(options: WayOutOptions): Outbound {
  const { clock } = options

  async function send(message: OutboundMessage, signal: AbortSignal): Promise<SendOutcome> {
    for (const file of message.content.media ?? []) {
      const problem = await unsendable(file, 'Discord', maxUploadBytes)
      if (problem) return problem
    }
    try {
      const rest = await options.rest()
      const { opens } = message.content
      const outcome: SendOutcome = opens
        ? await openThread(
            rest,
            {
              channel: message.route.to,
              name: opens.name,
              starter: message.edit,
              say: () => say(rest, { ...message, edit: null }, signal),
            },
            () => clock.now(),
            signal,
          )
        : { sent: true, remoteId: await say(rest, message, signal) }
      if (outcome.sent) options.sent()
      return outcome
    } catch (error) {
      return failureOf(error, clock.now())
    }
  }

  async function say(rest: REST, message: OutboundMessage, signal: AbortSignal): Promise<string | null> {
    const { content, route } = message
    const base = `/channels/${channelOf(route)}/messages` as const
    if (content.react) return react(rest, base, content.react, signal)
    const body = bodyOf(content, message.maybeRepeat)
    const target = message.edit ?? content.edit
    if (target !== undefined && target !== null) {
      try {
        await rest.patch(`${base}/${target}`, { body, signal })
        return target
      } catch (error) {
        // Somebody has removed the message that was growing: its final words are still owed.
        if (message.edit === null || statusOf(error) !== 404) throw error
      }
    }
    const files = await Promise.all((content.media ?? []).map(readOne))
    const nonce = { nonce: nonceOf(message.key), enforce_nonce: true }
    const reply = content.replyTo
      ? { message_reference: { message_id: content.replyTo, fail_if_not_exists: false } }
      : {}
    const made = await rest.post(base, { body: { ...body, ...nonce, ...reply }, files, signal })
    return idOf(made)
  }

  return { channel: 'discord', keyed: true, keyedForMs, parts: content => cut(content, options.textLimit), send }
}

/** Sets a reaction; an empty emoji takes away what this account has set. */
async function react(
  rest: REST,
  base: `/${string}`,
  { message, emoji }: NonNullable<Content['react']>,
  signal: AbortSignal,
): Promise<string> {
  const path = (sign: string): `/${string}` => `${base}/${message}/reactions/${encodeURIComponent(sign)}/@me`
  if (emoji !== '') {
    await rest.put(path(emoji), { signal })
    return message
  }
  const found = (await rest.get(`${base}/${message}`, { signal })) as {
    reactions?: { me: boolean; emoji: { id: string | null; name: string | null } }[]
  }
  for (const { me, emoji: sign } of found.reactions ?? [])
    if (me) await rest.delete(path(sign.id ? `${sign.name}:${sign.id}` : (sign.name ?? '')), { signal })
  return message
}

function bodyOf(content: Content, maybeRepeat: boolean): Body {
  if (content.poll) {
    const { question, options, multiple } = content.poll
    return {
      poll: {
        question: { text: question.slice(0, maxPollQuestion) },
        answers: options.slice(0, maxPollOptions).map(text => ({ poll_media: { text: text.slice(0, maxPollOption) } })),
        duration: 24,
        allow_multiselect: multiple,
      },
    }
  }
  return {
    content: markRepeat(content.text, maybeRepeat),
    // Whatever the words say, they call nobody.
    allowed_mentions: { parse: [] },
    components: (content.buttons ?? [])
      .slice(0, maxRows)
      .map(row => ({ type: 1, components: row.slice(0, maxRowButtons).map(buttonOf) })),
  }
}

const styles = { primary: 1, danger: 4 } as const

function buttonOf({ label, value, style }: Button): Body {
  return { type: 2, label: label.slice(0, maxLabel), custom_id: value, style: style ? styles[style] : 2 }
}

/** The service takes 25 signs. */
function nonceOf(key: string): string {
  return createHash('sha256').update(key).digest('base64url').slice(0, 24)
}

async function readOne(file: OutboundMedia): Promise<{ name: string; data: Buffer; contentType: string }> {
  return { name: file.name.replace(/[\r\n";]+/g, ' '), data: await readFile(file.path), contentType: file.mimeType }
}

function idOf(made: unknown): string | null {
  const id = (made as { id?: unknown } | null)?.id
  return typeof id === 'string' ? id : null
}
