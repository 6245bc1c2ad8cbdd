/**
 * How a connect is refused: the error, the close reason, how long the answer is held back (openclaw-facts.md §A7).
 * Owns the words. Decides nothing; every refusal says what to do about it.
 */
import type { ConnectParams } from '../protocol/connect.ts'
import { DeputyError, type ErrorCode } from '../protocol/errors.ts'
import { closeCodes } from '../protocol/limits.ts'
import { isScope, type Scope } from '../protocol/scopes.ts'
import type { DeviceVerdict } from './types.ts'

/** Why a connect failed, how to close, and how long to hold the answer back. */
export interface Refusal {
  error: DeputyError
  closeCode: number
  closeReason: string
  delayMs: number
}

export function refuse(
  error: DeputyError,
  closeReason = error.message,
  closeCode: number = closeCodes.policy,
  delayMs = 0,
): { ok: false; refusal: Refusal } {
  return { ok: false, refusal: { error, closeCode, closeReason, delayMs } }
}

/** The scopes that a connect names; unknown names are not granted. Null when it names none. */
export function namedScopes(params: ConnectParams): Scope[] | null {
  return params.scopes === undefined ? null : [...new Set(params.scopes.filter(isScope))]
}

export function approveCommand(requestId: string): string {
  return `deputy devices approve ${requestId}`
}

const nextSteps: Partial<Record<ErrorCode, string>> = {
  AUTH_TOKEN_MISMATCH: 'update_auth_credentials',
  AUTH_PASSWORD_MISMATCH: 'update_auth_credentials',
  AUTH_DEVICE_TOKEN_MISMATCH: 'update_auth_credentials',
  AUTH_BOOTSTRAP_TOKEN_INVALID: 'review_auth_configuration',
  AUTH_RATE_LIMITED: 'wait_then_retry',
}

export function unauthorized(
  code: ErrorCode,
  reason: string,
  words: string,
  extra: Record<string, unknown> = {},
): DeputyError {
  return new DeputyError(code, `unauthorized: ${words}`, {
    details: {
      authReason: reason,
      canRetryWithDeviceToken: false,
      recommendedNextStep: nextSteps[code] ?? 'update_auth_configuration',
      ...extra,
    },
  })
}

const requirements: Record<string, string> = {
  'not-paired': 'device is not approved yet',
  'role-upgrade': 'device is asking for a higher role than currently approved',
  'scope-upgrade': 'device is asking for more scopes than currently approved',
  'metadata-upgrade': 'device identity changed and must be re-approved',
}

/** A device that is not let in. The close reason is short, so that the request id is never cut off. */
export function unpaired(params: ConnectParams, verdict: DeviceVerdict & { in: false }): ReturnType<typeof refuse> {
  const { requestId, reason, crowded } = verdict
  const fix = crowded
    ? 'Too many devices wait already. On the gateway host: deputy devices list, then deputy devices clear --pending'
    : 'Connect without the mode "probe" once: that makes the request to approve.'
  const error = new DeputyError('PAIRING_REQUIRED', `pairing required: ${requirements[reason] ?? reason}`, {
    ...(requestId === null ? { fix } : {}),
    details: {
      reason,
      ...(requestId === null ? {} : { requestId }),
      deviceId: params.device?.id,
      requestedRole: 'operator',
      requestedScopes: namedScopes(params) ?? [],
      recommendedNextStep: 'wait_then_retry',
      remediationHint: requestId === null ? 'deputy devices list' : approveCommand(requestId),
    },
  })
  return refuse(error, `pairing required: ${reason}${requestId === null ? '' : ` (requestId: ${requestId})`}`)
}
