/**
 * A run that is taken in the very transaction that makes it, when a slot is free and nobody waits for one: its message, the
 * claim and the first call's intent share a commit, and its first request leaves one commit earlier.
 *
 * Owns the order around that transaction. The decisions are those of any claim, made last, on the rows that the transaction
 * has just written: what is committed is what two transactions in a row would have committed.
 *
 * Invariants: a slot that was taken is begun or given back, once; what a claim can't do never keeps its run from being made.
 */
import type { Lane } from '../core/types.ts'
import type { WriteName } from '../store/crash.ts'
import type { Tx } from '../store/open.ts'
import type { Bells } from './room.ts'

/** A run that is about to be made. */
export interface Expected {
  id: string
  agent: string
  lane: Lane
}

/** Names what a transaction turned out to be. */
export type Named = (name: WriteName) => void

export type Claim = (tx: Tx, is: Named) => Promise<void>

export interface EarlyClaim {
  /** At the beginning of a body, which may run twice: what it calls last, when it has made the run. */
  start(): Claim
  /** True when the claim of the last body threw. */
  failed(): boolean
  /** The last body has been committed: true when the run was taken in it, and `begin` is owed. */
  settled(): boolean
  /** Works on, and tells that it has started. */
  begin(): void
  /** No run was taken. */
  leave(): void
}

/** Null when no slot is free for it, or it can't be prepared now: then it is claimed as any other. */
export type Early = (run: Expected) => Promise<EarlyClaim | null>

export interface Made<T> {
  value: T
  /** Those for what the transaction has done: nobody needs to be rung for a run that was taken. */
  bells: Bells
  begin(): void
}

const unclaimed = (): Claim => () => Promise.resolve()

/** `write` puts one transaction; its body calls `start` first, and what that gave last, if it has made the run. */
export async function makeEarly<T>(
  early: EarlyClaim | null,
  run: string,
  bells: Bells,
  write: (start: () => Claim) => Promise<T>,
): Promise<Made<T>> {
  const plain = async () => ({ value: await write(unclaimed), bells, begin: () => undefined })
  if (early === null) return plain()
  let value: T
  try {
    value = await write(early.start)
  } catch (error) {
    early.leave()
    if (!early.failed()) throw error
    return plain()
  }
  if (early.settled()) {
    const others: Bells = { ...bells, queued: runs => bells.queued(runs.filter(({ id }) => id !== run)) }
    return { value, bells: others, begin: early.begin }
  }
  early.leave()
  return { value, bells, begin: () => undefined }
}
