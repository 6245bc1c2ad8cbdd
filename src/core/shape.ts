/**
 * Whether words are the JSON value that was asked for: a plain part of JSON Schema (draft 2020-12), checked by hand.
 *
 * Owns which keywords are understood; a schema with any other is refused before work begins, never half checked. Pure.
 * Invariants: 1 neither schema nor value can make a check run long or deep: both are counted. 2 `pattern` is not among the
 * keywords, since an expression from a model can run for ever. 3 what is wrong is said with its place, a few at most.
 */

type Json = Readonly<Record<string, unknown>>

/** Keywords that say something about a value, and what their own value must be. */
const keywords: Readonly<Record<string, (value: unknown) => boolean>> = {
  type: value => [value].flat().every(name => types.includes(name as string)),
  enum: Array.isArray,
  const: () => true,
  properties: value => isObject(value) && Object.values(value).every(isSchema),
  required: value => Array.isArray(value) && value.every(name => typeof name === 'string'),
  additionalProperties: isSchema,
  minProperties: isCount,
  maxProperties: isCount,
  items: isSchema,
  prefixItems: isSchemas,
  minItems: isCount,
  maxItems: isCount,
  uniqueItems: value => typeof value === 'boolean',
  minimum: isNumber,
  maximum: isNumber,
  exclusiveMinimum: isNumber,
  exclusiveMaximum: isNumber,
  multipleOf: value => isNumber(value) && (value as number) > 0,
  minLength: isCount,
  maxLength: isCount,
  anyOf: isSchemas,
  oneOf: isSchemas,
  allOf: isSchemas,
  not: isSchema,
  $ref: value => typeof value === 'string' && /^#(\/(\$defs|definitions)\/[^/]+)?$/.test(value),
  $defs: value => isObject(value) && Object.values(value).every(isSchema),
  definitions: value => isObject(value) && Object.values(value).every(isSchema),
}
const types = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']
const silent = ['title', 'description', 'default', 'examples', 'format', 'deprecated', '$schema', '$id', '$comment']

const longestSchema = 20_000
const deepest = 40
const mostChecks = 100_000
const mostSaid = 6

/** A sentence about what in a schema can't be checked here; null when all of it can. */
export function schemaProblem(schema: unknown): string | null {
  if (!isObject(schema)) return 'outputSchema must be a JSON Schema object'
  if (JSON.stringify(schema).length > longestSchema) return `outputSchema is longer than ${longestSchema} characters`
  return problemAt(schema, schema, 'outputSchema', 0)
}

function problemAt(schema: unknown, root: Json, at: string, depth: number): string | null {
  if (typeof schema === 'boolean') return null
  if (depth > deepest) return `${at} is nested too deeply`
  for (const [name, value] of Object.entries(schema as Json)) {
    if (silent.includes(name)) continue
    const fits = Object.hasOwn(keywords, name) ? keywords[name] : undefined
    if (!fits)
      return `${at} has the keyword ${JSON.stringify(name.slice(0, 40))}, which is not checked here; known: ${Object.keys(keywords).join(', ')}`
    if (!fits(value)) return `${at}.${name} is not what JSON Schema allows`
    if (name === '$ref' && target(root, value as string) === undefined) return `${at}.$ref points to nothing`
    for (const [key, below] of parts(name, value)) {
      const problem = problemAt(below, root, `${at}.${name}${key === '' ? '' : `.${key}`}`, depth + 1)
      if (problem) return problem
    }
  }
  return null
}

function parts(name: string, value: unknown): [string, unknown][] {
  if (['properties', '$defs', 'definitions'].includes(name)) return Object.entries(value as Json)
  if (['prefixItems', 'anyOf', 'oneOf', 'allOf'].includes(name))
    return (value as unknown[]).map((one, at) => [String(at), one])
  return ['items', 'additionalProperties', 'not'].includes(name) ? [['', value]] : []
}

