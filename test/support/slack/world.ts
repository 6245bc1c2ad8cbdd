/**
 * The people, channels and messages of a fake Slack workspace: what happens there, and the books of what people saw.
 *
 * Owns the state behind the Web API and the events that wait for the app. People act through it (`say`, `edit`, `press`,
 * `slash`); methods.ts is how the app does. `shown` is every message and change that ever stood in a channel, in order.
 */
export interface SlackUser {
  id: string
  name: string
  real_name: string
  is_bot: boolean
}

export interface SlackChannel {
  id: string
  name: string
  kind: 'im' | 'mpim' | 'channel' | 'group'
  /** The person of a direct channel. */
  user?: string
  /** False: the app was not invited. */
  member: boolean
}

export interface SlackMessage {
  type: 'message'
  ts: string
  channel: string
  user?: string
  bot_id?: string
  subtype?: string
  text: string
  thread_ts?: string
  parent_user_id?: string
  blocks?: Record<string, unknown>[]
  files?: Record<string, unknown>[]
  metadata?: { event_type: string; event_payload: Record<string, unknown> }
  edited?: { user: string; ts: string }
  reactions?: { name: string; users: string[] }[]
}

export interface Shown {
  channel: string
  thread: string | null
  ts: string
  by: 'app' | 'person'
  what: 'sent' | 'edited' | 'reaction'
  text: string
}

/** What waits until the app says that it came: events as often as it takes, a press or a command once, for three seconds. */
export interface Pending {
  /** Of what happened; an envelope has a new id of its own each time it is sent. */
  id: string
  type: 'events_api' | 'slash_commands' | 'interactive'
  payload: Record<string, unknown>
  attempt: number
}

export class World {
  readonly team = 'T0DEPUTY'
  readonly bot = { id: 'B0DEPUTY', user: 'U0DEPUTY', name: 'deputy' }
  readonly users = new Map<string, SlackUser>()
  readonly channels = new Map<string, SlackChannel>()
  readonly messages: SlackMessage[] = []
  readonly files = new Map<string, { name: string; mimetype: string; bytes: Buffer }>()
  readonly shown: Shown[] = []
  pending: Pending[] = []
  /** Presses and commands that nobody has acknowledged in time: whoever made them was told that it did not work. */
  readonly failed: string[] = []
  private nextTs = 1_795_000_000_000_100
  private nextEvent = 1
  private readonly listeners = new Set<() => void>()

  constructor() {
    this.users.set(this.bot.user, { id: this.bot.user, name: 'deputy', real_name: 'Deputy', is_bot: true })
  }

  /** A person, with a direct channel of the same number. */
  user(id: string, name: string): SlackUser {
    const user = { id, name: name.toLowerCase(), real_name: name, is_bot: false }
    this.users.set(id, user)
    this.channels.set(directOf(id), { id: directOf(id), name: '', kind: 'im', user: id, member: true })
    return user
  }

  channel(id: string, name: string, options: Partial<SlackChannel> = {}): SlackChannel {
    const channel: SlackChannel = { id, name, kind: 'channel', member: true, ...options }
    this.channels.set(id, channel)
    return channel
  }

  say(
    from: SlackUser,
    text: string,
    channel: string = directOf(from.id),
    more: Partial<SlackMessage> & { event?: 'message' | 'app_mention' } = {},
  ): SlackMessage {
    const { event: type, ...fields } = more
    const parent = fields.thread_ts ? this.message(channel, fields.thread_ts) : undefined
    const author = parent?.user ?? (parent?.bot_id === this.bot.id ? this.bot.user : undefined)
    const message = this.put(channel, {
      user: from.id,
      text,
      ...(author && fields.thread_ts ? { parent_user_id: author } : {}),
      ...fields,
    })
    this.happens(type ?? 'message', message)
    return message
  }

  edit(message: SlackMessage, text: string): void {
    const previous = { ...message }
    message.text = text
    message.edited = { user: message.user ?? '', ts: this.ts() }
    this.show(message, 'person', 'edited')
    this.event({
      type: 'message',
      subtype: 'message_changed',
      channel: message.channel,
      channel_type: this.channels.get(message.channel)!.kind,
      ts: this.ts(),
      message: { ...message },
      previous_message: previous,
    })
  }

