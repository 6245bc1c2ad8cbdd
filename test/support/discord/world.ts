/**
 * What stands on the fake Discord: people, channels, messages, and what each person sees of the bot.
 *
 * Owns the facts, outside the gateway's process, so that it may be killed. Ids are snowflakes, as the service makes them.
 */

export interface User {
  id: string
  username: string
  global_name: string
  bot?: boolean
}

export interface ChannelRow {
  id: string
  /** 0 text of a server, 1 direct, 11 public thread. */
  type: number
  name?: string
  guild_id?: string
  parent_id?: string
  recipients?: User[]
}

export interface MessageRow {
  id: string
  channel_id: string
  author: User
  content: string
  timestamp: string
  edited_timestamp: string | null
  type: number
  flags: number
  mentions: User[]
  attachments: Attachment[]
  thread?: ChannelRow
  guild_id?: string
  member?: { nick: string | null; roles: string[] }
  message_reference?: { type: number; message_id: string; channel_id: string }
  referenced_message?: MessageRow | null
  components?: { components: { type: number; label: string; custom_id: string }[] }[]
  nonce?: string
  poll?: { question: { text: string } }
  reactions: { emoji: string; by: string }[]
}

export interface Attachment {
  id: string
  filename: string
  content_type: string
  size: number
  url: string
}

export function openWorld() {
  const users = new Map<string, User>()
  const channels = new Map<string, ChannelRow>()
  const messages = new Map<string, MessageRow>()
  const files = new Map<string, Buffer>()
  let serial = 0n
  const epoch = 1_420_070_400_000n
  const id = (): string => (((BigInt(Date.now()) - epoch) << 22n) | (serial++ % 4_194_304n)).toString()
  const bot: User = { id: id(), username: 'deputy_bot', global_name: 'Deputy', bot: true }

  function user(name: string): User {
    const known = [...users.values()].find(one => one.username === name)
    if (known) return known
    const made = { id: id(), username: name, global_name: name[0]!.toUpperCase() + name.slice(1) }
    users.set(made.id, made)
    return made
  }

  function direct(name: string): ChannelRow {
    const person = user(name)
    const known = [...channels.values()].find(row => row.type === 1 && row.recipients![0]!.id === person.id)
    if (known) return known
    const made: ChannelRow = { id: id(), type: 1, recipients: [person] }
    channels.set(made.id, made)
    return made
  }

  function channel(name: string, guild: string, parent?: ChannelRow): ChannelRow {
    const made: ChannelRow = { id: id(), type: parent ? 11 : 0, name, guild_id: guild }
    if (parent) made.parent_id = parent.id
    channels.set(made.id, made)
    return made
  }

  /** A thread gets the id of the message it begins on. */
  function thread(on: MessageRow, name: string): ChannelRow {
    const made: ChannelRow = { id: on.id, type: 11, name, guild_id: on.guild_id!, parent_id: on.channel_id }
    channels.set(made.id, made)
    on.thread = made
    return made
  }

  function message(author: User, where: ChannelRow, content: string, more: Partial<MessageRow> = {}): MessageRow {
    const made: MessageRow = {
      id: id(),
      channel_id: where.id,
      author,
      content,
      timestamp: new Date().toISOString(),
      edited_timestamp: null,
      type: more.referenced_message ? 19 : 0,
      flags: 0,
      mentions: [...users.values(), bot].filter(one => new RegExp(`<@!?${one.id}>`).test(content)),
      attachments: [],
      reactions: [],
      ...(where.guild_id ? { guild_id: where.guild_id, member: { nick: null, roles: [] } } : {}),
      ...more,
    }
    messages.set(made.id, made)
    return made
  }

  function attach(filename: string, content_type: string, data: Buffer, root: string): Attachment {
    const made = { id: id(), filename, content_type, size: data.length, url: '' }
    made.url = `${root}/files/${made.id}/${encodeURIComponent(filename)}`
    files.set(made.id, data)
    return made
  }

  return {
    bot,
    users,
    channels,
    messages,
    files,
    id,
    user,
    direct,
    channel,
    thread,
    message,
    attach,
    /** What the bot has said in a channel, oldest first, edits carried out. */
    byBot: (where: string): MessageRow[] =>
      [...messages.values()].filter(row => row.channel_id === where && row.author.id === bot.id),
  }
}

export type World = ReturnType<typeof openWorld>
