/**
 * Who is this: from a connect frame to a Principal, or to a refusal (openclaw-facts.md §A7, design.md 1).
 *
 * Owns the order of the questions and every Principal of a socket; nobody else makes one. Never opens a pairing request
 * itself: Devices does. Invariants: 1. nothing in a frame but a proof gives authority: not `client.id`, not `scopes`, not an
 * address. 2. A device shown beside a valid secret is checked and never narrows what the secret grants. 3. A principal's
 * scopes are read from where they live at each use, so an approval widens and a revocation ends a live connection.
 */
import type { Principal } from '../core/principal.ts'
import type { AuthMethod, ConnectParams, HelloAuth } from '../protocol/connect.ts'
import { negotiate, type Protocol } from '../protocol/dialect.ts'
import { DeputyError, type ErrorCode } from '../protocol/errors.ts'
import { closeCodes } from '../protocol/limits.ts'
import { isScope, type Scope, scopes as allScopes } from '../protocol/scopes.ts'
import { equalSecrets, verifyDevice } from './crypto.ts'
import type { Limiter } from './limiter.ts'
import type { Peer } from './peer.ts'
import type { DeviceVerdict, Devices, Settings } from './types.ts'

export interface Admission {
  principal: Principal
  protocol: Protocol
  auth: HelloAuth
}

/** Why a connect failed, how to close, and how long to hold the answer back. */
export interface Refusal {
  error: DeputyError
  closeCode: number
  closeReason: string
  delayMs: number
}

export type Decision = { ok: true; admission: Admission } | { ok: false; refusal: Refusal }

export interface HandshakeContext {
  settings: Settings
  devices: Devices
  limiter: Limiter
  now(): number
  skewMs: number
}

function refuse(
  error: DeputyError,
  closeReason = error.message,
  closeCode: number = closeCodes.policy,
  delayMs = 0,
): Decision {
  return { ok: false, refusal: { error, closeCode, closeReason, delayMs } }
}

/** Absent = all: whoever knows the secret may ask for all. Unknown names are not granted. */
function askedScopes(params: ConnectParams): Scope[] {
  return params.scopes === undefined ? [...allScopes] : [...new Set(params.scopes.filter(isScope))]
}

/** The unix socket: whoever can open it is the owner of the state directory. A narrower request is honoured. */
export function admitLocal(params: ConnectParams): Decision {
  const early = protocolAndRole(params)
  if ('ok' in early) return early
  const scopes = askedScopes(params)
  return {
    ok: true,
    admission: {
      principal: { kind: 'operator', via: 'socket', user: null, scopes },
      protocol: early.protocol,
      auth: { method: 'none', role: 'operator', scopes },
    },
  }
}

function protocolAndRole(params: ConnectParams): { protocol: Protocol } | Decision {
  const { minProtocol, maxProtocol, role = 'operator' } = params
  const protocol = negotiate(minProtocol, maxProtocol)
  if (protocol === null) {
    const details = {
      clientMinProtocol: minProtocol,
      clientMaxProtocol: maxProtocol,
      expectedProtocol: 4,
      minimumProbeProtocol: 3,
    }
    const error = new DeputyError('PROTOCOL_MISMATCH', 'protocol mismatch', { details })
    return refuse(error, 'protocol mismatch', closeCodes.protocolMismatch)
  }
  if (role !== 'operator') {
    return refuse(new DeputyError('ROLE_NOT_SERVED', `invalid role: ${role}`, { details: { role } }), 'invalid role')
  }
  return { protocol }
}

const nextSteps: Partial<Record<ErrorCode, string>> = {
  AUTH_TOKEN_MISMATCH: 'update_auth_credentials',
  AUTH_PASSWORD_MISMATCH: 'update_auth_credentials',
  AUTH_DEVICE_TOKEN_MISMATCH: 'update_auth_credentials',
  AUTH_RATE_LIMITED: 'wait_then_retry',
}

