/** Rows for talking: chat.* and agent (openclaw-facts.md §C4). Params that Deputy has no use for are accepted and ignored. */
import type { Zod } from '../zod.ts'
import { method } from './row.ts'

const key = (z: Zod) => z.string().min(1).max(512)
const idempotency = (z: Zod) => z.string().min(1).max(512)

/** `type` decides nothing; `content` is base64. */
function attachments(z: Zod) {
  return z
    .array(
      z.strictObject({
        type: z.string().max(64).optional(),
        mimeType: z.string().max(256).optional(),
        fileName: z.string().max(1024).optional(),
        content: z.string(),
      }),
    )
    .max(32)
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
        systemInputProvenance: z.unknown().optional(),
      }),
  }),
  'chat.history': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        sessionKey: key(z),
        agentId: z.string().max(128).optional(),
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
