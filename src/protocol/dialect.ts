/**
 * Everything in which protocol 3 and 4 differ, in one place (openclaw-facts.md §A5, §A6, §C5).
 * Owns the choice of a version and the shape that each gets; never sends.
 */
import type { WireError } from './frames.ts'

export type Protocol = 3 | 4

/** The highest version that both have; null when there is none. */
export function negotiate(min: number, max: number): Protocol | null {
  if (min > max) return null
  if (min <= 4 && max >= 4) return 4
  if (min <= 3 && max >= 3) return 3
  return null
}

export interface ChatDelta {
  /** What was added since the last delta that was sent; the whole text when `replace`. */
  deltaText: string
  replace: boolean
  /** Cumulative. */
  message: unknown
}

/** v4 has the increment beside the cumulative message, v3 the message alone. */
export function chatDelta(protocol: Protocol, delta: ChatDelta): Record<string, unknown> {
  if (protocol === 3) return { state: 'delta', message: delta.message }
  return delta.replace
    ? { state: 'delta', deltaText: delta.deltaText, replace: true, message: delta.message }
    : { state: 'delta', deltaText: delta.deltaText, message: delta.message }
}

/** v3 has no FORBIDDEN: a missing scope is an invalid request there. */
export function errorIn(protocol: Protocol, error: WireError): WireError {
  return protocol === 3 && error.code === 'FORBIDDEN' ? { ...error, code: 'INVALID_REQUEST' } : error
}

/** A line of the log: v4 clients read it as it stands in the file, v3 ones as OpenClaw's logger wrote it then. */
export function logLine(protocol: Protocol, line: string): string {
  if (protocol === 4) return line
  try {
    const { time, level, subsystem, message, ...fields } = JSON.parse(line) as Record<string, unknown>
    const name = JSON.stringify({ subsystem })
    const more = Object.keys(fields).length > 0 ? { '1': fields } : {}
    return JSON.stringify({ '0': message, ...more, _meta: { name, logLevelName: String(level).toUpperCase() }, time })
  } catch {
    // Somebody else's line is shown as it is.
    return line
  }
}
