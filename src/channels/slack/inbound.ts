/**
 * What an envelope of Slack says, as a message for the house; null when it says nothing to read.
 *
 * Owns the reading of messages, edits, mentions, slash commands and presses. Decides nothing about who may write. What the
 * app itself wrote is left out. Names are looked up, since the service sends ids only; without them the ids stand.
 */
import type { Chat, ChatKind, ChatSender, InboundMedia, InboundMessage } from '../../core/chat.ts'
import type { Directory } from './directory.ts'

export interface Reading {
  account: string
  me: { user: string; bot: string }
  slashName: string
  commands: ReadonlySet<string>
  directory: Directory
  fetchFile(url: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>
}

/** An envelope as it comes off the socket. */
export interface Envelope {
  type: string
  body: Record<string, unknown>
}

interface Event {
  type: string
  subtype?: string
  channel: string
  channel_type?: string
  ts: string
  user?: string
  bot_id?: string
  username?: string
  text?: string
  thread_ts?: string
  parent_user_id?: string
  files?: SlackFile[]
  edited?: { ts: string }
  message?: Event
}

interface SlackFile {
  id: string
  name?: string
  mimetype?: string
  size?: number
  mode?: string
  subtype?: string
  url_private_download?: string
  url_private?: string
}

interface Press {
  type: string
  trigger_id: string
  team?: { id: string }
  user: { id: string }
  channel?: { id: string }
  message?: { ts: string; text?: string; thread_ts?: string }
  actions: { value?: string; action_ts: string }[]
}

interface Slash {
  command: string
  text: string
  user_id: string
  channel_id: string
  team_id?: string
  trigger_id: string
}

/** What people say, of all that a message can be about. */
const spoken = new Set([undefined, 'file_share', 'thread_broadcast', 'me_message', 'bot_message'])

/** What the order is kept within. */
export function chatIdOf({ type, body }: Envelope): string {
  if (type === 'slash_commands') return String(body['channel_id'])
  if (type === 'interactive') return String((body as unknown as Press).channel?.id ?? '')
  return String((body['event'] as Event | undefined)?.channel ?? '')
}

/** By it an envelope is known that comes again. */
export function envelopeIdOf({ body }: Envelope): string {
  return String(body['event_id'] ?? body['trigger_id'] ?? '')
}

export async function toInbound({ type, body }: Envelope, reading: Reading): Promise<InboundMessage | null> {
  if (type === 'slash_commands') return readSlash(body as unknown as Slash, reading)
  if (type === 'interactive') return readPress(body as unknown as Press, reading)
  if (type !== 'events_api') return null
  const event = body['event'] as Event
  const team = text(body['team_id'])
  if (event.type === 'app_mention') return readMessage(event, event, '', team, reading)
  if (event.type !== 'message') return null
  if (event.subtype === 'message_changed') {
    const changed = event.message
    // Without an edit of the author it is the service that changed something: a preview, the replies beneath it.
    if (!changed?.edited || !spoken.has(changed.subtype)) return null
    return readMessage(changed, event, changed.edited.ts, team, reading)
  }
  return spoken.has(event.subtype) ? readMessage(event, event, '', team, reading) : null
}

/** `said` is the message, `event` what tells of it and where. */
async function readMessage(
  said: Event,
  event: Event,
  edit: string,
  team: string | null,
  reading: Reading,
): Promise<InboundMessage | null> {
  const { me, directory } = reading
  if (said.user === me.user || said.bot_id === me.bot) return null
  const media = (said.files ?? []).flatMap(file => mediaOf(file, reading))
  const raw = said.text ?? ''
  const words = plainOf(raw, me.user)
  if (words === '' && media.length === 0) return null
  const sender = said.user ?? said.bot_id
  if (!sender) return null
  const named = raw.includes(`<@${me.user}>`) || raw.includes(`<@${me.user}|`)
  return {
    channel: 'slack',
    account: reading.account,
    chat: await chatOf(event.channel, event.channel_type, said, team, directory),
    sender: await senderOf(sender, said.bot_id !== undefined, said.username ?? null, directory),
    id: said.ts,
    edit,
    at: Math.round(Number(edit || said.ts) * 1000),
    via: 'text',
    text: words,
    quoted: null,
    mentioned: named || event.type === 'app_mention' || said.parent_user_id === me.user,
    media,
  }
}

async function readSlash(body: Slash, reading: Reading): Promise<InboundMessage> {
  const name = body.command.replace(/^\//, '')
  const words = plainOf(body.text ?? '', reading.me.user)
  const first = /^\/?(\S+)/.exec(words)?.[1] ?? ''
  const own = name === reading.slashName
  // Behind the app's own command stands a command of ours, or simply words.
  const command = !own || reading.commands.has(first) || words === ''
  const said = !own
    ? `/${name} ${words}`.trim()
    : words === ''
      ? '/help'
      : command
        ? `/${words.replace(/^\//, '')}`
        : words
  return {
    channel: 'slack',
    account: reading.account,
    chat: await chatOf(body.channel_id, undefined, {}, body.team_id ?? null, reading.directory),
    sender: await senderOf(body.user_id, false, null, reading.directory),
    id: `slash-${body.trigger_id}`,
    edit: '',
    at: 0,
    via: command ? 'command' : 'text',
    text: said,
    quoted: null,
    mentioned: true,
    media: [],
  }
}

async function readPress(body: Press, reading: Reading): Promise<InboundMessage | null> {
  const action = body.actions?.[0]
  const { message, channel } = body
  if (body.type !== 'block_actions' || action?.value === undefined || !message || !channel) return null
  return {
    channel: 'slack',
    account: reading.account,
    chat: await chatOf(channel.id, undefined, message, body.team?.id ?? null, reading.directory),
    sender: await senderOf(body.user.id, false, null, reading.directory),
    id: `press-${body.trigger_id}`,
    edit: '',
    at: Math.round(Number(action.action_ts) * 1000),
    via: 'button',
    text: action.value,
    quoted: { id: message.ts, sender: reading.me.user, own: true, text: plainOf(message.text ?? '', '') },
    mentioned: true,
    media: [],
  }
}

async function chatOf(
  id: string,
  type: string | undefined,
  said: { ts?: string; thread_ts?: string },
  team: string | null,
  directory: Directory,
): Promise<Chat> {
  const kind = kindOf(id, type)
  return {
    id,
    kind,
    title: kind === 'direct' ? null : await directory.channelName(id),
    guild: null,
    team,
    // A message with replies carries its own time as the thread's.
    thread: said.thread_ts && said.thread_ts !== said.ts ? said.thread_ts : null,
    parent: null,
  }
}

function kindOf(id: string, type: string | undefined): ChatKind {
  if (type === 'im' || (!type && id.startsWith('D'))) return 'direct'
  return type === 'mpim' || (!type && id.startsWith('G')) ? 'group' : 'channel'
}

async function senderOf(id: string, bot: boolean, name: string | null, directory: Directory): Promise<ChatSender> {
  const known = bot ? null : await directory.userName(id)
  const also = known ? [`@${known.handle}`] : []
  return { id, also, name: known?.name ?? name, roles: [], bot, self: false }
}

function mediaOf(file: SlackFile, reading: Reading): InboundMedia[] {
  const url = file.url_private_download ?? file.url_private
  if (!url || file.mode === 'tombstone' || file.mode === 'hidden_by_limit') return []
  const mimeType = file.mimetype || 'application/octet-stream'
  const kind = /^(image|audio|video)\//.exec(mimeType)?.[1] as 'image' | 'audio' | 'video' | undefined
  const voice = file.subtype === 'slack_audio'
  return [
    {
      kind: voice ? 'audio' : (kind ?? 'document'),
      name: file.name ?? file.id,
      mimeType,
      bytes: file.size ?? null,
      voice,
      read: (maxBytes, signal) => reading.fetchFile(url, maxBytes, signal),
    },
  ]
}

/** The service's form undone: addresses, names and signs as a person reads them; our own name at the beginning left out. */
export function plainOf(said: string, me: string): string {
  const addressed = new RegExp(`^\\s*<@${me || '-'}(?:\\|[^>]*)?>[,:]?\\s*`)
  return said
    .replace(addressed, '')
    .replace(/<([^<>]+)>/g, (_all, inner: string) => {
      const [target = '', label] = inner.split('|')
      if (/^[@#]/.test(target)) return label ? `${target[0]}${label}` : target
      if (target.startsWith('!')) return `@${label ?? target.slice(1).split('^')[0]}`
      return label && label !== target ? `${label} (${target})` : target
    })
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
    .trim()
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
