/**
 * Which keys are read at the start only (openclaw-facts.md §E11). Owns the list.
 */
const atStart = /^(gateway\.(port|bind|customBindHost)\b|store\b|logging\.file\b)/

export function restartNeeded(path: string): boolean {
  return atStart.test(path)
}
