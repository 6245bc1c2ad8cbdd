/** Deputy's own rows: runs as they are, for the CLI and whoever wants to see the tree. */
import type { Zod } from '../zod.ts'
import { method } from './row.ts'

const id = 512

const pausing = (z: Zod) => z.strictObject({ run: z.string().min(1).max(id), tree: z.boolean().optional() })

export const runMethods = {
  'runs.list': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        sessionKey: z.string().min(1).max(id).optional(),
        state: z.array(z.enum(['queued', 'running', 'waiting', 'done'])).optional(),
        limit: z.int().min(1).max(1000).optional(),
      }),
  }),
  'runs.get': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ run: z.string().min(1).max(id) }),
  }),
  /** The whole tree of any of its runs, root first. */
  'runs.tree': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ run: z.string().min(1).max(id) }),
  }),
  /** The journal: one entry a step. */
  'runs.log': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ run: z.string().min(1).max(id) }),
  }),
  /** Exactly one of `run`, `sessionKey` and `all`. */
  'runs.cancel': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        run: z.string().min(1).max(id).optional(),
        sessionKey: z.string().min(1).max(id).optional(),
        all: z.literal(true).optional(),
        reason: z.string().max(1024).optional(),
      }),
  }),
  /** Nobody takes a paused run up, and its clock goes on. `tree`: with all that is at work below it. */
  'runs.pause': method({ scope: 'operator.write', since: 3, params: pausing }),
  'runs.resume': method({ scope: 'operator.write', since: 3, params: pausing }),
  /** A message into the run's conversation, read at its next step. RUN_DONE once it has ended. */
  'runs.steer': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        run: z.string().min(1).max(id),
        message: z.string().min(1),
        idempotencyKey: z.string().min(1).max(id).optional(),
      }),
  }),
  /** The same task again, as a new run. RUN_LIVE while the run, or another of its conversation, is at work. */
  'runs.retry': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({ run: z.string().min(1).max(id), idempotencyKey: z.string().min(1).max(id).optional() }),
  }),
  /** A copy of the run's conversation as it was at a step goes on with a new run. Files are not rolled back. */
  'runs.fork': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        run: z.string().min(1).max(id),
        step: z.int().min(1),
        model: z.string().min(1).max(256).optional(),
        message: z.string().min(1).optional(),
        idempotencyKey: z.string().min(1).max(id).optional(),
      }),
  }),
  /** Starts a sub-agent as a person does; the answer is its receipt. Its end: `agent.wait {runId: run, until: 'done'}`. */
  'runs.spawn': method({
    scope: 'operator.write',
    since: 3,
    params: z =>
      z.strictObject({
        agent: z.string().min(1).max(128),
        task: z.string().min(1),
        sessionKey: z.string().min(1).max(id).optional(),
        label: z.string().max(256).optional(),
        model: z.string().max(256).optional(),
        timeoutSeconds: z.int().min(0).optional(),
        budget: z
          .strictObject({
            nano: z.int().min(0).nullable(),
            tokens: z.int().min(0).nullable(),
            calls: z.int().min(0).nullable(),
          })
          .optional(),
        idempotencyKey: z.string().min(1).max(id).optional(),
      }),
  }),
} as const