  /** The id of the press. */
  press(from: SlackUser, message: SlackMessage, value: string): string {
    const block = message.blocks?.find(one => one['type'] === 'actions')
    const button = (block?.['elements'] as { action_id: string; value: string }[] | undefined)?.find(
      one => one.value === value,
    )
    return this.queue('interactive', {
      type: 'block_actions',
      team: { id: this.team },
      user: { id: from.id, username: from.name, name: from.name, team_id: this.team },
      trigger_id: `${this.ts()}.press`,
      container: { type: 'message', message_ts: message.ts, channel_id: message.channel },
      channel: { id: message.channel, name: this.channels.get(message.channel)!.name },
      message: { ...message },
      actions: [{ type: 'button', action_id: button?.action_id ?? 'gone', value, action_ts: this.ts() }],
    }).id
  }

  slash(from: SlackUser, command: string, text: string, channel: string = directOf(from.id)): void {
    this.queue('slash_commands', {
      command,
      text,
      user_id: from.id,
      user_name: from.name,
      channel_id: channel,
      channel_name: this.channels.get(channel)!.kind === 'im' ? 'directmessage' : this.channels.get(channel)!.name,
      team_id: this.team,
      trigger_id: `${this.ts()}.slash`,
      response_url: 'https://hooks.slack.invalid/commands/none',
    })
  }

  /** What can be pressed under a message now. */
  buttons(message: SlackMessage): string[] {
    return (message.blocks ?? [])
      .filter(block => block['type'] === 'actions')
      .flatMap(block => (block['elements'] as { value: string }[]).map(({ value }) => value))
  }

  /** The service tells the app of a message, as often as it is called. */
  happens(type: string, message: SlackMessage): Pending {
    const channel_type = this.channels.get(message.channel)!.kind
    return this.event({ ...message, type, ...(type === 'message' ? { channel_type } : {}), event_ts: message.ts })
  }

  event(event: Record<string, unknown>): Pending {
    const id = `Ev${this.nextEvent++}`
    const payload = { type: 'event_callback', team_id: this.team, api_app_id: 'A0', event, event_id: id }
    return this.queue('events_api', payload, id)
  }

  queue(type: Pending['type'], payload: Record<string, unknown>, id = `x${this.nextEvent++}`): Pending {
    const pending = { id, type, payload, attempt: 0 }
    this.pending.push(pending)
    this.stir()
    return pending
  }

  put(channel: string, fields: Omit<SlackMessage, 'type' | 'ts' | 'channel'>): SlackMessage {
    const message: SlackMessage = { type: 'message', ts: this.ts(), channel, ...fields }
    this.messages.push(message)
    this.show(message, message.bot_id === this.bot.id ? 'app' : 'person', 'sent')
    return message
  }

  message(channel: string, ts: string): SlackMessage | undefined {
    return this.messages.find(one => one.channel === channel && one.ts === ts)
  }

  /** What stands in a channel now of what the app wrote there, in order. */
  byApp(channel: string, thread: string | null = null): SlackMessage[] {
    return this.messages.filter(
      one => one.channel === channel && one.bot_id === this.bot.id && (thread === null || one.thread_ts === thread),
    )
  }

  show(message: SlackMessage, by: Shown['by'], what: Shown['what'], text = message.text): void {
    const { channel, ts } = message
    this.shown.push({ channel, thread: message.thread_ts ?? null, ts, by, what, text })
    this.stir()
  }

  keep(name: string, mimetype: string, bytes: Buffer): string {
    const id = `F${this.files.size + 1}`
    this.files.set(id, { name, mimetype, bytes })
    return id
  }

  ts(): string {
    this.nextTs += 100
    return `${Math.floor(this.nextTs / 1_000_000)}.${String(this.nextTs % 1_000_000).padStart(6, '0')}`
  }

  watch(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  stir(): void {
    for (const listener of [...this.listeners]) listener()
  }
}

export function directOf(user: string): string {
  return `D${user.slice(1)}`
}
