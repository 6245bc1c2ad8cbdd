/** Rows about devices and pairing (openclaw-facts.md §B7). */
import { scopes } from '../scopes.ts'
import type { Zod } from '../zod.ts'
import { method } from './row.ts'

const requestId = (z: Zod) => z.string().min(1).max(128)
const deviceId = (z: Zod) => z.string().min(1).max(256)
const role = (z: Zod) => z.enum(['operator', 'node'])
const some = (z: Zod) => z.array(z.enum(scopes)).max(32)
/** Deputy's own: runs that work under the device's authority go on. */
const keepRuns = (z: Zod) => z.boolean().optional()

export const deviceMethods = {
  'device.pair.list': method({ scope: 'operator.pairing', since: 3, params: z => z.strictObject({}) }),
  'device.pair.approve': method({
    scope: 'operator.pairing',
    since: 3,
    params: z => z.strictObject({ requestId: requestId(z) }),
  }),
  'device.pair.reject': method({
    scope: 'operator.pairing',
    since: 3,
    params: z => z.strictObject({ requestId: requestId(z) }),
  }),
  'device.pair.remove': method({
    scope: 'operator.pairing',
    since: 3,
    params: z => z.strictObject({ deviceId: deviceId(z), keepRuns: keepRuns(z) }),
  }),
  /** An empty label takes it away. */
  'device.pair.rename': method({
    scope: 'operator.pairing',
    since: 4,
    params: z => z.strictObject({ deviceId: deviceId(z), label: z.string().max(64) }),
  }),
  /** A one-time code that approves a device with nobody at its screen. */
  'device.pair.setupCode': method({
    scope: 'operator.admin',
    since: 4,
    params: z => z.strictObject({ scopes: some(z).optional(), lifeMs: z.int().min(10_000).max(600_000).optional() }),
  }),
  'device.token.rotate': method({
    scope: 'operator.pairing',
    since: 3,
    params: z => z.strictObject({ deviceId: deviceId(z), role: role(z), scopes: some(z).optional() }),
  }),
  'device.token.revoke': method({
    scope: 'operator.pairing',
    since: 3,
    params: z => z.strictObject({ deviceId: deviceId(z), role: role(z), keepRuns: keepRuns(z) }),
  }),
  /** For a device that wants more than it holds, over its own connection; whatever it holds, it may ask. */
  'device.scopes.requestUpgrade': method({
    scope: null,
    since: 4,
    params: z => z.strictObject({ scopes: some(z).min(1) }),
  }),
  'device.scopes.waitUpgrade': method({
    scope: null,
    since: 4,
    params: z => z.strictObject({ requestId: requestId(z), timeoutMs: z.int().min(0).max(300_000).optional() }),
  }),
} as const
