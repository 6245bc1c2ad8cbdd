/**
 * In which order models and keys are asked, which of them may be asked now, and what is said when none may.
 *
 * Owns that order for a call and for the look before it (`pauseOf`), so that both always agree. Asks nobody and sleeps never.
 * Names of keys and marks leave it, a key never does.
 */
import type { ModelFailure, Pause } from '../core/ports.ts'
import type { Hold } from '../core/types.ts'
import { fixOf } from '../protocol/errors.ts'
import type { Cooldown, Cooling } from './cooldown.ts'
import type { Found, Target } from './directory.ts'
import { type Trouble, trouble } from './failure.ts'
import type { Credential, Limits } from './options.ts'
import type { Wanted } from './places.ts'

export interface Order {
  /** With a key or without need of one, else the reason. */
  find(ref: string): Found
  fallbacks: readonly string[]
  keys(provider: string): readonly Credential[]
  /** The same for the same key, and no way back to it. */
  mark(provider: string, secret: string): string
  cooldown: Cooldown
  limits: Limits
  now: () => number
  random: () => number
}

/** Runs that wait for one key begin again within so long after it is free, at most. */
const spreadMs = 10_000
/** Who is in line looks for itself after so long. */
const inLineMs = 30_000

/** Why a model gave no answer, and when it may. */
export interface Given {
  ref: string
  provider: string
  model: string
  trouble: Trouble
  retryAtMs: number | null
  hold: Hold | null
  /** Whether what it has used is known. */
  known: boolean
}

/** The models that may answer, one after the other. Who asks them adds to `given` why one did not; that decides about the next. */
export function* targets(order: Order, ref: string, given: Given[]): Generator<Target> {
  const tried = new Set<string>()
  for (const each of [ref, ...order.fallbacks]) {
    const first = given[0]
    if (first && !mayFallBack(first.trouble)) return
    const found = order.find(each)
    if (!found.ok) {
      const kind = found.code === 'MODEL_NO_KEY' ? 'auth' : 'bad_request'
      const why = trouble(kind, found.reason, { code: found.code, fix: found.fix })
      const [provider = each, model = each] = each.split(/\/(.*)/s)
      given.push(give({ ref: each, provider, model }, why, null))
      continue
    }
    const { target } = found
    if (tried.has(target.ref)) continue
    tried.add(target.ref)
    if (first?.trouble.class === 'context_length' && !roomier(order, first.ref, target)) continue
    yield target
    if (given.at(-1)?.trouble.class === 'aborted') return
  }
}

/** The models that may answer in place of `ref`, as far as they can be used at all. */
export function inPlaceOf(order: Order, ref: string): Target[] {
  const first = order.find(ref)
  const all = order.fallbacks.flatMap(each => {
    const found = order.find(each)
    return found.ok && !(first.ok && first.target.ref === found.target.ref) ? [found.target] : []
  })
  return [...new Map(all.map(target => [target.ref, target])).values()]
}

/** Another model helps against everything but a stop, a refusal, and a request that is wrong anywhere. */
function mayFallBack({ class: kind, code }: Trouble): boolean {
  return kind !== 'aborted' && kind !== 'refusal' && (kind !== 'bad_request' || code === 'MODEL_UNKNOWN')
}

function roomier(order: Order, ref: string, target: Target): boolean {
  const first = order.find(ref)
  return first.ok && target.contextWindow > first.target.contextWindow
}

export type Whose = Hold['whose']

/** Under what a cooldown is kept: a key by its mark, everybody who asks a model, one conversation. */
export interface Ids {
  key(key: Credential | null): string
  provider: string
  conversation: string
}

export function idsOf({ mark }: Pick<Order, 'mark'>, { provider }: Pick<Target, 'provider'>, cacheKey: string): Ids {
  return {
    key: key => keyId(mark(provider, key?.secret ?? '')),
    provider: `${provider} *`,
    conversation: `${provider} conversation ${cacheKey}`,
  }
}

const keyId = (mark: string) => `key ${mark}`

export interface Choice {
  key: Credential | null
  /** Places where it may call, best first, when only so many calls may be out; the keys by place. */
  wanted: readonly (Wanted & { key: Credential | null })[]
  ms: number
  /** Why it can't be used at once. */
  cooling: (Cooling & { whose: Whose }) | null
}

/**
 * The key to use, and how long to wait for it. A key that was refused or has run dry comes last but is tried again when there
 * is no other: a person may have mended it.
 */
export function choose(order: Order, target: Target, ids: Ids, spent: ReadonlySet<Credential>): Choice {
  const all = order.keys(target.provider)
  const keys = all.length === 0 ? [null] : all.filter(key => !spent.has(key))
  const cooling = (id: string, whose: Whose) => {
    const one = order.cooldown.of(id, target.model)
    return one && { ...one, whose }
  }
  const everywhere = longer(cooling(ids.provider, 'provider'), cooling(ids.conversation, 'conversation'))
  const options = keys.map(key => {
    const own = cooling(ids.key(key), 'key')
    const refused = own?.trouble.class === 'auth' || own?.trouble.class === 'quota'
    const worst = refused ? everywhere : longer(own, everywhere)
    return { key, refused, ms: worst?.ms ?? 0, cooling: worst }
  })
  const usable = options.filter(option => !option.refused)
  const from = usable.length > 0 ? usable : options
  const best = from.reduce((one, option) => (option.ms < one.ms ? option : one))
  const limit = target.places
  const wanted =
    limit === null
      ? []
      : from
          .filter(option => option.ms === best.ms)
          .map(({ key }) => ({ id: `${ids.key(key)} ${target.model}`, limit, key }))
  return { ...best, wanted }
}

