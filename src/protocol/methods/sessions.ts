/**
 * Rows about sessions (openclaw-facts.md §C2, §C4). Params that Deputy has no use for are accepted and ignored where a known
 * client sends them; what would change nothing although it was asked for is refused by its name.
 */
import { thinkingLevels } from '../thinking.ts'
import type { Zod } from '../zod.ts'
import { agentId, attachments, idempotency, key } from './fields.ts'
import { method } from './row.ts'

const label = (z: Zod) => z.string().min(1).max(512)
const word = (z: Zod) => z.string().min(1).max(256)

/** Also the params of sessions.subscribe, which answers with the list when there are any. */
function listParams(z: Zod) {
  return z.strictObject({
    limit: z.int().min(1).max(10_000).optional(),
    offset: z.int().min(0).optional(),
    activeMinutes: z.number().min(0).optional(),
    activeOnly: z.boolean().optional(),
    requireLastInteraction: z.boolean().optional(),
    includeGlobal: z.boolean().optional(),
    includeUnknown: z.boolean().optional(),
    excludeSubagents: z.boolean().optional(),
    excludeCron: z.boolean().optional(),
    excludeSystem: z.boolean().optional(),
    configuredAgentsOnly: z.boolean().optional(),
    includeDerivedTitles: z.boolean().optional(),
    includeLastMessage: z.boolean().optional(),
    includeActivitySummary: z.boolean().optional(),
    includePeople: z.boolean().optional(),
    label: label(z).optional(),
    group: z.string().max(512).optional(),
    pinned: z.boolean().optional(),
    spawnedBy: z.string().max(512).optional(),
    agentId: z.string().max(128).optional(),
    search: z.string().max(512).optional(),
    archived: z.union([z.boolean(), z.literal('all')]).optional(),
    sortBy: z.string().max(64).optional(),
    ownerFirst: z.boolean().optional(),
    // Sent by openclaw-node, refused by OpenClaw itself (§C3).
    kinds: z.unknown().optional(),
  })
}

/** What sessions.patch may change with operator.write (§C2). */
const ordinary = ['label', 'icon', 'color', 'category', 'pinned', 'archived', 'unread', 'model', 'thinkingLevel']
const aside = ['key', 'agentId', 'expectedSessionId', 'expectedMarkedUnreadAt']

