/**
 * The methods of Slack's Web API that an app calls to act, on the world of world.ts.
 *
 * Owns the rules of the service and its words for what is wrong. Knows no HTTP, no sockets and no faults: those are
 * service.ts.
 */
import { directOf, type SlackMessage, type World } from './world.ts'

export type Params = Record<string, string>

/** What the Web API answers with `ok: false`. */
export class Refused extends Error {}

const maxText = 40_000
const names = ['thumbsup', '+1', 'heart', 'eyes', 'fire', 'tada', 'white_check_mark', 'thinking_face', 'x']

export function callMethod(world: World, method: string, params: Params, origin: string): Record<string, unknown> {
  switch (method) {
    case 'auth.test':
      return {
        team: 'Deputy Test',
        team_id: world.team,
        user: world.bot.name,
        user_id: world.bot.user,
        bot_id: world.bot.id,
      }
    case 'chat.postMessage':
      return post(world, params)
    case 'chat.update':
      return update(world, params)
    case 'reactions.add':
    case 'reactions.remove':
      return react(world, params, method === 'reactions.add')
    case 'reactions.get':
      return { message: messageOf(world, params['channel'], params['timestamp'], 'message_not_found') }
    case 'conversations.open':
      if (!world.users.has(params['users'] ?? '')) throw new Refused('user_not_found')
      return { channel: { id: directOf(params['users']!) } }
    case 'conversations.info': {
      const { id, name, kind } = channelOf(world, params['channel'])
      return { channel: { id, name, is_im: kind === 'im', is_mpim: kind === 'mpim' } }
    }
    case 'users.conversations': {
      const asked = (params['types'] ?? 'public_channel').split(',')
      const types = { im: 'im', mpim: 'mpim', channel: 'public_channel', group: 'private_channel' }
      const mine = [...world.channels.values()].filter(one => one.member && asked.includes(types[one.kind]))
      const channels = mine.map(({ id, name, kind }) => ({
        id,
        name,
        is_im: kind === 'im',
        is_mpim: kind === 'mpim',
        is_private: kind === 'group',
      }))
      return { channels, response_metadata: { next_cursor: '' } }
    }
    case 'users.info': {
      const user = world.users.get(params['user'] ?? '')
      if (!user) throw new Refused('user_not_found')
      return { user: { ...user, profile: { display_name: user.real_name } } }
    }
    case 'conversations.history':
    case 'conversations.replies':
      return history(world, params, method === 'conversations.replies')
    case 'files.getUploadURLExternal': {
      if (!Number(params['length'])) throw new Refused('invalid_arguments')
      const id = world.keep(params['filename'] ?? '', '', Buffer.alloc(0))
      return { file_id: id, upload_url: `${origin}/upload/${id}` }
    }
    case 'files.completeUploadExternal':
      return complete(world, params)
    case 'files.info': {
      const file = world.files.get(params['file'] ?? '')
      if (!file) throw new Refused('file_not_found')
      return { file: fileOf(params['file']!, file, origin) }
    }
    default:
      throw new Refused('unknown_method')
  }
}

export function fileOf(
  id: string,
  file: { name: string; mimetype: string; bytes: Buffer },
  origin: string,
): Record<string, unknown> {
  const { name, mimetype, bytes } = file
  return { id, name, mimetype, size: bytes.length, url_private_download: `${origin}/files-pri/${id}`, mode: 'hosted' }
}

function channelOf(world: World, id: string | undefined): { id: string; name: string; kind: string; member: boolean } {
  const found = world.channels.get(world.users.has(id ?? '') ? directOf(id!) : (id ?? ''))
  if (!found) throw new Refused('channel_not_found')
  return found
}

function messageOf(world: World, channel: string | undefined, ts: string | undefined, refusal: string): SlackMessage {
  const message = world.message(channelOf(world, channel).id, ts ?? '')
  if (!message) throw new Refused(refusal)
  return message
}

function post(world: World, params: Params): Record<string, unknown> {
  const channel = channelOf(world, params['channel'])
  if (!channel.member) throw new Refused('not_in_channel')
  const metadata = params['metadata'] ? (JSON.parse(params['metadata']) as SlackMessage['metadata']) : undefined
  const thread = params['thread_ts']
  if (thread && !world.message(channel.id, thread)) throw new Refused('thread_not_found')
  const message = world.put(channel.id, {
    ...written(params),
    bot_id: world.bot.id,
    user: world.bot.user,
    ...(thread ? { thread_ts: thread } : {}),
    ...(metadata ? { metadata } : {}),
  })
  // The service tells an app of its own messages too.
  world.happens('message', message)
  return { channel: channel.id, ts: message.ts, message }
}

