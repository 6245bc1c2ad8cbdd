/**
 * The words that the configuration's table is written in: one rule per value, with its type, range, default and meaning.
 *
 * Owns the constructors of rules and what TypeScript type each stands for; never looks at a value (check.ts does).
 * One table serves four ends: the check, the defaults, the TypeScript type, the JSON Schema. It is plain data.
 */

/** A secret by reference, so that the file holds no value (openclaw-facts.md §E). `provider` names an entry of secrets.providers. */
export interface SecretRef {
  source: 'env' | 'file' | 'exec'
  provider: string
  id: string
}

export type SecretInput = string | SecretRef

/** `was`: the key's older name, still read. `unused`: read by nothing in this version, and said so. */
interface Meta {
  doc: string
  was?: string
  unused?: boolean
}

export type AnyRule = Meta &
  (
    | {
        kind: 'text'
        default?: string | undefined
        oneOf?: readonly string[]
        pattern?: RegExp
        means?: string
        multiline?: boolean
      }
    | {
        kind: 'number'
        default?: number | undefined
        whole: boolean
        min: number
        max: number
        usual?: readonly [number, number]
      }
    | { kind: 'flag'; default?: boolean | undefined }
    | { kind: 'secret' }
    | { kind: 'list'; of: AnyRule; filled: boolean }
    | { kind: 'map'; of: AnyRule; key?: { pattern: RegExp; means: string } }
    | {
        kind: 'object'
        fields: Readonly<Record<string, AnyRule>>
        unused: boolean
        filled: boolean
        known: readonly string[]
      }
    | { kind: 'either'; of: readonly AnyRule[] }
    | { kind: 'open' }
  )

declare const out: unique symbol

/** A rule for values of type `T`; `Filled` when an absent value becomes a default. Both exist for the compiler only. */
export type Rule<T, Filled extends boolean = false> = AnyRule & { readonly [out]?: [T, Filled] }

export type TypeOf<R> = R extends { readonly [out]?: [infer T, boolean] } ? T : never
type IsFilled<R> = R extends { readonly [out]?: [unknown, infer F] } ? F : false

export type Fields = Readonly<Record<string, AnyRule>>
type Shape<F extends Fields> = {
  [K in keyof F as IsFilled<F[K]> extends true ? K : never]: TypeOf<F[K]>
} & { [K in keyof F as IsFilled<F[K]> extends true ? never : K]?: TypeOf<F[K]> }
/** One flat object in editor hints. */
type Flat<T> = T extends object ? { [K in keyof T]: T[K] } : T

function rule<T, F extends boolean>(plain: AnyRule): Rule<T, F> {
  return plain as Rule<T, F>
}

interface TextOptions {
  was?: string
  pattern?: RegExp
  /** What the pattern asks for, in words. */
  means?: string
}

export function text(doc: string, options: TextOptions & { default: string }): Rule<string, true>
export function text(doc: string, options?: TextOptions): Rule<string>
export function text(doc: string, options: TextOptions & { default?: string } = {}): Rule<string, boolean> {
  return rule({ kind: 'text', doc, ...options })
}

export function choice<const V extends string>(doc: string, values: readonly V[], fallback: NoInfer<V>): Rule<V, true>
export function choice<const V extends string>(doc: string, values: readonly V[]): Rule<V>
export function choice<const V extends string>(doc: string, values: readonly V[], fallback?: V): Rule<V, boolean> {
  return rule({ kind: 'text', doc, oneOf: values, default: fallback })
}

interface NumberOptions {
  min?: number
  max?: number
  /** The recommended range: outside it a value is taken, with a warning. */
  usual?: readonly [number, number]
  was?: string
}

export function whole(doc: string, options: NumberOptions & { default: number }): Rule<number, true>
export function whole(doc: string, options?: NumberOptions): Rule<number>
export function whole(doc: string, options: NumberOptions & { default?: number } = {}): Rule<number, boolean> {
  return rule({ kind: 'number', doc, whole: true, min: 0, max: Number.MAX_SAFE_INTEGER, ...options })
}

/** A number of at least 0, fractions allowed. */
export function amount(doc: string): Rule<number> {
  return rule({ kind: 'number', doc, whole: false, min: 0, max: 1e12 })
}

export function flag(doc: string, fallback: boolean): Rule<boolean, true>
export function flag(doc: string): Rule<boolean>
export function flag(doc: string, fallback?: boolean): Rule<boolean, boolean> {
  return rule({ kind: 'flag', doc, default: fallback })
}

export function secret(doc: string): Rule<SecretInput> {
  return rule({ kind: 'secret', doc })
}

/** Absent stays absent: an empty list and none may mean different things. */
export function list<R extends AnyRule>(doc: string, of: R): Rule<TypeOf<R>[]> {
  return rule({ kind: 'list', doc, of, filled: false })
}

/** Absent becomes an empty list. */
export function listOrNone<R extends AnyRule>(doc: string, of: R): Rule<TypeOf<R>[], true> {
  return rule({ kind: 'list', doc, of, filled: true })
}

/** Any keys, one rule for the values. Absent becomes empty. Made without a prototype, so that any key may be asked for. */
export function map<R extends AnyRule>(
  doc: string,
  of: R,
  key?: { pattern: RegExp; means: string },
): Rule<Record<string, TypeOf<R>>, true> {
  return rule({ kind: 'map', doc, of, ...(key && { key }) })
}

/** Named keys. Absent becomes an object of defaults. `known` are OpenClaw's further keys, which Deputy does not read. */
export function object<F extends Fields>(
  doc: string,
  fields: F,
  known: readonly string[] = [],
): Rule<Flat<Shape<F>>, true> {
  return rule({ kind: 'object', doc, fields, unused: false, filled: true, known })
}

/** As object, and absent stays absent. */
export function optional<F extends Fields>(
  doc: string,
  fields: F,
  known: readonly string[] = [],
): Rule<Flat<Shape<F>>> {
  return rule({ kind: 'object', doc, fields, unused: false, filled: false, known })
}

/** One of several rules, told apart by the JSON type of the value. */
export function either<const R extends readonly AnyRule[]>(doc: string, ...of: R): Rule<TypeOf<R[number]>> {
  return rule({ kind: 'either', doc, of })
}

/** Taken as it is. */
export function open(doc: string): Rule<unknown> {
  return rule({ kind: 'open', doc })
}