function longer<T extends { ms: number }>(one: T | null, other: T | null): T | null {
  return (one?.ms ?? 0) >= (other?.ms ?? 0) ? one : other
}

/** What became of asking a model. No key is in the words of a trouble that comes here. */
export function give(
  { ref, provider, model }: Pick<Target, 'ref' | 'provider' | 'model'>,
  why: Trouble,
  retry: { at: number; hold: Hold | null } | null,
  known = false,
): Given {
  return { ref, provider, model, trouble: why, retryAtMs: retry?.at ?? null, hold: retry?.hold ?? null, known }
}

/** A model that can't be asked before its cooldown is over. Not all who wait come back at one moment. */
export function giveLater(order: Order, target: Target, { key, ms, cooling }: Choice): Given {
  const at = order.now() + Math.ceil(ms + order.random() * Math.min(spreadMs, ms / 4))
  const { trouble: why, ...rest } = cooling!
  return give(target, why, { at, hold: holdOf(order, target, key, { ...rest, trouble: why }) })
}

export function holdOf(
  { mark }: Order,
  { provider, model }: Target,
  key: Credential | null,
  { trouble: why, strikes, whose }: Cooling & { whose: Whose },
): Hold {
  const mine = whose === 'key'
  return {
    provider,
    model,
    whose,
    key: mine ? (key?.id ?? null) : null,
    mark: mine ? mark(provider, key?.secret ?? '') : '',
    class: why.class,
    said: why.message,
    strikes,
  }
}

/** The first model's failure is the one that counts; a later one is mentioned, and may make waiting worth while. */
export function failure(given: readonly Given[]): ModelFailure {
  const first = given.find(one => one.trouble.class === 'aborted') ?? given[0]!
  const others = given.filter(one => one !== first).map(one => `${one.ref}: ${short(one.trouble)}`)
  const { class: kind, code, message, fix } = first.trouble
  const next = given.reduce<Given | null>(
    (best, one) => (one.retryAtMs !== null && (!best || one.retryAtMs < best.retryAtMs!) ? one : best),
    null,
  )
  return {
    class: kind,
    code,
    message: others.length > 0 ? `${message} Fallbacks failed too (${others.join(', ')}).` : message,
    fix: fix ?? fixOf(code, { id: first.provider }),
    ...(next ? { retryAtMs: next.retryAtMs! } : {}),
    ...(next?.hold ? { hold: next.hold } : {}),
    provider: first.provider,
    model: first.model,
  }
}

function short({ class: kind, code }: Trouble): string {
  return code === 'RUN_BUDGET' ? 'too dear for what is left' : kind
}

/** What a call to `ref` would be told without asking anybody; null when somebody would be asked. */
export function pauseOf(order: Order, ref: string, cacheKey: string): Pause | null {
  const given: Given[] = []
  for (const target of targets(order, ref, given)) {
    if (target.api === 'rehearsal') return null
    const pick = choose(order, target, idsOf(order, target, cacheKey), new Set())
    if (pick.ms <= order.limits.sleepMs) return null
    given.push(giveLater(order, target, pick))
  }
  if (given.length === 0) return null
  const { retryAtMs, hold, code, message, fix } = failure(given)
  if (retryAtMs === undefined || !hold) return null
  return { until: retryAtMs, hold, code, error: sentences(message, fix) }
}

function sentences(message: string, fix: string): string {
  return `${message}${/[.!?]$/.test(message) ? '' : '.'} ${fix}`.trim()
}

/** Where a call of the first model that may be asked now has to have a place; null when it needs none. */
export function doorOf(
  order: Order,
  ref: string,
  cacheKey: string,
): { target: Target; wanted: Choice['wanted'] } | null {
  const given: Given[] = []
  for (const target of targets(order, ref, given)) {
    if (target.api === 'rehearsal') return null
    const pick = choose(order, target, idsOf(order, target, cacheKey), new Set())
    if (pick.ms <= order.limits.sleepMs) return pick.wanted.length > 0 ? { target, wanted: pick.wanted } : null
    given.push(giveLater(order, target, pick))
  }
  return null
}

/** All places are taken. A turn is called as soon as it comes; `until` is for a call that nobody hears. */
export function pauseInLine(order: Order, target: Target): Pause {
  const { code, message, fix, hold, retryAtMs } = failure([giveInLine(order, target)])
  return { until: retryAtMs!, hold: hold!, code, error: sentences(message, fix) }
}

export function giveInLine({ now }: Order, target: Target): Given {
  const { provider, model, places } = target
  const said = `${target.ref} has its limit of ${places} ${places === 1 ? 'call' : 'calls'} at a time out (models.providers.${provider}.maxConcurrent).`
  const why = trouble('rate_limit', said)
  const hold: Hold = { provider, model, whose: 'line', key: null, mark: '', class: why.class, said, strikes: 0 }
  return give(target, why, { at: now() + inLineMs, hold })
}

/** What an earlier process waited for. */
export function recall(cooldown: Cooldown, holds: readonly { hold: Hold; until: number }[]): void {
  for (const { hold, until } of holds) {
    const { provider, model, whose, mark, class: kind, said, strikes } = hold
    if (whose === 'conversation' || whose === 'line') continue
    const id = whose === 'key' ? keyId(mark) : `${provider} *`
    cooldown.recall(id, model, { until, trouble: trouble(kind, said), strikes })
  }
}
