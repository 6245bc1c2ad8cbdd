/**
 * `sessions_list`, `sessions_history`, `sessions_send` and `session_status`: other conversations, as a model may look at them
 * and write to them (openclaw-facts.md §D2).
 *
 * Owns the parameters and the words of the answers. Who may see and reach whom is decided where the facts come from and where
 * the intent is committed (agent/reach.ts). What others have said is shown as data.
 */
import type { StatusFacts, Tool } from '../core/ports.ts'
import type { Zod } from '../protocol/zod.ts'
import { fence } from './fence.ts'
import { failed, makeTool, said } from './kit.ts'

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
      input: z =>
        z.object({
          agentId: z.string().optional(),
          search: z.string().optional().describe('in key or label'),
          activeMinutes: z.number().positive().optional(),
          limit: z.int().min(1).max(200).optional().describe('default 50'),
        }),
      async run({ agentId: agent, search, activeMinutes, limit = 50 }, context) {
        const { sessions, total } = await context.facts.sessions({ agent, search, activeMinutes, limit })
        const shown = sessions.map(({ agent, label, parent, updatedAt, ...one }) => ({
          ...one,
          agentId: agent,
          ...(label ? { label } : {}),
          ...(parent ? { parentKey: parent } : {}),
          updatedAt: new Date(updatedAt).toISOString(),
        }))
        return said(JSON.stringify({ count: shown.length, total, sessions: shown }))
      },
    },
    zod,
  )
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
      input: z =>
        z.object({
          sessionKey: z.string(),
          limit: z.int().min(1).max(1000).optional().describe('default 50'),
          before: z.int().min(1).optional(),
          includeTools: z.boolean().optional(),
        }),
      async run({ sessionKey, limit = 50, before, includeTools: tools = false }, context) {
        const history = await context.facts.history(sessionKey, { limit, before, tools })
        if (!history.ok) return failed('UNKNOWN_SESSION', history.problem)
        const { key, lines, more } = history.found
        const messages = lines.map(line => ({ ...line, at: new Date(line.at).toISOString() }))
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
      input: z =>
        z.object({ sessionKey: z.string().optional(), model: z.string().optional().describe('default resets') }),
      async run({ sessionKey, model }, context) {
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
