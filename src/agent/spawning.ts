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
import type { Receipt, Run, Session, Terms } from '../core/types.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { SpawnWatch } from './circles.ts'
import type { AgentOptions } from './room.ts'
import { said, shown } from './spawn-words.ts'
import { placeFor, type ThreadFacts } from './threads.ts'

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
  threads: ThreadFacts
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
  const label = request.label ?? request.taskName
  const key = subagentKey(agent, facts.uuid())
  const about = { id, session: `s-${id}`, sessionKey: key, agent, label, task: request.task }
  const asks = { run: run.id, route: run.route, sessionKey: session.key }
  const placed = placeFor(about, request, asks, facts.threads, facts.now)
  if (!placed.ok) return no(placed.status, placed.error, placed.more)
  const { place } = placed

  // What stays when its task is done is nobody's part of the work (decisions.md 33).
  const detached = !request.expectsCompletionMessage || lasts(request)
  const seconds = request.runTimeoutSeconds ?? facts.runTimeoutSeconds
  const own = seconds > 0 ? facts.now + seconds * 1000 : null
  const deadlineAt =
    detached || run.deadlineAt === null ? own : own === null ? run.deadlineAt : Math.min(own, run.deadlineAt)
  const fork = request.context === 'fork' && facts.shown.tokens <= facts.maxForkTokens
  const forked = fork ? (run.terms?.forked ?? run.grant.tools) : null
  const terms = termsOf(request, ground, forked, facts.thinking, place?.how ?? null)
  const child: Session = {
    id: about.session,
    key,
    agent,
    tree: session.tree,
    parentSession: session.id,
    spawnedBy: run.id,
    depth: run.depth + 1,
    label,
    route: place?.route ?? null,
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
    returnTo: request.expectsCompletionMessage ? session.id : null,
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
    route: place?.route ?? null,
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
  const besides = said(request, ground, forked?.filter(name => !grant.tools.includes(name)) ?? null, place)
  const plan: ChildPlan = {
    session: child,
    run: started,
    messageId: facts.uuid(),
    ...(besides ? { besides } : {}),
    ...(fork ? { copyOf: session.id } : {}),
    ...(place ? { place: place.effects } : {}),
  }
  return { ok: true, planned: { plan, receipt: JSON.stringify(shown(started, request, ground, fork, facts, place)) } }
}

/** Whether its conversation is there for more than its task. */
export function lasts({ mode, thread }: SpawnRequest): boolean {
  return thread && mode !== 'run'
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
  if (request.mode === 'session' && !request.thread)
    return 'mode "session" requires thread: true, so that the sub-agent stays where people can write to it'
  if (request.thread && request.cleanup === 'delete')
    return 'thread: true keeps the conversation for those who write there: cleanup can only be "keep"'
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
  thread: Terms['thread'] | null,
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
    ...(thread ? { thread } : {}),
  }
  return Object.keys(terms).length > 0 ? terms : null
}

function no(status: 'forbidden' | 'error', error: string, more: Record<string, unknown>): { ok: false; text: string } {
  return { ok: false, text: JSON.stringify({ status, error, ...more }) }
}
