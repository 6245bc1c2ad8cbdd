/**
 * The form of a row of the method table. Owns the form and the scope rule; never a method.
 */
import type { Scope } from '../scopes.ts'
import type { Zod } from '../zod.ts'

/** A scope that depends on the params: `base` at least, `of` exactly. `of` sees params that nobody has checked yet. */
export interface ScopeRule {
  base: Scope
  says: string
  of(params: Readonly<Record<string, unknown>>): Scope
}

export interface MethodRow<P> {
  /** What the caller must hold; null for nothing beyond being connected. */
  scope: Scope | ScopeRule | null
  /** Lowest protocol version whose hello lists it; it can be called in both. */
  since: 3 | 4
  /** Closed: an unknown property is refused. */
  params: (z: Zod) => P
}

/** Gives a row its type without widening it. */
export function method<P>(row: MethodRow<P>): MethodRow<P> {
  return row
}
