/**
 * The table's part about tools, models and secrets (openclaw-facts.md §E5, §E6). Data only.
 */
import { amount, choice, flag, list, listOrNone, map, object, optional, secret, text, whole } from './kit.ts'

const patterns = (doc: string) => list(doc, text('A tool name, a pattern with *, or group:<name>'))

const policyKeys = {
  allow: patterns('Only these tools'),
  alsoAllow: patterns('These tools besides those of the profile'),
  deny: patterns('Never these tools; wins over everything'),
}

const ask = patterns('Each call of these tools waits until a person has allowed it')

const profile = choice('A ready-made set of tools', ['minimal', 'coding', 'messaging', 'full'])

const exec = {
  sandbox: choice('Commands run in bubblewrap; "off" makes every agent the operator', ['bubblewrap', 'off']),
  network: flag('Commands in the sandbox may use the network'),
  timeoutSeconds: whole('Time limit of a command', { min: 1, was: 'timeoutSec' }),
  maxOutputBytes: whole('Longest output kept of a command', { min: 1024, max: 64 * 1024 * 1024 }),
  env: map('Variables that commands see', text('A value')),
  mode: choice('Which commands run: security and ask in one word', ['deny', 'allowlist', 'ask', 'auto', 'full']),
  security: choice('Which commands run without a question', ['deny', 'allowlist', 'full']),
  ask: choice('When a person is asked about a command', ['off', 'on-miss', 'always']),
  safeBins: list('Programs that run without a question, with plain words behind them', text('A program')),
}

const knownExec = [
  'host',
  'node',
  'pathPrepend',
  'safeBinTrustedDirs',
  'safeBinProfiles',
  'strictInlineEval',
  'backgroundMs',
  'cleanupMs',
  'notifyOnExit',
  'notifyOnExitEmptySuccess',
  'approvalRunningNoticeMs',
  'applyPatch',
  'reviewer',
  'grantExpiryDays',
  'commandHighlighting',
]

const knownTools = ['byProvider', 'toolsBySender', 'elevated', 'sandbox', 'fs', 'message', 'codeMode', 'swarm']

const knownLoops = [
  'historySize',
  'detectors',
  'globalCircuitBreakerThreshold',
  'unknownToolThreshold',
  'postCompactionGuard',
]

/** `agents.entries.<id>.tools` */
export const agentTools = object(
  'What it may use',
  {
    profile,
    ...policyKeys,
    ask,
    exec: object('Commands', exec, knownExec),
    loopDetection: optional(
      'The same call with the same result again and again',
      {
        enabled: flag('It is looked for'),
        warningThreshold: whole('So many times, and the model is told', { min: 2, max: 30 }),
        criticalThreshold: whole('So many times, and the run is ended', { min: 3, max: 40 }),
      },
      knownLoops,
    ),
  },
  knownTools,
)

export const tools = object(
  'What agents may use',
  {
    profile,
    ...policyKeys,
    ask,
    exec: object(
      'Commands',
      {
        ...exec,
        sandbox: choice(
          'Commands run in bubblewrap; "off" makes every agent the operator',
          ['bubblewrap', 'off'],
          'bubblewrap',
        ),
        network: flag('Commands in the sandbox may use the network', false),
        timeoutSeconds: whole('Time limit of a command', { default: 1800, min: 1, was: 'timeoutSec' }),
        maxOutputBytes: whole('Longest output kept of a command', {
          default: 200_000,
          min: 1024,
          max: 64 * 1024 * 1024,
        }),
      },
      knownExec,
    ),
    loopDetection: object(
      'The same call with the same result again and again',
      {
        enabled: flag('It is looked for', true),
        warningThreshold: whole('So many times, and the model is told', { default: 5, min: 2, max: 30 }),
        criticalThreshold: whole('So many times, and the run is ended', { default: 10, min: 3, max: 40 }),
      },
      knownLoops,
    ),
    subagents: object('Sub-agents', { tools: object('What any sub-agent may use at most', policyKeys) }),
    sessions: object('Other conversations', {
      // No default here: an unset one means "all" for a conversation, and its own tree for a sub-agent.
      visibility: choice('Which conversations an agent may look at and write to', ['self', 'tree', 'agent', 'all']),
    }),
    message: object(
      'What agents write to chats of their own accord',
      {
        crossContext: object('Chats other than the one an agent is talked to in', {
          allowWithinProvider: flag('Others of the same service', true),
          allowAcrossProviders: flag('Those of other services', false),
          marker: object('Words that say where it comes from', {
            enabled: flag('They are added', true),
            prefix: text('Before the words', { default: '[from {channel}] ' }),
            suffix: text('After the words', { default: '' }),
          }),
        }),
        actions: object('What it may do', {
          allow: list('Only these', choice('An action', ['send', 'reply', 'react', 'edit', 'poll'])),
        }),
      },
      ['broadcast'],
    ),
    agentToAgent: object('Conversations of other agents', {
      enabled: flag('They may be looked at and written to', false),
      allow: list('Between these agents only', text('An agent id, or a pattern with *')),
    }),
    sessions_spawn: object('Starting sub-agents', {
      attachments: object(
        'Files handed over with a task',
        {
          enabled: flag('A task may bring files along', false),
          maxTotalBytes: whole('All files of one task', { default: 5_242_880 }),
          maxFiles: whole('Files of one task', { default: 50, max: 1000 }),
          maxFileBytes: whole('One file', { default: 1_048_576 }),
        },
        ['retainOnSessionKeep'],
      ),
    }),
  },
  [...knownTools, 'web', 'media', 'links', 'toolSearch', 'updatePlan', 'github'],
)

