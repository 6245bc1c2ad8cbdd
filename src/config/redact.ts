/**
 * Configuration made fit to be shown: every secret replaced by one word, and put back when that word is written again
 * (openclaw-facts.md §C4).
 *
 * Never resolves a reference. Invariants: what the table calls a secret, what has a secret's name anywhere else, and an
 * address with a password in it are never shown; a reference (`{source,…}` or `${NAME}` alone) holds no value and is.
 */
import { isDeepStrictEqual } from 'node:util'
import { DeputyError } from '../protocol/errors.ts'
import { isRecord } from './check.ts'
import type { AnyRule } from './kit.ts'
import { parseText } from './parse.ts'
import { joinPath, type Path } from './path.ts'
import { root } from './schema.ts'

/** OpenClaw's word, since its clients look for it. */
export const redacted = '__OPENCLAW_REDACTED__'

/** Names of keys and variables whose values are secrets wherever they stand. */
export function isSecretName(name: string): boolean {
  return /(token|password|passwd|passphrase|secret|api_?key|private_?key|access_?key|credentials?|authorization|cookie)$/i.test(
    name,
  )
}

/** A copy with secrets replaced. */
export function redact<T>(value: T): T {
  return walk(value, [], root, [], (_, text, kind) => (kind === 'plain' ? text : redacted)) as T
}

/** Every secret string in a configuration, by path. Not `sure`: a variable or header that may hold one. */
export function secretsIn(value: unknown): { path: string; value: string; sure: boolean }[] {
  const found: { path: string; value: string; sure: boolean }[] = []
  walk(value, [], root, [], (path, text, kind) => {
    if (kind !== 'plain') found.push({ path: joinPath(path), value: text, sure: kind === 'secret' })
    return text
  })
  return found
}

/** Text of the file with its secrets replaced; null when that can't be done without changing anything else. */
export function redactText(text: string, source: unknown): string | null {
  let shown = text
  const values = new Set(secretsIn(source).map(secret => secret.value))
  for (const value of [...values].sort((a, b) => b.length - a.length)) {
    if (value !== '') shown = shown.replaceAll(JSON.stringify(value).slice(1, -1), redacted)
  }
  try {
    return isDeepStrictEqual(parseText(shown, ''), redact(source)) ? shown : null
  } catch (error) {
    if (error instanceof DeputyError) return null
    throw error
  }
}

/**
 * Puts stored values back where `incoming` says the redaction word. Items of a list are matched by `id` where they have
 * one, else by place. Throws `CONFIG_INVALID` where nothing is stored.
 */
export function unredact(incoming: unknown, stored: unknown, path: Path = []): unknown {
  if (incoming === redacted) {
    if (typeof stored === 'string' && stored !== redacted) return stored
    throw new DeputyError(
      'CONFIG_INVALID',
      `${joinPath(path)} says ${redacted}, and there is no stored value to keep.`,
      {
        fix: 'Write the value itself, or leave the key out.',
        details: { key: joinPath(path) },
      },
    )
  }
  if (Array.isArray(incoming)) {
    const before = Array.isArray(stored) ? stored : []
    return incoming.map((item, index) => unredact(item, counterpart(item, before, index), [...path, index]))
  }
  if (!isRecord(incoming)) return incoming
  const before = isRecord(stored) ? stored : {}
  return Object.fromEntries(
    Object.entries(incoming).map(([key, item]) => [
      key,
      unredact(item, Object.hasOwn(before, key) ? before[key] : undefined, [...path, key]),
    ]),
  )
}

/** The stored item that an item of a list was shown from. */
function counterpart(item: unknown, before: readonly unknown[], index: number): unknown {
  const id = isRecord(item) ? item['id'] : undefined
  if (typeof id !== 'string') return before[index]
  const same = (other: unknown) => isRecord(other) && other['id'] === id
  return same(before[index]) ? before[index] : before.find(same)
}

type Kind = 'secret' | 'perhaps' | 'plain'
type Visit = (path: Path, text: string, kind: Kind) => string

/** Copies a value, each string as `visit` gives it. `names` are the keys above. */
function walk(value: unknown, path: Path, rule: AnyRule | null, names: readonly string[], visit: Visit): unknown {
  if (typeof value === 'string') return visit(path, value, kindOf(value, rule, names))
  if (Array.isArray(value))
    return value.map((item, index) => walk(item, [...path, index], itemRule(rule), names, visit))
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      const below = item === undefined || isReference(value) ? [] : [...names, key]
      return [key, walk(item, [...path, key], memberRule(rule, key), below, visit)]
    }),
  )
}

function kindOf(value: string, rule: AnyRule | null, names: readonly string[]): Kind {
  if (value === '' || value === redacted || /^\$\{[A-Z_][A-Z0-9_]*\}$/.test(value)) return 'plain'
  if (rule?.kind === 'secret') return 'secret'
  if (rule?.kind === 'text' && rule.oneOf) return 'plain'
  const [name, above] = [names.at(-1), names.at(-2)]
  if (name !== undefined && isSecretName(name)) return 'secret'
  if (/^[a-z][a-z0-9+.-]*:\/\/[^/\s:@]*:[^/\s@]+@/i.test(value)) return 'secret'
  return above !== undefined && ['env', 'vars', 'headers'].includes(above) ? 'perhaps' : 'plain'
}

function isReference(value: Record<string, unknown>): boolean {
  return typeof value['source'] === 'string' && typeof value['id'] === 'string'
}

function itemRule(rule: AnyRule | null): AnyRule | null {
  if (rule?.kind === 'list') return rule.of
  return rule?.kind === 'either' ? itemRule(rule.of.find(option => option.kind === 'list') ?? null) : null
}

function memberRule(rule: AnyRule | null, key: string): AnyRule | null {
  if (rule?.kind === 'map') return rule.of
  if (rule?.kind === 'object') return Object.hasOwn(rule.fields, key) ? rule.fields[key]! : null
  if (rule?.kind !== 'either') return null
  return memberRule(rule.of.find(option => option.kind === 'object' || option.kind === 'map') ?? null, key)
}
