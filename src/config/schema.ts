/**
 * The table of the configuration: every key Deputy reads, with OpenClaw's names and meanings (openclaw-facts.md §E).
 *
 * Owns the root and the gateway's part; the other parts are in schema-*.ts. Data only: what
 * values mean together is in config.ts.
 */
import { scopes } from '../protocol/scopes.ts'
import {
  choice,
  either,
  flag,
  list,
  listOrNone,
  map,
  object,
  open,
  optional,
  secret,
  text,
  type TypeOf,
  whole,
} from './kit.ts'
import { agents } from './schema-agents.ts'
import { accessGroups, channels } from './schema-channels.ts'
import { bindings, messages, session } from './schema-sessions.ts'
import { approvals, auth, models, secrets, tools } from './schema-tools.ts'

const gateway = object(
  'The door',
  {
    port: whole('TCP port; 0 takes a free one', { default: 18_789, max: 65_535 }),
    mode: choice('This machine is the gateway, or uses another', ['local', 'remote'], 'local'),
    bind: choice('Where it listens', ['auto', 'loopback', 'lan', 'tailnet', 'custom'], 'loopback'),
    customBindHost: text('Address for bind "custom"', {
      pattern: /^([0-9a-f:.]+|localhost)$/i,
      means: 'an IP address of this machine',
    }),
    auth: object(
      'Who may come in',
      {
        mode: choice('How a caller shows who it is. Unset: token, or password if only that is set', [
          'none',
          'token',
          'password',
          'trusted-proxy',
        ]),
        token: secret('The shared token. Unset: DEPUTY_GATEWAY_TOKEN, else one is made at the first start'),
        password: secret('The shared password. Unset: DEPUTY_GATEWAY_PASSWORD'),
        remoteDevices: choice(
          'Whether a caller from another machine needs an approved device besides the shared secret',
          ['required', 'optional'],
          'required',
        ),
        rateLimit: object('Failed attempts', {
          maxAttempts: whole('Attempts', { default: 10, min: 1 }),
          windowMs: whole('In this time', { default: 60_000, min: 1 }),
          lockoutMs: whole('Then nothing for this time', { default: 300_000 }),
          exemptLoopback: flag('Callers of this machine are not counted', false),
        }),
        trustedProxy: optional(
          'A proxy that knows the user',
          {
            userHeader: text('Header that names the user'),
            requiredHeaders: listOrNone('Headers that must be there', text('A header')),
            allowUsers: list('Users let in. Unset: all that the proxy names', text('A user')),
            allowLoopback: flag('The proxy may be on this machine', false),
          },
          ['cloudflareAccessOidc', 'deviceAutoApprove'],
        ),
        identityScopes: map('Scopes by user', list('Scopes', choice('A scope', scopes))),
      },
      ['allowTailscale'],
    ),
    trustedProxies: listOrNone(
      'Proxies whose forwarded addresses are believed',
      text('An address or network', {
        pattern: /^[0-9a-f:.]+(\/\d{1,3})?$/i,
        means: 'an IP address, or a network such as 10.0.0.0/8',
      }),
    ),
    publicOrigin: text('The address people use, when it is not this machine', {
      pattern: /^https?:\/\/[^/\s]+\/?$/i,
      means: 'an origin such as https://deputy.example.org',
    }),
    controlUi: object(
      'The page',
      {
        enabled: flag('Serve it', true),
        basePath: text('Path before it'),
        allowedOrigins: listOrNone('Origins let in besides its own', text('An origin, or "*"')),
      },
      [
        'root',
        'dangerouslyAllowHostHeaderOriginFallback',
        'dangerouslyDisableDeviceAuth',
        'embedSandbox',
        'allowExternalEmbedUrls',
        'environment',
        'sessionObserver',
        'github',
        'experimental',
        'allowInsecureAuth',
      ],
    ),
    http: object('HTTP', {
      endpoints: object('Further endpoints', {
        chatCompletions: object('POST /v1/chat/completions', { enabled: flag('Serve it', false) }, ['images']),
        responses: object('POST /v1/responses', { enabled: flag('Serve it', false) }, [
          'maxUrlParts',
          'files',
          'images',
        ]),
      }),
      securityHeaders: object('Headers', { strictTransportSecurity: text('Value of the header') }),
    }),
    reload: object(
      'Changes of the file',
      {
        mode: choice(
          'Take them at once, or at the next start. "hot" and "restart" are older words',
          ['hybrid', 'off', 'hot', 'restart'],
          'hybrid',
        ),
      },
      ['debounceMs', 'deferralTimeoutMs'],
    ),
    tools: object('Tools over HTTP', {
      allow: list('Only these', text('A tool')),
      deny: list('Never these', text('A tool')),
    }),
  },
  [
    'allowRealIpFallback',
    'tailscale',
    'tls',
    'remote',
    'terminal',
    'nodes',
    'push',
    'roles',
    'portals',
    'cliAgents',
    'channelHealthCheckMinutes',
    'channelStaleEventThresholdMinutes',
    'channelMaxRestartsPerHour',
    'webchat',
  ],
)

const env = object(
  'Variables',
  {
    vars: map('Variables by name; what the environment sets goes first', text('A value')),
  },
  ['shellEnv'],
)

const logging = object(
  'The log',
  {
    level: choice('What goes into the file', ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'], 'info'),
    consoleLevel: choice('What goes to the terminal', ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace']),
    consoleStyle: choice('Its form; "compact" is an older word for "pretty"', ['pretty', 'json', 'compact'], 'pretty'),
    file: text('File. Default: logs/deputy.log in the state directory'),
    maxFileBytes: whole('A file of this size is put aside', { default: 20_000_000, min: 10_000 }),
    redactPatterns: listOrNone('Expressions whose matches are never written', text('A regular expression')),
  },
  ['audit', 'redactSensitive'],
)

const commands = object(
  'Commands in chats',
  {
    ownerAllowFrom: listOrNone('Owners, as channel:id', text('channel:id')),
    allowFrom: map(
      'Who may give commands, by channel; "*" is any',
      list('Sender ids; ["*"] is all', either('A sender id', text('As text'), whole('As a number'))),
    ),
  },
  [
    'native',
    'nativeSkills',
    'text',
    'bash',
    'bashForegroundMs',
    'config',
    'mcp',
    'plugins',
    'debug',
    'restart',
    'ownerDisplay',
    'ownerDisplaySecret',
    'useAccessGroups',
  ],
)

const store = object('Where facts are kept', {
  url: secret('A Postgres address. Unset: SQLite in the state directory'),
})

export const root = object(
  'Deputy',
  {
    $schema: text('For editors'),
    gateway,
    agents,
    bindings,
    session,
    messages,
    commands,
    channels,
    accessGroups,
    tools,
    approvals,
    models,
    auth,
    env,
    secrets,
    logging,
    store,
    meta: open('Written by tools'),
  },
  [
    'wizard',
    'diagnostics',
    'update',
    'telemetry',
    'browser',
    'ui',
    'acp',
    'nodeHost',
    'worktreeRoot',
    'worktreeAcceleration',
    'security',
    'broadcast',
    'attachments',
    'tts',
    'cron',
    'transcripts',
    'hooks',
    'discovery',
    'talk',
    'cloudWorkers',
    'desktop',
    'memory',
    'mcp',
    'skills',
    'plugins',
    'surfaces',
    'proxy',
    'cli',
    'audio',
    'media',
    'web',
    'canvasHost',
  ],
)

/** The file's values, checked, with defaults filled in. */
export type Settings = TypeOf<typeof root>