function written(params: Params): { text: string; blocks?: Record<string, unknown>[] } {
  const text = params['text'] ?? ''
  const blocks = params['blocks'] ? (JSON.parse(params['blocks']) as Record<string, unknown>[]) : []
  if (text === '' && blocks.length === 0) throw new Refused('no_text')
  if (text.length > maxText) throw new Refused('msg_too_long')
  for (const block of blocks) checkBlock(block)
  return { text, ...(blocks.length > 0 ? { blocks } : {}) }
}

function checkBlock(block: Record<string, unknown>): void {
  if (block['type'] === 'section') {
    const { text } = block['text'] as { text: string }
    if (text.length < 1 || text.length > 3000) throw new Refused('invalid_blocks')
  } else if (block['type'] === 'actions') {
    const elements = block['elements'] as { action_id: string; text: { text: string }; value: string }[]
    if (elements.length < 1 || elements.length > 25) throw new Refused('invalid_blocks')
    if (new Set(elements.map(one => one.action_id)).size !== elements.length) throw new Refused('invalid_blocks')
    if (elements.some(one => one.text.text.length > 75 || one.value.length > 2000)) throw new Refused('invalid_blocks')
  } else throw new Refused('invalid_blocks')
}

function update(world: World, params: Params): Record<string, unknown> {
  const message = messageOf(world, params['channel'], params['ts'], 'message_not_found')
  if (message.bot_id !== world.bot.id) throw new Refused('cant_update_message')
  const next = written(params)
  const wordsChanged = next.text !== message.text
  message.text = next.text
  if (next.blocks) message.blocks = next.blocks
  else delete message.blocks
  if (wordsChanged) world.show(message, 'app', 'edited')
  else world.stir()
  return { channel: message.channel, ts: message.ts, text: message.text }
}

function react(world: World, params: Params, on: boolean): Record<string, unknown> {
  const message = messageOf(world, params['channel'], params['timestamp'], 'message_not_found')
  const name = params['name'] ?? ''
  if (!names.includes(name)) throw new Refused('invalid_name')
  message.reactions ??= []
  const has = message.reactions.some(one => one.name === name)
  if (on === has) throw new Refused(on ? 'already_reacted' : 'no_reaction')
  message.reactions = on
    ? [...message.reactions, { name, users: [world.bot.user] }]
    : message.reactions.filter(one => one.name !== name)
  world.show(message, 'app', 'reaction', on ? name : '')
  return {}
}

function history(world: World, params: Params, replies: boolean): Record<string, unknown> {
  const channel = channelOf(world, params['channel'])
  const all = world.messages.filter(
    one =>
      one.channel === channel.id &&
      (replies ? one.thread_ts === params['ts'] || one.ts === params['ts'] : !one.thread_ts),
  )
  const wanted = all.filter(one => Number(one.ts) > Number(params['oldest'] ?? 0))
  const newestFirst = replies ? wanted : [...wanted].reverse()
  const from = Number(params['cursor'] ?? 0)
  const limit = Number(params['limit'] ?? 100)
  const page = newestFirst.slice(from, from + limit)
  const more = newestFirst.length > from + limit
  const bare = page.map(({ metadata, ...rest }) => {
    const replies = world.messages.filter(one => one.channel === channel.id && one.thread_ts === rest.ts).length
    return {
      ...rest,
      ...(params['include_all_metadata'] === 'true' && metadata ? { metadata } : {}),
      ...(replies > 0 ? { reply_count: replies } : {}),
    }
  })
  return {
    messages: bare,
    has_more: more,
    response_metadata: { next_cursor: more ? String(from + limit) : '' },
  }
}

function complete(world: World, params: Params): Record<string, unknown> {
  const list = JSON.parse(params['files'] ?? '[]') as { id: string; title?: string }[]
  for (const { id } of list) if (!world.files.get(id)?.bytes.length) throw new Refused('file_not_found')
  const channel = channelOf(world, params['channel_id'])
  if (!channel.member) throw new Refused('not_in_channel')
  world.put(channel.id, {
    text: params['initial_comment'] ?? '',
    bot_id: world.bot.id,
    user: world.bot.user,
    files: list.map(({ id }) => ({ id, name: world.files.get(id)!.name })),
    ...(params['thread_ts'] ? { thread_ts: params['thread_ts'] } : {}),
  })
  return { files: list }
}
