/**
 * A message from a chat as the agent reads it: who says it, what they answer to, what they passed on, what was said before.
 *
 * Pure. Owns the marks that stand around people's words. Invariants: 1. what somebody else wrote (quoted, passed on, said
 * before) is fenced as data. 2. no words, name or title can make a line that looks like a mark of the house. 3. the first
 * part of what is not a command never reads as one.
 */
import type { InboundMessage } from '../core/chat.ts'
import { unmarked, fence } from '../tools/fence.ts'

/** What was said in a group to nobody in particular. */
export interface Overheard {
  name: string
  text: string
}

const longestName = 64
const longestQuote = 4000

/** The beginnings of lines that only the house writes. */
const marks =
  /^(\s*)\[(?=\s*(?:from|edited|in reply|passed on|said here|file|picture|voice|sub-agent|message from|reply from|the previous turn|what you say|an image))/gimu

/** Somebody's own words, with nothing in them that the house might have written. */
export function plainWords(text: string): string {
  return unmarked(text).replace(marks, '$1\\[')
}

/** A name that a stranger chose, as one short word run. */
export function plainName(name: string | null, fallback: string): string {
  const plain = unmarked(name ?? '')
    .replace(/[\p{C}\p{Zl}\p{Zp}[\]<>"`\\]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  return (plain === '' ? fallback : plain).slice(0, longestName)
}

export function speaker({ sender }: Pick<InboundMessage, 'sender'>): string {
  const id = plainName(sender.id, 'somebody')
  const name = plainName(sender.name, id)
  return name === id ? id : `${name} (${id})`
}

/** The texts of a message that is no command, in order. */
export function wordsOf(message: InboundMessage, overheard: readonly Overheard[]): string[] {
  const { text, chat, quoted, forwarded, edit, id } = message
  const texts: string[] = []
  const heads: string[] = []
  if (chat.kind !== 'direct') heads.push(`[from ${speaker(message)}]`)
  if (edit !== '') heads.push(`[edited: these words replace message ${plainName(id, 'before')}]`)
  if (forwarded) heads.push('[passed on from somebody else]')
  const said = forwarded ? fence('chat message', `passed on by ${speaker(message)}`, text) : plainWords(text)
  const all = [...heads, ...(text === '' ? [] : [said])].join('\n')
  if (all !== '') texts.push(all)
  if (quoted) {
    const whose = quoted.own ? 'what you said' : `what ${plainName(quoted.sender, 'somebody')} said`
    const words = quoted.text.slice(0, longestQuote)
    texts.push(`\n[in reply to ${whose}]${words === '' ? '' : `\n${fence('chat message', whose, words)}`}`)
  }
  if (overheard.length > 0) {
    const lines = overheard.map(each => `${each.name}: ${each.text}`).join('\n')
    texts.push(`\n[said here before, to others]\n${fence('chat message', 'the group', lines)}`)
  }
  return texts
}
