/**
 * Questions that work waits for a person to answer: what they are, which calls raise one, and how they are put into words.
 *
 * Owns the shapes of approvals and of what "always" remembers, the policy that says ask, go or refuse, and the words for a
 * chat and for the model. Pure; what an answer does to a run is core/run/approve.ts. Invariants: 1. what is not clearly
 * allowed is asked or refused. 2. the exact command or arguments stand in the question, as data that can't imitate the
 * gateway's own words. 3. a command is remembered whole, never by its beginning.
 */
import type { Field } from './budget.ts'
import type { Content } from './chat.ts'
import { matcher, type ToolEntry } from './tool-policy.ts'
import type { Route, ToolIntent } from './types.ts'

/** `exec` asks about a command, `spawn` about a sub-agent, `tool` about any other call; `budget` is asked by the run's supervisor. */
export type ApprovalKind = 'exec' | 'tool' | 'spawn' | 'budget'

export const approvalDecisions = ['allow-once', 'allow-always', 'deny'] as const
export type ApprovalDecision = (typeof approvalDecisions)[number]

/** `expired` was answered by nobody in time, `cancelled` ended with its run: both allow nothing. */
export type ApprovalState = 'pending' | ApprovalDecision | 'expired' | 'cancelled'

/** What a person is asked. */
export interface Question {
  agent: string
  sessionKey: string
  /** Null when the supervisor asks. */
  tool: string | null
  /** One line in the gateway's own words. */
  title: string
  /** The exact command, arguments or task: content of a model. */
  text: string
  /** Folder of a command, as the model named it. */
  cwd?: string
  decisions: readonly ApprovalDecision[]
  /** What `allow-always` remembers for this agent; null when it is not offered. */
  remembers: string | null
  /** The configuration key that says ask. */
  rule: string
  /** Chats that are asked, the one that the work came from first. */
  chats: readonly Route[]
  /** Of a `budget` question: what being allowed adds. */
  raise?: Raise
  /** The question that waits for the same answer and was put before this one: people are shown that one. */
  joins?: string
}

/** More of a budget that is used up, as it was asked for. */
export interface Raise {
  /** Whose use is counted and since when, as `Cap` has it; `run:<id>` of a run's own. */
  whose: string
  since: number
  /** When that limit's day is over; null when it has none. */
  until: number | null
  field: Field
  /** The limit that was used up, and what is added to it. */
  limit: number
  amount: number
  /** What the run ends with when it is not allowed. */
  code: 'RUN_BUDGET' | 'RUN_CAP'
  message: string
}

export interface Approval {
  id: string
  run: string
  /** The step that waits; of a question of the supervisor the newest step. */
  step: number
  session: string
  kind: ApprovalKind
  /** What it is about, where several runs may wait for the same answer. */
  subject?: string
  question: Question
  state: ApprovalState
  /** Chat that the work came from. */
  route: Route | null
  deadlineAt: number
  /** Name of the principal; null while pending, and when nobody did. */
  decidedBy: string | null
  decidedAt: number | null
  createdAt: number
}

/** What somebody has allowed for good, until it is revoked. */
export interface Remembered {
  id: string
  agent: string
  kind: 'exec' | 'tool' | 'spawn'
  /** The whole command; the name of a tool; the agent that may be spawned. */
  pattern: string
  by: string
  at: number
  /** The question that was answered with it. */
  approval: string
}

/** What the configuration says about asking for one agent's calls. */
export interface AskPolicy {
  exec: ExecRule
  /** `tools.ask`: names, globs, `group:<name>`. */
  tools: readonly string[]
  /** Whether the owner is asked when a budget is used up; null = where there is a chat to ask in. */
  budget: boolean | null
  /** How long a question waits before silence counts as a denial. */
  timeoutMs: number
  /** Who is asked about commands, and about everything else. */
  chats: { exec: Forwarding; other: Forwarding }
}

export interface Forwarding {
  /** The chat that the work came from. */
  origin: boolean
  /** Chats besides. */
  targets: readonly Route[]
  /** Only work of sessions whose key has one of these in it; null = any. */
  sessions: readonly string[] | null
}

export interface ExecRule {
  security: 'deny' | 'allowlist' | 'full'
  ask: 'off' | 'on-miss' | 'always'
  safeBins: readonly string[]
}

/** A call as it is about to be made. */
export interface AskCall {
  tool: ToolEntry
  args: Readonly<Record<string, unknown>>
  /** Of a spawn: who would run, and the rule for a command that is run to check its result. */
  target?: { agent: string; exec: ExecRule }
}

export type AskVerdict =
  | { do: 'go' }
  | { do: 'refuse'; text: string }
  | ({ do: 'ask'; kind: 'exec' | 'tool' | 'spawn' } & Pick<
      Question,
      'title' | 'text' | 'cwd' | 'decisions' | 'remembers' | 'rule'
    >)

