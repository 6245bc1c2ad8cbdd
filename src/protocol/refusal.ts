/**
 * How an error of the table goes over the wire (openclaw-facts.md §A2): OpenClaw's coarse code outside, Deputy's stable
 * code and the remedy in `details`. Owns the mapping; never words a message.
 */
import type { ErrorCode, ErrorShape } from './errors.ts'
import { DeputyError, errors, isErrorCode } from './errors.ts'
import type { WireError } from './frames.ts'

/** Codes of these families are the gateway's or a provider's trouble, not the caller's. */
const families = /^(HOME|STORE|MODEL|DELIVERY)_/
const others: readonly ErrorCode[] = [
  'INTERNAL',
  'DISK_FULL',
  'GATEWAY_STOPPING',
  'TOO_MANY_CONNECTIONS',
  'TOO_MANY_REQUESTS',
  'RUN_CRASHED',
  'RUN_TIMED_OUT',
  'RUN_CANCELLED',
  'RUN_BUDGET',
  'RUN_CAP',
  'RUN_LOOP',
  'RUN_STEPS',
  'RUN_REVOKED',
]
/** Trying again without a change may help. */
const passing: readonly ErrorCode[] = [
  'DISK_FULL',
  'GATEWAY_STOPPING',
  'TOO_MANY_CONNECTIONS',
  'TOO_MANY_REQUESTS',
  'AUTH_RATE_LIMITED',
]

function codeOf(code: ErrorCode): WireError['code'] {
  if (code === 'PAIRING_REQUIRED' || code === 'DEVICE_IDENTITY_REQUIRED') return 'NOT_PAIRED'
  if (code === 'MISSING_SCOPE') return 'FORBIDDEN'
  if (code === 'UNKNOWN_APPROVAL') return 'APPROVAL_NOT_FOUND'
  return families.test(code) || others.includes(code) ? 'UNAVAILABLE' : 'INVALID_REQUEST'
}

export function toWire(error: ErrorShape): WireError {
  const { retryAfterMs, ...details } = error.details ?? {}
  const wire: WireError = {
    code: codeOf(error.code),
    message: error.message,
    details: { ...details, code: error.code, fix: error.fix },
  }
  if (passing.includes(error.code)) wire.retryable = true
  if (typeof retryAfterMs === 'number') wire.retryAfterMs = retryAfterMs
  return wire
}

/** What a client throws for an error that it received. A code that it doesn't know counts as INVALID_REQUEST. */
export function fromWire(error: WireError): DeputyError {
  const { code, fix, ...details } = error.details ?? {}
  const known = typeof code === 'string' && isErrorCode(code) ? code : 'INVALID_REQUEST'
  if (error.retryAfterMs !== undefined) details['retryAfterMs'] = error.retryAfterMs
  return new DeputyError(known, error.message, { fix: typeof fix === 'string' ? fix : errors[known].fix, details })
}
