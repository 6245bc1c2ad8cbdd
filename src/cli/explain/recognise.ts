/**
 * From what somebody pasted to the refusal that it is: our own codes, the words of this gateway, and those that OpenClaw's
 * programs show (openclaw-facts.md §A7, §B7, §D1).
 *
 * Pure. Owns the list. A code that stands in the text wins over its words; the first phrase that fits wins over later ones.
 */
import { type ErrorCode, isErrorCode } from '../../protocol/errors.ts'
import { isScope, type Scope } from '../../protocol/scopes.ts'

export interface Recognised {
  code: ErrorCode
  /** How the text was understood, when it was not a bare code. */
  reading: string | null
  /** The scope that it says is missing. */
  scope: Scope | null
  /** The pairing request that it names. */
  request: string | null
  /** The name of an agent that it speaks of. */
  agent: string | null
}

/** OpenClaw's codes that have another name here. `null`: too coarse to say anything. */
const foreign: Readonly<Record<string, ErrorCode | null>> = {
  NOT_PAIRED: 'PAIRING_REQUIRED',
  FORBIDDEN: 'MISSING_SCOPE',
  AUTH_SCOPE_MISMATCH: 'MISSING_SCOPE',
  AUTH_TOKEN_MISSING_CONFIG: 'AUTH_TOKEN_NOT_CONFIGURED',
  CONTROL_UI_DEVICE_IDENTITY_REQUIRED: 'DEVICE_IDENTITY_REQUIRED',
  CONTROL_UI_ORIGIN_NOT_ALLOWED: 'ORIGIN_NOT_ALLOWED',
  CLIENT_VERSION_MISMATCH: 'PROTOCOL_MISMATCH',
  EADDRINUSE: 'PORT_IN_USE',
  ECONNREFUSED: 'GATEWAY_UNREACHABLE',
  ENOENT: null,
  INVALID_REQUEST: null,
  UNAVAILABLE: null,
}