const once = ['allow-once', 'deny'] as const

/** Whether anything of this agent can be asked about or refused: almost nobody's can, and then nothing is looked up. */
export function asksAnything(policy: AskPolicy): boolean {
  return policy.tools.length > 0 || isStrict(policy.exec)
}

function isStrict(rule: ExecRule): boolean {
  return rule.security !== 'full' || rule.ask === 'always'
}

/** `known` says what has been allowed for good: for the caller's agent, or for the one named. */
export function verdictOf(
  policy: AskPolicy,
  call: AskCall,
  known: (kind: Remembered['kind'], pattern: string, agent?: string) => boolean,
): AskVerdict {
  const { name } = call.tool
  // To wait is no deed.
  if (name === 'sessions_yield') return { do: 'go' }
  const listed = policy.tools.length > 0 && matcher(policy.tools)(call.tool)
  if (name === 'exec') return commandVerdict(policy.exec, call.args, listed, known)
  if (name === 'sessions_spawn') return spawnVerdict(call, listed, known)
  if (!listed || known('tool', name)) return { do: 'go' }
  return {
    do: 'ask',
    kind: 'tool',
    title: `wants to call ${name}`,
    text: JSON.stringify(call.args, null, 2),
    decisions: approvalDecisions,
    remembers: name,
    rule: 'tools.ask',
  }
}

function commandVerdict(
  rule: ExecRule,
  args: AskCall['args'],
  listed: boolean,
  known: (kind: 'exec', pattern: string) => boolean,
): AskVerdict {
  const command = String(args['command'] ?? '')
  const go = commandGoes(rule, command, listed, known)
  if (go === 'go') return { do: 'go' }
  if (go === 'deny') return { do: 'refuse', text: 'Commands are not allowed here (tools.exec.security is "deny").' }
  if (go === 'miss')
    return {
      do: 'refuse',
      text: 'This command is not on the list of allowed commands, and nobody is to be asked (tools.exec.ask is "off").',
    }
  const always = rule.ask !== 'always'
  return {
    do: 'ask',
    kind: 'exec',
    title: 'wants to run a command',
    text: command,
    ...(typeof args['cwd'] === 'string' ? { cwd: args['cwd'] } : {}),
    decisions: always ? approvalDecisions : once,
    remembers: always ? command : null,
    rule: listed && !isStrict(rule) ? 'tools.ask' : 'tools.exec',
  }
}

function commandGoes(
  rule: ExecRule,
  command: string,
  listed: boolean,
  known: (kind: 'exec', pattern: string) => boolean,
): 'go' | 'ask' | 'deny' | 'miss' {
  if (rule.security === 'deny') return 'deny'
  if (rule.ask === 'always') return 'ask'
  if (known('exec', command) || isSafe(command, rule.safeBins)) return 'go'
  if (rule.security === 'full') return listed ? 'ask' : 'go'
  return rule.ask === 'on-miss' || listed ? 'ask' : 'miss'
}

/** A spawn is asked about itself, and about the command that would be run to check what it hands in. */
function spawnVerdict(
  { args, target }: AskCall,
  listed: boolean,
  known: (kind: Remembered['kind'], pattern: string, agent?: string) => boolean,
): AskVerdict {
  const agent = target?.agent ?? ''
  const command = commandOf(args)
  const check =
    command === null || !target
      ? 'go'
      : commandGoes(target.exec, command, false, (kind, pattern) => known(kind, pattern, agent))
  if (check === 'deny' || check === 'miss')
    return { do: 'refuse', text: `deliverables.command is not allowed for agent ${agent} (tools.exec).` }
  if (check === 'go' && (!listed || known('spawn', agent))) return { do: 'go' }
  const always = check === 'go'
  return {
    do: 'ask',
    kind: 'spawn',
    title: `wants to start a sub-agent (${agent})`,
    text: JSON.stringify(args, null, 2),
    decisions: always ? approvalDecisions : once,
    remembers: always ? agent : null,
    rule: check === 'ask' ? 'tools.exec' : 'tools.ask',
  }
}

function commandOf(args: AskCall['args']): string | null {
  const deliverables = args['deliverables'] as { command?: unknown } | null | undefined
  return typeof deliverables?.command === 'string' ? deliverables.command : null
}

/** Programs of the list, one behind the other, with plain words: nothing that a shell or a path could make something else of. */
function isSafe(command: string, safeBins: readonly string[]): boolean {
  if (safeBins.length === 0) return false
  return command.split('|').every(part => {
    const words = part.trim().split(/[ \t]+/)
    return (
      safeBins.includes(words[0] ?? '') &&
      words.slice(1).every(word => /^[\w.,:=@%+-]+$/.test(word) && !word.includes('..'))
    )
  })
}