export const sessionMethods = {
  'sessions.list': method({ scope: 'operator.read', since: 3, params: listParams }),
  'sessions.describe': method({
    scope: 'operator.read',
    since: 4,
    params: z =>
      z.strictObject({
        key: key(z),
        agentId: agentId(z).optional(),
        includeDerivedTitles: z.boolean().optional(),
        includeLastMessage: z.boolean().optional(),
      }),
  }),
  /** By exactly one of key, sessionId and label. */
  'sessions.resolve': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        key: key(z).optional(),
        sessionId: z.string().min(1).max(128).optional(),
        label: label(z).optional(),
        agentId: agentId(z).optional(),
        spawnedBy: z.string().max(512).optional(),
        includeGlobal: z.boolean().optional(),
        includeUnknown: z.boolean().optional(),
        allowMissing: z.boolean().optional(),
      }),
  }),
  'sessions.preview': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        keys: z.array(key(z)).min(1).max(64),
        limit: z.int().min(1).max(100).optional(),
        maxChars: z.int().min(20).max(10_000).optional(),
      }),
  }),
  'sessions.get': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({ key: key(z), agentId: agentId(z).optional(), limit: z.int().min(1).max(1000).optional() }),
  }),
  'sessions.create': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        key: key(z).optional(),
        agentId: agentId(z).optional(),
        label: label(z).optional(),
        displayName: z.string().max(500).optional(),
        titleSource: z.string().max(1000).optional(),
        category: label(z).optional(),
        model: word(z).optional(),
        thinkingLevel: z.enum(thinkingLevels).optional(),
        message: z.string().optional(),
        task: z.string().optional(),
        attachments: attachments(z).optional(),
        timeoutMs: z.int().min(0).optional(),
        // The conversation before it: TUI and Control UI name it, nothing follows from it here.
        parentSessionKey: key(z).optional(),
        succeedsParent: z.boolean().optional(),
        emitCommandHooks: z.boolean().optional(),
        idempotencyKey: idempotency(z).optional(),
      }),
  }),
  'sessions.send': method({ scope: 'operator.write', since: 3, params: sendParams }),
  /** Breaks off the model call that is at work. */
  'sessions.steer': method({ scope: 'operator.write', since: 3, params: sendParams }),
  'sessions.abort': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        key: key(z).optional(),
        runId: idempotency(z).optional(),
        agentId: agentId(z).optional(),
        clearQueued: z.boolean().optional(),
      }),
  }),
  'sessions.patch': method({
    scope: {
      base: 'operator.write',
      says: `operator.admin for other fields than ${ordinary.join(', ')}`,
      of: params =>
        Object.keys(params).every(name => ordinary.includes(name) || aside.includes(name))
          ? 'operator.write'
          : 'operator.admin',
    },
    since: 3,
    params: z =>
      z.strictObject({
        key: key(z),
        agentId: agentId(z).optional(),
        expectedSessionId: z.string().max(128).optional(),
        expectedMarkedUnreadAt: z.unknown().optional(),
        label: label(z).nullable().optional(),
        model: word(z).nullable().optional(),
        thinkingLevel: z.enum(thinkingLevels).nullable().optional(),
        archived: z.boolean().optional(),
        pinned: z.boolean().optional(),
        unread: z.boolean().optional(),
        icon: word(z).nullable().optional(),
        color: word(z).nullable().optional(),
        category: label(z).nullable().optional(),
        // How much of a run clients show; kept for them.
        verboseLevel: word(z).nullable().optional(),
        reasoningLevel: word(z).nullable().optional(),
        responseUsage: z.enum(['off', 'tokens', 'full', 'on']).nullable().optional(),
      }),
  }),
  'sessions.reset': method({
    scope: 'operator.admin',
    since: 3,
    params: z =>
      z.strictObject({
        key: key(z),
        agentId: agentId(z).optional(),
        reason: z.enum(['new', 'reset']).optional(),
        expectedSessionId: z.string().max(128).optional(),
      }),
  }),
  'sessions.delete': method({
    scope: {
      base: 'operator.write',
      says: 'operator.admin without archivedOnly',
      of: ({ archivedOnly }) => (archivedOnly === true ? 'operator.write' : 'operator.admin'),
    },
    since: 3,
    params: z =>
      z.strictObject({
        key: key(z),
        agentId: agentId(z).optional(),
        deleteTranscript: z.boolean().optional(),
        emitLifecycleHooks: z.boolean().optional(),
        archivedOnly: z.boolean().optional(),
        expectedSessionId: z.string().max(128).optional(),
        expectedSessionUpdatedAt: z.number().min(0).optional(),
      }),
  }),
  'sessions.compact': method({
    scope: 'operator.admin',
    since: 3,
    params: z =>
      z.strictObject({
        key: key(z),
        agentId: agentId(z).optional(),
        /** Known to clients that cut transcripts short: here nothing is cut off, and it changes nothing. */
        maxLines: z.int().min(1).optional(),
        instructions: z.string().max(2000).optional(),
        undo: z.boolean().optional(),
      }),
  }),
  /** `sessions.changed` from now on. */
  'sessions.subscribe': method({ scope: 'operator.read', since: 3, params: listParams }),
  'sessions.unsubscribe': method({ scope: 'operator.read', since: 3, params: z => z.strictObject({}) }),
  /** `session.message` and `session.tool` of one session from now on. */
  'sessions.messages.subscribe': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({ key: key(z), agentId: agentId(z).optional(), includeApprovals: z.boolean().optional() }),
  }),
  'sessions.messages.unsubscribe': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ key: key(z), agentId: agentId(z).optional() }),
  }),
} as const

function sendParams(z: Zod) {
  return z.strictObject({
    key: key(z),
    agentId: agentId(z).optional(),
    message: z.string(),
    thinking: z.string().max(64).optional(),
    attachments: attachments(z).optional(),
    timeoutMs: z.int().min(0).optional(),
    idempotencyKey: idempotency(z).optional(),
  })
}
