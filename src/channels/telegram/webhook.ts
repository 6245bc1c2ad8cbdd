/**
 * The webhook: updates come in as requests, and each is answered with 200 only after it was taken.
 *
 * Owns who is let in: the secret that the service was given, compared in constant time. The service brings an update again that
 * it got no 2xx for.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Update } from 'grammy/types'
import { type Hook, type HookOptions, startHook } from '../hook.ts'

export interface WebhookOptions extends Pick<HookOptions, 'path' | 'host' | 'port' | 'log'> {
  secret: string
  put(update: Update): Promise<void>
}

export async function startWebhook({ secret, put, ...where }: WebhookOptions): Promise<Hook> {
  const wanted = digest(secret)
  return startHook({
    ...where,
    admits(headers) {
      const given = headers['x-telegram-bot-api-secret-token']
      return timingSafeEqual(digest(typeof given === 'string' ? given : ''), wanted)
    },
    async take(_headers, body) {
      let update: Update
      try {
        update = JSON.parse(body) as Update
      } catch {
        return { status: 400 }
      }
      if (!Number.isSafeInteger(update?.update_id)) return { status: 400 }
      await put(update)
      return { status: 200 }
    },
  })
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
