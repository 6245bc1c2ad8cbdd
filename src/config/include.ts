/**
 * `$include` and `${VAR}` (openclaw-facts.md §E1): from what the file says to what it means.
 *
 * Owns both substitutions; never checks a value. Invariants: an included file lies inside the configuration's directory or
 * a directory of DEPUTY_INCLUDE_ROOTS, after links are followed; at most 10 levels; no file includes itself; the input
 * is not changed, so that a write keeps the references.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { DeputyError } from '../protocol/errors.ts'
import { isRecord } from './check.ts'
import { reason } from './home.ts'
import { maxBytes, parseText, tooLarge } from './parse.ts'
import { joinPath, type Path } from './path.ts'

const maxLevels = 10

/** `files` collects every included file, for watching. */
export function include(value: Record<string, unknown>, file: string, roots: readonly string[], files: string[]) {
  const allowed = [dirname(file), ...roots].map(real)
  const walk = (value: unknown, from: string, chain: readonly string[]): unknown => {
    if (Array.isArray(value)) return value.map(item => walk(item, from, chain))
    if (!isRecord(value)) return value
    const { $include: named, ...own } = value
    const mine = Object.fromEntries(Object.entries(own).map(([key, item]) => [key, walk(item, from, chain)]))
    if (named === undefined) return mine
    const names = Array.isArray(named) ? named : [named]
    let merged: Record<string, unknown> = {}
    for (const name of names) {
      if (typeof name !== 'string' || name === '') throw refused(from, '$include takes a file name or a list of them')
      merged = deepMerge(merged, open(name, from, chain))
    }
    return deepMerge(merged, mine)
  }
  const open = (name: string, from: string, chain: readonly string[]): Record<string, unknown> => {
    const path = isAbsolute(name) ? name : join(dirname(from), name)
    let target: string
    try {
      target = realpathSync(path)
    } catch (cause) {
      throw refused(from, `the included file ${path} cannot be read: ${reason(cause)}`, cause)
    }
    if (!allowed.some(root => inside(root, target)))
      throw refused(from, `the included file ${target} lies outside ${allowed[0]}`, undefined, includeFix)
    if (chain.includes(target)) throw refused(from, `files include each other: ${[...chain, target].join(' → ')}`)
    if (chain.length > maxLevels) throw refused(from, `files are included more than ${maxLevels} levels deep`)
    if (!files.includes(target)) files.push(target)
    return walk(parseText(readText(target, from), target), target, [...chain, target]) as Record<string, unknown>
  }
  return walk(value, file, [real(file)]) as Record<string, unknown>
}

const includeFix = 'Move it there, or name its directory in the environment variable DEPUTY_INCLUDE_ROOTS.'

function readText(path: string, from: string): string {
  try {
    const { size } = statSync(path)
    if (size > maxBytes) throw tooLarge(path, size)
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof DeputyError) throw cause
    throw refused(from, `the included file ${path} cannot be read: ${reason(cause)}`, cause)
  }
}

function refused(from: string, why: string, cause?: unknown, fix = 'Mend the $include.'): DeputyError {
  return new DeputyError('CONFIG_INVALID', `In ${from}: ${why}.`, { fix, details: { file: from }, cause })
}

function real(path: string): string {
  try {
    return realpathSync(path)
  } catch (cause) {
    if ((cause as { code?: string }).code === 'ENOENT') return path
    throw cause
  }
}

function inside(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '' && !way.startsWith('..') && !isAbsolute(way)
}

/** Objects key by key; anything else of `over` replaces. */
function deepMerge(under: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...under }
  for (const [key, value] of Object.entries(over)) {
    const before = Object.hasOwn(merged, key) ? merged[key] : undefined
    merged[key] = isRecord(before) && isRecord(value) ? deepMerge(before, value) : value
  }
  return merged
}

/** A `${NAME}` without a value. */
export interface Missing {
  path: string
  name: string
}

/** Puts the values of `env` for `${NAME}` in every string; `$${NAME}` is `${NAME}` itself. Names no value was found for are in `missing`. */
export function substitute(
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
): { value: unknown; missing: Missing[] } {
  const missing: Missing[] = []
  const walk = (value: unknown, path: Path): unknown => {
    if (typeof value === 'string') {
      if (!value.includes('${')) return value
      return value.replace(/(\$?)\$\{([A-Z_][A-Z0-9_]*)\}/g, (whole, doubled: string, name: string) => {
        if (doubled) return whole.slice(1)
        const found = Object.hasOwn(env, name) ? env[name] : undefined
        if (found === undefined) missing.push({ path: joinPath(path), name })
        return found ?? whole
      })
    }
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]))
    if (!isRecord(value)) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, [...path, key])]))
  }
  return { value: walk(value, []), missing }
}
