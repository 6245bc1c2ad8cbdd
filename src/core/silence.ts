/**
 * The words by which an agent says that it has nothing to say (openclaw-facts.md §D2, §D6). Owns the words and what counts as
 * one.
 *
 * Only a reply that is nothing but such a word is silent: a sentence that mentions it is said. A silent reply stays in the
 * journal as it was written; people and other agents are shown nothing of it.
 */
import type { Message } from './types.ts'

/**
 * `NO_REPLY` in a conversation; `ANNOUNCE_SKIP` where a child's end would be told; `REPLY_SKIP` to another agent. OpenClaw
 * takes each of them, in any case, for the same in every place where a reply is shown.
 */
const words: readonly string[] = ['NO_REPLY', 'ANNOUNCE_SKIP', 'REPLY_SKIP']

export function isSilent(text: string): boolean {
  return words.includes(text.trim().toUpperCase())
}

/** Whether words that are still being written may yet turn out to be silent. */
export function maybeSilent(text: string): boolean {
  const begun = text.trim().toUpperCase()
  return words.some(word => word.startsWith(begun))
}

/** Whether a message of a transcript is a silent reply: such words, and besides them at most what the model thought. */
export function isSilentReply({ role, parts }: Pick<Message, 'role' | 'parts'>): boolean {
  if (role !== 'assistant' || parts.some(({ type }) => type !== 'text' && type !== 'thinking')) return false
  return isSilent(parts.map(part => (part.type === 'text' ? part.text : '')).join(''))
}
