/**
 * Who is this: from a connect frame to a Principal, or to a refusal (openclaw-facts.md §A7, design.md 1).
 *
 * Owns the order of the questions and every Principal of a socket; nobody else makes one. Never opens a pairing request
 * itself: Devices does. Invariants: 1. nothing in a frame but a proof gives authority: not `client.id`, not `scopes`, not an
 * address. 2. A device shown beside a valid secret is checked and never narrows what the secret grants. 3. A principal's
 * scopes are read from where they live at each use, so an approval widens and a revocation ends a live connection.
 * 4. Whoever is enough alone, and whoever only probes, leaves no request behind.
 */
import { missingScopes } from '../core/authorize.ts'
import type { Principal } from '../core/principal.ts'
import type { AuthMethod, ConnectParams, HelloAuth } from '../protocol/connect.ts'
import { negotiate, type Protocol } from '../protocol/dialect.ts'
import { DeputyError } from '../protocol/errors.ts'
import { closeCodes } from '../protocol/limits.ts'
import { type Scope, scopes as allScopes } from '../protocol/scopes.ts'
import { equalSecrets, verifyDevice } from './crypto.ts'
import type { Limiter } from './limiter.ts'
import type { Peer } from './peer.ts'
import { proxyUser, scopesOfUser } from './proxy-user.ts'
import { approveCommand, namedScopes, type Refusal, refuse, unauthorized, unpaired } from './refusals.ts'
import type { DeviceCell, DeviceVerdict, Devices, Settings } from './types.ts'

export interface Admission {
  principal: Principal
  protocol: Protocol
  auth: HelloAuth
  /** The device that the connection stands on: it ends with the device's approval. */
  cell: DeviceCell | null
  /** Whether what the settings said of it when it was let in is still so. */
  holds(): boolean
}

export type Decision = { ok: true; admission: Admission } | { ok: false; refusal: Refusal }

export interface HandshakeContext {
  settings: Settings
  devices: Devices
  limiter: Limiter
  now(): number
  skewMs: number
  /** Other machines reach the listener. It stays where it was opened, whatever the configuration says since. */
  exposed(): boolean
}

