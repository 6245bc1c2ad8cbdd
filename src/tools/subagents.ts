/**
 * `subagents`: look at, wait for and cancel the sub-agents of the caller (openclaw-facts.md §D2, both generations).
 *
 * Owns the names by which a model means a sub-agent: run id, session key, task name, label, number in the list, `last`,
 * `all`. Sees children of the calling run only. Never waits or cancels itself: it returns an intent.
 */
import type { ChildFacts, Tool, ToolAnswer, ToolContext } from '../core/ports.ts'
import type { Zod } from '../protocol/zod.ts'
import { failed, makeTool, said } from './kit.ts'

const defaultRecent = 30
const maxRecent = 1440
const shownTask = 200

export function subagentsTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'subagents',
      label: 'Manage sub-agents',
      group: 'sessions',
      repeat: 'safe',
      description:
        'Your sub-agents: list them, wait for some within this turn, or cancel them. A target is a runId, taskName, label, list number, last or all.',
      aliases: { taskId: 'targets', taskIds: 'targets', target: 'targets' },
      values: { action: { kill: 'cancel' } },
      input: z =>
        z.object({
          action: z.enum(['list', 'wait', 'cancel']).optional(),
          targets: z.array(z.string()).min(1).max(32).optional().describe('for wait and cancel; wait: default all'),
          waitFor: z.enum(['all', 'any']).optional(),
          timeoutSeconds: z.number().min(0).max(60).optional().describe('for wait, default 30'),
          recentMinutes: z.number().min(1).max(maxRecent).optional().describe('for list'),
        }),
      async run(args, context): Promise<ToolAnswer> {
        const action = args.action ?? 'list'
        if (action === 'list')
          return said(JSON.stringify(listed(await context.facts.children(args.recentMinutes ?? defaultRecent))))
        if (action === 'cancel' && !args.targets)
          return failed('TOOL_ARGUMENTS', 'cancel needs targets: runId, taskName, label, list number, last or all.')
        const chosen = await choose(args.targets ?? ['all'], context)
        if (!chosen.ok) return failed('TOOL_ARGUMENTS', chosen.problem)
        if (chosen.runs.length === 0)
          return said(JSON.stringify({ status: 'ok', action, text: 'No sub-agent is at work.' }))
        if (action === 'cancel') return { intent: { do: 'cancel', targets: chosen.runs } }
        const timeoutMs = Math.round((args.timeoutSeconds ?? 30) * 1000)
        return { intent: { do: 'wait', targets: chosen.runs, mode: args.waitFor ?? 'all', timeoutMs } }
      },
    },
    zod,
  )
}

type Choice = { ok: true; runs: string[] } | { ok: false; problem: string }

async function choose(targets: readonly string[], context: ToolContext): Promise<Choice> {
  const children = await context.facts.children(maxRecent)
  const runs = new Set<string>()
  for (const target of targets) {
    if (target.trim() === 'all') {
      for (const child of children) if (child.state !== 'done') runs.add(child.run)
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
    for (const child of found) runs.add(child.run)
  }
  return { ok: true, runs: [...runs] }
}

function named(target: string, children: readonly ChildFacts[]): readonly ChildFacts[] {
  if (target === 'last') return children.toSorted((a, b) => a.index - b.index).slice(-1)
  const number = /^#?(\d+)$/.exec(target)?.[1]
  const exact = children.filter(child => child.run === target || child.sessionKey === target)
  if (exact.length > 0) return exact
  const byTask = children.filter(child => child.taskName === target)
  if (byTask.length > 0) return byTask
  const byLabel = children.filter(child => child.label === target)
  if (byLabel.length > 0) return byLabel
  return number ? children.filter(child => child.index === Number(number)) : []
}

function listed(children: readonly ChildFacts[]): Record<string, unknown> {
  const active = children.filter(child => child.state !== 'done')
  const recent = children.filter(child => child.state === 'done')
  const text = children.map(
    child => `${child.index}. ${child.taskName ?? child.label ?? child.agent}: ${statusOf(child)}`,
  )
  return {
    status: 'ok',
    action: 'list',
    total: children.length,
    active: active.map(viewed),
    recent: recent.map(viewed),
    text: text.join('\n') || 'No sub-agents.',
  }
}

function statusOf(child: ChildFacts): string {
  return child.outcome ?? child.state
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
    runtimeMs: child.runtimeMs,
    model: child.model,
    totalTokens: child.totalTokens,
    startedAt: child.startedAt ?? undefined,
    endedAt: child.endedAt ?? undefined,
  }
}
