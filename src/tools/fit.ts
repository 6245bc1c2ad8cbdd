/**
 * From what a model wrote to what a tool's schema describes, as far as the meaning is beyond doubt.
 *
 * Owns the known habits of models: numbers and booleans as text, extra nulls, arguments as a JSON string, a list given as
 * one value, snake_case, other names for the same thing. Never guesses a value and never drops one that says something:
 * what is not known is refused, and the refusal names what is allowed. Pure.
 */

export interface ValueSchema {
  type?: string
  enum?: readonly unknown[]
  minimum?: number
  maximum?: number
  properties?: Record<string, ValueSchema>
  items?: ValueSchema
}

export interface ObjectSchema extends ValueSchema {
  properties: Record<string, ValueSchema>
  required?: readonly string[]
}

export interface Habits {
  /** Other names for a parameter. */
  aliases?: Readonly<Record<string, string>>
  /** Other words for a value, by parameter. */
  values?: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Known elsewhere and without effect here, as long as the value is one of these; an empty list is any value. */
  fixed?: Readonly<Record<string, readonly unknown[]>>
  /** Why other values of a fixed parameter are not to be had. */
  why?: Readonly<Record<string, string>>
  /** Never allowed, and why. */
  refused?: Readonly<Record<string, string>>
}

export type Fitted = { ok: true; args: Record<string, unknown> } | { ok: false; problem: string }

export function fitArguments(raw: unknown, schema: ObjectSchema, habits: Habits): Fitted {
  const given = asObject(raw)
  if (!given) return no('the arguments are not a JSON object')
  const names = new Map(Object.keys(schema.properties).map(name => [plain(name), name]))
  for (const [alias, name] of Object.entries(habits.aliases ?? {})) names.set(plain(alias), name)
  const args: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue
    const name = names.get(plain(key))
    const why = name ? null : besides(key, value, habits)
    if (why) return no(why)
    if (!name || (value === '' && !schema.required?.includes(name))) continue
    const meant = fitValue(value, schema.properties[name] ?? {}, habits.values?.[name])
    if (name in args && JSON.stringify(args[name]) !== JSON.stringify(meant)) return no(`${name} is given twice`)
    args[name] = meant
  }
  for (const [name, value] of Object.entries(args)) {
    const allowed = schema.properties[name]?.enum
    if (allowed && !allowed.includes(value)) return no(`${name} is ${show(value)}; allowed: ${allowed.join(', ')}`)
  }
  const missing = (schema.required ?? []).filter(name => !(name in args))
  return missing.length > 0 ? no(`${missing.join(' and ')} missing`) : { ok: true, args }
}

function no(problem: string): Fitted {
  return { ok: false, problem }
}

/** What is wrong with a parameter that the schema does not have; null when it says nothing that matters here. */
function besides(key: string, value: unknown, { refused, fixed, why }: Habits): string | null {
  const named = (table: object = {}) => Object.keys(table).find(name => plain(name) === plain(key))
  const no = named(refused)
  if (no !== undefined) return `${key} is not allowed: ${refused![no]}`
  const known = named(fixed)
  if (known === undefined) return `there is no parameter ${show(key)}`
  const harmless = fixed![known]!
  if (harmless.length === 0 || harmless.includes(value)) return null
  const reason = why && Object.hasOwn(why, known) ? `: ${why[known]}` : ''
  return `${key} can only be ${harmless.map(show).join(' or ')} here${reason}`
}

/** The parameters in one line, for the answer to a call that did not fit. */
export function signature(schema: ObjectSchema): string {
  const list = Object.entries(schema.properties).map(([name, value]) => {
    const required = schema.required?.includes(name) ? ', required' : ''
    return `${name} (${kind(value)}${required})`
  })
  return list.length > 0 ? `Parameters: ${list.join(', ')}` : 'It takes no parameters'
}

function kind(value: ValueSchema): string {
  if (value.enum) return value.enum.join(' | ')
  const range = value.minimum !== undefined || value.maximum !== undefined
  const bounds = range ? ` ${value.minimum ?? ''}–${value.maximum ?? ''}` : ''
  return `${value.type === 'array' ? `list of ${value.items?.type ?? 'values'}` : (value.type ?? 'any')}${bounds}`
}

/** One spelling for camelCase, snake_case and kebab-case. */
function plain(name: string): string {
  return name.replace(/[_-]/g, '').toLowerCase()
}

function asObject(raw: unknown): Record<string, unknown> | null {
  if (raw === null || raw === undefined || raw === '') return {}
  const value = typeof raw === 'string' ? parsed(raw) : raw
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function fitValue(value: unknown, schema: ValueSchema, words?: Readonly<Record<string, string>>): unknown {
  return typeof value === 'string' && words && Object.hasOwn(words, value) ? words[value] : coerce(value, schema)
}

function coerce(value: unknown, schema: ValueSchema): unknown {
  if (schema.type === 'number' || schema.type === 'integer') {
    return typeof value === 'string' && /^\s*-?\d+(\.\d+)?\s*$/.test(value) ? Number(value) : value
  }
  if (schema.type === 'boolean') {
    if (value === 'true' || value === 1) return true
    if (value === 'false' || value === 0) return false
    return value
  }
  if (schema.type === 'string') {
    return typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
  }
  if (schema.type === 'array') {
    const list = typeof value === 'string' && value.trimStart().startsWith('[') ? (parsed(value) ?? value) : value
    return (Array.isArray(list) ? list : [list]).map(item => coerce(item, schema.items ?? {}))
  }
  if (schema.type === 'object') {
    const object = asObject(value)
    if (!object || !schema.properties) return object ?? value
    const kept = Object.entries(object).filter(([, item]) => item !== null)
    return Object.fromEntries(kept.map(([name, item]) => [name, coerce(item, schema.properties?.[name] ?? {})]))
  }
  return value
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
