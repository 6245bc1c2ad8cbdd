/**
 * `sessions_spawn`, `sessions_yield` and `agents_list`: delegation as a model asks for it (openclaw-facts.md §D1, §D2).
 *
 * Owns the parameters of both OpenClaw generations and what each means here. Never spawns: it returns an intent, and
 * whether that may be, the runner and core/ decide when they commit it.
 */
import type { Tool } from '../core/ports.ts'
import { schemaProblem } from '../core/shape.ts'
import { thinkingLevels } from '../protocol/thinking.ts'
import type { Zod } from '../protocol/zod.ts'
import { failed, makeTool, said } from './kit.ts'

/** Where a result goes is fixed at the spawn, and is no business of the model's. */
const delivery = 'a result always returns to the one who spawned'
const acp = 'other programs as agents (runtime acp) are not served; a sub-agent is one of agents_list'
const project = "a sub-agent works in a folder of its agent's workspace: cwd"
/** Parameters of OpenClaw that would change what happens, and why they are not to be had (§D1). */
const nots: Readonly<Record<string, readonly string[]>> = {
  [delivery]: ['target', 'channel', 'to', 'threadId', 'replyTo', 'transport'],
  [acp]: ['resumeSessionId', 'streamTo'],
  [project]: ['projectId', 'projectGitUrl', 'worktreeName', 'worktreeBaseRef'],
  'all work of this gateway is done in it': ['placement'],
  'sub-agents are not collected by groups; wait for them with subagents or sessions_yield': ['groupId'],
}
/** Longest task with what comes along with it. */
const maxFiles = 20

export function spawnTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'sessions_spawn',
      label: 'Start a sub-agent',
      group: 'sessions',
      // The child is made in the transaction that stores the call, under the call's own key.
      repeat: 'keyed',
      description:
        'Give a task to a sub-agent. It works on its own beside you and returns its result to you. Start several for parallel work, then call sessions_yield.',
      aliases: { timeoutSeconds: 'runTimeoutSeconds', agent: 'agentId', prompt: 'task' },
      refused: Object.fromEntries(Object.entries(nots).flatMap(([why, names]) => names.map(name => [name, why]))),
      fixed: {
        runtime: ['subagent'],
        worktree: [false],
        collect: [false],
        // Hints for a side bar, and where attachments were wanted: the task says where they are.
        visible: [],
        group: [],
        attachAs: [],
        fastMode: [false],
        completionTarget: ['parent'],
      },
      why: {
        runtime: acp,
        worktree: project,
        fastMode: 'models have no fast mode here; name another model',
        completionTarget: delivery,
        collect: 'its result comes back by itself',
      },
      unshown: view => [
        ...(view.attachments ? [] : ['attachments']),
        ...(view.chats ? [] : ['thread', 'mode']),
        'sandbox',
      ],
      input: z =>
        z.object({
          task: z.string().min(1).max(200_000).describe('all the sub-agent needs to know; it sees nothing else'),
          agentId: z.string().optional(),
          label: z.string().max(200).optional(),
          taskName: z
            .string()
            .regex(/^(?!(last|all)$)[a-z][a-z0-9_-]{0,63}$/)
            .optional()
            .describe('handle for subagents, e.g. parse-logs'),
          model: z.string().optional().describe('provider/model'),
          thinking: z.enum(thinkingLevels).optional(),
          runTimeoutSeconds: z.int().min(0).optional().describe('0: none'),
          cwd: z.string().optional().describe('folder of its workspace; it sees only that'),
          thread: z.boolean().optional().describe('true: a thread of its own in this chat, where people write to it'),
          mode: z.enum(['run', 'session']).optional().describe('session: stays after its task; needs thread'),
          context: z.enum(['isolated', 'fork']).optional().describe('fork: it sees this conversation so far'),
          lightContext: z.boolean().optional().describe('without AGENTS.md'),
          cleanup: z.enum(['keep', 'delete']).optional(),
          sandbox: z.enum(['inherit', 'require']).optional(),
          expectsCompletionMessage: z.boolean().optional().describe('false: no result wanted'),
          outputSchema: z.record(z.string(), z.unknown()).optional().describe('JSON Schema that its result must fit'),
          deliverables: z
            .object({
              files: z.array(z.string().min(1).max(1000)).max(maxFiles).optional().describe('must be there'),
              command: z.string().min(1).max(4000).optional().describe('must exit 0'),
            })
            .optional()
            .describe('checked before it counts as succeeded'),
          tools: z.array(z.string()).optional().describe('only these'),
          budget: z
            .object({
              usd: z.number().positive().optional(),
              tokens: z.int().positive().optional(),
              calls: z.int().positive().optional(),
              seconds: z.int().positive().optional(),
            })
            .optional()
            .describe('limits'),
          attachments: z
            .array(
              z.object({
                name: z.string().regex(/^[\w][\w. -]{0,127}$/),
                content: z.string(),
                encoding: z.enum(['utf8', 'base64']).optional(),
                mimeType: z.string().optional(),
              }),
            )
            .max(1000)
            .optional()
            .describe('files put into its workspace'),
        }),
      shown(schema, view) {
        if (view.agents.length === 0) return schema
        return { ...schema, properties: { ...schema.properties, agentId: { type: 'string', enum: view.agents } } }
      },
      closed: view => (view.canSpawn ? null : 'sessions_spawn is not allowed here: this run may not start sub-agents.'),
      async run(args) {
        const { usd, tokens, calls, seconds } = args.budget ?? {}
        const problem = args.outputSchema ? schemaProblem(args.outputSchema) : null
        if (problem) return failed('SPAWN_PARAM', `${problem}.`)
        const { files, command } = args.deliverables ?? {}
        return {
          intent: {
            do: 'spawn',
            request: {
              task: args.task,
              taskName: args.taskName ?? null,
              label: args.label ?? null,
              agent: args.agentId ?? null,
              model: args.model ?? null,
              thinking: args.thinking ?? null,
              runTimeoutSeconds: shorter(args.runTimeoutSeconds, seconds),
              cwd: args.cwd ?? null,
              cleanup: args.cleanup ?? 'keep',
              thread: args.thread ?? false,
              mode: args.mode ?? null,
              context: args.context ?? null,
              lightContext: args.lightContext ?? false,
              sandbox: args.sandbox ?? 'inherit',
              attachments: (args.attachments ?? []).map(({ name, content, encoding = 'utf8' }) => ({
                name,
                content,
                encoding,
              })),
              expectsCompletionMessage: args.expectsCompletionMessage ?? true,
              outputSchema: args.outputSchema ?? null,
              deliverables:
                files?.length || command
                  ? { ...(files?.length ? { files } : {}), ...(command ? { command } : {}) }
                  : null,
              tools: args.tools ?? null,
              budget:
                usd === undefined && tokens === undefined && calls === undefined
                  ? null
                  : {
                      nano: usd === undefined ? null : Math.round(usd * 1e9),
                      tokens: tokens ?? null,
                      calls: calls ?? null,
                    },
            },
          },
        }
      },
    },
    zod,
  )
}

