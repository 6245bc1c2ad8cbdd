/**
 * `subagents`: look at, wait for, steer and cancel the sub-agents of the caller (openclaw-facts.md §D2, both generations).
 *
 * Owns the names by which a model means a sub-agent: run id, session key, task name, label, number in the list, `last`,
 * `all`. Reads those of the caller's conversation, also of earlier turns and those that a person started; waits for, steers and
 * cancels what the calling run started only. Never waits, writes or cancels itself: it returns an intent.
 */
import type { ChildFacts, Tool, ToolAnswer, ToolContext } from '../core/ports.ts'
import type { Zod } from '../protocol/zod.ts'
import { fence } from './fence.ts'
import { failed, makeTool, said } from './kit.ts'

const defaultRecent = 30
const maxRecent = 1440
/** A result is kept, and is to be had as long as it is. */
const ever = 1e9
const shownTask = 200
/** Longest part of a result in one answer; the rest follows by `offset`. */
const longestPart = 30_000

export function subagentsTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'subagents',
      label: 'Manage sub-agents',
      group: 'sessions',
      repeat: 'safe',
      description:
        'Your sub-agents: list them, wait for some within this turn, cancel them, steer one with a message, read the log or the whole result of one. A target is a runId, taskName, label, list number, last or all.',
      aliases: { taskId: 'targets', taskIds: 'targets', target: 'targets' },
      values: { action: { kill: 'cancel' } },
      input: z =>
        z.object({
          action: z.enum(['list', 'wait', 'cancel', 'steer', 'log', 'result']).optional(),
          targets: z.array(z.string()).min(1).max(32).optional().describe('all but list; wait: default all'),
          message: z.string().min(1).max(200_000).optional().describe('for steer'),
          waitFor: z.enum(['all', 'any']).optional(),
          timeoutSeconds: z.number().min(0).max(60).optional().describe('for wait, default 30'),
          recentMinutes: z.number().min(1).max(maxRecent).optional().describe('for list'),
          limit: z.int().min(1).max(200).optional().describe('for log, default 20 messages'),
          offset: z.int().min(0).optional().describe('for result, in characters'),
        }),
      async run(args, context): Promise<ToolAnswer> {
        const action = args.action ?? 'list'
        if (action === 'list') return said(JSON.stringify(await listed(context, args.recentMinutes ?? defaultRecent)))
        if (action !== 'wait' && !args.targets)
          return failed('TOOL_ARGUMENTS', `${action} needs targets: runId, taskName, label, list number, last or all.`)
        const chosen = chosenOf(args.targets ?? ['all'], await context.facts.children(ever))
        if (!chosen.ok) return failed('TOOL_ARGUMENTS', chosen.problem)
        const [child, ...others] = chosen.children
        if (!child) return said(JSON.stringify({ status: 'ok', action, text: 'No sub-agent is at work.' }))
        const reading = action === 'log' || action === 'result'
        const strange = reading ? [] : chosen.children.filter(one => !one.own).map(nameOf)
        if (strange.length > 0)
          return failed(
            'TOOL_ARGUMENTS',
            `${strange.join(', ')}: started in an earlier turn or by a person. Only log and result are for these.`,
          )
        const targets = chosen.children.map(one => one.run)
        if (action === 'cancel') return { intent: { do: 'cancel', targets } }
        if (action === 'wait') {
          const timeoutMs = Math.round((args.timeoutSeconds ?? 30) * 1000)
          return { intent: { do: 'wait', targets, mode: args.waitFor ?? 'all', timeoutMs } }
        }
        if (others.length > 0) return failed('TOOL_ARGUMENTS', `${action} takes one target at a time.`)
        if (action === 'log') return log(child, args.limit ?? 20, context)
        if (action === 'result') return result(child, args.offset ?? 0, context)
        const { message } = args
        if (!message) return failed('TOOL_ARGUMENTS', 'steer needs a message.')
        const to = { key: child.sessionKey }
        return { intent: { do: 'send', request: { to, message, mode: 'steer', timeoutMs: 0, tool: 'subagents' } } }
      },
    },
    zod,
  )
}

async function log(child: ChildFacts, limit: number, context: ToolContext): Promise<ToolAnswer> {
  const history = await context.facts.history(child.sessionKey, { limit, tools: true })
  if (!history.ok) return failed('UNKNOWN_SESSION', history.problem)
  const { lines, more } = history.found
  const text = lines.map(line => `[${line.seq} ${line.tool ?? line.role}] ${line.text}`).join('\n')
  const head = `${nameOf(child)}: ${statusOf(child)}${more ? ', older messages left out' : ''}`
  return said(`${head}\n${fence('conversation', child.sessionKey, text)}`)
}

