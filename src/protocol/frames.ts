/**
 * The three frames and the closed shape of each (openclaw-facts.md §A2).
 *
 * Owns: the types, the check of an inbound request's envelope, how an event is written. The check is by hand, since every
 * frame passes it and nothing may be imported for it. Never looks into params or payloads: methods.ts does.
 */

export interface RequestFrame {
  type: 'req'
  /** Chosen by the client; answers may come in any order. */
  id: string
  method: string
  params?: unknown
}

/** `code` is one of OpenClaw's five; `details.code` the stable code of errors.ts; `details.fix` what to do. */
export interface WireError {
  code: 'NOT_PAIRED' | 'INVALID_REQUEST' | 'FORBIDDEN' | 'APPROVAL_NOT_FOUND' | 'UNAVAILABLE'
  message: string
  details?: Record<string, unknown>
  retryable?: boolean
  retryAfterMs?: number
}

export type ResponseFrame =
  | { type: 'res'; id: string; ok: true; payload?: unknown }
  | { type: 'res'; id: string; ok: false; payload?: unknown; error: WireError }

export interface EventFrame {
  type: 'event'
  event: string
  payload?: unknown
  /** Counts every event made for this connection from 1, also those dropped because it read too slowly. */
  seq?: number
  stateVersion?: { presence: number; health: number }
}

export type Frame = RequestFrame | ResponseFrame | EventFrame

export type RequestCheck = { ok: true; frame: RequestFrame } | { ok: false; id: string; problem: string }

/** Ids and method names longer than this are refused. */
const maxName = 256

function refuse(id: unknown, problem: string): RequestCheck {
  const known = typeof id === 'string' && id.length > 0 && id.length <= maxName
  return { ok: false, id: known ? id : 'invalid', problem: `invalid request frame: ${problem}` }
}

/**
 * Whether a parsed value is a request frame. A refusal carries the id to answer under (`invalid` when there was none).
 * `traceparent` and `expectedProfileId` are allowed and not used.
 */
export function checkRequest(value: unknown): RequestCheck {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(null, 'not an object')
  const frame = value as Record<string, unknown>
  const { id, method, type } = frame
  if (type !== 'req') return refuse(id, `at /type: must be 'req'`)
  if (typeof id !== 'string' || id.length === 0 || id.length > maxName) {
    return refuse(id, `at /id: must be a string of 1 to ${maxName} characters`)
  }
  if (typeof method !== 'string' || method.length === 0 || method.length > maxName) {
    return refuse(id, `at /method: must be a string of 1 to ${maxName} characters`)
  }
  for (const key of Object.keys(frame)) {
    switch (key) {
      case 'type':
      case 'id':
      case 'method':
      case 'params':
        break
      case 'traceparent':
      case 'expectedProfileId': {
        const text = frame[key]
        if (typeof text !== 'string' || text.length > 128) {
          return refuse(id, `at /${key}: must be a string of at most 128 characters`)
        }
        break
      }
      default:
        return refuse(id, `at root: unexpected property '${key.slice(0, 64)}'`)
    }
  }
  return { ok: true, frame: { type: 'req', id, method, params: frame['params'] } }
}
