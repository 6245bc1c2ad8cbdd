/**
 * The way out: one part of an outbox row as calls of the Web API, what the service answered, and the look-up of what was sent.
 *
 * Owns which method says what. Every message carries its key as metadata, which people do not see: by it a message that may
 * have been sent is found in the channel's history. Never shows more than one message for one part.
 */
import { openAsBlob } from 'node:fs'
import type { WebClient } from '@slack/web-api'
import type { Content, OutboundMedia } from '../../core/chat.ts'
import type { Clock, LookedUp, Outbound, OutboundMessage, SendOutcome } from '../../core/ports.ts'
import { markRepeat } from '../repeat.ts'
import { unsendable } from '../sendable.ts'
import { emojiName } from './emoji.ts'
import { failureOf, refusalOf } from './failure.ts'
import { lookUpPageSize, lookUpPages, maxUploadBytes } from './limits.ts'
import { blocksOf, cut } from './render.ts'
import type { Settings } from './settings.ts'

export interface WayOutOptions {
  settings: Pick<Settings, 'textLimit'>
  web(): Promise<WebClient>
  clock: Clock
  /** `thread`: in which somebody may go on. */
  sent(channel: string, thread: string | null): void
}

const eventType = 'deputy_message'

export function openWayOut(options: WayOutOptions): Outbound {
  const { clock } = options
  const directs = new Map<string, string>()

  async function send(message: OutboundMessage, signal: AbortSignal): Promise<SendOutcome> {
    const { content } = message
    if (content.react && content.react.emoji !== '' && emojiName(content.react.emoji) === null) {
      const words = `Slack has no reaction for ${content.react.emoji}: name it, as in "thumbsup"`
      return { sent: false, certain: true, retryable: false, code: 'bad_request', message: words }
    }
    const problem = await unsendable(content.media?.[0], 'Slack', maxUploadBytes)
    if (problem) return problem
    if (signal.aborted) return { sent: false, certain: true, retryable: true, code: 'network', message: 'given up' }
    const web = await options.web()
    // Before anything can be seen, every failure is a certain one.
    let prepared: { channel: string; file: string | null }
    try {
      const file = content.media?.[0]
      prepared = {
        channel: await channelOf(message.route.to, web),
        file: file ? await upload(file, web, signal) : null,
      }
    } catch (error) {
      return { ...failureOf(error, clock.now()), certain: true }
    }
    try {
      const remoteId = await show(message, prepared.channel, prepared.file, web)
      options.sent(prepared.channel, message.route.thread ?? remoteId)
      return { sent: true, remoteId }
    } catch (error) {
      return failureOf(error, clock.now())
    }
  }

  async function show(
    message: OutboundMessage,
    channel: string,
    file: string | null,
    web: WebClient,
  ): Promise<string | null> {
    const { content, route } = message
    if (content.react) return react(content.react, channel, web)
    const text = words(message)
    const thread = route.thread ?? content.replyTo
    const where = { channel, ...(thread ? { thread_ts: thread } : {}) }
    if (file !== null) {
      const files: [{ id: string; title: string }] = [{ id: file, title: content.media![0]!.name }]
      const place = { channel_id: channel, ...(thread ? { thread_ts: thread } : {}) } as {
        channel_id: string
        thread_ts: string
      }
      await web.files.completeUploadExternal({ files, ...place, ...(text ? { initial_comment: text } : {}) })
      return null
    }
    const blocks = blocksOf(text, content.buttons) as never[]
    const target = message.edit ?? content.edit
    if (target) {
      try {
        await web.chat.update({ channel, ts: target, text, blocks })
        return target
      } catch (error) {
        // Somebody has removed the message that was growing: its final words are still owed.
        if (message.edit === null || refusalOf(error) !== 'message_not_found') throw error
      }
    }
    const metadata = { event_type: eventType, event_payload: { key: message.key } }
    const posted = await web.chat.postMessage({ ...where, text, metadata, ...(blocks.length > 0 ? { blocks } : {}) })
    return posted.ts ?? null
  }

  async function react(react: NonNullable<Content['react']>, channel: string, web: WebClient): Promise<string> {
    const { message: timestamp, emoji } = react
    if (emoji !== '') {
      await web.reactions.add({ channel, timestamp, name: emojiName(emoji)! }).catch(unless('already_reacted'))
      return timestamp
    }
    const me = (await web.auth.test()).user_id ?? ''
    const found = await web.reactions.get({ channel, timestamp, full: true })
    const on = (found as { message?: { reactions?: { name?: string; users?: string[] }[] } }).message?.reactions ?? []
    for (const { name, users } of on) {
      if (name && users?.includes(me))
        await web.reactions.remove({ channel, timestamp, name }).catch(unless('no_reaction'))
    }
    return timestamp
  }

  /** A person is written to in the direct channel with them, which is opened when it is needed. */
  async function channelOf(to: string, web: WebClient): Promise<string> {
    const id = to.replace(/^(?:channel|user):/, '')
    if (!/^[UW]/.test(id)) return id
    const known = directs.get(id)
    if (known) return known
    const opened = (await web.conversations.open({ users: id })).channel?.id
    if (!opened) throw new Error('Slack opened no direct channel')
    directs.set(id, opened)
    return opened
  }

  async function lookup(message: OutboundMessage, signal: AbortSignal): Promise<LookedUp> {
    const { content, route } = message
    // A file and a reaction carry no key.
    if (content.media?.[0] || content.react) return { is: 'unknown' }
    const web = await options.web()
    const channel = await channelOf(route.to, web)
    const thread = route.thread ?? content.replyTo
    const page = { channel, limit: lookUpPageSize, include_all_metadata: true }
    let cursor: string | undefined
    for (let n = 0; n < lookUpPages; n++) {
      signal.throwIfAborted()
      const more = cursor ? { cursor } : {}
      const found = thread
        ? await web.conversations.replies({ ...page, ...more, ts: thread })
        : await web.conversations.history({ ...page, ...more })
      const sent = (found.messages ?? []).find(one => keyOf(one) === message.key)
      if (sent) return { is: 'sent', remoteId: sent.ts ?? null }
      cursor = found.response_metadata?.next_cursor || undefined
      if (!cursor) return { is: 'absent' }
    }
    return { is: 'unknown' }
  }

  return {
    channel: 'slack',
    keyed: false,
    parts: content => cut(content, options.settings.textLimit),
    send,
    lookup,
  }
}

function keyOf(message: unknown): unknown {
  const { metadata } = message as { metadata?: { event_type?: string; event_payload?: { key?: unknown } } }
  return metadata?.event_type === eventType ? metadata.event_payload?.key : undefined
}

function unless(word: string): (error: unknown) => void {
  return error => {
    if (refusalOf(error) !== word) throw error
  }
}

function words({ content, maybeRepeat }: OutboundMessage): string {
  return markRepeat(content.text, maybeRepeat)
}

/** The file is with the service then, and nobody sees it yet. */
async function upload(file: OutboundMedia, web: WebClient, signal: AbortSignal): Promise<string> {
  const place = await web.files.getUploadURLExternal({ filename: file.name, length: file.bytes })
  if (!place.upload_url || !place.file_id) throw new Error('Slack named no place for the file')
  const body = await openAsBlob(file.path)
  const answered = await fetch(place.upload_url, { method: 'POST', body, signal, redirect: 'error' })
  await answered.body?.cancel()
  if (!answered.ok)
    throw Object.assign(new Error('upload'), { code: 'slack_webapi_http_error', statusCode: answered.status })
  return place.file_id
}
