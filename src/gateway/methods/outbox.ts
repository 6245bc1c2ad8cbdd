/**
 * `send`, `message.action`, `poll` and `outbox.*`: what a caller sends to a chat, and what became of it.
 *
 * Owns the way from their params to a content and from a row to their answers. A file comes from the workspace of the agent
 * that is named, and from nowhere else, whoever asks.
 */
import type { Content } from '../../core/chat.ts'
import { nameOf } from '../../core/principal.ts'
import type { Route } from '../../core/types.ts'
import type { Posted } from '../../delivery/post.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Params, Result } from '../../protocol/methods.ts'
import type { OutboxEntry, SendResult } from '../../protocol/results-outbox.ts'
import { copyOut, mostFiles } from '../../tools/media.ts'
import { makeGuard } from '../../tools/guard.ts'
import type { Call } from '../dispatch.ts'
import type { Room } from './room.ts'

/** As long as somebody who sends by hand looks at the screen. */
const waitMs = 15_000

interface Place {
  channel?: string | undefined
  accountId?: string | undefined
  threadId?: string | number | undefined
  agentId?: string | undefined
  sessionKey?: string | undefined
}

export async function send(room: Room, params: Params<'send'>, call: Call): Promise<SendResult> {
  const { message = '', mediaUrl, mediaUrls = [], replyToId } = params
  const paths = [...(mediaUrl === undefined ? [] : [mediaUrl]), ...mediaUrls]
  const content = await wordsOf(room, params.agentId, { message, paths, replyTo: replyToId })
  return post(room, call, 'send', params, params.to, content, params.idempotencyKey)
}

export async function poll(room: Room, params: Params<'poll'>, call: Call): Promise<SendResult> {
  const { question, options, maxSelections = 1 } = params
  const content = { text: '', poll: { question, options, multiple: maxSelections > 1 } }
  return post(room, call, 'poll', params, params.to, content, params.idempotencyKey)
}

export async function messageAction(
  room: Room,
  params: Params<'message.action'>,
  call: Call,
): Promise<Result<'message.action'>> {
  const { action } = params
  const given = params.params
  const text = (...names: string[]) => {
    const found = names.map(name => given[name]).find(value => value !== undefined && value !== null)
    if (found === undefined || typeof found === 'string') return found
    if (typeof found === 'number') return String(found)
    throw new DeputyError('INVALID_REQUEST', `message.action: ${names[0]} must be a text.`)
  }
  const need = (what: string, value: string | undefined) => {
    if (value === undefined || value === '')
      throw new DeputyError('INVALID_REQUEST', `message.action ${action} needs params.${what}.`)
    return value
  }
  const to = need('target', text('target', 'to', 'chatId', 'channelId'))
  const message = text('message', 'text', 'content') ?? ''
  const messageId = text('messageId')
  const content = await (async (): Promise<Content> => {
    switch (action) {
      case 'send':
      case 'reply': {
        const media = text('media', 'mediaUrl', 'path', 'filePath')
        const replyTo = action === 'reply' ? need('messageId', messageId) : text('replyTo', 'replyToId')
        return wordsOf(room, params.agentId, { message, paths: media === undefined ? [] : [media], replyTo })
      }
      case 'edit':
        return { text: need('message', message), edit: need('messageId', messageId) }
      case 'react': {
        const emoji = given['remove'] === true ? '' : (text('emoji') ?? '')
        return { text: '', react: { message: need('messageId', messageId), emoji } }
      }
      case 'poll': {
        const options = given['pollOption'] ?? given['options']
        if (!Array.isArray(options) || options.length < 2 || options.length > 12 || options.some(notWords))
          throw new DeputyError('INVALID_REQUEST', 'message.action poll needs params.options: 2 to 12 texts.')
        const question = need('question', text('pollQuestion', 'question'))
        return { text: '', poll: { question, options, multiple: given['pollMulti'] === true } }
      }
      default:
        throw new DeputyError('INVALID_REQUEST', `There is no action ${JSON.stringify(action)}.`, {
          fix: 'send, reply, edit, react and poll are served.',
        })
    }
  })()
  const place = { ...params, accountId: params.accountId ?? text('accountId'), threadId: text('threadId') }
  const sent = await post(room, call, 'message.action', place, to, content, params.idempotencyKey)
  return { ok: true, action, ...sent }
}

const notWords = (value: unknown) => typeof value !== 'string' || value === '' || value.length > 100

export async function outboxList(room: Room, params: Params<'outbox.list'>): Promise<Result<'outbox.list'>> {
  const found = await room.rooms.post.list({ states: params.state ?? [], limit: params.limit ?? 100 })
  return { messages: found.map(entry) }
}

export async function outboxRetry(room: Room, params: Params<'outbox.retry'>): Promise<Result<'outbox.retry'>> {
  return { message: entry(await room.rooms.post.retry(params.id, waitMs)) }
}

async function wordsOf(
  room: Room,
  agentId: string | undefined,
  said: { message: string; paths: readonly string[]; replyTo: string | undefined },
): Promise<Content> {
  const { message, paths, replyTo } = said
  if (message === '' && paths.length === 0) throw new DeputyError('INVALID_REQUEST', 'There is nothing to send.')
  if (paths.length > mostFiles)
    throw new DeputyError('INVALID_REQUEST', `At most ${mostFiles} files go with a message.`)
  const media = []
  if (paths.length > 0) {
    const { workspace, stateDir } = room.rooms.files(agentId)
    const guard = await makeGuard(workspace, stateDir)
    for (const path of paths) media.push(await copyOut(guard, stateDir, path))
  }
  return { text: message, ...(media.length > 0 && { media }), ...(replyTo !== undefined && { replyTo }) }
}

async function post(
  room: Room,
  call: Call,
  method: string,
  place: Place,
  to: string,
  content: Content,
  key: string,
): Promise<SendResult> {
  const channel = place.channel ?? onlyChannel(room)
  const thread = place.threadId === undefined ? {} : { thread: String(place.threadId) }
  const route: Route = { channel, account: place.accountId ?? room.rooms.chats.defaultAccount(channel), to, ...thread }
  const session = place.sessionKey === undefined ? null : await room.house.sessionByKey(place.sessionKey)
  const by = `${nameOf(call.principal)}:${method}`
  const posted = await room.rooms.post.send({ by, key, session: session?.id ?? null, route, content }, waitMs)
  const { state, error, id } = posted
  if (state === 'dead')
    throw new DeputyError('DELIVERY_DEAD', `The message could not be delivered: ${error ?? 'no reason was given'}.`, {
      details: { outbox: id, channel, to },
    })
  return {
    runId: key,
    status: state === 'sent' || state === 'uncertain' ? state : 'queued',
    channel,
    accountId: posted.account,
    to,
    messageId: posted.messageId,
    outbox: id,
    error,
  }
}

function onlyChannel(room: Room): string {
  const accounts = room.rooms.chats.list().filter(({ enabled }) => enabled)
  const [only, ...more] = new Set(accounts.map(one => one.channel))
  if (only !== undefined && more.length === 0) return only
  throw new DeputyError('INVALID_REQUEST', `Say channel: ${only === undefined ? 'none' : 'several'} are set up.`)
}

function entry(posted: Posted): OutboxEntry {
  const { account: accountId, text, ...row } = posted
  return { ...row, accountId, text: text.length > 200 ? `${text.slice(0, 199)}…` : text }
}
