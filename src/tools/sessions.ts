/**
 * `sessions_list`, `sessions_history`, `sessions_send` and `session_status`: other conversations, as a model may look at them
 * and write to them (openclaw-facts.md §D2).
 *
 * Owns the parameters and the words of the answers. Who may see and reach whom is decided where the facts come from and where
 * the intent is committed (agent/reach.ts). What others have said is shown as data.
 */
import type { HistoryLine, SessionFacts, StatusFacts, Tool } from '../core/ports.ts'
import type { Zod } from '../protocol/zod.ts'
import { fence } from './fence.ts'
import { failed, makeTool, said } from './kit.ts'

const mostListed = 200
const mostMessages = 20
/** Filters of `sessions_list` that models of OpenClaw know. */
const listExtras = [
  'offset',
  'kinds',
  'label',
  'activeOnly',
  'excludeSubagents',
  'pinned',
  'group',
  'archived',
  'includeDerivedTitles',
  'includeLastMessage',
  'messageLimit',
]

const aliases = { session: 'sessionKey', key: 'sessionKey', agent: 'agentId' }

export function sessionsTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'sessions_list',
      label: 'List conversations',
      group: 'sessions',
      repeat: 'safe',
      description: 'Conversations that you may see, newest first.',
      aliases,
      refused: Object.fromEntries(
        ['relationship', 'ownerId', 'creatorId', 'projectId', 'workspaceDir'].map(name => [
          name,
          'conversations here have agents, and no owners or projects',
        ]),
      ),
      unshown: () => listExtras,
      input: z =>
        z.object({
          agentId: z.string().optional(),
          search: z.string().optional().describe('in key or label'),
          activeMinutes: z.number().positive().optional(),
          limit: z.int().min(1).optional().describe('default 100, at most 200'),
          offset: z.int().min(0).optional(),
          kinds: z.array(z.enum(['main', 'group', 'cron', 'hook', 'node', 'subagent', 'other'])).optional(),
          label: z.string().optional(),
          activeOnly: z.boolean().optional(),
          excludeSubagents: z.boolean().optional(),
          pinned: z.boolean().optional(),
          group: z.string().optional(),
          archived: z.boolean().optional(),
          includeDerivedTitles: z.boolean().optional(),
          includeLastMessage: z.boolean().optional(),
          messageLimit: z.int().min(0).max(mostMessages).optional(),
        }),
      async run(args, context) {
        const { agentId: agent, kinds, limit = 100, offset = 0, messageLimit: messages, ...filter } = args
        const { includeDerivedTitles: titles, includeLastMessage: last, ...more } = filter
        const words = titles === true || last === true || (messages ?? 0) > 0
        const { sessions, total } = await context.facts.sessions({
          ...more,
          agent,
          kinds: kinds?.length ? kinds : undefined,
          offset,
          limit: Math.min(limit, mostListed),
          titles,
          last,
          messages,
        })
        const text = JSON.stringify({ count: sessions.length, total, sessions: sessions.map(rowOf) })
        // Words of others are data; names and states are the house's own.
        return said(words ? fence('conversations', 'sessions_list', text) : text)
      },
    },
    zod,
  )
}

function rowOf({ agent, label, parent, updatedAt, title, last, messages, ...one }: SessionFacts) {
  return {
    ...one,
    agentId: agent,
    ...(label ? { label } : {}),
    ...(parent ? { parentKey: parent } : {}),
    updatedAt: new Date(updatedAt).toISOString(),
    ...(title ? { derivedTitle: title } : {}),
    ...(last ? { lastMessagePreview: last } : {}),
    ...(messages ? { messages: messages.map(lineOf) } : {}),
  }
}

function lineOf(line: HistoryLine) {
  return { ...line, at: new Date(line.at).toISOString() }
}

