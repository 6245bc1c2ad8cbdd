/**
 * Whether somebody may do what a method needs, and the arithmetic of scopes that grants and devices share.
 * Owns no list: the scopes and what each implies are protocol/scopes.ts, what a method needs is the method table's.
 */
import { covers, type Scope, scopes as everyScope } from '../protocol/scopes.ts'

/** What a method needs: nothing, a scope, all of several, or what its rule said about these parameters. */
export type Needed = null | Scope | readonly Scope[]

export type Authorized =
  | { ok: true }
  | { ok: false; code: 'MISSING_SCOPE'; missing: readonly Scope[]; required: readonly Scope[]; message: string }

export function authorize(held: readonly Scope[], needed: Needed): Authorized {
  const required = needed === null ? [] : typeof needed === 'string' ? [needed] : needed
  const missing = missingScopes(held, required)
  if (missing.length === 0) return { ok: true }
  return { ok: false, code: 'MISSING_SCOPE', missing, required, message: `missing scope: ${missing.join(', ')}` }
}

/** The scopes of `needed` that `held` does not cover, in order, without repeats. */
export function missingScopes(held: readonly Scope[], needed: readonly Scope[]): Scope[] {
  return [...new Set(needed)].filter(scope => !covers(held, scope))
}

/** All that both sides cover, without what another scope of the answer implies. */
export function meet(one: readonly Scope[], other: readonly Scope[]): Scope[] {
  const both = everyScope.filter(scope => covers(one, scope) && covers(other, scope))
  return both.filter(scope => !both.some(wider => wider !== scope && covers([wider], scope)))
}
