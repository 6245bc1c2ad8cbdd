/** Rows for talking: chat.* and agent (openclaw-facts.md §C4). Params that Deputy has no use for are accepted and ignored. */
import type { Zod } from '../zod.ts'
import { agentId, attachments, idempotency, key } from './fields.ts'
import { method } from './row.ts'

function historyParams(z: Zod) {
  return z.strictObject({
    sessionKey: key(z),
    agentId: agentId(z).optional(),
    limit: z.int().min(1).max(1000).optional(),
    /** Per message, in characters. */
    maxChars: z.int().min(1).optional(),
    maxBytes: z.int().min(1).optional(),
    /** Newest messages that are left out. */
    offset: z.int().min(0).max(10_000).optional(),
    cursor: z.string().max(128).optional(),
    messageId: z.string().max(128).optional(),
    sessionId: z.string().max(128).optional(),
    inputRunIds: z.array(z.string().max(512)).max(64).optional(),
    pendingBefore: z.int().min(1).optional(),
  })
}

export const chatMethods = {
  'chat.send': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        sessionKey: key(z),
        message: z.string(),
        // Asked for by the protocol, left out by openclaw-node (§C3): then the gateway makes one.
        idempotencyKey: idempotency(z).optional(),
        agentId: z.string().max(128).optional(),
        sessionId: z.string().max(128).optional(),
        thinking: z.string().max(64).optional(),
        fastMode: z.union([z.boolean(), z.literal('auto')]).optional(),
        queueMode: z.enum(['steer', 'followup', 'collect', 'interrupt']).optional(),
        deliver: z.boolean().optional(),
        attachments: attachments(z).optional(),
        timeoutMs: z.int().min(0).optional(),
        originatingChannel: z.string().max(128).optional(),
        originatingTo: z.string().max(512).optional(),
        originatingAccountId: z.string().max(128).optional(),
        originatingThreadId: z.string().max(512).optional(),
        replyToId: z.string().max(512).optional(),
        expectedLeafEntryId: z.string().max(512).nullable().optional(),
        suppressCommandInterpretation: z.boolean().optional(),
        systemInputProvenance: z.unknown().optional(),
      }),
  }),
  'chat.history': method({ scope: 'operator.read', since: 3, params: historyParams }),
  /** The same with the session's row: what the Control UI opens a conversation with. */
  'chat.startup': method({ scope: 'operator.read', since: 4, params: historyParams }),
  'chat.message.get': method({
    scope: 'operator.read',
    since: 4,
    params: z =>
      z.strictObject({
        sessionKey: key(z),
        agentId: agentId(z).optional(),
        messageId: z.string().min(1).max(128),
        maxChars: z.int().min(1).optional(),
      }),
  }),
  /** Puts words into a transcript as the agent's; no model is called. */
  'chat.inject': method({
    scope: 'operator.admin',
    since: 3,
    params: z =>
      z.strictObject({
        sessionKey: key(z),
        agentId: agentId(z).optional(),
        message: z.string().min(1),
        label: z.string().max(100).optional(),
      }),
  }),
  'chat.abort': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        sessionKey: key(z),
        runId: z.string().min(1).max(512).optional(),
        agentId: z.string().max(128).optional(),
        preserveSideRuns: z.boolean().optional(),
      }),
  }),
  agent: method({
    scope: {
      base: 'operator.write',
      says: 'operator.admin when the message is /new or /reset',
      of: ({ message }) =>
        typeof message === 'string' && /^\/(new|reset)(\s|$)/i.test(message.trimStart())
          ? 'operator.admin'
          : 'operator.write',
    },
    since: 3,
    params: z =>
      z.strictObject({
        message: z.string(),
        idempotencyKey: idempotency(z),
        agentId: z.string().max(128).optional(),
        sessionKey: key(z).optional(),
        sessionId: z.string().max(128).optional(),
        to: z.string().max(512).optional(),
        provider: z.string().max(128).optional(),
        model: z.string().max(256).optional(),
        thinking: z.string().max(64).optional(),
        deliver: z.boolean().optional(),
        bestEffortDeliver: z.boolean().optional(),
        attachments: attachments(z).optional(),
        channel: z.string().max(128).optional(),
        accountId: z.string().max(128).optional(),
        threadId: z.string().max(512).optional(),
        replyTo: z.string().max(512).optional(),
        replyChannel: z.string().max(128).optional(),
        replyAccountId: z.string().max(128).optional(),
        groupId: z.string().max(512).optional(),
        groupChannel: z.string().max(512).optional(),
        groupSpace: z.string().max(512).optional(),
        /** Seconds. */
        timeout: z.number().min(0).optional(),
        lane: z.string().max(64).optional(),
        cwd: z.string().max(4096).optional(),
        extraSystemPrompt: z.string().optional(),
        promptMode: z.string().max(64).optional(),
        bootstrapContextMode: z.string().max(64).optional(),
        bootstrapContextRunKind: z.string().max(64).optional(),
        label: z.string().max(256).optional(),
        inputProvenance: z.unknown().optional(),
        internalEvents: z.unknown().optional(),
      }),
  }),
  'agent.wait': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        /** A wire id of this caller, or a run id. */
        runId: z.string().min(1).max(512),
        timeoutMs: z.int().min(0).optional(),
        /** Deputy's own (decisions.md 4): `done` waits for the run itself, over its waits for sub-agents. */
        until: z.enum(['turn', 'done']).optional(),
      }),
  }),
} as const
