/**
 * Slack over HTTP: events, presses and commands come as requests that Slack has signed (`mode: "http"`).
 *
 * Owns who is let in, and how a request becomes the envelope that socket mode brings. A request counts when its signature was
 * made with the signing secret, over the very bytes, less than five minutes ago; compared in constant time. One that is sent
 * again within that time is known by what it tells, so that nothing happens twice (Slack, "Verifying requests from Slack").
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Clock } from '../../core/ports.ts'
import { type Answer, type Hook, type HookOptions, startHook } from '../hook.ts'
import type { Envelope } from './inbound.ts'

export interface RequestsOptions extends Pick<HookOptions, 'path' | 'host' | 'port' | 'log'> {
  signingSecret: string
  clock: Clock
  take(envelope: Envelope): Promise<void>
}

const windowMs = 5 * 60_000

export function startRequests({ signingSecret, clock, take, ...where }: RequestsOptions): Promise<Hook> {
  return startHook({
    ...where,
    async take(headers, body): Promise<Answer> {
      if (!isSigned(headers, body, signingSecret, clock.now())) return { status: 401 }
      const read = readRequest(body)
      if (read === null) return { status: 400 }
      if ('challenge' in read) return { status: 200, body: read.challenge }
      await take(read)
      return { status: 200 }
    },
  })
}

export function isSigned(headers: IncomingHttpHeaders, body: string, secret: string, now: number): boolean {
  const [at, given] = [headers['x-slack-request-timestamp'], headers['x-slack-signature']]
  const time = typeof at === 'string' && /^\d{1,12}$/.test(at) ? Number(at) * 1000 : Number.NaN
  // Not a number is in no window.
  if (!(Math.abs(now - time) <= windowMs) || typeof given !== 'string') return false
  const wanted = Buffer.from(`v0=${createHmac('sha256', secret).update(`v0:${at}:${body}`).digest('hex')}`)
  const shown = Buffer.from(given)
  return shown.length === wanted.length && timingSafeEqual(shown, wanted)
}

/** Null when it has none of the forms that Slack sends. */
export function readRequest(body: string): Envelope | { challenge: string } | null {
  if (body.startsWith('{')) {
    const said = parsed(body)
    if (said?.['type'] === 'url_verification' && typeof said['challenge'] === 'string')
      return { challenge: said['challenge'] }
    const event = said?.['event'] as { type?: unknown } | null | undefined
    return said && typeof event?.type === 'string' ? { type: 'events_api', body: said } : null
  }
  const form = new URLSearchParams(body)
  const payload = form.get('payload')
  if (payload !== null) {
    const pressed = parsed(payload)
    return pressed ? { type: 'interactive', body: pressed } : null
  }
  return form.has('command') ? { type: 'slash_commands', body: Object.fromEntries(form) } : null
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const read: unknown = JSON.parse(text)
    return typeof read === 'object' && read !== null && !Array.isArray(read) ? (read as Record<string, unknown>) : null
  } catch {
    return null
  }
}
