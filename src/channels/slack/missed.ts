/**
 * What was written while nobody listened for longer than Slack repeats an event: fetched from the conversations that the app
 * is in, and from the threads that it knows.
 *
 * Owns the asking and its bounds. A message is known by its time, so that what was heard already changes nothing. Of each
 * conversation the oldest comes first; a thread is asked for beside its channel, since the channel's history leaves it out.
 */
import type { WebClient } from '@slack/web-api'

export interface MissedOptions {
  web: WebClient
  /** Epoch ms. */
  since: number
  threads: readonly { channel: string; ts: string }[]
  signal: AbortSignal
  /** Null: it was refused, and is left out. */
  ask<T>(call: () => Promise<T>): Promise<T | null>
  /** `type` of the conversation as events name it. */
  take(message: Message, channel: string, type: string): Promise<void>
  /** A conversation is done. */
  done(channel: string): void
}

export interface Message {
  ts: string
  thread_ts?: string
  [more: string]: unknown
}

interface Conversation {
  id: string
  type: string
}

export interface Found {
  messages: number
  /** Conversations with more than was fetched. */
  cut: number
}

/** Bounds: what was missed is of use for some days, and never so much that the service is kept busy by it. */
export const longestMs = 7 * 24 * 3600_000
const mostConversations = 400
const pageSize = 200
const mostPages = 5

export async function fetchMissed(options: MissedOptions): Promise<Found> {
  const { web, ask, signal } = options
  const oldest = (options.since / 1000).toFixed(6)
  const found: Found = { messages: 0, cut: 0 }
  for (const { id, type } of await conversations(options)) {
    if (signal.aborted) break
    const said = await pages(cursor => web.conversations.history({ channel: id, oldest, limit: pageSize, ...cursor }))
    const known = options.threads.filter(({ channel }) => channel === id).map(({ ts }) => ts)
    const begun = said.filter(one => Number(one['reply_count'] ?? 0) > 0).map(({ ts }) => ts)
    for (const ts of new Set([...known, ...begun])) {
      const thread = { channel: id, ts, oldest, limit: pageSize }
      said.push(...(await pages(cursor => web.conversations.replies({ ...thread, ...cursor }))))
    }
    const missed = new Map(said.filter(({ ts }) => Number(ts) > Number(oldest)).map(one => [one.ts, one]))
    for (const message of [...missed.values()].sort((a, b) => Number(a.ts) - Number(b.ts))) {
      if (signal.aborted) break
      await options.take(message, id, type)
      found.messages += 1
    }
    options.done(id)
  }
  return found

  async function pages(
    call: (cursor: {
      cursor?: string
    }) => Promise<{ messages?: unknown; response_metadata?: { next_cursor?: string } }>,
  ): Promise<Message[]> {
    const all: Message[] = []
    let cursor: string | undefined
    for (let n = 0; n < mostPages && !signal.aborted; n++) {
      const page = await ask(() => call(cursor ? { cursor } : {}))
      if (!page) return all
      const list = Array.isArray(page.messages) ? (page.messages as unknown[]) : []
      all.push(...list.filter((one): one is Message => typeof (one as Message | null)?.ts === 'string'))
      cursor = page.response_metadata?.next_cursor || undefined
      if (!cursor) return all
    }
    found.cut += 1
    return all
  }
}

/** Those that the app is in. */
async function conversations({ web, ask, signal }: MissedOptions): Promise<Conversation[]> {
  const all: Conversation[] = []
  let cursor: string | undefined
  while (all.length < mostConversations && !signal.aborted) {
    const types = 'im,mpim,public_channel,private_channel'
    const page = await ask(() =>
      web.users.conversations({ types, limit: pageSize, exclude_archived: true, ...(cursor ? { cursor } : {}) }),
    )
    for (const one of page?.channels ?? []) {
      if (!one.id) continue
      const type = one.is_im ? 'im' : one.is_mpim ? 'mpim' : one.is_private ? 'group' : 'channel'
      all.push({ id: one.id, type })
    }
    cursor = page?.response_metadata?.next_cursor || undefined
    if (!cursor) break
  }
  // People who wrote to the app alone wait most.
  return all.sort((a, b) => Number(b.type === 'im') - Number(a.type === 'im')).slice(0, mostConversations)
}

export interface Gate {
  /** What is written in a conversation waits for what was missed there, but not for ever. Closed at first. */
  pass(channel: string): Promise<void>
  close(): void
  open(channel: string): void
  openAll(): void
}

export function openGate(patienceMs: number): Gate {
  let passed: Set<string> | null = new Set()
  let waiting: { channel: string; go(): void }[] = []
  const release = (goes: (channel: string) => boolean): void => {
    for (const { go } of waiting.filter(one => goes(one.channel))) go()
    waiting = waiting.filter(one => !goes(one.channel))
  }
  return {
    async pass(channel) {
      if (passed === null || passed.has(channel)) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, patienceMs)
      waiting.push({ channel, go: resolve })
      await promise
      clearTimeout(timer)
    },
    close() {
      passed ??= new Set()
    },
    open(channel) {
      passed?.add(channel)
      release(one => one === channel)
    },
    openAll() {
      passed = null
      release(() => true)
    },
  }
}
