/**
 * The part of the table about chat services: each one's keys, with OpenClaw's names and meanings (openclaw-facts.md §E7, §E8).
 *
 * Data only. A channel and each of its accounts have the same keys, none filled in here: an account inherits what it leaves
 * out, and what nobody sets has its default in read-channels.ts. Invariant: every key of a service stands in one place.
 */
import {
  amount,
  choice,
  either,
  type Fields,
  flag,
  list,
  map,
  object,
  optional,
  secret,
  text,
  type TypeOf,
  whole,
} from './kit.ts'
import { threadBindings } from './schema-sessions.ts'

const ids = (doc: string) => list(doc, either('An id', text('As text'), whole('As a number')))
const dmPolicy = choice('Who may write directly. Default: pairing. "open" needs "*" in allowFrom', [
  'pairing',
  'allowlist',
  'open',
  'disabled',
])
const groupPolicy = choice('Which groups are answered. Default: allowlist', ['open', 'allowlist', 'disabled'])
const requireMention = flag('Only what is addressed to the account is answered. Default: true')
const emptied = ['skills', 'systemPrompt', 'tools', 'toolsBySender', 'ingest', 'ackReaction', 'autoThread']

/** What every service has (openclaw-facts.md §E7, common). */
const common = {
  enabled: flag('Use it. Default: true'),
  name: text('What people call the account'),
  dmPolicy,
  allowFrom: ids('Senders let in; "*" is everybody'),
  groupPolicy,
  historyLimit: whole('Group messages before the one that is answered, shown to the agent. Default: 50', { max: 500 }),
  textChunkLimit: whole('Longest text of one message; the service may allow less', { min: 100 }),
  streaming: either(
    'Whether words are shown while they are written',
    choice('As one word', ['off', 'partial', 'block', 'progress']),
    flag('On or off'),
    optional(
      'In parts',
      {
        mode: choice('How', ['off', 'partial', 'block', 'progress']),
        chunkMode: choice('Where long words are cut', ['length', 'newline']),
      },
      ['preview', 'progress', 'block'],
    ),
  ),
  streamMode: choice('Older name of streaming', ['off', 'partial', 'block', 'progress']),
  mediaMaxMb: amount('Largest file in and out, in megabytes. Default: 20'),
  replyToMode: choice('Whether answers quote what they answer. Default: off', ['off', 'first', 'all', 'batched']),
  mentionPatterns: list('Expressions that address the account besides a mention', text('A regular expression')),
  requireMention,
  reactionLevel: choice('How much the agent reacts with emoji', ['off', 'ack', 'minimal', 'extensive']),
  defaultTo: either('Where words without an address go', text('As text'), whole('As a number')),
  proxy: text('Not served: an account that has it does not connect, so that nothing goes past the proxy'),
  threadBindings,
}

const knownCommon = [
  'dmHistoryLimit',
  'dms',
  'responsePrefix',
  'configWrites',
  'contextVisibility',
  'markdown',
  'capabilities',
  'healthMonitor',
  'heartbeatVisibility',
  'heartbeat',
  'execApprovals',
  'actions',
  'commands',
  'ackReaction',
  'ackReactionScope',
  'reactionNotifications',
  'chunkMode',
  'blockStreaming',
  'blockStreamingCoalesce',
  'draftChunk',
  'retry',
  'messagePrefix',
  'sendPolicy',
]

const place = {
  enabled: flag('Answer here. Default: true'),
  requireMention,
  groupPolicy,
  allowFrom: ids('Senders let in here'),
}

const telegram = {
  ...common,
  groupAllowFrom: ids('Senders let in in groups. Default: allowFrom'),
  botToken: secret('Token of the bot. Unset: TELEGRAM_BOT_TOKEN for the default account'),
  tokenFile: text('File that holds the token'),
  groups: map(
    'Groups by chat id; "*" is any',
    object(
      'One group',
      {
        ...place,
        topics: map(
          'Topics by id',
          object('One topic', { ...place, agentId: text('Agent that answers here') }, emptied),
        ),
      },
      emptied,
    ),
  ),
  direct: map(
    'Direct chats by id',
    object('One chat', { dmPolicy, allowFrom: ids('Senders let in here') }, [
      ...emptied,
      'topics',
      'requireTopic',
      'requireMention',
      'enabled',
    ]),
  ),
  customCommands: list(
    'Further entries of the command menu',
    object('One', { command: text('Name'), description: text('What it does') }),
  ),
  webhookUrl: text('Public address that Telegram calls. Unset: long polling'),
  webhookSecret: secret('What Telegram shows with each call'),
  webhookPath: text('Path to listen on'),
  webhookHost: text('Address to listen on. Default: 127.0.0.1'),
  webhookPort: whole('Port to listen on', { max: 65_535 }),
  webhookCertPath: text('Certificate that Telegram is to trust'),
  apiRoot: text('Address of the Bot API'),
  linkPreview: flag('Show previews of links'),
  reactionNotifications: choice('Which reactions the agent hears of. Default: off', ['off', 'own', 'all']),
}
const knownTelegram = [
  ...knownCommon,
  'network',
  'errorPolicy',
  'richMessages',
  'autoTopicLabel',
  'timeoutSeconds',
  'draftChunk',
]

const whatsapp = {
  ...common,
  groupAllowFrom: ids('Senders let in in groups. Default: allowFrom'),
  groups: map('Groups by id (…@g.us); "*" is any', object('One group', place, emptied)),
  selfChatMode: flag('The account is your own number: what you write to yourself is for the agent'),
  sendReadReceipts: flag('Show people that their messages were read. Default: true'),
  authDir: text('Folder of the login. Default: in the state directory'),
}
const knownWhatsapp = [...knownCommon, 'direct', 'debounceMs']