/** Absent = all: whoever knows the secret may ask for all. */
function askedScopes(params: ConnectParams): readonly Scope[] {
  return namedScopes(params) ?? allScopes
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
      cell: null,
      holds: () => true,
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
  if (role === 'node') {
    const error = new DeputyError('ROLE_NOT_SERVED', 'invalid role: node: this gateway takes no nodes', {
      fix: 'Connect with the role operator. Tools run on the machine of the gateway itself, so no node is asked for anything.',
      details: { role, recommendedNextStep: 'review_auth_configuration' },
    })
    return refuse(error, 'invalid role: node')
  }
  if (role !== 'operator') {
    return refuse(new DeputyError('ROLE_NOT_SERVED', `invalid role: ${role}`, { details: { role } }), 'invalid role')
  }
  return { protocol }
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
  const { mode, secret: configured, proxy } = settings.auth()
  // An empty secret is none: everybody would know it.
  const secret = configured === '' ? null : configured
  const now = context.now()

  // A lockout stops those who guess. An approved device and a user whom a proxy names guess nothing: however many others
  // fail from the same address, they come in.
  const lockedMs = limiter.lockedFor(peer, now)
  // The secret may arrive in either field; both are compared whatever the first gives.
  const shown = [auth.token, auth.password].filter(value => value !== undefined)
  const matches = secret === null || lockedMs > 0 ? [] : shown.map(value => equalSecrets(value, secret))
  const vouched = proxy ? proxyUser(peer, proxy, settings.trustedProxies()) : null
  const isHere = () => peer.direct || settings.remoteDevices() === 'optional'
  const here = isHere()
  // Without authentication being here is all there is to show; from elsewhere a device has to speak for itself.
  const isOpen = () => peer.direct || (isHere() && !context.exposed())
  const known = (mode === 'none' && isOpen()) || matches.includes(true) || vouched?.ok === true

  if (!known && !device) {
    if (vouched) return refuse(vouched.error)
    if (shown.length > 0 || auth.deviceToken !== undefined) return wrongSecret()
    return refuse(new DeputyError('DEVICE_IDENTITY_REQUIRED', 'device identity required'))
  }

  let publicKey: string | null = null
  if (device) {
    const proof = verifyDevice(params, { nonce, now, skewMs: context.skewMs, role: 'operator' })
    if (!proof.ok) {
      return refuse(new DeputyError(proof.code, proof.message, { details: { reason: proof.reason } }), proof.message)
    }
    publicKey = proof.publicKey
  }

  // Whom a proxy vouches for comes from elsewhere by its nature; a secret alone is enough on this machine only.
  const enough = known && (vouched?.ok === true || here)
  if (known && !device && !enough) {
    const error = new DeputyError('DEVICE_IDENTITY_REQUIRED', 'device identity required', {
      fix: 'From another machine or through a proxy an approved device is needed beside the secret; or set gateway.auth.remoteDevices to optional.',
    })
    return refuse(error)
  }

  // Beside a valid secret the device is known by its key alone: a stale token must not keep its owner out.
  const tokens = known ? [] : [auth.deviceToken, auth.token].filter(value => value !== undefined)
  const setupCode = device && !enough ? (auth.bootstrapToken ?? null) : null
  const probe = params.client.mode === 'probe'
  if (setupCode !== null && lockedMs > 0) return rateLimited()
  let verdict: DeviceVerdict | null = null
  if (device && publicKey !== null) {
    try {
      verdict = await devices.admit({
        id: device.id,
        publicKey,
        role: 'operator',
        asked: known ? askedScopes(params) : namedScopes(params),
        tokens: setupCode === null ? tokens : [],
        ask: !enough && !probe && (known || tokens.length === 0 || setupCode !== null),
        known,
        setupCode: probe ? null : setupCode,
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
    } catch (error) {
      if (!(error instanceof DeputyError) || error.code !== 'AUTH_BOOTSTRAP_TOKEN_INVALID') throw error
      const delayMs = limiter.failed(peer, context.now())
      const { code } = error
      const told = unauthorized(code, 'bootstrap_token_invalid', 'bootstrap token invalid or expired')
      return refuse(told, told.message, closeCodes.policy, delayMs)
    }
  }

  if (known) {
    if (!enough && verdict && !verdict.in) return unpaired(params, verdict)
    if (matches.includes(true)) limiter.passed(peer)
    // Where the device is needed, the connection ends with its approval.
    const cell = !enough && verdict?.in ? verdict.cell : null
    /** Asked again when the settings change: the same secret, the same user, the same way. */
    const holds = (): boolean => {
      const today = settings.auth()
      if (today.mode !== mode) return false
      if (mode === 'none') return isOpen()
      if (mode !== 'trusted-proxy') return today.secret === secret && (cell !== null || isHere())
      const still = today.proxy ? proxyUser(peer, today.proxy, settings.trustedProxies()) : null
      return still?.ok === true && missingScopes(scopesOfUser(scopes, still.scopes), scopes).length === 0
    }
    const scopes = vouched?.ok ? scopesOfUser(askedScopes(params), vouched.scopes) : askedScopes(params)
    const principal: Principal = {
      kind: 'operator',
      via: vouched?.ok ? 'proxy' : mode === 'none' ? 'open' : 'secret',
      user: vouched?.ok ? vouched.user : null,
      get scopes() {
        return cell && !cell.alive ? [] : scopes
      },
    }
    return passed(principal, mode, verdict, cell, holds)
  }

  if (!verdict?.in) {
    if (setupCode === null && (tokens.length > 0 || shown.length > 0)) return wrongSecret()
    return unpaired(params, verdict ?? { in: false, reason: 'not-paired', requestId: null, crowded: false })
  }
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
    cell,
  )

  function passed(
    principal: Principal,
    method: AuthMethod,
    verdict: DeviceVerdict | null,
    cell: DeviceCell | null,
    holds: () => boolean = () => true,
  ): Decision {
    const token = verdict?.in ? verdict.token : null
    const pending = verdict?.in && principal.kind === 'device' ? verdict.pending : null
    const hello: HelloAuth = {
      method,
      role: 'operator',
      scopes: principal.scopes,
      ...(token === null ? {} : { deviceToken: token.value, issuedAtMs: token.issuedAt }),
      ...(pending === null ? {} : { pending: { ...pending, command: approveCommand(pending.requestId) } }),
    }
    return { ok: true, admission: { principal, protocol, auth: hello, cell, holds } }
  }

  function rateLimited(): Decision {
    const words = `too many failed attempts; try again in ${Math.ceil(lockedMs / 1000)} s`
    return refuse(unauthorized('AUTH_RATE_LIMITED', 'rate_limited', words, { retryAfterMs: lockedMs }))
  }

  function wrongSecret(): Decision {
    if (lockedMs > 0) return rateLimited()
    if (secret === null && auth.deviceToken === undefined && (mode === 'token' || mode === 'password')) {
      const code = mode === 'token' ? 'AUTH_TOKEN_NOT_CONFIGURED' : 'AUTH_PASSWORD_NOT_CONFIGURED'
      return refuse(unauthorized(code, `${mode}_missing_config`, `gateway has no ${mode}`))
    }
    // Guessing device tokens is worth nothing to whoever signed with the key: the signature alone would do.
    const guess = shown.length > 0 || publicKey === null
    const delayMs = guess ? limiter.failed(peer, context.now()) : 0
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
