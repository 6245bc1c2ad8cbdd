/**
 * What a person wrote → which command, with what behind it. Pure; knows the names it is given and no command's meaning.
 *
 * Invariants: 1. never throws, whatever the text, in time linear in its length. 2. `written(parse(text))` parses to the same.
 * 3. a command stands at the very beginning of a message (spaces before it aside) and its name ends at a space, a colon or
 * the end: `/etc/hosts` is a path, `> /stop` is a quotation, and both are for the agent.
 */

/** A command's name in lower case, and what stands behind it, trimmed. */
export interface Written {
  name: string
  args: string
}

const longestName = 32

/** Whole messages that stop what is at work (openclaw-facts.md §H6). */
const stopWords = ['stop', 'abort', 'esc', 'wait', 'exit', 'interrupt']

export function parse(text: string): Written | null {
  const said = text.trimStart()
  if (!said.startsWith('/')) return null
  const name = /^[a-z][a-z0-9_-]*/i.exec(said.slice(1, longestName + 2))?.[0]
  if (name === undefined || name.length > longestName) return null
  const rest = said.slice(1 + name.length)
  if (rest !== '' && !/^[\s:]/.test(rest)) return null
  return { name: name.toLowerCase(), args: rest.replace(/^:/, '').trim() }
}

/** As it would be typed. */
export function written({ name, args }: Written): string {
  return args === '' ? `/${name}` : `/${name} ${args}`
}

/** `Stop`, `abort!` and the like: the whole message. */
export function isStopWord(text: string): boolean {
  // Long texts are no word; nothing else looks at them.
  if (text.length > 64) return false
  const word = text
    .trim()
    .replace(/[.!…]+$/u, '')
    .toLowerCase()
  return stopWords.includes(word)
}

/** The first word, and all that follows it as it was written. */
export function firstWord(text: string): { word: string; rest: string } {
  const said = text.trim()
  const end = said.search(/\s/)
  return end < 0 ? { word: said, rest: '' } : { word: said.slice(0, end), rest: said.slice(end).trim() }
}

/** A flag's value is a name or a word, never longer. */
const longestValue = 300

/**
 * Takes `--name value` off the end of a text, each name once; whatever else looks like one stays part of the words.
 */
export function trailingFlags(
  text: string,
  names: readonly string[],
): { words: string; flags: Readonly<Record<string, string>> } {
  const flags: Record<string, string> = {}
  let words = text.trim()
  for (;;) {
    const { before, last: value } = lastWord(words)
    const { before: left, last: flag } = lastWord(before)
    const name = names.find(one => flag === `--${one}` && flags[one] === undefined)
    if (name === undefined || value === '') return { words, flags }
    flags[name] = value
    words = left
  }
}

/** The last word and what stands before it; no word when it is longer than any value. */
function lastWord(text: string): { before: string; last: string } {
  const tail = text.slice(-longestValue - 1)
  const last = tail.split(/\s+/).at(-1) ?? ''
  if (last.length > longestValue) return { before: text, last: '' }
  return { before: text.slice(0, text.length - last.length).trimEnd(), last }
}