const guild = {
  slug: text('Its name, for people'),
  requireMention,
  users: ids('People let in'),
  roles: ids('Roles let in'),
}
const discord = {
  ...common,
  token: secret('Token of the bot. Unset: DISCORD_BOT_TOKEN for the default account'),
  applicationId: text('Id of the application'),
  dm: object(
    'Direct messages',
    {
      enabled: flag('Answer them. Default: true'),
      groupEnabled: flag('Answer group conversations. Default: false'),
      groupChannels: ids('Group conversations that are answered'),
    },
    ['policy', 'allowFrom'],
  ),
  guilds: map(
    'Servers by id; "*" is any',
    object(
      'One server',
      {
        ...guild,
        channels: map(
          'Channels by id or name; "*" is any',
          object(
            'One channel',
            { enabled: place.enabled, requireMention, users: ids('People let in'), roles: ids('Roles let in') },
            [...emptied, 'includeThreadStarter'],
          ),
        ),
      },
      [...emptied, 'reactionNotifications', 'ignoreOtherMentions'],
    ),
  ),
  intents: object('What Discord tells', { presence: flag('Who is there'), guildMembers: flag('Members') }),
  slashCommand: object('Slash commands', { ephemeral: flag('Only the asker sees the answer') }),
  thread: object('Threads', { inheritParent: flag('Rules of the channel hold in its threads. Default: true') }),
  allowBots: either(
    'Whether other bots are listened to. Default: false',
    flag('Yes or no'),
    choice('Only where they mention the account', ['mentions']),
  ),
  maxLinesPerMessage: whole('Longer texts are divided', { min: 1 }),
  apiRoot: text('Address of the REST API'),
}
const knownDiscord = [
  ...knownCommon,
  'voice',
  'activity',
  'status',
  'activityType',
  'activityUrl',
  'autoPresence',
  'pluralkit',
  'agentComponents',
  'ui',
]

const slack = {
  ...common,
  mode: choice('How Slack reaches the gateway. Default: socket', ['socket', 'http', 'relay']),
  botToken: secret('Token xoxb-…. Unset: SLACK_BOT_TOKEN for the default account'),
  appToken: secret('Token xapp-…. Unset: SLACK_APP_TOKEN for the default account'),
  signingSecret: secret('By which requests of Slack are known, in mode "http"'),
  webhookPath: text('Path to listen on, in mode "http". Default: /slack/events'),
  webhookHost: text('Address to listen on. Default: 127.0.0.1'),
  webhookPort: whole('Port to listen on. Default: 8788', { max: 65_535 }),
  channels: map(
    'Channels by id or #name; "*" is any',
    object(
      'One channel',
      { enabled: place.enabled, requireMention, users: ids('People let in'), allowBots: flag('Listen to bots') },
      emptied,
    ),
  ),
  dm: object(
    'Direct messages',
    {
      enabled: flag('Answer them. Default: true'),
      groupEnabled: flag('Answer group conversations. Default: false'),
      groupChannels: ids('Group conversations that are answered'),
    },
    ['policy', 'allowFrom', 'replyToMode'],
  ),
  slashCommand: object(
    'Slash command',
    {
      enabled: flag('Take it. Default: true'),
      name: text('Its name. Default: deputy'),
      ephemeral: flag('Only the asker sees the answer'),
    },
    ['sessionPrefix'],
  ),
  thread: object('Threads', {}, ['historyScope', 'inheritParent', 'initialHistoryLimit']),
  replyToModeByChatType: map('By kind of chat', choice('Mode', ['off', 'first', 'all', 'batched'])),
  allowBots: flag('Whether other bots are listened to. Default: false'),
  apiRoot: text('Address of the Web API'),
}
const knownSlack = [...knownCommon, 'userToken', 'userTokenReadOnly', 'reactionAllowlist', 'typingReaction', 'postAs']

/** A service: its own keys, and the same again for each account. */
function service<F extends Fields>(doc: string, fields: F, known: readonly string[]) {
  const accounts = map(
    'Further accounts by name; each inherits what it leaves out',
    object('One account', fields, known),
  )
  const defaultAccount = text('Account that is meant when none is named')
  return optional(doc, { ...fields, accounts, defaultAccount }, known)
}

export const channels = object(
  'Chat services',
  {
    defaults: object('For every service', { groupPolicy }, ['heartbeat', 'heartbeatVisibility', 'contextVisibility']),
    telegram: service('Telegram', telegram, knownTelegram),
    whatsapp: service('WhatsApp', whatsapp, knownWhatsapp),
    discord: service('Discord', discord, knownDiscord),
    slack: service('Slack', slack, knownSlack),
  },
  [
    'modelByChannel',
    'a2a',
    'buzz',
    'clickclack',
    'feishu',
    'googlechat',
    'imessage',
    'irc',
    'line',
    'matrix',
    'mattermost',
    'msteams',
    'nextcloud-talk',
    'nostr',
    'qa-channel',
    'raft',
    'reef',
    'signal',
    'sms',
    'synology-chat',
    'tlon',
    'twitch',
    'zalo',
    'zalouser',
    'bluebubbles',
    'webchat',
  ],
)

export const accessGroups = map(
  'Groups of people, named as accessGroup:<name> in lists of senders',
  object('One group', {
    type: choice('Kind of group', ['message.senders'], 'message.senders'),
    members: map('Ids by channel; "*" is any channel', ids('Ids')),
  }),
)

export type ChannelsSettings = TypeOf<typeof channels>
