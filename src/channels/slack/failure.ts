/**
 * What a failed call means: whether it may have been carried out, and whether trying again can help.
 *
 * Owns the classes of failure. Invariant: `certain` is true only when the service refused, or was never reached. Words come
 * from the service's own codes; nothing of a request, in whose headers the token stands, is repeated.
 */
import type { SendOutcome } from '../../core/ports.ts'
import type { Problem } from '../standing.ts'

export type Failure = Extract<SendOutcome, { sent: false }>

interface LibraryError {
  code?: string
  data?: { error?: unknown }
  statusCode?: number
  retryAfter?: number
  original?: { cause?: { code?: string }; name?: string }
}

const neverReached = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL'])
const wrongToken = new Set([
  'invalid_auth',
  'not_authed',
  'account_inactive',
  'token_revoked',
  'token_expired',
  'user_removed_from_team',
  'team_disabled',
])
const passing = new Set([
  'internal_error',
  'fatal_error',
  'service_unavailable',
  'request_timeout',
  'team_added_to_org',
])

/** The service's own word for its refusal; null when there was none. */
export function refusalOf(error: unknown): string | null {
  const { code, data } = error as LibraryError
  const word = data?.error
  // A body that is no answer of the Web API comes as the word, too.
  return code === 'slack_webapi_platform_error' && typeof word === 'string' && /^[a-z_]{1,60}$/.test(word) ? word : null
}

export function failureOf(error: unknown, now: number): Failure {
  const message = wordsOf(error)
  const { retryAfter } = error as LibraryError
  if (retryAfter !== undefined) {
    const retryAtMs = now + 1000 * Math.max(1, retryAfter)
    return { sent: false, certain: true, retryable: true, code: 'rate_limit', message, retryAtMs }
  }
  const word = refusalOf(error)
  if (word === null) {
    const { code, statusCode } = error as LibraryError
    if (code === 'slack_webapi_http_error' && (statusCode ?? 0) >= 500) {
      return { sent: false, certain: false, retryable: true, code: 'server', message }
    }
    return { sent: false, certain: neverReached.has(networkCode(error)), retryable: true, code: 'network', message }
  }
  if (word === 'ratelimited') {
    return { sent: false, certain: true, retryable: true, code: 'rate_limit', message, retryAtMs: now + 5000 }
  }
  if (passing.has(word)) return { sent: false, certain: false, retryable: true, code: 'server', message }
  if (wrongToken.has(word)) return { sent: false, certain: true, retryable: true, code: 'auth', message }
  const code = /not_found$/.test(word)
    ? 'not_found'
    : /^(not_in_channel|is_archived|restricted)/.test(word)
      ? 'blocked'
      : 'bad_request'
  return { sent: false, certain: true, retryable: false, code, message }
}

/** What is wrong with the connection, for the account's status. */
export function problemOf(error: unknown): Problem & { final: boolean } {
  const word = refusalOf(error)
  if (word !== null && wrongToken.has(word)) {
    const fix = 'Copy both tokens again from the Slack app into channels.slack.botToken and appToken.'
    return {
      code: 'CHANNEL_TOKEN_REFUSED',
      message: `Slack refuses a token of this account (${word}).`,
      fix,
      final: true,
    }
  }
  const fix = 'Nothing, if it passes: it is tried again by itself. Else check that this machine reaches Slack.'
  const code = word ? 'CHANNEL_SERVICE_ERROR' : 'CHANNEL_UNREACHABLE'
  return { code, message: wordsOf(error), fix, final: false }
}

export function wordsOf(error: unknown): string {
  const word = refusalOf(error)
  if (word !== null) return `Slack says ${word}`
  const { statusCode, retryAfter, original } = error as LibraryError
  if (retryAfter !== undefined) return `Slack asks to wait ${retryAfter} s`
  if (statusCode !== undefined) return `Slack answered ${statusCode}`
  const code = networkCode(error)
  if (code !== '') return `Slack could not be reached (${code})`
  if (original?.name === 'TimeoutError') return 'Slack did not answer in time'
  return 'the connection to Slack broke off, or what came was no answer of Slack'
}

/** How long the service wants to be left alone; 0 when it does not say. */
export function pauseMs(error: unknown): number {
  return ((error as LibraryError).retryAfter ?? 0) * 1000
}

function networkCode(error: unknown): string {
  return (error as LibraryError).original?.cause?.code ?? ''
}