/** Of two time limits the one that ends sooner; 0 is none. */
function shorter(one: number | undefined, other: number | undefined): number | null {
  const limits = [one, other].filter(limit => limit !== undefined)
  const real = limits.filter(limit => limit > 0)
  return real.length > 0 ? Math.min(...real) : (limits[0] ?? null)
}

export function yieldTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'sessions_yield',
      label: 'Wait for sub-agents',
      group: 'sessions',
      repeat: 'keyed',
      description:
        'End your turn and wait, without cost, until all (or any) of your sub-agents are done, or until a message. Their results come as messages.',
      // A note of the model to itself: it stands in the call, which is shown to it again, and to nobody else.
      unshown: () => ['message'],
      input: z =>
        z.object({
          waitFor: z.enum(['all', 'any', 'message']).optional(),
          acknowledgment: z.string().optional().describe('said to the user now, in place of words'),
          message: z.string().optional(),
        }),
      run: async ({ waitFor = 'all', acknowledgment }) => ({
        intent: { do: 'yield', wait: waitFor, message: acknowledgment || null },
      }),
    },
    zod,
  )
}

export function agentsTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'agents_list',
      label: 'List agents',
      group: 'agents',
      repeat: 'safe',
      description: 'List the agents that sessions_spawn may start.',
      input: z => z.object({}),
      async run(_, context) {
        const { requester, allowAny, agents } = context.facts.agents()
        const listed = agents.map(agent => ({ ...agent, configured: true }))
        return said(JSON.stringify({ requester, allowAny, agents: listed }))
      },
    },
    zod,
  )
}
