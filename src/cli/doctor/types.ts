/**
 * What a check of the doctor is and what it answers with. Owns the shapes only.
 *
 * Invariants: a check changes nothing; a finding has its evidence, so that it can be believed, and its fix, so that nobody
 * has to ask; only a `mend` changes something, and only what is certain.
 */
import type { Client } from '../../client/connect.ts'
import type { Config } from '../../config/config.ts'
import type { ConfigStore } from '../../config/types.ts'
import type { Status } from '../../protocol/results.ts'
import type { Context } from '../context.ts'

/** `error`: something does not work. `warning`: it works, and not as it is meant or not safely. */
export type Level = 'error' | 'warning'

export interface Finding {
  /** `<check>.<what>`: stable, so that scripts and docs/doctor.md may name it. */
  id: string
  level: Level
  what: string
  why: string
  evidence: string
  /** A command where there is one, else a sentence. */
  fix: string
  /** Mends it and says in words what was done; null when a person has to decide. */
  mend: (() => Promise<string> | string) | null
}

export interface Verdict {
  /** What was looked at and is as it should be, a line each. */
  says: readonly string[]
  findings: readonly Finding[]
}

/** The gateway of the home, as it was found. */
export type Found =
  | { state: 'running'; client: Client; status: Status }
  | { state: 'stopped' }
  /** A process holds the home and does not answer. */
  | { state: 'silent'; pid: number | null; why: string }

export interface Patient {
  context: Context
  config: ConfigStore
  /** Null when the file does not pass its check. */
  settings: Config | null
  gateway: Found
}

export interface Check {
  id: string
  title: string
  run(patient: Patient): Promise<Verdict>
}

export function finding(
  id: string,
  level: Level,
  about: Omit<Finding, 'id' | 'level' | 'mend'> & Partial<Pick<Finding, 'mend'>>,
): Finding {
  return { mend: null, ...about, id, level }
}
