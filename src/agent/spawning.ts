/**
 * The child that a spawn would make: who it is, what it may do, what it has to hand in, and the receipt that tells so.
 *
 * Owns what becomes of every parameter of `sessions_spawn` (openclaw-facts.md §D1). Authority is decided by `attenuate` alone.
 * Commits nothing. Invariant: the receipt says what was truly started; what was asked for and is not to be had is refused, or
 * said in the receipt.
 */
import { left } from '../core/budget.ts'
import { attenuate, type SpawnPolicy } from '../core/grant.ts'
import { childId, subagentKey } from '../core/ids.ts'
import type { Models, SpawnRequest } from '../core/ports.ts'
import type { ChildPlan } from '../core/run/accept.ts'
import { nothing } from '../core/run/facts.ts'
import type { Deliverables, Receipt, Run, Session, Terms } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { SpawnWatch } from './circles.ts'
import type { AgentOptions } from './room.ts'

export interface SpawnFacts {
  policy: SpawnPolicy
  models: Models
  /** `subagents.model` of the caller's agent, else the target's own model. */
  modelFor(agent: string): string
  runTimeoutSeconds: number
  /** `subagents.thinking` of the caller's agent. */
  thinking: string | null
  liveChildren: number
  /** What has just been started and has failed in this tree. */
  watch: SpawnWatch
  /** Handles of the caller's live children. */
  taskNames: readonly string[]
  /** The caller's conversation as its model has seen it. */
  shown: { messages: number; tokens: number }
  maxForkTokens: number
  now: number
  uuid(): string
}

/** What has been looked up and made on the disk before the spawn is decided. */
export interface Ground {
  /** The child's, absolute, and the folder of it that it is kept to; '' is all of it. */
  workspace: string
  folder: string
  attachments: { into: string; names: readonly string[]; bytes: number } | null
}

export interface Planned {
  plan: ChildPlan
  receipt: string
}

export type Planning = { ok: true; planned: Planned } | { ok: false; text: string }

/** Where attachments of a child are put, inside its folder. */
const attachmentsIn = (id: string) => `.deputy/attachments/${id}`

/** The part of a spawn that touches the disk. Throws nothing: what can't be had is a sentence. */
export async function prepareSpawn(
  options: AgentOptions,
  run: Run,
  n: number,
  request: SpawnRequest,
): Promise<{ ok: true; ground: Ground } | { ok: false; text: string }> {
  const agent = request.agent ?? run.agent
  const { workspaces } = options.tools
  // An agent that is not there is refused by name when the spawn is decided.
  if (!options.policies.has(agent)) return { ok: true, ground: { workspace: '', folder: '', attachments: null } }
  const { workspace } = options.policies.prompt(agent)
  try {
    // Who is kept to a folder can hand on a part of it only, as far as the workspace is the same.
    const kept = agent === run.agent ? (run.terms?.cwd ?? '') : ''
    const folder = request.cwd === null ? kept : await workspaces.folder(workspace, kept, request.cwd)
    if (request.attachments.length === 0) return { ok: true, ground: { workspace, folder, attachments: null } }
    const problem = tooMuch(options.policies.sharing().attachments, request)
    if (problem) return no('error', problem, { code: 'SPAWN_PARAM' })
    const into = attachmentsIn(childId(run.id, n))
    const { bytes } = await workspaces.put(workspace, folder, into, request.attachments)
    const names = request.attachments.map(file => file.name)
    return { ok: true, ground: { workspace, folder, attachments: { into, names, bytes } } }
  } catch (error) {
    if (!(error instanceof DeputyError)) throw error
    return no('error', `${error.message} ${error.fix}`.trim(), { code: error.code })
  }
}

