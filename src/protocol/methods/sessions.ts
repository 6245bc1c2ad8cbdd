/** Rows about sessions (openclaw-facts.md §C4). */
import { method } from './row.ts'

export const sessionMethods = {
  'sessions.list': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        limit: z.int().min(1).max(10_000).optional(),
        offset: z.int().min(0).optional(),
        activeMinutes: z.number().min(0).optional(),
        activeOnly: z.boolean().optional(),
        includeGlobal: z.boolean().optional(),
        includeUnknown: z.boolean().optional(),
        excludeSubagents: z.boolean().optional(),
        excludeCron: z.boolean().optional(),
        configuredAgentsOnly: z.boolean().optional(),
        includeDerivedTitles: z.boolean().optional(),
        includeLastMessage: z.boolean().optional(),
        label: z.string().max(512).optional(),
        spawnedBy: z.string().max(512).optional(),
        agentId: z.string().max(128).optional(),
        search: z.string().max(512).optional(),
        archived: z.union([z.boolean(), z.string().max(16)]).optional(),
        sortBy: z.string().max(64).optional(),
        ownerFirst: z.boolean().optional(),
        // Sent by openclaw-node, refused by OpenClaw itself (§C3).
        kinds: z.unknown().optional(),
      }),
  }),
} as const