function unauthorized(
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

/** A device that is not let in. The close reason is short, so that the request id is never cut off. */
function unpaired(params: ConnectParams, verdict: DeviceVerdict & { in: false }): Decision {
  const { requestId, reason } = verdict
  const words = reason === 'not-paired' ? 'device is not approved yet' : `device needs approval (${reason})`
  const error = new DeputyError('PAIRING_REQUIRED', `pairing required: ${words}`, {
    ...(requestId === null ? { fix: 'Connect with the gateway token once, then approve the device.' } : {}),
    details: {
      reason,
      ...(requestId === null ? {} : { requestId }),
      deviceId: params.device?.id,
      requestedRole: 'operator',
      requestedScopes: askedScopes(params),
      recommendedNextStep: 'wait_then_retry',
      remediationHint: requestId === null ? 'deputy devices list' : `deputy devices approve ${requestId}`,
    },
  })
  return refuse(error, `pairing required: ${reason}${requestId === null ? '' : ` (requestId: ${requestId})`}`)
}

export async function admit(
  context: HandshakeContext,
  peer: Peer,
  nonce: string,
  params: ConnectParams,
): Promise<Decision> {
  const early = protocolAndRole(params)
  if ('ok' in early) return early
  const { settings, devices, limiter } = context
  const { protocol } = early
  const { auth = {}, device } = params
  const { mode, secret: configured } = settings.auth()
  // An empty secret is none: everybody would know it.
  const secret = configured === '' ? null : configured
  const now = context.now()

  const lockedMs = limiter.lockedFor(peer, now)
  if (lockedMs > 0) {
    const words = `too many failed attempts; try again in ${Math.ceil(lockedMs / 1000)} s`
    return refuse(unauthorized('AUTH_RATE_LIMITED', 'rate_limited', words, { retryAfterMs: lockedMs }))
  }

  // The secret may arrive in either field; both are compared whatever the first gives.
  const shown = [auth.token, auth.password].filter(value => value !== undefined)
  const matches = secret === null ? [] : shown.map(value => equalSecrets(value, secret))
  const known = mode === 'none' || matches.includes(true)

  if (!known && !device) {
    if (shown.length > 0 || auth.deviceToken !== undefined) return wrongSecret()
    const error = new DeputyError('DEVICE_IDENTITY_REQUIRED', 'device identity required')
    return refuse(error)
  }

  let publicKey: string | null = null
  if (device) {
    const proof = verifyDevice(params, { nonce, now, skewMs: context.skewMs, role: 'operator' })
    if (!proof.ok) {
      return refuse(new DeputyError(proof.code, proof.message, { details: { reason: proof.reason } }), proof.message)
    }
    publicKey = proof.publicKey
  }

  const enough = known && (peer.direct || settings.remoteDevices() === 'optional')
  if (known && !device && !enough) {
    const error = new DeputyError('DEVICE_IDENTITY_REQUIRED', 'device identity required', {
      fix: 'From another machine or through a proxy an approved device is needed beside the secret; or set gateway.auth.remoteDevices to optional.',
    })
    return refuse(error)
  }

  // Beside a valid secret the device is known by its key alone: a stale token must not keep its owner out.
  const tokens = known ? [] : [auth.deviceToken, auth.token].filter(value => value !== undefined)
  const verdict =
    device && publicKey !== null
      ? await devices.admit({
          id: device.id,
          publicKey,
          role: 'operator',
          asked: askedScopes(params),
          tokens,
          ask: !enough && params.client.mode !== 'probe' && (known || tokens.length === 0),
          about: {
            displayName: params.client.displayName ?? null,
            platform: params.client.platform,
            deviceFamily: params.client.deviceFamily ?? null,
            clientId: params.client.id,
            clientMode: params.client.mode,
            origin: peer.origin,
            address: peer.address,
          },
        })
      : null

  if (known) {
    if (!enough && verdict && !verdict.in) return unpaired(params, verdict)
    limiter.passed(peer)
    const scopes = askedScopes(params)
    const via = mode === 'none' ? 'open' : 'secret'
    return passed({ kind: 'operator', via, user: null, scopes }, mode === 'none' ? 'none' : mode, verdict)
  }

  if (!verdict?.in) {
    if (tokens.length > 0 || shown.length > 0) return wrongSecret()
    return unpaired(params, verdict ?? { in: false, reason: 'not-paired', requestId: null })
  }
  limiter.passed(peer)
  const { cell } = verdict
  return passed(
    {
      kind: 'device',
      device: cell.device,
      get generation() {
        return cell.generation
      },
      get scopes() {
        return cell.scopes
      },
    },
    'device-token',
    verdict,
  )

  function passed(principal: Principal, method: AuthMethod, verdict: DeviceVerdict | null): Decision {
    const token = verdict?.in ? verdict.token : null
    const pending = verdict?.in && principal.kind === 'device' ? verdict.pending : null
    const hello: HelloAuth = {
      method,
      role: 'operator',
      scopes: principal.scopes,
      ...(token === null ? {} : { deviceToken: token.value, issuedAtMs: token.issuedAt }),
      ...(pending === null ? {} : { pending }),
    }
    return { ok: true, admission: { principal, protocol, auth: hello } }
  }

  function wrongSecret(): Decision {
    if (secret === null && auth.deviceToken === undefined && mode !== 'none') {
      const code = mode === 'token' ? 'AUTH_TOKEN_NOT_CONFIGURED' : 'AUTH_PASSWORD_NOT_CONFIGURED'
      return refuse(unauthorized(code, `${mode}_missing_config`, `gateway has no ${mode}`))
    }
    const delayMs = limiter.failed(peer, context.now())
    // A token beside a device may be its stored one under the wrong name: the client is told to try that next.
    const retry = device !== undefined && shown.length > 0 && auth.deviceToken === undefined
    const error =
      auth.deviceToken !== undefined
        ? unauthorized('AUTH_DEVICE_TOKEN_MISMATCH', 'device_token_mismatch', 'device token mismatch')
        : unauthorized(
            mode === 'password' ? 'AUTH_PASSWORD_MISMATCH' : 'AUTH_TOKEN_MISMATCH',
            `${mode === 'password' ? 'password' : 'token'}_mismatch`,
            `gateway ${mode === 'password' ? 'password' : 'token'} mismatch`,
            retry ? { canRetryWithDeviceToken: true, recommendedNextStep: 'retry_with_device_token' } : {},
          )
    return refuse(error, error.message, closeCodes.policy, delayMs)
  }
}
