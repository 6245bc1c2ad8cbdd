/**
 * The names of every write and the points at which a process can be made to die (decisions.md 35).
 *
 * Owns the lists, which are pinned by test: a write with no name does not compile, a crash point that does not exist is
 * refused at start. Holds no state of its own: counts live in the object that `makeCrashPoints` returns and that is handed on.
 */
import { DeputyError } from '../protocol/errors.ts'

/**
 * Every write of the house, and what becomes of it while nothing can be recorded (a full disk). `waits`: work was done that
 * would be lost, so it stays queued until there is room. `refused`: somebody is asking, and is told DISK_FULL.
 */
export const writes = {
  accept: 'refused',
  claim: 'refused',
  intent: 'waits',
  reply: 'waits',
  result: 'waits',
  wait: 'waits',
  finish: 'waits',
  cancel: 'refused',
  answer: 'waits',
  recover: 'waits',
  sending: 'refused',
  sent: 'waits',
  approve: 'refused',
  slot: 'waits',
  device: 'refused',
  pair: 'refused',
  rpc: 'refused',
  config: 'refused',
  sweep: 'refused',
  usage: 'waits',
  timer: 'waits',
  session: 'refused',
  drop: 'refused',
  bind: 'refused',
  audit: 'refused',
} as const satisfies Record<string, 'waits' | 'refused'>

export type WriteName = keyof typeof writes

/** What the shell does outside a transaction and may die around. */
export const calls = ['model', 'tool', 'send'] as const
export type CallName = (typeof calls)[number]

/** `before` and `after` the commit, and just before the caller is told. */
export const writePoints = ['before', 'after', 'resolve'] as const
export const callPoints = ['before', 'after'] as const
export type WritePoint = (typeof writePoints)[number]
export type CallPoint = (typeof callPoints)[number]

export interface CrashPoints {
  hit(name: WriteName, point: WritePoint): void
  hit(name: CallName, point: CallPoint): void
}

/** Where no point is set. */
export const noCrash: CrashPoints = { hit: () => undefined }

/**
 * Reads `name:point:count`, as in `finish:after:3`: the process gets SIGKILL when that point is passed for the third time.
 * Nothing set gives `noCrash`. Throws USAGE for a point that does not exist, so that a typing error can't pass as a survived crash.
 */
export function makeCrashPoints(
  spec: string | undefined,
  kill: () => void = () => void process.kill(process.pid, 'SIGKILL'),
): CrashPoints {
  if (!spec) return noCrash
  const [name = '', point = '', count = '1', ...rest] = spec.split(':')
  const points: readonly string[] | null = Object.hasOwn(writes, name)
    ? writePoints
    : (calls as readonly string[]).includes(name)
      ? callPoints
      : null
  if (!points?.includes(point) || !/^[1-9]\d*$/.test(count) || rest.length > 0)
    throw new DeputyError('USAGE', `DEPUTY_CRASH=${spec} names no crash point.`, {
      fix: 'Write name:point:count, as in finish:after:3.',
    })
  let left = Number(count)
  return {
    hit(hitName, hitPoint) {
      if (hitName === name && hitPoint === point && --left === 0) kill()
    },
  }
}
