/**
 * Text made fit to be read by another conversation: what looks like a secret is covered (decisions.md 19).
 *
 * Owns the shapes of secrets that are known by their looks; known values are hidden before, by name. Never the only guard:
 * a secret without such a shape is not seen here.
 */

const covered = '[redacted]'

const shapes: readonly RegExp[] = [
  /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]{0,10000}?(-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
  /\b(sk|pk|rk)[-_](?:[a-z]{2,12}[-_]){0,3}[A-Za-z0-9_-]{16,}/g,
  /\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{18,})/g,
  /\bxox[abposr]-[A-Za-z0-9-]{10,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bAIza[A-Za-z0-9_-]{30,}/g,
  /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/g,
  /\b\d{8,10}:AA[A-Za-z0-9_-]{30,}/g,
]
/** A name that says secret, and its value. */
const named =
  /\b((?:api[-_]?key|(?:access|auth|refresh|bot)[-_]?token|token|secret|passw(?:or)?d)["']?\s{0,3}[:=]\s{0,3}["']?|bearer\s{1,3})([A-Za-z0-9+/=_.-]{12,})/gi

/** `patterns` are the operator's own (`logging.redactPatterns`), checked when the configuration was read. */
export function veil(text: string, patterns: readonly string[]): string {
  let shown = text
  for (const shape of shapes) shown = shown.replace(shape, covered)
  shown = shown.replace(named, (_, name: string) => `${name}${covered}`)
  for (const pattern of patterns) shown = shown.replace(new RegExp(pattern, 'g'), covered)
  return shown
}
