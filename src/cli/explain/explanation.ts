/**
 * What `deputy explain` answers with, whatever it was asked about. Owns the shapes only.
 */
import type { ErrorCode } from '../../protocol/errors.ts'

export interface Evidence {
  /** What this gateway shows about it now, a sentence or two each. */
  here: string[]
  /** What to type, the most likely first. */
  commands: string[]
  /** In place of the table's remedy, where the state of the home knows better. */
  fix?: string
}

export interface Explanation extends Omit<Evidence, 'fix'> {
  /** What it is about: a code, or `run <id>`, `request <id>`, `device <id>`. */
  about: string
  code: ErrorCode | null
  /** How pasted words were understood. */
  reading: string | null
  means: string
  /** Who can grant or mend it. */
  who: string
  /** What to do, as a sentence; `commands` has it to type where that is possible. */
  fix: string
}