const phrases: readonly (readonly [words: RegExp, code: ErrorCode, reading: string])[] = [
  [
    /device pairing approval denied|device token (rotation|revocation) denied/i,
    'MISSING_SCOPE',
    'an approval or a change of a device by somebody who does not hold what it takes',
  ],
  [
    /pairing required|scope[- ]upgrade|asking for more scopes|higher role than currently approved|must be re-?approved/i,
    'PAIRING_REQUIRED',
    'a connection that was closed because its device is not approved for what it asked',
  ],
  [/missing scope/i, 'MISSING_SCOPE', 'a call by somebody who lacks a scope'],
  [/scope[_ ]mismatch/i, 'MISSING_SCOPE', 'a device token that holds less than was asked for with it'],
  [/bootstrap[ _]token/i, 'AUTH_BOOTSTRAP_TOKEN_INVALID', 'a one-time code that was used, is too old, or is wrong'],
  [
    /device[ _]token[ _]mismatch|client invalidated/i,
    'AUTH_DEVICE_TOKEN_MISMATCH',
    'a device whose token does not count any more',
  ],
  [/(gateway )?token[ _]missing\b/i, 'AUTH_TOKEN_MISSING', 'a connection without the gateway token'],
  [
    /gateway auth changed|\(4001\)/i,
    'AUTH_TOKEN_MISMATCH',
    'a connection that was let in by a token, password or mode that has been changed since',
  ],
  [/invalid role/i, 'ROLE_NOT_SERVED', 'a client with a role that this gateway does not serve'],
  [/token[ _]mismatch|gateway token/i, 'AUTH_TOKEN_MISMATCH', 'a connection with a wrong gateway token'],
  [/password[ _]missing\b/i, 'AUTH_PASSWORD_MISSING', 'a connection without the gateway password'],
  [/password[ _]mismatch|gateway password/i, 'AUTH_PASSWORD_MISMATCH', 'a connection with a wrong gateway password'],
  [/too many failed|rate[ _]limited/i, 'AUTH_RATE_LIMITED', 'an address that failed too often'],
  [
    /device identity required|proxy_attribution_required/i,
    'DEVICE_IDENTITY_REQUIRED',
    'a connection from elsewhere, or through a proxy, without a device of its own',
  ],
  [/device identity (mismatch|changed)/i, 'DEVICE_AUTH_DEVICE_ID_MISMATCH', 'a device whose id is not that of its key'],
  [/device signature expired/i, 'DEVICE_AUTH_SIGNATURE_EXPIRED', 'a signature with a time that is too far off'],
  [/device nonce required/i, 'DEVICE_AUTH_NONCE_REQUIRED', 'a signature without the challenge'],
  [/device nonce mismatch/i, 'DEVICE_AUTH_NONCE_MISMATCH', 'a signature over another challenge'],
  [/device signature invalid/i, 'DEVICE_AUTH_SIGNATURE_INVALID', 'a signature that does not fit its key'],
  [/device public key invalid/i, 'DEVICE_AUTH_PUBLIC_KEY_INVALID', 'a device key that is none'],
  [/unknown requestId/i, 'UNKNOWN_REQUEST', 'a request that is not known'],
  [/unknown deviceId/i, 'UNKNOWN_DEVICE', 'a device that is not known'],
  [/origin .*not allowed|origin not allowed/i, 'ORIGIN_NOT_ALLOWED', 'a web page that is not on the list'],
  [/protocol mismatch/i, 'PROTOCOL_MISMATCH', 'a client of another protocol version'],
  [/slow consumer/i, 'SLOW_CONSUMER', 'a client that did not read'],
  [/payload too large|\(1009\)/i, 'PAYLOAD_TOO_LARGE', 'a message over the limit'],
  [/not allowed at this depth/i, 'SPAWN_DEPTH', 'a spawn below the deepest level that is allowed'],
  [/max active children/i, 'SPAWN_CHILDREN', 'a spawn beside as many sub-agents as are allowed at once'],
  [/not a configured agent|unknown agent/i, 'UNKNOWN_AGENT', 'an agent that does not exist'],
  [
    /agentId is (not allowed|"[^"]*"; allowed)|not allowed for sessions_spawn/i,
    'SPAWN_AGENT_NOT_ALLOWED',
    'a spawn of an agent that the caller may not spawn',
  ],
  [/requires agentId/i, 'SPAWN_AGENT_REQUIRED', 'a spawn without the name of an agent'],
  [/address already in use|port \d+ .*(taken|in use)/i, 'PORT_IN_USE', 'a port that another program holds'],
  [
    /connection refused|gateway closed \(1006|gateway not running|no gateway runs/i,
    'GATEWAY_UNREACHABLE',
    'nobody answering',
  ],
  [/service restart|\(1012\)/i, 'GATEWAY_STOPPING', 'a gateway that was being restarted'],
  [/unauthorized/i, 'AUTH_REQUIRED', 'a connection that did not show who it is'],
]

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i

/** Null when nothing in the text is a refusal that we know. */
export function recognise(text: string): Recognised | null {
  const named = codeIn(text)
  const phrase = phrases.find(([words]) => words.test(text))
  const code = named ?? phrase?.[1]
  if (code === undefined) return null
  const scope = /operator\.[a-z.]*[a-z]/.exec(text)?.[0]
  return {
    code,
    reading: text.trim() === code ? null : phrase?.[1] === code ? phrase[2] : null,
    scope: scope !== undefined && isScope(scope) ? scope : null,
    request: /requestId[:"\s]*/i.test(text) ? (uuid.exec(text)?.[0] ?? null) : null,
    agent: /agentId (?:is )?"([a-z0-9_-]+)"/i.exec(text)?.[1] ?? null,
  }
}

/** A code of ours, or one of OpenClaw's that means one; the most telling one where several stand. */
function codeIn(text: string): ErrorCode | undefined {
  const words = text.match(/\b[A-Z][A-Z0-9_]{3,}\b/g) ?? []
  const known = words.flatMap(word => {
    const other = foreign[word]
    return other !== undefined ? (other ?? []) : isErrorCode(word) ? word : []
  })
  // A bare INVALID_REQUEST and the like are asked for by name.
  const bare = text.trim()
  return known[0] ?? (isErrorCode(bare) ? bare : undefined)
}
