/**
 * What is said of a model that can't be asked now, and the line before a provider that takes only so many calls at a time.
 * Owns shapes only; part of the port in ports.ts.
 */
import type { ErrorCode } from '../protocol/errors.ts'
import type { ModelRequest } from './ports.ts'
import type { Hold } from './types.ts'

/** What decides which model and key a call would use. */
export type Asked = Pick<ModelRequest, 'model' | 'agent' | 'cacheKey'>

/** No model that may answer a call can be asked before `until` (epoch ms). */
export interface Pause {
  until: number
  hold: Hold
  code: ErrorCode
  /** What happened and what to do, with no secret in it. */
  error: string
}

/** The line before a provider that takes only so many calls at a time with one key. A run holds one place at most. */
export interface Line {
  /** Whether a call of this run may begin: it holds a place, or needs none. Changes nothing. */
  admits(run: string, call: Asked): boolean
  /** Waits a little for a place; what to wait for in a row when none came free. Null also when `signal` ended the wait. */
  enter(run: string, call: Asked, signal: AbortSignal): Promise<Pause | null>
  /** The run waits in a row, and keeps its turn: `onCall` hears of its place. */
  park(run: string): void
  /** A worker is at the run. */
  arrive(run: string): void
  /** Its worker leaves. */
  rest(run: string): void
  /** The run has ended. */
  leave(run: string): void
  onCall(call: (run: string) => void): void
}
