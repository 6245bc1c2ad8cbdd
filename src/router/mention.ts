/**
 * Whether words address the account by a pattern of the configuration.
 *
 * Owns the bound on what a pattern may cost: only the beginning of a text is looked at, and one that takes too long is
 * broken off and counts as not matching. The patterns are the operator's; the text is a stranger's.
 */
import { createContext, Script } from 'node:vm'

const longestText = 2000
const longestMs = 25

export interface Mentions {
  matches(patterns: readonly string[], text: string): boolean
}

export function openMentions(): Mentions {
  const facts = { pattern: '', text: '' }
  const context = createContext(facts)
  const script = new Script('new RegExp(pattern, "iu").test(text)')
  return {
    matches: (patterns, text) =>
      patterns.some(pattern => {
        facts.pattern = pattern
        facts.text = text.slice(0, longestText)
        try {
          return script.runInContext(context, { timeout: longestMs }) === true
        } catch {
          return false
        }
      }),
  }
}
