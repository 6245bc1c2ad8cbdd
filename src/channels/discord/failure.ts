/**
 * What a failed call means: whether it may have been carried out, whether trying again can help, and words for it.
 *
 * Owns the classes of failure. Invariant: `certain` is true only when the service refused, or was never reached. The
 * library's errors carry bodies and addresses of what was sent: only `wordsOf` may make text of one.
 */
import type { SendOutcome } from '../../core/ports.ts'
import type { Problem } from '../standing.ts'

export type Failure = Extract<SendOutcome, { sent: false }>

interface Loose {
  name?: unknown
  status?: unknown
  code?: unknown
  retryAfter?: unknown
  rawError?: { message?: unknown }
  cause?: unknown
}

/** Failures of the way there: no connection ever stood. */
const neverReached = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL'])

/** HTTP status with which the service said no; null when it did not answer. */
export function statusOf(error: unknown): number | null {
  const { status } = loose(error)
  return typeof status === 'number' ? status : null
}

/** The service's own number for why it said no; null when it gave none. */
export function refusalOf(error: unknown): number | null {
  const { code } = loose(error)
  return typeof code === 'number' ? code : null
}

export function failureOf(error: unknown, now: number): Failure {
  const { name, retryAfter } = loose(error)
  const message = wordsOf(error)
  if (String(name).startsWith('RateLimitError')) {
    const retryAtMs = now + Math.max(500, Number(retryAfter) || 1000)
    return { sent: false, certain: true, retryable: true, code: 'rate_limit', message, retryAtMs }
  }
  const status = statusOf(error)
  if (status === null)
    return { sent: false, certain: neverReached.has(codeOf(error)), retryable: true, code: 'network', message }
  if (status >= 500) return { sent: false, certain: false, retryable: true, code: 'server', message }
  if (status === 401) return { sent: false, certain: true, retryable: true, code: 'auth', message }
  const code = status === 403 ? 'blocked' : status === 404 ? 'not_found' : 'bad_request'
  return { sent: false, certain: true, retryable: false, code, message }
}

/** What is wrong with the connection, for the account's status. */
export function problemOf(error: unknown): Problem & { final: boolean } {
  const message = wordsOf(error)
  if (statusOf(error) === 401 || /Authentication failed/.test(String((error as Error | null)?.message)))
    return {
      code: 'CHANNEL_TOKEN_REFUSED',
      message: 'Discord does not know this bot token.',
      fix: 'Reset it at https://discord.com/developers (your application, Bot) and set channels.discord.token.',
      final: true,
    }
  if (/disallowed intents/i.test(String((error as Error | null)?.message)))
    return {
      code: 'CHANNEL_INTENTS',
      message: 'The bot may not read what is written.',
      fix: 'Switch on "Message Content Intent" at https://discord.com/developers (your application, Bot).',
      final: true,
    }
  const answered = statusOf(error) !== null
  const fix = 'Nothing, if it passes: it is tried again by itself. Else check that this machine reaches discord.com.'
  return { code: answered ? 'CHANNEL_SERVICE_ERROR' : 'CHANNEL_UNREACHABLE', message, fix, final: false }
}

export function wordsOf(error: unknown): string {
  const { name, rawError, code } = loose(error)
  const status = statusOf(error)
  if (String(name).startsWith('RateLimitError')) return 'too many messages at once'
  if (status !== null) {
    const said = typeof rawError?.message === 'string' ? `: ${rawError.message.slice(0, 200)}` : ''
    return `${status}${typeof code === 'number' ? ` (${code})` : ''}${said}`
  }
  const found = codeOf(error)
  if (found) return `Discord could not be reached (${found})`
  if (name === 'AbortError' || name === 'TimeoutError') return 'Discord did not answer in time'
  return 'the connection to Discord broke off, or what came was no answer of it'
}

function codeOf(error: unknown): string {
  for (let at: unknown = error; at; at = loose(at).cause) {
    const { code } = loose(at)
    if (typeof code === 'string') return code
  }
  return ''
}

function loose(error: unknown): Loose {
  return typeof error === 'object' && error !== null ? (error as Loose) : {}
}
