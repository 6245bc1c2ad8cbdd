/** Rows about the configuration (openclaw-facts.md §C4). `raw` is JSON5 text; a stale `baseHash` is refused. */
import type { Zod } from '../zod.ts'
import { method } from './row.ts'

const raw = (z: Zod) => z.string().min(1).max(5_000_000)
const hash = (z: Zod) => z.string().min(1).max(256)

function applyParams(z: Zod) {
  return {
    raw: raw(z),
    baseHash: hash(z).optional(),
    // Who is told after OpenClaw's restart; a change needs none here, or says so in its answer.
    sessionKey: z.string().max(512).optional(),
    note: z.string().max(4096).optional(),
    restartDelayMs: z.int().min(0).optional(),
    deliveryContext: z.unknown().optional(),
  }
}

export const configMethods = {
  'config.get': method({ scope: 'operator.read', since: 3, params: z => z.strictObject({}) }),
  'config.set': method({
    scope: 'operator.admin',
    since: 3,
    params: z => z.strictObject({ raw: raw(z), baseHash: hash(z).optional() }),
  }),
  'config.patch': method({
    scope: 'operator.admin',
    since: 3,
    params: z =>
      z.strictObject({ ...applyParams(z), replacePaths: z.array(z.string().min(1).max(512)).max(256).optional() }),
  }),
  'config.apply': method({ scope: 'operator.admin', since: 3, params: z => z.strictObject(applyParams(z)) }),
  'config.schema': method({ scope: 'operator.read', since: 3, params: z => z.strictObject({}) }),
  /** `path` as `agents.entries.*.model`; `.` or nothing is the root. */
  'config.schema.lookup': method({
    scope: 'operator.read',
    since: 3,
    params: z => z.strictObject({ path: z.string().max(1024) }),
  }),
} as const
