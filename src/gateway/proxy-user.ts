/**
 * The user whom a trusted proxy vouches for (gateway.auth.mode "trusted-proxy", openclaw-facts.md §A7, §E2).
 *
 * Owns the order of its questions. The headers of a request are believed when the socket's own address is a trusted proxy,
 * and for nothing else; an address that a header names never counts. Invariant: whoever is not vouched for gets nothing by
 * being local.
 */
import { DeputyError, type ErrorCode } from '../protocol/errors.ts'
import { meet } from '../core/authorize.ts'
import { intersect, type Scope } from '../protocol/scopes.ts'
import { isLoopback, listed, type Peer } from './peer.ts'
import type { ProxyRules } from './types.ts'

export type Vouched = { ok: true; user: string; scopes: readonly Scope[] | null } | { ok: false; error: DeputyError }

/** `scopes`: what the user may hold at most; null = unlimited. */
export function proxyUser(peer: Peer, rules: ProxyRules, trusted: readonly string[]): Vouched {
  if (!listed(trusted, peer.remote))
    return refuse('AUTH_IDENTITY_HEADER_REQUIRED', 'trusted_proxy_untrusted_source', 'not from a trusted proxy')
  if (isLoopback(peer.remote) && !rules.allowLoopback) {
    const words = 'a proxy on this machine is not allowed'
    return refuse('AUTH_IDENTITY_HEADER_REQUIRED', 'trusted_proxy_loopback_source', words, {
      fix: 'Set gateway.auth.trustedProxy.allowLoopback to true if the proxy on this machine checks every user.',
    })
  }
  for (const name of [...rules.requiredHeaders, rules.userHeader]) {
    if (peer.header(name) !== '') continue
    const words = `the proxy did not send ${name}`
    return refuse('AUTH_IDENTITY_HEADER_REQUIRED', `trusted_proxy_missing_header_${name}`, words)
  }
  const user = peer.header(rules.userHeader)
  if (rules.allowUsers && !rules.allowUsers.includes(user))
    return refuse('AUTH_UNAUTHORIZED', 'trusted_proxy_user_not_allowed', `${user} is not allowed`)
  const named = rules.identityScopes
  if (Object.keys(named).length === 0) return { ok: true, user, scopes: null }
  const scopes = Object.hasOwn(named, user) ? named[user]! : null
  if (scopes === null) return refuse('AUTH_UNAUTHORIZED', 'trusted_proxy_user_without_scopes', `${user} has no scopes`)
  return { ok: true, user, scopes }
}

/** What a user gets of what was asked. */
export function scopesOfUser(asked: readonly Scope[], may: readonly Scope[] | null): readonly Scope[] {
  if (may === null) return asked
  return [...new Set([...intersect(asked, may), ...meet(asked, may)])]
}

function refuse(code: ErrorCode, reason: string, words: string, more: { fix?: string } = {}): Vouched {
  const details = {
    authReason: reason,
    canRetryWithDeviceToken: false,
    recommendedNextStep: 'review_auth_configuration',
  }
  return { ok: false, error: new DeputyError(code, `unauthorized: ${words}`, { details, ...more }) }
}
