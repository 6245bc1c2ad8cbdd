/**
 * From what a model wrote to calls that may be made: arguments parsed, tools known and granted, spawns planned.
 *
 * Owns: which call is refused and with what words, and the child that a spawn would make (decided by `attenuate`). Commits
 * nothing. Invariant: a call that is not understood or not granted is answered to the model with what would have been allowed.
 */
import { attenuate, type SpawnPolicy } from '../core/grant.ts'
import { left } from '../core/budget.ts'
import { childId, subagentKey } from '../core/ids.ts'
import type { Models, SpawnRequest, Tool, ToolView } from '../core/ports.ts'
import type { ChildPlan } from '../core/run/accept.ts'
import { nothing } from '../core/run/facts.ts'
import type { ReplyCall } from '../core/run/reply.ts'
import type { Receipt, Run, Session } from '../core/types.ts'
import type { RawCall } from './loop.ts'

export interface ParsedCall extends Omit<ReplyCall, 'spawn'> {
  tool: Tool | null
}

/** No tool's arguments have more levels; what walks through them may be recursive. */
const maxDepth = 64

/** Finds the tool and reads the arguments; whatever does not fit becomes the call's answer. */
export function parseCall(
  call: RawCall,
  run: Run,
  find: (name: string) => Tool | undefined,
  view: ToolView,
): ParsedCall {
  const tool = run.grant.tools.includes(call.name) ? find(call.name) : undefined
  const base = { callId: call.id, name: call.name, repeat: tool?.repeat ?? ('safe' as const), tool: tool ?? null }
  const unreadable = (why: string) => ({
    ...base,
    args: call.args.slice(0, 2000),
    refused: `The arguments of ${call.name} are ${why}. Send one JSON object.`,
  })
  let args: unknown = {}
  try {
    args = call.args.trim() === '' ? {} : JSON.parse(call.args)
  } catch (error) {
    return unreadable(`not valid JSON (${(error as Error).message})`)
  }
  if (deeper(args, maxDepth)) return unreadable(`nested deeper than ${maxDepth} levels`)
  if (!tool)
    return {
      ...base,
      args,
      refused: `There is no tool ${JSON.stringify(call.name)} here. Tools you may call: ${run.grant.tools.join(', ') || 'none'}.`,
    }
  const parsed = tool.parse(args, view)
  if (!parsed.ok) return { ...base, args, refused: parsed.problem }
  return { ...base, args: parsed.args }
}

/** Providers ask for one answer to each id, so a second call of the same id gets one of its own. */
export function distinct(calls: readonly RawCall[]): RawCall[] {
  const seen = new Set<string>()
  return calls.map(call => {
    let id = call.id
    for (let n = 2; seen.has(id); n++) id = `${call.id}-${n}`
    seen.add(id)
    return { ...call, id }
  })
}

/** Without recursion: what is asked is whether recursion would be safe. */
function deeper(value: unknown, depth: number): boolean {
  let level = [value]
  for (let n = 0; n < depth && level.length > 0; n++)
    level = level.flatMap(one => (typeof one === 'object' && one !== null ? Object.values(one) : []))
  return level.length > 0
}

export interface SpawnFacts {
  policy: SpawnPolicy
  models: Models
  /** `subagents.model` of the caller's agent, else the target's own model. */
  modelFor(agent: string): string
  runTimeoutSeconds: number
  now: number
  uuid(): string
}

export interface Planned {
  plan: ChildPlan
  receipt: string
}

/** What a spawn would start. `run` holds what earlier spawns of the same reply have taken already. */
export function planSpawn(
  run: Run,
  n: number,
  session: Session,
  request: SpawnRequest,
  liveChildren: number,
  facts: SpawnFacts,
): { ok: true; planned: Planned } | { ok: false; text: string } {
  const { policy } = facts
  const free = left({ limit: run.grant.budget, spent: run.spent, lent: run.lent })
  const granted = attenuate(run.grant, policy, {
    agent: request.agent,
    tools: request.tools,
    budget: request.budget,
    depth: run.depth,
    liveChildren,
    left: free,
  })
  if (!granted.ok)
    return no('forbidden', granted.message, {
      code: granted.code,
      rule: granted.rule,
      allowed: granted.allowed,
      configure: granted.key,
    })
  const wanted = request.model ?? facts.modelFor(granted.agent)
  const model = facts.models.resolve(wanted, granted.agent)
  if (!model.ok)
    return no('error', `the model ${wanted} cannot be used: ${model.reason}`, { code: 'SPAWN_MODEL', fix: model.fix })

  const id = childId(run.id, n)
  const detached = !request.expectsCompletionMessage
  const seconds = request.runTimeoutSeconds ?? facts.runTimeoutSeconds
  const own = seconds > 0 ? facts.now + seconds * 1000 : null
  const deadlineAt =
    detached || run.deadlineAt === null ? own : own === null ? run.deadlineAt : Math.min(own, run.deadlineAt)
  const key = subagentKey(granted.agent, facts.uuid())
  const child: Session = {
    id: `s-${id}`,
    key,
    agent: granted.agent,
    tree: session.tree,
    parentSession: session.id,
    spawnedBy: run.id,
    depth: run.depth + 1,
    label: request.label ?? request.taskName,
    route: null,
    seq: 0,
    createdAt: facts.now,
    updatedAt: facts.now,
    closedAt: null,
  }
  const receipt: Receipt = {
    run: id,
    session: child.id,
    sessionKey: key,
    agent: granted.agent,
    model: model.model.ref,
    tools: granted.grant.tools,
    agents: granted.grant.agents,
    depth: granted.grant.depth,
    budget: granted.grant.budget,
    deadlineAt,
    returnTo: detached ? null : session.id,
    detached,
  }
  const started: Run = {
    id,
    session: child.id,
    tree: session.tree,
    agent: granted.agent,
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
    grant: granted.grant,
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
    result: null,
    resultSeq: null,
    createdAt: facts.now,
    queuedAt: facts.now,
    startedAt: null,
    endedAt: null,
  }
  const shown = {
    status: 'accepted',
    childSessionKey: key,
    runId: id,
    mode: 'run',
    expectsCompletionMessage: request.expectsCompletionMessage,
    agentId: granted.agent,
    resolvedModel: receipt.model,
    modelApplied: true,
    tools: receipt.tools,
    mayDelegate: receipt.depth > 0,
    ...(deadlineAt === null ? {} : { deadlineInSeconds: Math.round((deadlineAt - facts.now) / 1000) }),
    ...(request.taskName ? { taskName: request.taskName } : {}),
    note: detached
      ? 'It works on its own; no result will be sent.'
      : 'It is queued. Its result will come to you as a message; do not poll.',
  }
  return {
    ok: true,
    planned: { plan: { session: child, run: started, messageId: facts.uuid() }, receipt: JSON.stringify(shown) },
  }
}

function no(status: 'forbidden' | 'error', error: string, more: Record<string, unknown>): { ok: false; text: string } {
  return { ok: false, text: JSON.stringify({ status, error, ...more }) }
}