async function result(child: ChildFacts, offset: number, context: ToolContext): Promise<ToolAnswer> {
  const found = await context.facts.result(child.run)
  if (!found) return failed('UNKNOWN_RUN', `The run ${child.run} is gone.`)
  const { outcome, error, evidence, text } = found
  const head = { runId: child.run, status: outcome ?? child.state, ...(error ? { error } : {}) }
  const checks = evidence.length > 0 ? { checks: evidence } : {}
  if (text === null) return said(JSON.stringify({ ...head, ...checks, note: 'It has said nothing.' }))
  const part = text.slice(offset, offset + longestPart)
  const end = offset + part.length
  const size = { characters: text.length, from: offset, to: end, ...(end < text.length ? { next: end } : {}) }
  const partial = outcome === 'succeeded' ? {} : { partial: true }
  return said(
    `${JSON.stringify({ ...head, ...checks, ...partial, ...size })}\n${fence('child result', child.run, part)}`,
  )
}

export type Choice = { ok: true; children: ChildFacts[] } | { ok: false; problem: string }

/** The children that a model means. */
export function chosenOf(targets: readonly string[], children: readonly ChildFacts[]): Choice {
  const chosen = new Set<ChildFacts>()
  for (const target of targets) {
    if (target.trim() === 'all') {
      for (const child of children) if (child.own && child.state !== 'done') chosen.add(child)
      continue
    }
    const found = named(target.trim(), children)
    if (found.length === 0) {
      const known = children.map(child => `#${child.index} ${child.taskName ?? child.label ?? child.run}`)
      return {
        ok: false,
        problem: `No sub-agent of yours is called ${JSON.stringify(target)}. There are: ${known.slice(0, 32).join(', ') || 'none'}.`,
      }
    }
    for (const child of found) chosen.add(child)
  }
  return { ok: true, children: [...chosen] }
}

/** Of those that a name fits, the caller's own come first: what an earlier turn started may have had the same name. */
function mine(found: readonly ChildFacts[]): readonly ChildFacts[] {
  const own = found.filter(child => child.own)
  return own.length > 0 ? own : found
}

function named(target: string, children: readonly ChildFacts[]): readonly ChildFacts[] {
  if (target === 'last')
    return mine(children)
      .toSorted((a, b) => a.index - b.index)
      .slice(-1)
  const number = /^#?(\d+)$/.exec(target)?.[1]
  const exact = children.filter(child => child.run === target || child.sessionKey === target)
  if (exact.length > 0) return exact.slice(-1)
  // A handle may be given again once its run has ended: the newest is meant.
  const byTask = mine(children.filter(child => child.taskName === target)).slice(-1)
  if (byTask.length > 0) return byTask
  const byLabel = mine(children.filter(child => child.label === target))
  if (byLabel.length > 0) return byLabel
  // One that was started again has several runs under its number: the newest is meant.
  if (number) return children.filter(child => child.index === Number(number)).slice(-1)
  return target.length >= 6 ? children.filter(child => child.run.startsWith(target)) : []
}

async function listed({ facts }: ToolContext, recentMinutes: number): Promise<Record<string, unknown>> {
  const children = await facts.children(recentMinutes)
  const active = children.filter(child => child.state !== 'done')
  const recent = children.filter(child => child.state === 'done')
  const text = children.map(child => `${child.index}. ${nameOf(child)}: ${statusOf(child)}`)
  return {
    status: 'ok',
    action: 'list',
    requesterSessionKey: facts.self,
    total: children.length,
    active: active.map(viewed),
    recent: recent.map(viewed),
    text: text.join('\n') || 'No sub-agents.',
  }
}

function nameOf(child: ChildFacts): string {
  return child.taskName ?? child.label ?? child.agent
}

function statusOf(child: ChildFacts): string {
  return child.outcome ?? child.state
}

/** `45s`, `3m`, `2h5m` (openclaw-facts.md §D2). */
function runtimeOf(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes}m` : `${Math.floor(minutes / 60)}h${minutes % 60}m`
}

function viewed(child: ChildFacts): Record<string, unknown> {
  const { task } = child
  return {
    index: child.index,
    runId: child.run,
    sessionKey: child.sessionKey,
    agentId: child.agent,
    label: child.label ?? undefined,
    taskName: child.taskName ?? undefined,
    task: task.length > shownTask ? `${task.slice(0, shownTask)}…` : task,
    status: statusOf(child),
    runtime: runtimeOf(child.runtimeMs),
    runtimeMs: child.runtimeMs,
    model: child.model,
    totalTokens: child.totalTokens,
    startedAt: child.startedAt ?? undefined,
    endedAt: child.endedAt ?? undefined,
  }
}
