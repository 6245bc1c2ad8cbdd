/**
 * The table's part about conversations: who is routed to whom, when they start afresh, what they are bound to, what messages do
 * (openclaw-facts.md §E4, §D5). Data only.
 */
import { amount, choice, flag, list, listOrNone, map, object, optional, text, whole } from './kit.ts'
import { capBudget } from './schema-agents.ts'

export const bindings = listOrNone(
  'Which agent answers where; the most exact match wins, then the order of the list',
  object(
    'One rule',
    {
      type: choice('Kind of rule', ['route', 'acp'], 'route'),
      agentId: text('Agent that answers'),
      comment: text('For people'),
      match: object('What it applies to', {
        channel: text('Channel id'),
        accountId: text('Account; "*" is any'),
        peer: optional('One chat', {
          kind: choice(
            'Kind of chat; "dm" is the older word for "direct"',
            ['direct', 'group', 'channel', 'dm'],
            'direct',
          ),
          id: text('Chat id; "*" is any'),
        }),
        guildId: text('Discord server'),
        teamId: text('Slack workspace'),
        roles: list('Discord roles', text('Role id')),
      }),
    },
    ['session', 'acp'],
  ),
)

const lasts = { pattern: /^[1-9]\d{0,4}(m|h|d|w)$/, means: 'a number and m, h, d or w, such as "30d"' }

const resetRule = {
  mode: choice('When a conversation starts afresh by itself', ['none', 'daily', 'idle'], 'none'),
  atHour: whole('Hour of the daily reset', { default: 4, max: 23 }),
  idleMinutes: whole('Minutes of silence', { min: 1 }),
}

/** The same for all conversations and, where a channel or an account says more, for those in its chats. */
export const threadBindings = optional(
  'Threads and chats that are bound to a conversation',
  {
    enabled: flag('Whether they may be. Default: true'),
    idleHours: amount('A binding ends after so many hours without a message; 0 is never. Default: 24'),
    maxAgeHours: amount('A binding ends so many hours after it was made; 0 is never. Default: 0'),
    spawnSessions: {
      ...flag('Whether a sub-agent may be started with a thread of its own. Default: true'),
      was: 'spawnSubagentSessions',
    },
    defaultSpawnContext: choice('What such a sub-agent begins with. Default: fork', ['fork', 'isolated']),
  },
  ['spawnAcpSessions'],
)

export const session = object(
  'Conversations',
  {
    budget: capBudget('Limit of one conversation, with all that it delegates, as long as it is open'),
    senderDailyBudget: capBudget('Limit in one day of each who writes, with all that is delegated for them'),
    scope: choice('One conversation per sender, or one for all', ['per-sender', 'global'], 'per-sender'),
    dmScope: choice(
      'What direct chats share a conversation; the default gives each sender their own',
      ['main', 'per-peer', 'per-channel-peer', 'per-account-channel-peer'],
      'per-channel-peer',
    ),
    groupScope: choice('What groups share a conversation', ['per-group', 'main'], 'per-group'),
    identityLinks: map('Peers that are the same person', list('Peers', text('channel:id'))),
    reset: object('Fresh starts', resetRule),
    resetByType: map('Fresh starts by kind of chat: direct, group, thread', optional('Fresh starts', resetRule)),
    agentToAgent: object('Messages between conversations', {
      maxPingPongTurns: whole('How often agents may answer each other before a person says something', {
        default: 5,
        max: 100,
        usual: [0, 5],
      }),
    }),
    threadBindings,
    parentForkMaxTokens: whole('A longer conversation is not copied into a sub-agent', { default: 100_000 }),
    resetTriggers: list('Messages that start afresh', text('A message')),
    maintenance: object(
      'How long conversations are kept; unset: for good',
      {
        mode: choice('Remove what is old. With "warn" nothing is removed', ['enforce', 'warn'], 'enforce'),
        pruneAfter: text('A conversation in which nothing happened for this long is removed', lasts),
        resetArchiveRetention: text(
          'The messages of a conversation that was reset or deleted go this long after',
          lasts,
        ),
      },
      [
        'maxEntries',
        'maxDiskBytes',
        'highWaterBytes',
        'coldStorage',
        'preserveRecent',
        'archiveDashboardAfter',
        'pruneDays',
        'rotateBytes',
      ],
    ),
  },
  [
    'mainKey',
    'store',
    'resetByChannel',
    'sendPolicy',
    'sharing',
    'notifyOnCreate',
    'idleMinutes',
    'typingMode',
    'typingIntervalSeconds',
  ],
)

const queueMode = choice(
  'What a message does while the agent works',
  ['steer', 'followup', 'collect', 'interrupt'],
  'steer',
)

export const messages = object(
  'Messages in and out',
  {
    queue: object(
      'Messages that come while the agent works',
      {
        mode: queueMode,
        byChannel: map('By channel', queueMode),
      },
      // Every message that was accepted is kept: there is nothing to cap and nothing to drop.
      ['cap', 'drop', 'debounceMs', 'debounceMsByChannel'],
    ),
    inbound: object('Messages that come soon after each other', {
      debounceMs: whole('A new turn waits so long for the next message', { default: 0, max: 60_000 }),
      byChannel: map('By channel', whole('Milliseconds', { max: 60_000 })),
    }),
    groupChat: object(
      'Groups',
      {
        mentionPatterns: listOrNone(
          'Expressions that address the agent besides a mention',
          text('A regular expression'),
        ),
        historyLimit: whole('Messages before the one that is answered, shown to the agent', { default: 50, max: 500 }),
      },
      ['visibleReplies', 'unmentionedInbound'],
    ),
  },
  [
    'responsePrefix',
    'ackReaction',
    'ackReactionScope',
    'visibleReplies',
    'statusReactions',
    'usageTemplate',
    'responseUsage',
    'messagePrefix',
    'tts',
    'removeAckAfterReply',
    'suppressToolErrors',
  ],
)
