/**
 * Texts in which secret values are replaced by `${secret:NAME}`, and back (decisions.md 19). Pure.
 *
 * Owns the placeholder's form. Invariants: reveal(hide(x)) is x; what looks like a placeholder before hiding is a text after
 * revealing, so nobody can ask for a value by writing its name; hide leaves no value in a text.
 */
import { DeputyError } from '../protocol/errors.ts'

export interface Placeholders {
  known: readonly { name: string; value: string }[]
  hide<T>(value: T): T
  /** Throws `CONFIG_SECRET_UNRESOLVED` for a name without a value. */
  reveal<T>(value: T): T
}

/** Shorter values are not hidden: they would be found in ordinary words. */
const shortest = 8

/** Of two names for one value the first is written; both are understood. */
export function makePlaceholders(secrets: readonly { name: string; value: string }[]): Placeholders {
  const byName = new Map<string, string>()
  const byValue = new Map<string, string>()
  for (const { name, value } of secrets) {
    if (value.length < shortest) continue
    const plain = name.replace(/[{}\s]/g, '_')
    let free = plain
    for (let n = 2; byName.has(free) && byName.get(free) !== value; n++) free = `${plain}#${n}`
    byName.set(free, value)
    if (!byValue.has(value)) byValue.set(value, free)
  }
  const longestFirst = [...byValue.keys()].sort((a, b) => b.length - a.length)
  const pattern = new RegExp(['\\$\\{secret!*:', ...longestFirst.map(escaped)].join('|'), 'g')

  const hide = (text: string): string =>
    text.replace(pattern, match => {
      const name = byValue.get(match)
      return name === undefined ? `${match.slice(0, -1)}!:` : `\${secret:${name}}`
    })

  const reveal = (text: string): string => {
    if (!text.includes('${secret')) return text
    return text.replace(
      /\$\{secret:([^}]*)\}|\$\{secret!(!*):/g,
      (_, name: string | undefined, marks: string | undefined) => {
        if (name === undefined) return `\${secret${marks}:`
        const value = byName.get(name)
        if (value !== undefined) return value
        const message = `The secret ${name} that is needed here is not there any more.`
        throw new DeputyError('CONFIG_SECRET_UNRESOLVED', message, { details: { name } })
      },
    )
  }

  return {
    known: [...byName].map(([name, value]) => ({ name, value })),
    hide: value => mapStrings(value, hide),
    reveal: value => mapStrings(value, reveal),
  }
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}

/** A copy of a JSON value with every string and every key changed. */
function mapStrings<T>(value: T, change: (text: string) => string): T {
  const walk = (value: unknown): unknown => {
    if (typeof value === 'string') return change(value)
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [change(key), walk(item)]))
  }
  return walk(value) as T
}
