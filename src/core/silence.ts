/**
 * The words by which an agent says that it has nothing to say (openclaw-facts.md §D6). Owns the words and what counts as one.
 *
 * Only a reply that is nothing but such a word is silent: a sentence that mentions it is said.
 */

/** `NO_REPLY` in a conversation; `ANNOUNCE_SKIP` where a child's end would be told. */
const words: readonly string[] = ['NO_REPLY', 'ANNOUNCE_SKIP']

export function isSilent(text: string): boolean {
  return words.includes(text.trim())
}

/** Whether words that are still being written may yet turn out to be silent. */
export function maybeSilent(text: string): boolean {
  const begun = text.trim()
  return words.some(word => word.startsWith(begun))
}