const forwarding = {
  enabled: flag('The chat that the work came from is asked too', true),
  mode: choice('Which chats are asked: that one, the targets, or both', ['session', 'targets', 'both'], 'session'),
  agentFilter: list('Only about calls of these agents', text('An agent id')),
  sessionFilter: list('Only about work of sessions whose key has one of these in it', text('A part of a key')),
  targets: list(
    'Chats that are asked',
    object('A chat', {
      channel: text('telegram, whatsapp, discord or slack'),
      to: text('The chat'),
      accountId: text('The account; unset: the default one'),
      threadId: text('The thread'),
    }),
  ),
}

export const approvals = object('Questions that work waits for', {
  timeoutSeconds: whole('How long a question waits; then it counts as denied', { default: 1800, min: 1 }),
  budget: flag('Ask the owner whether to go on when a budget is used up; unset: where there is a chat to ask in'),
  exec: object('Which chats are asked about commands', forwarding),
  plugin: object('Which chats are asked about every other call', forwarding),
})

const modelEntry = object(
  'One model',
  {
    id: text("The provider's name of it"),
    name: text('Shown to people'),
    api: text('As the provider, where this model differs'),
    reasoning: flag('It thinks before it answers'),
    input: list('What it reads', text('text, image or audio')),
    cost: optional('US dollars per million tokens', {
      input: amount('Input'),
      output: amount('Output'),
      cacheRead: amount('Input read from the cache'),
      cacheWrite: amount('Input written to the cache'),
    }),
    contextWindow: whole('Tokens it can read', { min: 1 }),
    contextTokens: whole('Tokens of it to use', { min: 1 }),
    maxTokens: whole('Tokens it can write', { min: 1 }),
    headers: map('Headers', text('A value')),
  },
  ['params', 'compat'],
)

export const models = object(
  'Where models are',
  {
    mode: choice('Add to the built-in providers, or replace them', ['merge', 'replace'], 'merge'),
    providers: map(
      'Providers by id',
      object(
        'One provider',
        {
          baseUrl: text('Where it answers', { pattern: /^https?:\/\/\S+$/i, means: 'an http or https address' }),
          apiKey: secret('Its key'),
          auth: choice('How to show the key', ['api-key', 'aws-sdk', 'oauth', 'token']),
          api: choice('The language it speaks', [
            'openai-completions',
            'openai-responses',
            'openai-chatgpt-responses',
            'openai-codex-responses',
            'anthropic-messages',
            'google-generative-ai',
            'google-vertex',
            'github-copilot',
            'bedrock-converse-stream',
            'ollama',
            'pi-messages',
            'azure-openai-responses',
          ]),
          headers: map('Headers', secret('A value')),
          authHeader: flag('Send the key as Authorization: Bearer'),
          timeoutSeconds: whole('Longest silence before a call is given up', { min: 1 }),
          maxConcurrent: whole('Calls at a time with one key for one model. Unset: any number', { min: 1 }),
          models: listOrNone('Its models', modelEntry),
        },
        ['injectNumCtxForOpenAICompat', 'request'],
      ),
    ),
  },
  ['pricing', 'bedrockDiscovery'],
)

export const auth = object(
  'Which keys to use; the keys themselves are in auth-profiles.json',
  {
    profiles: map(
      'Profiles by provider:name',
      object('One profile', {
        provider: text('Provider id'),
        mode: choice('Kind of key', ['api_key', 'oauth', 'token'], 'api_key'),
        email: text('Whose'),
        displayName: text('Shown to people'),
      }),
    ),
    order: map('Profiles of a provider in the order to try', list('Profiles', text('provider:name'))),
  },
  ['cooldowns'],
)

const alias = {
  pattern: /^[a-z][a-z0-9_-]{0,63}$/,
  means: 'small letters, digits, "-" and "_", at most 64, the first a letter',
}

export const secrets = object(
  'Where secrets are kept',
  {
    providers: map(
      'Sources by name',
      object(
        'One source',
        {
          source: choice('Kind of source', ['env', 'file', 'exec', 'store'], 'env'),
          allowlist: list('Variables it may give', text('A variable')),
          path: text('File to read'),
          mode: choice('A JSON file of many, or one value', ['json', 'singleValue'], 'json'),
          timeoutMs: whole('Time limit', { min: 1, max: 600_000 }),
          maxBytes: whole('Longest file', { min: 1 }),
          command: text('Program to run, by its full path', { pattern: /^\//, means: 'a full path' }),
          args: listOrNone('Its arguments', text('An argument')),
          maxOutputBytes: whole('Longest answer', { min: 1 }),
          jsonOnly: flag('The answer must be JSON', true),
          env: map('Variables it sees', text('A value')),
          passEnv: listOrNone('Variables of the gateway it sees besides', text('A variable')),
        },
        ['noOutputTimeoutMs', 'trustedDirs', 'pluginIntegration'],
      ),
      alias,
    ),
  },
  ['defaults', 'egressProxy'],
)
