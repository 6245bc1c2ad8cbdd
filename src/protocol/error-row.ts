/**
 * The form of a row of the error table (errors.ts). Owns the form; never a code.
 */

export interface ErrorRow {
  /** What it means, one sentence. */
  means: string
  /** Who can grant or mend it. */
  who: 'you' | 'operator' | 'nobody' | 'provider'
  /** What to do: a sentence or a command; `<…>` is filled from the details. */
  fix: string
}

export function row(means: string, who: ErrorRow['who'], fix: string): ErrorRow {
  return { means, who, fix }
}
