/**
 * What people and programs send to a chat by hand, and the outbox as its operator sees it.
 *
 * Owns putting such a row, once for each key of its caller, and waiting for what becomes of it: the words that are answered
 * are those of the row. Never sends; whether the caller may is decided at the door.
 */
import type { Content } from '../core/chat.ts'
import { unable } from '../core/outreach.ts'
import type { Chats, Clock } from '../core/ports.ts'
import type { Route } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Store } from '../store/open.ts'
import { outboxOf, type OutboxRow, putOutbox } from '../store/outbox.ts'
import type { Deliverer } from './deliver.ts'

export interface PostInput {
  /** Who asks, and by which method: a key counts for that only. */
  by: string
  key: string
  /** Conversation that it belongs to; null for none. */
  session: string | null
  route: Route
  content: Content
}

export interface Posted {
  id: number
  state: OutboxRow['state']
  channel: string
  account: string
  to: string
  /** Of the last part that the service gave one. */
  messageId: string | null
  error: string | null
  attempt: number
  /** `3/5`: the third part is next. */
  part: number
  parts: number
  text: string
  createdAt: number
  updatedAt: number
}

export interface Post {
  /** Answers when it is sent or dead, or as it stands after `waitMs`. Throws DELIVERY_NO_CHANNEL, IDEMPOTENCY_CONFLICT. */
  send(input: PostInput, waitMs: number): Promise<Posted>
  /** Newest first; `states` empty = those that are not sent. */
  list(filter: { states: readonly string[]; limit: number }): Promise<readonly Posted[]>
  /** Throws UNKNOWN_DELIVERY when there is no dead row of that number. */
  retry(id: number, waitMs: number): Promise<Posted>
}

export function openPost(options: { store: Store; chats: Chats; deliverer: Deliverer; clock: Clock }): Post {
  const { store, chats, deliverer, clock } = options

  async function settled(id: number, waitMs: number): Promise<Posted> {
    const over = (row: OutboxRow) => row.state === 'sent' || row.state === 'dead'
    return new Promise<Posted>((resolve, reject) => {
      const stop = deliverer.watch(row => {
        if (row.id === id && over(row)) end(row)
      })
      const timer = setTimeout(() => look(true), waitMs)
      function end(row: OutboxRow): void {
        stop()
        clearTimeout(timer)
        resolve(postedOf(row))
      }
      /** What changed before it was watched for, or has not changed for so long. */
      function look(last: boolean): void {
        read(id)
          .then(row => {
            if (last || over(row)) end(row)
          })
          .catch(reject)
      }
      look(false)
    })
  }

  async function read(id: number): Promise<OutboxRow> {
    const row = await store.read.selectFrom('outbox').selectAll().where('id', '=', id).executeTakeFirst()
    if (!row) throw new DeputyError('UNKNOWN_DELIVERY', `The outbox has no message ${id}.`)
    return outboxOf(row)
  }

  return {
    async send({ by, key, session, route, content }, waitMs) {
      const can = chats.capabilities(route)
      if (!can)
        throw new DeputyError('DELIVERY_NO_CHANNEL', `There is no account ${route.account} of ${route.channel} here.`)
      const problem = unable(content, can)
      if (problem) throw new DeputyError('INVALID_REQUEST', problem)
      const rowKey = `by:${by}:${key}`
      const at = clock.now()
      const id = await store.write('accept', async tx => {
        const before = await tx.selectFrom('outbox').selectAll().where('key', '=', rowKey).executeTakeFirst()
        if (before) {
          const same = before.payload === JSON.stringify(content) && before.route === JSON.stringify(route)
          return same ? before.id : null
        }
        await putOutbox(tx, { do: 'outbox.put', session: session ?? '', run: null, key: rowKey, route, content, at })
        const row = await tx.selectFrom('outbox').select('id').where('key', '=', rowKey).executeTakeFirstOrThrow()
        return row.id
      })
      if (id === null)
        throw new DeputyError('IDEMPOTENCY_CONFLICT', `The key ${key} was used for another message already.`)
      deliverer.ring()
      return settled(id, waitMs)
    },
    async list({ states, limit }) {
      const rows = store.read.selectFrom('outbox').selectAll().orderBy('id', 'desc').limit(limit)
      const wanted = states.length > 0 ? rows.where('state', 'in', states) : rows.where('state', '!=', 'sent')
      return (await wanted.execute()).map(row => postedOf(outboxOf(row)))
    },
    async retry(id, waitMs) {
      if (!(await deliverer.retry(id))) {
        const { state, opens } = await read(id)
        if (state === 'dead' && opens)
          throw new DeputyError('UNKNOWN_DELIVERY', `The message ${id} was to open a thread; its words went elsewhere.`)
        throw new DeputyError('UNKNOWN_DELIVERY', `The message ${id} is ${state}, not dead.`)
      }
      return settled(id, waitMs)
    },
  }
}

function postedOf(row: OutboxRow): Posted {
  const { content, route } = row
  const said = content.text || content.poll?.question || content.react?.emoji || ''
  return {
    id: row.id,
    state: row.state,
    channel: route.channel,
    account: route.account,
    to: route.to,
    messageId: row.remoteIds.findLast(each => each !== null) ?? row.remoteId,
    error: row.error,
    attempt: row.attempt,
    part: row.part,
    parts: row.parts,
    text: said || (content.media ?? []).map(file => file.name).join(', '),
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  }
}
