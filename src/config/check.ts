/**
 * Holds a parsed configuration against the table: problems, warnings, and the same values with defaults filled in.
 *
 * Never reads a file, never throws for content. Invariants: an unknown key is a warning, never a problem; every problem
 * names the key, what was found and what is allowed; the value of a secret is in no message; the input is not changed.
 */
import type { AnyRule } from './kit.ts'
import { nearest } from './nearest.ts'
import { joinPath, type Path } from './path.ts'

/** `path` as a person would write it: `agents.list[0].model`. */
export interface Finding {
  path: string
  message: string
}

export interface Checked {
  value: unknown
  issues: Finding[]
  warnings: Finding[]
}

export function check(rule: AnyRule, value: unknown): Checked {
  const issues: Finding[] = []
  const warnings: Finding[] = []
  const walk = (rule: AnyRule, value: unknown, path: Path): unknown => {
    const wrong = (allowed: string): undefined => {
      issues.push({ path: joinPath(path), message: `found ${found(rule, value)}; allowed: ${allowed}` })
      return undefined
    }
    switch (rule.kind) {
      case 'open':
        return value
      case 'text':
        if (value === undefined) return rule.default
        if (typeof value !== 'string') return wrong(allows(rule))
        if (rule.oneOf && !rule.oneOf.includes(value)) return wrong(allows(rule))
        return rule.pattern && !rule.pattern.test(value) ? wrong(allows(rule)) : value
      case 'number': {
        if (value === undefined) return rule.default
        if (typeof value !== 'number' || !Number.isFinite(value)) return wrong(allows(rule))
        if ((rule.whole && !Number.isSafeInteger(value)) || value < rule.min || value > rule.max)
          return wrong(allows(rule))
        const [low, high] = rule.usual ?? [value, value]
        if (value < low || value > high)
          warnings.push({
            path: joinPath(path),
            message: `${value} is outside the recommended ${low}–${high}; it is taken as it is`,
          })
        return value
      }
      case 'flag':
        if (value === undefined) return rule.default
        return typeof value === 'boolean' ? value : wrong(allows(rule))
      case 'secret':
        if (value === undefined || typeof value === 'string' || isSecretRef(value)) return value
        return wrong(allows(rule))
      case 'list':
        if (value === undefined) return rule.filled ? [] : undefined
        if (!Array.isArray(value)) return wrong(allows(rule))
        return value.map((item, index) => walk(rule.of, item, [...path, index])).filter(item => item !== undefined)
      case 'map': {
        if (value !== undefined && !isRecord(value)) return wrong(allows(rule))
        const filled: Record<string, unknown> = Object.create(null)
        for (const [key, item] of Object.entries(value ?? {})) {
          if (rule.key && !rule.key.pattern.test(key))
            issues.push({
              path: joinPath([...path, key]),
              message: `found the name ${show(key)}; allowed: ${rule.key.means}`,
            })
          else filled[key] = walk(rule.of, item, [...path, key])
        }
        return filled
      }
      case 'object': {
        if (value === undefined && !rule.filled) return undefined
        if (value !== undefined && !isRecord(value)) return wrong(allows(rule))
        return fields(rule, value ?? {}, path)
      }
      case 'either': {
        if (value === undefined) return undefined
        const fit = rule.of.find(option => takes(option, value))
        return fit ? walk(fit, value, path) : wrong(allows(rule))
      }
    }
  }
  const fields = (rule: AnyRule & { kind: 'object' }, value: Record<string, unknown>, path: Path): unknown => {
    const filled: Record<string, unknown> = {}
    const read = new Set<string>()
    for (const [key, field] of Object.entries(rule.fields)) {
      const name =
        field.was !== undefined && !Object.hasOwn(value, key) && Object.hasOwn(value, field.was) ? field.was : key
      read.add(name)
      const item = walk(field, Object.hasOwn(value, name) ? value[name] : undefined, [...path, name])
      if (item !== undefined) filled[key] = item
    }
    for (const key of Object.keys(value)) {
      if (!read.has(key)) warnings.push({ path: joinPath([...path, key]), message: unknown(rule, key) })
    }
    return filled
  }
  return { value: walk(rule, value, []), issues, warnings }
}

function unknown(rule: AnyRule & { kind: 'object' }, key: string): string {
  if (rule.known.includes(key)) return 'this key of OpenClaw is not used by Deputy and is ignored'
  const meant = nearest(key, [...Object.keys(rule.fields), ...rule.known])
  return meant === null ? 'unknown key, ignored' : `unknown key, ignored; did you mean "${meant}"?`
}

/** Whether a value has the JSON type that the rule is about. */
function takes(rule: AnyRule, value: unknown): boolean {
  switch (rule.kind) {
    case 'open':
      return true
    case 'text':
      return typeof value === 'string'
    case 'number':
      return typeof value === 'number'
    case 'flag':
      return typeof value === 'boolean'
    case 'secret':
      return typeof value === 'string' || isRecord(value)
    case 'list':
      return Array.isArray(value)
    case 'map':
    case 'object':
      return isRecord(value)
    case 'either':
      return rule.of.some(option => takes(option, value))
  }
}

function allows(rule: AnyRule): string {
  switch (rule.kind) {
    case 'open':
      return 'anything'
    case 'text':
      if (rule.oneOf) return rule.oneOf.map(value => `"${value}"`).join(', ')
      return rule.means ?? 'a string'
    case 'number': {
      const kind = rule.whole ? 'a whole number' : 'a number'
      const max = rule.max >= 1e12 ? null : rule.max
      return max === null ? `${kind} of at least ${rule.min}` : `${kind} from ${rule.min} to ${max}`
    }
    case 'flag':
      return 'true or false'
    case 'secret':
      return 'a string, or {source: "env"|"file"|"exec", provider, id}'
    case 'list':
      return `a list, each item ${allows(rule.of)}`
    case 'map':
      return 'an object'
    case 'object':
      return `an object with ${Object.keys(rule.fields).slice(0, 6).join(', ')}${Object.keys(rule.fields).length > 6 ? ', …' : ''}`
    case 'either':
      return rule.of.map(allows).join('; or ')
  }
}

/** What was found, in at most a line; never the value of a secret. */
function found(rule: AnyRule, value: unknown): string {
  if (rule.kind === 'secret') return Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`
  return show(value)
}

function show(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'number') return String(value)
  const plain = JSON.stringify(value) ?? String(value)
  return plain.length > 60 ? `${plain.slice(0, 57)}…"` : plain
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isSecretRef(
  value: unknown,
): value is { source: 'env' | 'file' | 'exec'; provider: string; id: string } {
  return (
    isRecord(value) &&
    ['env', 'file', 'exec'].includes(value['source'] as string) &&
    typeof value['provider'] === 'string' &&
    /^[a-z][a-z0-9_-]{0,63}$/.test(value['provider']) &&
    typeof value['id'] === 'string' &&
    value['id'] !== ''
  )
}
