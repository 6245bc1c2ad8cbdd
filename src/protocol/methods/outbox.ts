/**
 * Rows about what goes out to chats: `send`, `message.action` and `poll` as OpenClaw has them (openclaw-facts.md §C4), and the
 * outbox, which is Deputy's own.
 */
import type { Zod } from '../zod.ts'
import { agentId, idempotency, key } from './fields.ts'
import { method } from './row.ts'

const id = (z: Zod) => z.string().min(1).max(512)
const place = (z: Zod) => ({
  channel: id(z).optional(),
  accountId: id(z).optional(),
  threadId: z.union([id(z), z.int()]).optional(),
  agentId: agentId(z).optional(),
  sessionKey: key(z).optional(),
})

export const outboxMethods = {
  /** Without `channel`, to the only one that there is. Media are files of the agent's workspace. */
  send: method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        ...place(z),
        to: id(z),
        message: z.string().max(200_000).optional(),
        mediaUrl: z.string().min(1).max(4096).optional(),
        mediaUrls: z.array(z.string().min(1).max(4096)).max(10).optional(),
        gifPlayback: z.boolean().optional(),
        replyToId: id(z).optional(),
        idempotencyKey: idempotency(z),
      }),
  }),
  'message.action': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        channel: id(z),
        action: z.string().min(1).max(64),
        params: z.record(z.string(), z.unknown()),
        accountId: id(z).optional(),
        agentId: agentId(z).optional(),
        sessionKey: key(z).optional(),
        sessionId: key(z).optional(),
        /** Claims of clients about the caller and its surroundings: who may what is known without them. */
        senderIsOwner: z.boolean().optional(),
        requesterSenderId: z.string().max(512).optional(),
        toolContext: z.record(z.string(), z.unknown()).optional(),
        idempotencyKey: idempotency(z),
      }),
  }),
  poll: method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        ...place(z),
        to: id(z),
        question: z.string().min(1).max(300),
        options: z.array(z.string().min(1).max(100)).min(2).max(12),
        maxSelections: z.int().min(1).max(12).optional(),
        durationSeconds: z.int().min(1).optional(),
        durationHours: z.int().min(1).optional(),
        idempotencyKey: idempotency(z),
      }),
  }),
  /** Newest first; without `state` those that are not sent. */
  'outbox.list': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        state: z.array(z.enum(['streaming', 'pending', 'sending', 'uncertain', 'sent', 'dead'])).optional(),
        limit: z.int().min(1).max(1000).optional(),
      }),
  }),
  'outbox.retry': method({
    scope: 'operator.write',
    since: 3,
    params: z => z.strictObject({ id: z.int().min(1) }),
  }),
}
