/**
 * The table's part about agents (openclaw-facts.md §E3, §D5). Data only.
 */
import { amount, choice, either, flag, list, listOrNone, map, object, optional, text, whole } from './kit.ts'
import { agentTools } from './schema-tools.ts'

export const agentIdPattern = /^[a-z0-9][a-z0-9_-]{0,63}$/i
const agentIdMeans = 'letters, digits, "-" and "_", at most 64, the first a letter or digit'

const model = (doc: string) =>
  either(
    doc,
    text('provider/model, or an alias of agents.defaults.models'),
    object('A model and what to fall back on', {
      primary: text('provider/model, or an alias'),
      fallbacks: listOrNone('Tried in order when the first cannot be used', text('provider/model, or an alias')),
    }),
  )

const thinking = (doc: string) =>
  choice(doc, ['off', 'minimal', 'low', 'medium', 'high', 'xhigh', 'adaptive', 'max', 'ultra'])

const spending = {
  usd: amount('US dollars'),
  tokens: whole('Input and output tokens'),
  calls: whole('Model calls'),
}

export const budget = (doc: string) => optional(doc, spending)

/** Of many runs together. */
export const capBudget = (doc: string) =>
  optional(doc, { ...spending, seconds: whole('Time that model calls, commands and other tools take') })

const failuresDoc = 'A task that fails so often in a row is not started again for ten minutes; 0 is no limit'
const spawnsDoc = 'Sub-agents that one conversation may start in a minute, all below it included; 0 is no limit'

/** Keys that an agent may set for its sub-agents, and the defaults for all. */
const subagentKeys = {
  allowAgents: list('Agents that may be spawned; ["*"] is any. Unset: the own agent only', text('An agent id, or "*"')),
  requireAgentId: flag('Refuse a spawn that names no agent'),
  model: model("Model of sub-agents. Unset: the target agent's own, else the caller's"),
  thinking: thinking('Thinking level of sub-agents'),
  runTimeoutSeconds: whole('Time limit of a sub-agent in seconds; 0 is none'),
  maxSpawnDepth: whole('How deep sub-agents may nest', { min: 1, max: 1000, usual: [1, 5] }),
  maxChildrenPerAgent: whole('Sub-agents at work at once under one session', { min: 1, max: 100_000, usual: [1, 20] }),
  maxFailuresInRow: whole(failuresDoc),
  maxSpawnsPerMinute: whole(spawnsDoc),
  archiveAfterMinutes: whole("A sub-agent's session is put away this long after its end; 0 is never"),
  budget: budget('Limit of each sub-agent, taken out of the budget of the one who spawned it'),
}

const identity = optional('How the agent presents itself', {
  name: text('Name'),
  theme: text('Manner, in a few words'),
  emoji: text('One emoji'),
  avatar: text('Path or URL of a picture'),
})

const knownAgentKeys = [
  'cwd',
  'utilityModel',
  'decisionModel',
  'models',
  'modelPolicy',
  'verboseDefault',
  'reasoningDefault',
  'fastModeDefault',
  'toolProgressDetail',
  'contextInjection',
  'skills',
  'skillsLimits',
  'embeddedAgent',
  'runtime',
  'memory',
  'memorySearch',
  'humanDelay',
  'typingMode',
  'tts',
  'contextLimits',
  'heartbeat',
  'groupChat',
  'sandbox',
]

const agentKeys = {
  default: flag('Takes what no rule sends elsewhere'),
  name: text('Shown to people'),
  description: text('What it is for; shown to agents that may spawn it'),
  workspace: text('Directory it works in; ~ is your home directory'),
  agentDir: text('Directory of its auth-profiles.json. Default: agents/<id> in the state directory'),
  model: model('Its model. Default: agents.defaults.model'),
  thinkingDefault: thinking('Thinking level'),
  systemPromptOverride: text('Replaces the built-in instructions'),
  bootstrapMaxChars: whole('Longest part of one workspace file that goes into the prompt'),
  bootstrapTotalMaxChars: whole('Longest part of all workspace files that goes into the prompt'),
  identity,
  subagents: object('What it may delegate', subagentKeys, ['delegationMode']),
  tools: agentTools,
  timeoutSeconds: whole('Time limit of one run in seconds; 0 is none'),
  maxConcurrent: whole('Runs of this agent at work at once', { min: 1, max: 100_000 }),
  maxSteps: whole('Steps of one run before it is ended', { min: 1 }),
  budget: budget('Limit of one run, with all that it delegates'),
  dailyBudget: capBudget('Limit of this agent in one day, over all its runs'),
  params: map('Parameters passed to the provider', either('A parameter', text(''), amount(''), flag(''))),
}