/** Takes back what was made for a spawn that came to nothing. What can't be removed is in the log. */
export async function clear(options: AgentOptions, { workspace, folder, attachments }: Ground): Promise<void> {
  if (!attachments) return
  try {
    await options.tools.workspaces.drop(workspace, folder, attachments.into)
  } catch (error) {
    options.log(`attachments in ${attachments.into} stay: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function tooMuch(
  limits: { maxTotalBytes: number; maxFiles: number; maxFileBytes: number } | null,
  { attachments }: SpawnRequest,
): string | null {
  if (limits === null) return 'attachments are switched off (tools.sessions_spawn.attachments.enabled)'
  const sizes = attachments.map(file => Buffer.byteLength(file.content, file.encoding))
  const total = sizes.reduce((sum, size) => sum + size, 0)
  if (attachments.length > limits.maxFiles) return `${attachments.length} attachments; ${limits.maxFiles} are allowed`
  if (new Set(attachments.map(file => file.name)).size < attachments.length) return 'two attachments have one name'
  if (total > limits.maxTotalBytes) return `the attachments have ${total} bytes; ${limits.maxTotalBytes} are allowed`
  const large = sizes.findIndex(size => size > limits.maxFileBytes)
  return large < 0
    ? null
    : `${attachments[large]?.name} has ${sizes[large]} bytes; ${limits.maxFileBytes} are allowed for one`
}

/** What a spawn would start. `run` holds what earlier spawns of the same reply have taken already. */
export function planSpawn(
  run: Run,
  n: number,
  session: Session,
  request: SpawnRequest,
  ground: Ground,
  facts: SpawnFacts,
): Planning {
  const { policy } = facts
  const tripped = facts.watch.trips(request.agent ?? run.agent, request.task)
  if (tripped)
    return no('forbidden', tripped.message, {
      code: tripped.code,
      rule: tripped.rule,
      allowed: tripped.allowed,
      configure: tripped.key,
      retryInSeconds: Math.ceil((tripped.retryAt - facts.now) / 1000),
    })
  const granted = attenuate(run.grant, policy, {
    agent: request.agent,
    tools: request.tools,
    budget: request.budget,
    depth: run.depth,
    liveChildren: facts.liveChildren,
    left: left({ limit: run.grant.budget, spent: run.spent, lent: run.lent }),
  })
  if (!granted.ok)
    return no('forbidden', granted.message, {
      code: granted.code,
      rule: granted.rule,
      allowed: granted.allowed,
      configure: granted.key,
    })
  const { agent, grant } = granted
  const wanted = request.model ?? facts.modelFor(agent)
  const model = facts.models.resolve(wanted, agent)
  if (!model.ok)
    return no('error', `the model ${wanted} cannot be used: ${model.reason}`, { code: 'SPAWN_MODEL', fix: model.fix })
  const problem = unfit(run, agent, grant.tools, request, facts)
  if (problem) return no('error', problem, { code: 'SPAWN_PARAM' })

  const id = childId(run.id, n)
  const detached = !request.expectsCompletionMessage
  const seconds = request.runTimeoutSeconds ?? facts.runTimeoutSeconds
  const own = seconds > 0 ? facts.now + seconds * 1000 : null
  const deadlineAt =
    detached || run.deadlineAt === null ? own : own === null ? run.deadlineAt : Math.min(own, run.deadlineAt)
  const key = subagentKey(agent, facts.uuid())
  const fork = request.context === 'fork' && facts.shown.tokens <= facts.maxForkTokens
  const forked = fork ? (run.terms?.forked ?? run.grant.tools) : null
  const terms = termsOf(request, ground, forked, facts.thinking)
  const child: Session = {
    id: `s-${id}`,
    key,
    agent,
    tree: session.tree,
    parentSession: session.id,
    spawnedBy: run.id,
    depth: run.depth + 1,
    label: request.label ?? request.taskName,
    route: null,
    // A copy keeps the places that its messages have in the caller's conversation.
    seq: fork ? session.seq : 0,
    ...(fork && session.view !== undefined ? { view: session.view } : {}),
    createdAt: facts.now,
    updatedAt: facts.now,
    closedAt: null,
  }
  const receipt: Receipt = {
    run: id,
    session: child.id,
    sessionKey: key,
    agent,
    model: model.model.ref,
    tools: grant.tools,
    agents: grant.agents,
    depth: grant.depth,
    budget: grant.budget,
    deadlineAt,
    returnTo: detached ? null : session.id,
    detached,
  }
  const started: Run = {
    id,
    session: child.id,
    tree: session.tree,
    agent,
    parent: run.id,
    depth: child.depth,
    lane: 'subagent',
    state: 'queued',
    outcome: null,
    errorCode: null,
    error: null,
    epoch: 0,
    attempts: 0,
    turn: 0,
    paused: false,
    detached,
    wait: null,
    woken: false,
    grant,
    payer: detached ? null : run.id,
    spent: nothing,
    lent: nothing,
    deadlineAt,
    returnTo: receipt.returnTo,
    route: null,
    task: request.task,
    label: child.label,
    model: model.model.ref,
    receipt,
    ...(terms ? { terms } : {}),
    result: null,
    resultSeq: null,
    createdAt: facts.now,
    queuedAt: facts.now,
    startedAt: null,
    endedAt: null,
  }
  const besides = said(request, ground, forked?.filter(name => !grant.tools.includes(name)) ?? null)
  const plan: ChildPlan = {
    session: child,
    run: started,
    messageId: facts.uuid(),
    ...(besides ? { besides } : {}),
    ...(fork ? { copyOf: session.id } : {}),
  }
  return { ok: true, planned: { plan, receipt: JSON.stringify(shown(started, request, ground, fork, facts)) } }
}

/** What of a request can't be had, whoever asks. */
function unfit(
  run: Run,
  agent: string,
  tools: readonly string[],
  request: SpawnRequest,
  facts: SpawnFacts,
): string | null {
  const target = facts.policy.agents.get(agent)
  if (request.sandbox === 'require' && target?.unsandboxed && tools.includes('exec'))
    return `sandbox "require": commands of agent ${agent} run without one (tools.exec.sandbox); leave exec out of tools, or name another agent`
  if (request.taskName && facts.taskNames.includes(request.taskName))
    return `taskName ${request.taskName} is the name of a sub-agent of yours that is at work`
  if (request.context === 'fork' && agent !== run.agent)
    return `context "fork" is for a sub-agent of the same agent (${run.agent})`
  if (!request.deliverables?.command) return null
  // The command runs under the target's settings: who may not run commands there can't have one run there either.
  const mayRun = run.grant.tools.includes('exec') && target?.tools.includes('exec')
  return mayRun ? null : `deliverables.command needs the tool exec, with you and with agent ${agent}`
}

function termsOf(
  request: SpawnRequest,
  ground: Ground,
  forked: readonly string[] | null,
  usual: string | null,
): Terms | null {
  const thinking = request.thinking ?? usual
  const terms: Terms = {
    ...(request.taskName ? { taskName: request.taskName } : {}),
    ...(thinking ? { thinking } : {}),
    ...(ground.folder ? { cwd: ground.folder } : {}),
    ...(request.cleanup === 'delete' ? { cleanup: request.cleanup } : {}),
    ...(request.lightContext ? { light: true as const } : {}),
    ...(forked ? { forked } : {}),
    ...(request.outputSchema ? { outputSchema: request.outputSchema } : {}),
    ...(request.deliverables ? { deliverables: request.deliverables } : {}),
  }
  return Object.keys(terms).length > 0 ? terms : null
}

/**
 * What the child is told besides its task, in a part of its own that says what it is. `withheld`: of a copy, what it is shown
 * and may not call.
 */
function said(request: SpawnRequest, ground: Ground, withheld: readonly string[] | null): string {
  const { attachments } = ground
  const terms = [
    ...(withheld
      ? [
          'Everything above this message is a copy of the conversation of the agent that gave you the task, up to that moment. You are its sub-agent now: do this task only. Your last reply is your result: it goes back to that agent as it stands.',
          ...(withheld.length > 0
            ? [`These tools are not yours, and a call of one is refused: ${withheld.join(', ')}.`]
            : []),
        ]
      : []),
    ...(attachments ? [`Files that come with it, in ${attachments.into}: ${attachments.names.join(', ')}.`] : []),
    ...(request.deliverables ? [`Before it counts as done this is checked: ${listed(request.deliverables)}.`] : []),
    ...(request.outputSchema
      ? [
          `Your last reply must be one JSON value that fits this JSON Schema, with nothing around it: ${JSON.stringify(request.outputSchema)}`,
        ]
      : []),
  ]
  return terms.length > 0 ? `\n\n[Terms of this task]\n${terms.map(term => `- ${term}`).join('\n')}` : ''
}

function listed({ files, command }: Deliverables): string {
  return [
    ...(files ? [`these files are there and not empty: ${files.join(', ')}`] : []),
    ...(command ? [`this command ends with 0: ${command}`] : []),
  ].join('; ')
}

/** The receipt as the model reads it (§D1). */
function shown(run: Run, request: SpawnRequest, ground: Ground, fork: boolean, facts: SpawnFacts) {
  const { budget } = run.grant
  const limits = {
    ...(budget.nano === null ? {} : { usd: budget.nano / 1e9 }),
    ...(budget.tokens === null ? {} : { tokens: budget.tokens }),
    ...(budget.calls === null ? {} : { calls: budget.calls }),
  }
  const { messages, tokens } = facts.shown
  const size = `${messages} messages, about ${tokens} tokens`
  return {
    status: 'accepted',
    childSessionKey: run.receipt?.sessionKey,
    runId: run.id,
    mode: 'run',
    expectsCompletionMessage: request.expectsCompletionMessage,
    agentId: run.agent,
    resolvedModel: run.model,
    resolvedProvider: run.model.split('/')[0],
    modelApplied: true,
    tools: run.grant.tools,
    mayDelegate: run.grant.depth > 0,
    ...(request.taskName ? { taskName: request.taskName } : {}),
    ...(run.terms?.thinking ? { thinking: run.terms.thinking } : {}),
    ...(ground.folder ? { cwd: ground.folder } : {}),
    context: fork ? 'fork' : 'isolated',
    ...(request.context === 'fork'
      ? {
          contextNote: fork
            ? `It begins with a copy of this conversation: ${size}, paid for with each of its calls.`
            : `This conversation (${size}) is longer than the ${facts.maxForkTokens} tokens that are copied: it begins with nothing but its task.`,
        }
      : {}),
    ...(request.lightContext ? { lightContext: true } : {}),
    ...(request.cleanup === 'delete' ? { cleanup: 'delete' } : {}),
    ...(ground.attachments
      ? {
          attachments: {
            count: ground.attachments.names.length,
            totalBytes: ground.attachments.bytes,
            relDir: ground.attachments.into,
          },
        }
      : {}),
    ...(request.outputSchema ? { outputSchema: 'checked at its end, one repair' } : {}),
    ...(request.deliverables
      ? { deliverables: `checked at its end, one repair: ${listed(request.deliverables)}` }
      : {}),
    ...(Object.keys(limits).length > 0 ? { budget: limits } : {}),
    ...(run.deadlineAt === null ? {} : { deadlineInSeconds: Math.round((run.deadlineAt - facts.now) / 1000) }),
    note: run.detached
      ? 'It works on its own; no result will be sent.'
      : 'It is queued. Its result will come to you as a message; do not poll.',
  }
}

function no(status: 'forbidden' | 'error', error: string, more: Record<string, unknown>): { ok: false; text: string } {
  return { ok: false, text: JSON.stringify({ status, error, ...more }) }
}
