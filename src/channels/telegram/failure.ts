/**
 * What a failed call means: whether it may have been carried out, whether trying again can help, and words without the token.
 *
 * Owns the classes of failure. The token is a part of every address, and the library's errors carry addresses inside: only
 * `wordsOf` may make text of one. Invariant: `certain` is true only when the service refused, or was never reached.
 */
import type { SendOutcome } from '../../core/ports.ts'
import type { Problem } from '../standing.ts'

export type Failure = Extract<SendOutcome, { sent: false }>

/** The service answered, and said no (grammY's GrammyError). */
export interface Refusal {
  error_code: number
  description: string
  parameters?: { retry_after?: number; migrate_to_chat_id?: number }
}

/** A call that was given up before anything of it left. */
export class NotBegun extends Error {}

/** Failures of the way there: no connection ever stood. */
const neverReached = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL'])

export function refusalOf(error: unknown): Refusal | null {
  const found = error as Partial<Refusal> | null
  return typeof found?.error_code === 'number' && typeof found.description === 'string' ? (found as Refusal) : null
}

export function failureOf(error: unknown, now: number): Failure {
  const message = wordsOf(error)
  const refusal = refusalOf(error)
  if (!refusal) {
    const certain = innermost(error) instanceof NotBegun || neverReached.has(codeOf(error))
    return { sent: false, certain, retryable: true, code: 'network', message }
  }
  const { error_code: status } = refusal
  if (status === 429) {
    const retryAtMs = now + 1000 * Math.max(1, refusal.parameters?.retry_after ?? 5)
    return { sent: false, certain: true, retryable: true, code: 'rate_limit', message, retryAtMs }
  }
  if (status >= 500) return { sent: false, certain: false, retryable: true, code: 'server', message }
  if (status === 401 || status === 404) return { sent: false, certain: true, retryable: true, code: 'auth', message }
  const code = status === 403 ? 'blocked' : /chat not found/i.test(refusal.description) ? 'not_found' : 'bad_request'
  return { sent: false, certain: true, retryable: false, code, message }
}

/** What is wrong with the connection, for the account's status. */
export function problemOf(error: unknown): Problem & { final: boolean } {
  const refusal = refusalOf(error)
  const message = wordsOf(error)
  if (refusal?.error_code === 401 || refusal?.error_code === 404) {
    const fix = 'Copy the token again from @BotFather into channels.telegram.botToken.'
    return { code: 'CHANNEL_TOKEN_REFUSED', message: 'Telegram does not know this bot token.', fix, final: true }
  }
  if (refusal?.error_code === 409) {
    const fix = 'Stop the other program that uses this bot, or give each its own bot.'
    return { code: 'CHANNEL_CONFLICT', message: 'Another program fetches the messages of this bot.', fix, final: false }
  }
  const fix = 'Nothing, if it passes: it is tried again by itself. Else check that this machine reaches the Bot API.'
  return { code: refusal ? 'CHANNEL_SERVICE_ERROR' : 'CHANNEL_UNREACHABLE', message, fix, final: false }
}

/** How long the service wants to be left alone; 0 when it does not say. */
export function pauseMs(error: unknown): number {
  return (refusalOf(error)?.parameters?.retry_after ?? 0) * 1000
}

export function wordsOf(error: unknown): string {
  const refusal = refusalOf(error)
  if (refusal) return `${refusal.error_code}: ${refusal.description}`.slice(0, 300)
  const inner = innermost(error)
  if (inner instanceof NotBegun) return inner.message
  const code = codeOf(error)
  if (code) return `Telegram could not be reached (${code})`
  const name = (inner as { name?: string } | null)?.name
  if (name === 'AbortError' || name === 'TimeoutError') return 'Telegram did not answer in time'
  return 'the connection to Telegram broke off, or what came was no answer of the Bot API'
}

function codeOf(error: unknown): string {
  const code = (innermost(error) as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** grammY and fetch wrap what truly happened. */
function innermost(error: unknown): unknown {
  const inner = (error as { error?: unknown } | null)?.error ?? (error as { cause?: unknown } | null)?.cause
  return inner === undefined || inner === null ? error : innermost(inner)
}
