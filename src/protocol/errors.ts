/**
 * The one table of refusals and failures. Every error that leaves a room carries one of these codes.
 *
 * Owns: the codes, what each means, who can mend it and how. Pinned by test/pins.test.ts: a code never changes its meaning
 * and is never removed. Never holds a secret: messages and details are made to be shown.
 */
import { channelErrors } from './channel-errors.ts'
import { doorErrors } from './door-errors.ts'
import { type ErrorRow, row } from './error-row.ts'

export type { ErrorRow }

export const errors = {
  // home, files, process
  HOME_UNWRITABLE: row(
    'The state directory cannot be created or written.',
    'operator',
    'Give the user write access to it, or name another with --home or DEPUTY_HOME.',
  ),
  HOME_LOCKED: row(
    'Another process holds this state directory.',
    'operator',
    'Stop that process, or use another --home. The commands talk to a running gateway by themselves.',
  ),
  PORT_IN_USE: row(
    'The TCP port is taken by another program.',
    'operator',
    'Stop that program, or set gateway.port: deputy config set gateway.port <port>',
  ),
  SOCKET_FAILED: row(
    'The unix socket could not be opened.',
    'operator',
    'Check that the state directory is on a file system that has unix sockets and that its path is short enough.',
  ),
  GATEWAY_UNREACHABLE: row('No gateway answers for this state directory.', 'operator', 'Start it: deputy gateway run'),
  GATEWAY_STOPPING: row(
    'The gateway is shutting down.',
    'nobody',
    'Try again in a moment; accepted work goes on after the restart.',
  ),
  SERVICE_UNAVAILABLE: row(
    'There is no systemd user manager that the gateway could be given to.',
    'operator',
    'Run it in the foreground under what supervises there: deputy gateway run',
  ),
  SERVICE_FAILED: row(
    'systemd refused, or the service did not come up.',
    'operator',
    'deputy service status, and journalctl --user -u deputy.service -n 30, say why.',
  ),
  USAGE: row('The command line was not understood.', 'you', 'See deputy --help.'),
  INTERNAL: row(
    'The gateway made a mistake of its own.',
    'nobody',
    'The run it happened in has ended; the log has the details. Please report it.',
  ),
  DISK_FULL: row(
    'The disk is full, so nothing new can be recorded.',
    'operator',
    'Free some space; the gateway goes on by itself. Nothing that was accepted is lost.',
  ),
  // store
  STORE_BODY_AWAITED: row(
    'A transaction waited for something other than its own statements and was rolled back.',
    'nobody',
    'Please report it: this is a defect.',
  ),
  STORE_LOST_GROUP: row(
    'The database gave up a whole group of transactions.',
    'operator',
    'Check the disk; the work is tried again by itself.',
  ),
  STORE_DAMAGED: row(
    'The database file is damaged.',
    'operator',
    'New work has stopped. Copy the file away, then restore a backup; status names the table.',
  ),
  STORE_FOREIGN: row('The file is not a Deputy database.', 'operator', 'Move it away or name another --home.'),
  STORE_TOO_NEW: row(
    'The database was written by a newer Deputy.',
    'operator',
    'Install that version or newer, or restore the backup made before the upgrade.',
  ),
  STORE_CLOSED: row('The store is closed.', 'nobody', 'Start the gateway again.'),
  // configuration
  CONFIG_UNREADABLE: row(
    'The configuration file cannot be read.',
    'operator',
    'Check that the file exists and belongs to you.',
  ),
  CONFIG_SYNTAX: row(
    'The configuration is not valid JSON5.',
    'operator',
    'Mend the named line, or go back: deputy config restore',
  ),
  CONFIG_INVALID: row(
    'A configuration value is not allowed.',
    'operator',
    'Mend the named key: deputy config set <key> <value>',
  ),
  CONFIG_UNSAFE_BIND: row(
    'The gateway would listen beyond this machine without a secret.',
    'operator',
    'Set gateway.auth.token, or gateway.bind to loopback.',
  ),
  CONFIG_SECRET_UNRESOLVED: row(
    'A secret that the configuration refers to is not there.',
    'operator',
    'Set the named variable or file.',
  ),
  CONFIG_CONFLICT: row('The configuration changed since it was read.', 'you', 'Read it again and repeat the change.'),
  ...doorErrors,
  ...channelErrors,
  // sessions, runs
  UNKNOWN_AGENT: row(
    'There is no agent of that name.',
    'operator',
    'deputy agents list shows them; add one under agents in deputy.json.',
  ),
  UNKNOWN_SESSION: row('There is no such session.', 'you', 'deputy sessions list'),
  UNKNOWN_RUN: row('There is no such run.', 'you', 'deputy runs list'),
  SESSION_CLOSED: row('The session was closed.', 'you', 'Write to its key again: that opens a new one.'),
  MESSAGE_TOO_LARGE: row(
    'The message is too long for one message.',
    'you',
    'Put it into a file of the workspace and name the file.',
  ),
  RUN_STALE: row('The worker lost this run to another claim.', 'nobody', 'Nothing to do: the newer claim goes on.'),
  RUN_DONE: row('The run has ended.', 'you', 'deputy runs show <run>'),
  RUN_LIVE: row('The run has not ended.', 'you', 'Wait for its end, or stop it: deputy runs cancel <run>'),
  RUN_TIMED_OUT: row('The run reached its deadline.', 'you', 'Give more time: runTimeoutSeconds.'),
  RUN_CANCELLED: row('The run was cancelled.', 'you', 'Start it again if it was not meant to be.'),
  RUN_CRASHED: row(
    'The run crashed too often in the same step.',
    'operator',
    'deputy runs log <run> shows where; then deputy runs retry <run>.',
  ),
  RUN_BUDGET: row(
    'The budget is used up.',
    'operator',
    'Give more budget and send the task again; partial work is kept.',
  ),
  RUN_CAP: row(
    'A budget of many runs together is used up: of a day, an agent, a conversation or a sender.',
    'operator',
    'deputy usage shows what used it; wait for the next day, or raise the key that the message names.',
  ),
  RUN_STEPS: row('The run made too many steps.', 'operator', 'Divide the task, or raise agents.defaults.maxSteps.'),
  RUN_LOOP: row(
    'The run made the same call with the same result again and again.',
    'operator',
    'deputy runs log <run> shows the calls; say the task differently, or raise tools.loopDetection.criticalThreshold.',
  ),
  RUN_RESULT: row(
    'The result is not what was asked for: its shape, a file or a command did not pass the check.',
    'you',
    'The raw result is kept; deputy runs result <run> has it, deputy runs replay <run> what the checks found.',
  ),
  UNKNOWN_APPROVAL: row('There is no such question.', 'you', 'deputy approvals list shows what waits.'),
  APPROVAL_ANSWERED: row('The question was decided already.', 'nobody', 'deputy approvals show <id>'),
  APPROVAL_EXPIRED: row(
    'The time for an answer was over: the question counts as denied.',
    'you',
    'Send the task again; approvals.timeoutSeconds says how long a question waits.',
  ),
  APPROVAL_DECISION: row('This can’t be the answer to that question.', 'you', 'deputy approvals show <id>'),
  APPROVAL_BARRED: row(
    'What is asked for is not allowed any more, whatever the answer.',
    'operator',
    'Deny it, or change the policy that forbids it.',
  ),
  RUN_REVOKED: row(
    'The authority that the run worked under was taken away.',
    'operator',
    'Pair the device again and send the task again.',
  ),
  // spawning
  SPAWN_AGENT_NOT_ALLOWED: row(
    'The agent may not be spawned from here.',
    'operator',
    'Add it to agents.entries.<agent>.subagents.allowAgents.',
  ),
  SPAWN_AGENT_REQUIRED: row('An agent must be named for a spawn.', 'you', 'Pass agentId (requireAgentId is set).'),
  SPAWN_DEPTH: row(
    'Sub-agents may not be nested deeper.',
    'operator',
    'Raise agents.defaults.subagents.maxSpawnDepth (1–5).',
  ),
  SPAWN_CHILDREN: row(
    'Too many sub-agents are at work for this session.',
    'operator',
    'Wait for some, or raise agents.defaults.subagents.maxChildrenPerAgent (1–20).',
  ),
  SPAWN_FAILING: row(
    'The same task of the same agent has failed several times in a row.',
    'you',
    'Read why it failed and change the task, or wait as long as the message says.',
  ),
  SPAWN_RATE: row(
    'The conversation starts sub-agents too fast.',
    'operator',
    'Wait as long as the message says, or raise agents.defaults.subagents.maxSpawnsPerMinute.',
  ),
  SPAWN_MODEL: row(
    'The model for the sub-agent cannot be used.',
    'operator',
    'deputy status shows the models that can.',
  ),
  SPAWN_BUDGET: row('The budget asked for is more than what is left.', 'you', 'Ask for less.'),
  SPAWN_TOOLS: row(
    'A tool was asked for that the caller does not hold.',
    'you',
    "Ask only for tools on the caller's own list.",
  ),
  SPAWN_PARAM: row(
    'A parameter of the spawn is not allowed.',
    'you',
    'Leave it out; the result always returns to the one who spawned.',
  ),
  SPAWN_THREAD: row(
    'The sub-agent cannot have a thread where it was asked for.',
    'you',
    'Spawn it without thread: its result comes to you all the same. docs/delegation.md says which chats have threads.',
  ),
  SPAWN_THREADS_OFF: row(
    'Threads for sub-agents are switched off.',
    'operator',
    'Set session.threadBindings.enabled and session.threadBindings.spawnSessions to true.',
  ),
  // models
  MODEL_UNKNOWN: row(
    'There is no such model or provider.',
    'operator',
    'Set agents.defaults.model to provider/model; deputy status lists what is known.',
  ),
  MODEL_NO_KEY: row(
    "There is no key for the model's provider.",
    'operator',
    "Set the provider's key in the environment, e.g. ANTHROPIC_API_KEY, and start again.",
  ),
  MODEL_AUTH: row('The provider refused the key.', 'operator', 'Check the key of the named provider.'),
  MODEL_QUOTA: row(
    'The provider account is out of credit or quota.',
    'provider',
    'Add credit at the provider, or choose another model.',
  ),
  MODEL_RATE_LIMIT: row('The provider asks to slow down.', 'provider', 'Wait: the run goes on by itself.'),
  MODEL_OVERLOADED: row('The provider is overloaded.', 'provider', 'Wait: the run goes on by itself.'),
  MODEL_CONTEXT: row(
    'The conversation is longer than the model can read.',
    'you',
    'Start a new session, or choose a model with a larger context.',
  ),
  COMPACTION_FAILED: row(
    'A conversation could not be shortened, so it stayed as it was.',
    'you',
    'Say it again to try once more; or choose another agents.defaults.compaction.model, or start a new session: /new',
  ),
  MODEL_REFUSAL: row('The model refused.', 'you', 'Say it differently.'),
  MODEL_NETWORK: row(
    'The provider could not be reached or closed the line.',
    'operator',
    "Check the network and the provider's baseUrl.",
  ),
  MODEL_BAD_ANSWER: row(
    'The provider sent something that is not an answer.',
    'provider',
    'Check models.providers.<id>.api and baseUrl; try again.',
  ),
  MODEL_BAD_REQUEST: row(
    'The provider rejected the request.',
    'operator',
    "The message says what; check the model's settings.",
  ),
  // tools
  TOOL_UNKNOWN: row('There is no such tool here.', 'you', 'The message names the tools that may be called.'),
  TOOL_ARGUMENTS: row('The arguments do not fit the tool.', 'you', 'The message says what fits.'),
  TOOL_FAILED: row('The tool failed.', 'you', 'The message says why.'),
  TOOL_UNKNOWN_RESULT: row(
    'The gateway stopped while the tool was at work; whether it took effect is not known.',
    'you',
    'Look before doing it again.',
  ),
  TOOL_OUTSIDE_WORKSPACE: row('The path lies outside the workspace.', 'you', 'Use a path inside the workspace.'),
  TOOL_TIMEOUT: row('The tool took too long and was ended.', 'you', 'Give it a longer timeout, or divide the work.'),
  SANDBOX_MISSING: row(
    'Commands run in a sandbox, and bubblewrap is not installed.',
    'operator',
    'apt install bubblewrap — or, knowing that every agent is then the operator: deputy config set tools.exec.sandbox off',
  ),
  SANDBOX_FAILED: row(
    'Bubblewrap is installed, but the sandbox cannot be set up on this machine.',
    'operator',
    'Allow bwrap to make user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; in a container its seccomp profile) — or, knowing that every agent is then the operator: deputy config set tools.exec.sandbox off',
  ),
  // delivery
  DELIVERY_DEAD: row(
    'The message could not be delivered.',
    'operator',
    'deputy outbox list shows why; deputy outbox retry <id>.',
  ),
  UNKNOWN_DELIVERY: row('The outbox has no such message.', 'you', 'deputy outbox list shows those that there are.'),
  DELIVERY_NO_CHANNEL: row('The channel of the address is not running.', 'operator', 'deputy channels status'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof errors

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errors, code)
}

export interface ErrorShape {
  code: ErrorCode
  message: string
  fix: string
  details?: Record<string, unknown>
}

/** Fills `<name>` in a fix from the details; a name without a detail stays as it is, for the reader to fill. */
export function fixOf(code: ErrorCode, details: Record<string, unknown> = {}): string {
  return errors[code].fix.replace(/<(\w+)>/g, (whole, name: string) =>
    name in details ? String(details[name]) : whole,
  )
}

/** The one exception class: a code from the table, a sentence about this case, and what to do. */
export class DeputyError extends Error {
  readonly code: ErrorCode
  readonly fix: string
  readonly details: Record<string, unknown>

  constructor(
    code: ErrorCode,
    message: string,
    options: { fix?: string; details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DeputyError'
    this.code = code
    this.details = options.details ?? {}
    this.fix = options.fix ?? fixOf(code, this.details)
  }

  shape(): ErrorShape {
    const plain = { code: this.code, message: this.message, fix: this.fix }
    return Object.keys(this.details).length > 0 ? { ...plain, details: this.details } : plain
  }
}