export function historyTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'sessions_history',
      label: 'Read a conversation',
      group: 'sessions',
      repeat: 'safe',
      description: 'What was said in a conversation, the newest messages. To go back, pass the smallest seq as before.',
      aliases,
      // Whatever was accepted is in the transcript at once.
      fixed: { pendingBefore: [] },
      refused: { messageId: 'messages are named by their seq here; pass before' },
      unshown: () => ['offset', 'sessionId'],
      input: z =>
        z.object({
          sessionKey: z.string(),
          limit: z.int().min(1).max(1000).optional().describe('default 50'),
          before: z.int().min(1).optional(),
          includeTools: z.boolean().optional(),
          offset: z.int().min(0).optional(),
          sessionId: z.string().min(1).optional(),
        }),
      async run({ sessionKey, sessionId, limit = 50, before, offset: skip, includeTools: tools = false }, context) {
        const history = await context.facts.history(sessionId ?? sessionKey, { limit, before, skip, tools })
        if (!history.ok) return failed('UNKNOWN_SESSION', history.problem)
        const { key, lines, more } = history.found
        const messages = lines.map(lineOf)
        return said(fence('conversation', key, JSON.stringify({ sessionKey: key, messages, hasMore: more })))
      },
    },
    zod,
  )
}

export function sendTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'sessions_send',
      label: 'Write to a conversation',
      group: 'sessions',
      // The message is a row in the transaction that answers the call, under the call's own key.
      repeat: 'keyed',
      description:
        'Send a message to another conversation (by sessionKey, label, or agentId for its main one) and wait for the reply, 30 s unless timeoutSeconds says otherwise; 0 does not wait. A later reply comes as a message.',
      aliases,
      values: { mode: { resume: 'followup' } },
      fixed: { watch: [false] },
      why: { watch: 'its reply comes by itself' },
      input: z =>
        z.object({
          sessionKey: z.string().optional(),
          label: z.string().optional(),
          agentId: z.string().optional(),
          message: z.string().min(1).max(200_000),
          mode: z
            .enum(['steer', 'followup', 'notify'])
            .optional()
            .describe('steer: read at once; followup: after its present work; notify: noted, no reply'),
          timeoutSeconds: z.number().min(0).max(3600).optional(),
        }),
      async run({ sessionKey, label, agentId, message, mode = 'steer', timeoutSeconds = 30 }) {
        const to = sessionKey
          ? { key: sessionKey }
          : label
            ? { label, agent: agentId ?? null }
            : agentId
              ? { agent: agentId }
              : null
        if (!to) return failed('TOOL_ARGUMENTS', 'sessions_send needs sessionKey, label or agentId.')
        const timeoutMs = mode === 'notify' ? 0 : Math.round(timeoutSeconds * 1000)
        return { intent: { do: 'send', request: { to, message, mode, timeoutMs, tool: 'sessions_send' } } }
      },
    },
    zod,
  )
}

export function statusTool(zod: () => Zod): Tool {
  return makeTool(
    {
      name: 'session_status',
      label: 'How a conversation stands',
      group: 'sessions',
      repeat: 'safe',
      description:
        'Model, use, budget and state of your conversation or another. model sets your own for its next run.',
      aliases,
      // It always tells all there is.
      fixed: { changesSince: [] },
      values: { sessionKey: { current: '' } },
      input: z =>
        z.object({ sessionKey: z.string().optional(), model: z.string().optional().describe('default resets') }),
      async run({ sessionKey: named, model }, context) {
        const sessionKey = named || undefined
        if (model !== undefined && sessionKey !== undefined)
          return failed('TOOL_ARGUMENTS', 'The model of another conversation cannot be set from here.')
        if (model !== undefined) return { intent: { do: 'model', model: model === 'default' ? null : model } }
        const status = await context.facts.status(sessionKey ?? null)
        if (!status.ok) return failed('UNKNOWN_SESSION', status.problem)
        return said(JSON.stringify(shown(status.found)))
      },
    },
    zod,
  )
}

function shown({ left, costNano, startedAt, deadlineAt, updatedAt, agent, ...one }: StatusFacts) {
  return {
    ...one,
    agentId: agent,
    costUsd: costNano / 1e9,
    updatedAt: new Date(updatedAt).toISOString(),
    ...(startedAt === null ? {} : { startedAt: new Date(startedAt).toISOString() }),
    ...(deadlineAt === null ? {} : { deadlineAt: new Date(deadlineAt).toISOString() }),
    ...(left === null
      ? {}
      : { budgetLeft: { usd: left.nano === null ? null : left.nano / 1e9, tokens: left.tokens, calls: left.calls } }),
  }
}