// ------------------------------------------------------------------------------------------------------------- words

const idLength = 8
const longest = 3000

/** What people write instead of the whole id. */
export function shortId(id: string): string {
  return id.slice(0, idLength)
}

export function approveWords(id: string, decision: ApprovalDecision): string {
  return `/approve ${shortId(id)} ${decision}`
}

/** Nothing of it is invisible, turns the direction of writing, or moves a cursor. */
export function visible(text: string): string {
  return text.replace(
    /[^\P{C}\n\t]|[\u2028\u2029\u115f\u1160\u3164\uffa0]/gu,
    character => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}

/** The chats that are asked: the one that the work came from first. */
export function chatsFor(
  policy: Pick<AskPolicy, 'chats'>,
  kind: ApprovalKind,
  about: { route: Route | null; sessionKey: string },
): Route[] {
  const { origin, targets, sessions } = policy.chats[kind === 'exec' ? 'exec' : 'other']
  if (sessions !== null && !sessions.some(part => about.sessionKey.includes(part))) return []
  const all = [...(origin && about.route ? [about.route] : []), ...targets]
  return all.filter((route, i) => all.findIndex(other => sameChat(other, route)) === i)
}

export function sameChat(one: Route, other: Route): boolean {
  return (
    one.channel === other.channel &&
    one.account === other.account &&
    one.to === other.to &&
    (one.thread ?? null) === (other.thread ?? null)
  )
}

/** A block that its content can't close, whatever backticks are in it. */
function block(text: string): string {
  const ticks = Math.max(2, ...[...text.matchAll(/`+/g)].map(run => run[0].length)) + 1
  const fence = '`'.repeat(ticks)
  return `${fence}\n${text}\n${fence}`
}

const labels: Record<ApprovalDecision, string> = {
  'allow-once': 'Allow once',
  'allow-always': 'Always allow',
  deny: 'Deny',
}

/** The question as a chat is told it. */
export function questionContent(approval: Pick<Approval, 'id' | 'question' | 'deadlineAt' | 'createdAt'>): Content {
  const { id, question, deadlineAt, createdAt } = approval
  const all = visible(question.text)
  const cut = all.length > longest
  const minutes = Math.max(1, Math.round((deadlineAt - createdAt) / 60_000))
  const lines = [
    `Approval needed: agent ${question.agent} ${question.title}.`,
    block(cut ? all.slice(0, longest) : all),
    ...(cut
      ? [
          `That is not all of it: ${all.length - longest} characters more. See it whole: deputy approvals show ${shortId(id)}`,
        ]
      : []),
    ...(question.cwd ? [`In the folder ${JSON.stringify(visible(question.cwd))}.`] : []),
    'Answer with one of these:',
    ...question.decisions.map(decision => approveWords(id, decision)),
    `Without an answer in ${minutes} min it is denied.`,
  ]
  const buttons = question.decisions.map(decision => ({
    label: labels[decision],
    value: approveWords(id, decision),
    style: decision === 'deny' ? ('danger' as const) : ('primary' as const),
  }))
  return { text: lines.join('\n'), buttons: [buttons] }
}

export function outcomeWords(state: ApprovalState): string {
  switch (state) {
    case 'allow-once':
      return 'allowed once'
    case 'allow-always':
      return 'allowed for good'
    case 'deny':
      return 'denied'
    case 'expired':
      return 'denied, because nobody answered in time'
    case 'cancelled':
      return 'not needed any more'
    case 'pending':
      return 'waiting for an answer'
  }
}

/** The short line for a chat that was asked, when it was decided elsewhere. */
export function decidedWords(approval: Pick<Approval, 'id' | 'question' | 'state' | 'decidedBy'>): string {
  const by = approval.decidedBy === null ? '' : ` by ${approval.decidedBy}`
  return `Approval ${shortId(approval.id)} (${approval.question.agent} ${approval.question.title}): ${outcomeWords(approval.state)}${by}.`
}

export function allows(state: ApprovalState): boolean {
  return state === 'allow-once' || state === 'allow-always'
}

/** What the model is told of a call that was not allowed; null when it may be made, or nobody was to be asked. */
export function deniedWords(intent: ToolIntent): string | null {
  const { decision, by } = intent.approval ?? {}
  if (decision === undefined || allows(decision)) return null
  return decision === 'expired'
    ? 'Not done: this call needs a person’s approval, and nobody answered in time. Do not try it again by another way; say what you would have done, or go on without it.'
    : `Not done: a person denied this call${by ? ` (${by})` : ''}. Do not try it again by another way; go on without it, or ask what is wanted instead.`
}
