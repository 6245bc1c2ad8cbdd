/** Rows about the gateway itself (openclaw-facts.md §C4). */
import { method } from './row.ts'

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
  'agents.list': method({ scope: 'operator.read', since: 3, params: z => z.strictObject({}) }),
} as const