/** What is wrong with words that should be one JSON value of this schema; empty when they are. One code fence is taken off. */
export function misfits(schema: Json, text: string): string[] {
  const inside = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?```\s*$/i.exec(text)?.[1] ?? text
  let value: unknown
  try {
    value = JSON.parse(inside)
  } catch (error) {
    return [`the result is not one JSON value (${(error as Error).message.slice(0, 160)})`]
  }
  const state: State = { root: schema, checks: 0, said: [] }
  check(schema, value, '', 0, state)
  if (state.checks > mostChecks) return ['the result is too large to be checked against its schema']
  return state.said.slice(0, mostSaid)
}

interface State {
  root: Json
  checks: number
  said: string[]
}

function check(schema: unknown, value: unknown, at: string, depth: number, state: State): void {
  const say = (what: string) => {
    if (state.said.length <= mostSaid) state.said.push(`${at === '' ? 'the result' : at} ${what}`)
  }
  state.checks += 1
  if (schema === true || state.checks > mostChecks) return
  if (schema === false || depth > deepest * 2) {
    say(schema === false ? 'is not allowed' : 'is nested too deeply')
    return
  }
  const rules = schema as Json
  const inner = (rule: unknown, item: unknown, name: string) => check(rule, item, name, depth + 1, state)
  /** Whether a schema fits, with nothing said. */
  const fits = (rule: unknown) => {
    const quiet: State = { root: state.root, checks: state.checks, said: [] }
    check(rule, value, at, depth + 1, quiet)
    state.checks = quiet.checks
    return quiet.said.length === 0
  }
  if (rules['$ref'] !== undefined) inner(target(state.root, rules['$ref'] as string), value, at)
  if (rules['type'] !== undefined) {
    const wanted = [rules['type']].flat() as string[]
    if (!wanted.some(type => isType(value, type))) {
      say(`must be ${wanted.join(' or ')}, not ${typeOf(value)}`)
      return
    }
  }
  if (rules['enum'] !== undefined && !(rules['enum'] as unknown[]).some(one => same(one, value)))
    say(`must be one of ${(rules['enum'] as unknown[]).map(short).join(', ').slice(0, 300)}, not ${short(value)}`)
  if ('const' in rules && !same(rules['const'], value)) say(`must be ${short(rules['const'])}`)
  for (const rule of (rules['allOf'] as unknown[] | undefined) ?? []) inner(rule, value, at)
  const any = rules['anyOf'] as unknown[] | undefined
  if (any && !any.some(fits)) say('fits none of anyOf')
  const one = rules['oneOf'] as unknown[] | undefined
  if (one && one.filter(fits).length !== 1) say('does not fit exactly one of oneOf')
  if (rules['not'] !== undefined && fits(rules['not'])) say('is what `not` excludes')
  if (typeof value === 'number') checkNumber(rules, value, say)
  if (typeof value === 'string') {
    const length = [...value].length
    if (length < count(rules['minLength'], 0)) say(`must have at least ${rules['minLength']} characters`)
    if (length > count(rules['maxLength'])) say(`must have at most ${rules['maxLength']} characters`)
  }
  if (Array.isArray(value)) checkList(rules, value, at, say, inner)
  else if (isObject(value)) checkObject(rules, value, at, say, inner)
}

function checkNumber(rules: Json, value: number, say: (what: string) => void): void {
  if (isNumber(rules['minimum']) && value < (rules['minimum'] as number)) say(`must be at least ${rules['minimum']}`)
  if (isNumber(rules['maximum']) && value > (rules['maximum'] as number)) say(`must be at most ${rules['maximum']}`)
  if (isNumber(rules['exclusiveMinimum']) && value <= (rules['exclusiveMinimum'] as number))
    say(`must be more than ${rules['exclusiveMinimum']}`)
  if (isNumber(rules['exclusiveMaximum']) && value >= (rules['exclusiveMaximum'] as number))
    say(`must be less than ${rules['exclusiveMaximum']}`)
  const step = rules['multipleOf'] as number | undefined
  if (step !== undefined && Math.abs(value / step - Math.round(value / step)) > 1e-9)
    say(`must be a multiple of ${step}`)
}

type Inner = (rule: unknown, item: unknown, name: string) => void

function checkList(rules: Json, value: unknown[], at: string, say: (what: string) => void, inner: Inner): void {
  if (value.length < count(rules['minItems'], 0)) say(`must have at least ${rules['minItems']} items`)
  if (value.length > count(rules['maxItems'])) say(`must have at most ${rules['maxItems']} items`)
  if (rules['uniqueItems'] === true && new Set(value.map(canonical)).size < value.length) say('has the same item twice')
  const first = (rules['prefixItems'] as unknown[] | undefined) ?? []
  value.forEach((item, index) => {
    const rule = index < first.length ? first[index] : rules['items']
    if (rule !== undefined) inner(rule, item, `${at}[${index}]`)
  })
}

function checkObject(rules: Json, value: Json, at: string, say: (what: string) => void, inner: Inner): void {
  const names = Object.keys(value)
  if (names.length < count(rules['minProperties'], 0)) say(`must have at least ${rules['minProperties']} properties`)
  if (names.length > count(rules['maxProperties'])) say(`must have at most ${rules['maxProperties']} properties`)
  const missing = ((rules['required'] as string[] | undefined) ?? []).filter(name => !Object.hasOwn(value, name))
  if (missing.length > 0) say(`lacks ${missing.map(name => JSON.stringify(name)).join(', ')}`)
  const known = (rules['properties'] as Json | undefined) ?? {}
  for (const [name, item] of Object.entries(value)) {
    const rule = Object.hasOwn(known, name) ? known[name] : rules['additionalProperties']
    if (rule !== undefined) inner(rule, item, `${at}.${name.slice(0, 80)}`)
  }
}

function target(root: Json, ref: string): unknown {
  const [, place, name] = ref.split('/')
  if (place === undefined || name === undefined) return root
  const list = root[place] as Json | undefined
  const key = name.replaceAll('~1', '/').replaceAll('~0', '~')
  return list && Object.hasOwn(list, key) ? list[key] : undefined
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSchema(value: unknown): boolean {
  return typeof value === 'boolean' || isObject(value)
}

function isSchemas(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isSchema)
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value)
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0
}

function count(value: unknown, otherwise = Number.POSITIVE_INFINITY): number {
  return typeof value === 'number' ? value : otherwise
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function isType(value: unknown, type: string): boolean {
  return type === 'integer' ? Number.isInteger(value) : typeOf(value) === type
}

function same(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other)
}

/** One text for equal values, whatever the order of their names. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    isObject(item) ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item,
  )
}

function short(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
