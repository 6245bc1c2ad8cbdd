/**
 * Rows about the gateway itself and what it has: agents, models, tools, commands, log, usage, tasks (openclaw-facts.md §C4).
 */
import type { Zod } from '../zod.ts'
import { agentId, key } from './fields.ts'
import { method } from './row.ts'

const none = (z: Zod) => z.strictObject({})
const date = (z: Zod) => z.string().regex(/^\d{4}-\d{2}-\d{2}$/, 'must be a date like 2026-01-31')

/** Which days: `startDate` with `endDate`, or `range`, or `days` (default 30). Days are UTC's unless `utcOffset` says so. */
function dayParams(z: Zod) {
  return {
    agentId: agentId(z).optional(),
    agentScope: z.literal('all').optional(),
    startDate: date(z).optional(),
    endDate: date(z).optional(),
    days: z.int().min(1).max(36_600).optional(),
    range: z.enum(['7d', '30d', '90d', '1y', 'all']).optional(),
    mode: z.enum(['utc', 'gateway', 'specific']).optional(),
    utcOffset: z
      .string()
      .regex(/^UTC[+-]\d{1,2}(:[0-5]\d)?$/, 'must be like UTC+2 or UTC-3:30')
      .optional(),
    timeZone: z.string().max(64).optional(),
  }
}

const taskStatus = (z: Zod) => z.enum(['queued', 'running', 'completed', 'failed', 'cancelled', 'timed_out'])

export const systemMethods = {
  /** Answered without any scope: probes have none and create nothing. */
  health: method({
    scope: null,
    since: 3,
    params: z => z.strictObject({ probe: z.boolean().optional(), includeSensitive: z.boolean().optional() }),
  }),
  status: method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ includeChannelSummary: z.boolean().optional() }),
  }),
  'system-presence': method({ scope: 'operator.read', since: 3, params: none }),
  'gateway.identity.get': method({ scope: 'operator.read', since: 3, params: none }),
  'last-heartbeat': method({ scope: 'operator.read', since: 3, params: none }),
  'secrets.reload': method({ scope: 'operator.admin', since: 3, params: none }),
  'logs.tail': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        cursor: z.int().min(0).optional(),
        limit: z.int().min(1).max(5000).optional(),
        maxBytes: z.int().min(1).max(1_000_000).optional(),
      }),
  }),
  'agents.list': method({ scope: 'operator.read', since: 3, params: none }),
  'agent.identity.get': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ agentId: agentId(z).optional(), sessionKey: z.string().max(512).optional() }),
  }),
  'models.list': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        agentId: agentId(z).optional(),
        sessionKey: key(z).optional(),
        provider: z.string().min(1).max(128).optional(),
        view: z.enum(['default', 'configured', 'provider-config', 'all']).optional(),
        authProfileId: z.string().max(256).optional(),
        includeDetails: z.boolean().optional(),
        includeProviderCapabilities: z.boolean().optional(),
        includeDefaultModels: z.boolean().optional(),
        preparedOnly: z.boolean().optional(),
        refresh: z.boolean().optional(),
      }),
  }),
  'tools.catalog': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ agentId: agentId(z).optional(), includePlugins: z.boolean().optional() }),
  }),
  'tools.effective': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ sessionKey: key(z), agentId: agentId(z).optional() }),
  }),
  'commands.list': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        sessionKey: key(z).optional(),
        agentId: agentId(z).optional(),
        provider: z.string().max(128).optional(),
        scope: z.enum(['text', 'native', 'both']).optional(),
        includeArgs: z.boolean().optional(),
      }),
  }),
  'node.list': method({ scope: 'operator.read', since: 3, params: none }),
  /** Nobody asks a person anything through this gateway yet; the Control UI asks again and again until it has an answer. */
  'question.list': method({ scope: 'operator.questions', since: 4, params: none }),
  'usage.status': method({ scope: 'operator.read', since: 3, params: none }),
  'usage.cost': method({ scope: 'operator.read', since: 3, params: z => z.strictObject(dayParams(z)) }),
  'sessions.usage': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        ...dayParams(z),
        key: key(z).optional(),
        limit: z.int().min(1).optional(),
        creatorKey: z.string().max(512).optional(),
        groupBy: z.enum(['instance', 'family']).optional(),
        includeHistorical: z.boolean().optional(),
        includeContextWeight: z.boolean().optional(),
      }),
  }),
  /** Runs, as OpenClaw's clients know them. The connection gets `task` events from then on. */
  'tasks.list': method({
    scope: 'operator.read',
    since: 4,
    params: z =>
      z.strictObject({
        status: z.union([taskStatus(z), z.array(taskStatus(z))]).optional(),
        agentId: agentId(z).optional(),
        sessionKey: key(z).optional(),
        limit: z.int().min(1).max(500).optional(),
        cursor: z.string().max(512).optional(),
        sortBy: z.enum(['updatedAt', 'endedAt']).optional(),
      }),
  }),
  'tasks.get': method({
    scope: 'operator.read',
    since: 4,
    params: z => z.strictObject({ taskId: z.string().min(1).max(512) }),
  }),
  'tasks.cancel': method({
    scope: 'operator.write',
    since: 4,
    params: z => z.strictObject({ taskId: z.string().min(1).max(512), reason: z.string().max(1024).optional() }),
  }),
} as const
