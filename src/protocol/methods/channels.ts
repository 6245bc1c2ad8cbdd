/**
 * Rows about chat services: their accounts, logging one in, and people who ask to be let in (openclaw-facts.md §C4).
 * `web.login.*` names a channel besides, which OpenClaw's clients leave out: there it is WhatsApp.
 */
import type { Zod } from '../zod.ts'
import { method } from './row.ts'

const channel = (z: Zod) => z.string().min(1).max(64)
const account = (z: Zod) => z.string().min(1).max(128)
const requestId = (z: Zod) => z.string().min(1).max(128)
const one = (z: Zod) => z.strictObject({ channel: channel(z), accountId: account(z).optional() })
const waitMs = (z: Zod) => z.int().min(0).max(300_000).optional()

export const channelMethods = {
  'channels.status': method({
    scope: 'operator.read',
    since: 3,
    params: z =>
      z.strictObject({
        probe: z.boolean().optional(),
        timeoutMs: z.int().min(0).optional(),
        channel: z.string().max(128).optional(),
      }),
  }),
  'channels.start': method({ scope: 'operator.admin', since: 4, params: one }),
  'channels.stop': method({ scope: 'operator.admin', since: 4, params: one }),
  'channels.logout': method({ scope: 'operator.admin', since: 3, params: one }),
  'channels.pairing.list': method({ scope: 'operator.pairing', since: 4, params: z => z.strictObject({}) }),
  /** By the request's id or by its code. */
  'channels.pairing.approve': method({
    scope: {
      base: 'operator.pairing',
      says: 'operator.admin with bootstrapCommandOwner',
      of: params => (params['bootstrapCommandOwner'] === true ? 'operator.admin' : 'operator.pairing'),
    },
    since: 4,
    params: z =>
      z.strictObject({
        channel: channel(z),
        accountId: account(z).optional(),
        requestId: requestId(z).optional(),
        code: z.string().min(1).max(32).optional(),
        notify: z.boolean().optional(),
        bootstrapCommandOwner: z.boolean().optional(),
      }),
  }),
  'channels.pairing.dismiss': method({
    scope: 'operator.pairing',
    since: 4,
    params: z =>
      z.strictObject({
        channel: channel(z),
        accountId: account(z).optional(),
        requestId: requestId(z).optional(),
        code: z.string().min(1).max(32).optional(),
      }),
  }),
  /** Answers with what to show first; `phone` asks for a code to type. */
  'web.login.start': method({
    scope: 'operator.admin',
    since: 3,
    params: z =>
      z.strictObject({
        channel: channel(z).optional(),
        accountId: account(z).optional(),
        phone: z.string().max(32).optional(),
        force: z.boolean().optional(),
        verbose: z.boolean().optional(),
        timeoutMs: waitMs(z),
      }),
  }),
  /** Answers when there is something else to show than `seen`, when the login is over, or at the timeout. */
  'web.login.wait': method({
    scope: 'operator.admin',
    since: 3,
    params: z =>
      z.strictObject({
        channel: channel(z).optional(),
        accountId: account(z).optional(),
        currentQrDataUrl: z.string().max(100_000).optional(),
        seen: z.int().min(0).optional(),
        timeoutMs: waitMs(z),
      }),
  }),
} as const
