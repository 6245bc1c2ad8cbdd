/**
 * Questions that work waits for (openclaw-facts.md §C4): about commands, about every other call, and both as one; and what
 * was allowed for good. `id` may be the beginning of one.
 */
import type { Zod } from '../zod.ts'
import { method } from './row.ts'

const approvals = 'operator.approvals' as const
const id = (z: Zod) => z.string().min(1).max(128)
const decision = (z: Zod) => z.enum(['allow-once', 'allow-always', 'deny'])
const kind = (z: Zod) => z.enum(['exec', 'plugin', 'system-agent'])
const none = (z: Zod) => z.strictObject({})

export const approvalMethods = {
  'exec.approval.list': method({ scope: approvals, since: 3, params: none }),
  'exec.approval.get': method({ scope: approvals, since: 3, params: z => z.strictObject({ id: id(z) }) }),
  'exec.approval.resolve': method({
    scope: approvals,
    since: 3,
    params: z => z.strictObject({ id: id(z), decision: decision(z) }),
  }),
  /** Waits until it is decided; `decision` is null when it was not within `timeoutMs`. */
  'exec.approval.waitDecision': method({
    scope: approvals,
    since: 3,
    params: z => z.strictObject({ id: id(z), timeoutMs: z.int().min(0).max(600_000).optional() }),
  }),
  'exec.approval.grants.list': method({
    scope: approvals,
    since: 4,
    params: z => z.strictObject({ agentId: z.string().min(1).max(128).optional() }),
  }),
  'exec.approval.grants.revoke': method({ scope: approvals, since: 4, params: z => z.strictObject({ id: id(z) }) }),
  'plugin.approval.list': method({ scope: approvals, since: 3, params: none }),
  'plugin.approval.resolve': method({
    scope: approvals,
    since: 3,
    params: z => z.strictObject({ id: id(z), decision: decision(z) }),
  }),
  'openclaw.approval.list': method({ scope: approvals, since: 4, params: none }),
  'approval.get': method({ scope: approvals, since: 4, params: z => z.strictObject({ id: id(z) }) }),
  'approval.resolve': method({
    scope: approvals,
    since: 4,
    params: z => z.strictObject({ id: id(z), kind: kind(z).optional(), decision: decision(z) }),
  }),
  'approval.history': method({
    scope: approvals,
    since: 4,
    params: z =>
      z.strictObject({
        cursor: z.string().min(1).max(512).optional(),
        limit: z.int().min(1).max(100).optional(),
        kind: kind(z).optional(),
      }),
  }),
} as const