const defaults = object(
  'What holds for every agent that does not say otherwise',
  {
    workspace: text('Directory of the default agent'),
    skipBootstrap: flag('Write no starting files into a new workspace', false),
    bootstrapMaxChars: whole('Longest part of one workspace file that goes into the prompt', { default: 20_000 }),
    bootstrapTotalMaxChars: whole('Longest part of all workspace files in the prompt', { default: 60_000 }),
    userTimezone: text('Time zone shown to agents. Default: that of the machine'),
    model: model('provider/model. Unset: the first provider that has a key'),
    models: map(
      'Aliases and parameters of models, by provider/model',
      object(
        'One model',
        {
          alias: text('Short name'),
          params: map('Parameters passed to the provider', either('A parameter', text(''), amount(''), flag(''))),
        },
        ['agentRuntime', 'pickerRuntimes', 'streaming', 'codeMode'],
      ),
    ),
    modelPolicy: object('Which models may be chosen', {
      allow: list('provider/model or provider/*. Unset: any', text('provider/model or provider/*')),
    }),
    thinkingDefault: thinking('Thinking level'),
    systemPromptOverride: text('Replaces the built-in instructions'),
    identity,
    timeoutSeconds: whole('Time limit of one run in seconds; 0 is none', { default: 172_800 }),
    maxConcurrent: whole('Runs at work at once in the lane of people', { default: 4, min: 1, max: 100_000 }),
    maxSteps: whole('Steps of one run before it is ended', { default: 500, min: 1 }),
    budget: budget('Limit of one run, with all that it delegates'),
    dailyBudget: capBudget('Limit of each agent in one day, over all its runs'),
    subagents: object(
      'Delegation',
      {
        ...subagentKeys,
        requireAgentId: flag('Refuse a spawn that names no agent', false),
        runTimeoutSeconds: whole('Time limit of a sub-agent in seconds; 0 is none', { default: 0 }),
        maxSpawnDepth: whole('How deep sub-agents may nest', { default: 5, min: 1, max: 1000, usual: [1, 5] }),
        maxChildrenPerAgent: whole('Sub-agents at work at once under one session', {
          default: 5,
          min: 1,
          max: 100_000,
          usual: [1, 20],
        }),
        maxFailuresInRow: whole(failuresDoc, { default: 3 }),
        maxSpawnsPerMinute: whole(spawnsDoc, { default: 1000 }),
        maxConcurrent: whole('Sub-agents at work at once in the whole gateway', { default: 8, min: 1, max: 100_000 }),
        archiveAfterMinutes: whole("A sub-agent's session is put away this long after its end; 0 is never", {
          default: 60,
        }),
      },
      ['announceTimeoutMs', 'delegationMode'],
    ),
    compaction: object(
      'A long conversation is shortened: a summary stands for its older messages, which are all kept',
      {
        enabled: flag('Before the prompt no longer fits, by itself. By hand it always works: /compact', true),
        model: text("Model that writes summaries: provider/model, or an alias. Unset: the conversation's own"),
        thinkingLevel: thinking('Thinking level of that model'),
        keepRecentTokens: whole('So much of the newest messages stays as it is', { default: 20_000 }),
        recentTurnsPreserve: whole('And at least so many of the newest things that people said', { default: 0 }),
        reserveTokens: whole('So much of the window is left free, at most a quarter of it', { default: 20_000 }),
        reserveTokensFloor: whole('Least value of reserveTokens', { default: 0 }),
        timeoutSeconds: whole('Longest time a summary may take', { default: 180, min: 1, max: 3600 }),
        customInstructions: text('What every summary is asked for besides'),
      },
      [
        'mode',
        'provider',
        'identifierPolicy',
        'qualityGuard',
        'midTurnPrecheck',
        'postIndexSync',
        'postCompactionSections',
        'memoryFlush',
        'maxActiveTranscriptBytes',
        'maxHistoryShare',
        'notifyUser',
      ],
    ),
    params: map('Parameters passed to the provider', either('A parameter', text(''), amount(''), flag(''))),
  },
  [
    ...knownAgentKeys,
    'repoRoot',
    'skipOptionalBootstrapFiles',
    'imageModel',
    'pdfModel',
    'voiceModel',
    'mediaModels',
    'modelSelectionScope',
    'elevatedDefault',
    'mediaMaxMb',
    'pdfMaxMb',
    'pdfMaxPages',
    'imageMaxDimensionPx',
    'imageQuality',
    'blockStreamingDefault',
    'blockStreamingBreak',
    'blockStreamingChunk',
    'blockStreamingCoalesce',
    'typingIntervalSeconds',
    'contextPruning',
    'silentReply',
    'startupContext',
    'experimental',
    'systemAgent',
    'authInheritance',
    'sessionStore',
    'contextTokens',
    'imageGenerationModel',
    'musicGenerationModel',
    'videoGenerationModel',
    'pdfMaxBytesMb',
    'embeddedPi',
    'embeddedHarness',
    'cliBackends',
    'llm',
    'timeFormat',
    'envelopeTimezone',
    'envelopeTimestamp',
    'envelopeElapsed',
  ],
)

export const agents = object(
  'Who works here',
  {
    dailyBudget: capBudget('Limit of all agents together in one day'),
    defaults,
    entries: map('Agents by id', object('One agent', agentKeys, knownAgentKeys), {
      pattern: agentIdPattern,
      means: agentIdMeans,
    }),
    list: listOrNone(
      'Agents as a list; the older form of entries',
      object(
        'One agent',
        { id: text('Its id', { pattern: agentIdPattern, means: agentIdMeans }), ...agentKeys },
        knownAgentKeys,
      ),
    ),
  },
  ['ownership'],
)
