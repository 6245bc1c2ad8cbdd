/**
 * A place of a chat service that is bound to a conversation: whatever is written there belongs to it, until that ends.
 *
 * Owns what may be bound, when a binding is over and what is said then (openclaw-facts.md §D3, §D5, §D6). A place is a chat, or a
 * thread of one; the chat itself and each of its threads are different places. Never says who may write there: that stays with
 * the rules of the chat, and what a conversation may do stays with its grant.
 *
 * Invariants: T1 a place has at most one live binding. T2 what is over stays over. T3 a conversation at work is never taken for
 * idle. T4 nobody binds a conversation that they could not have read.
 */
import type { Effect } from './run/facts.ts'
import type { Route, Run, Session } from './types.ts'

/** Milliseconds; 0 is never. */
export interface BindingRules {
  /** Without a message there, and without work of the conversation. */
  idleMs: number
  maxAgeMs: number
}

/**
 * Why a binding ended: a person took it back, its time was up, the place was bound anew, the sub-agent was stopped by somebody
 * above it, or its conversation is gone.
 */
export type BindingEnd = 'unbound' | 'idle' | 'max-age' | 'replaced' | 'stopped' | 'gone'

export interface Binding {
  id: number
  place: Route
  agent: string
  /** A key and not an id: a conversation that starts afresh stays bound. */
  sessionKey: string
  /** The run that the place was opened for; null when a person bound it. */
  run: string | null
  /** As nameOf gives it. */
  by: string
  createdAt: number
  /** When something was written there last. */
  activeAt: number
  /** What a person has set for this place; null follows the configuration. */
  idleMs: number | null
  maxAgeMs: number | null
  endedAt: number | null
  why: BindingEnd | null
}

/** How the conversation of a binding stands. */
export interface BoundWork {
  /** Its key means an open conversation. */
  open: boolean
  live: boolean
  /** When its newest run ended; null when it never had one, or while it is at work. */
  lastEnd: number | null
}

export function limitsOf(binding: Pick<Binding, 'idleMs' | 'maxAgeMs'>, rules: BindingRules): BindingRules {
  return { idleMs: binding.idleMs ?? rules.idleMs, maxAgeMs: binding.maxAgeMs ?? rules.maxAgeMs }
}

/** Why a live binding is over now; null while it is not. */
export function overdue(
  binding: Pick<Binding, 'createdAt' | 'activeAt' | 'idleMs' | 'maxAgeMs'>,
  rules: BindingRules,
  work: BoundWork,
  now: number,
): 'gone' | 'idle' | 'max-age' | null {
  if (!work.open) return 'gone'
  const { idleMs, maxAgeMs } = limitsOf(binding, rules)
  if (maxAgeMs > 0 && now - binding.createdAt >= maxAgeMs) return 'max-age'
  const last = Math.max(binding.activeAt, work.lastEnd ?? 0)
  if (idleMs > 0 && !work.live && now - last >= idleMs) return 'idle'
  return null
}

// ------------------------------------------------------------------------------------------------------------- words

type Speaker = Pick<Run, 'id' | 'route' | 'returnTo' | 'terms'>

/**
 * What becomes of the run that is at work in a conversation when `place` is bound to it: people read there what it says. Its
 * result goes where it was to go besides; `home`: where that will be told. Null for a run that answers somebody already.
 */
export function speakAt(run: Speaker, place: Route, home: Route | null): Effect | null {
  if (run.returnTo === null) return null
  const thread = samePlace(home, place) ? ('here' as const) : ('thread' as const)
  return { do: 'run.set', run: run.id, to: { route: place, terms: { ...run.terms, thread } } }
}

/** When a sub-agent is bound there no more: what it says from now on is for who asked for it, or for nobody there. */
export function released(
  session: Pick<Session, 'id' | 'route' | 'updatedAt'>,
  live: Speaker | null,
  place: Route,
): Effect[] {
  const effects: Effect[] = []
  if (samePlace(session.route, place))
    effects.push({ do: 'session.set', session: session.id, to: { route: null }, at: session.updatedAt })
  if (live !== null && live.returnTo !== null && live.terms?.thread && samePlace(live.route, place)) {
    const { thread: _, ...terms } = live.terms
    effects.push({ do: 'run.set', run: live.id, to: { route: null, terms } })
  }
  return effects
}

function samePlace(one: Route | null, other: Route): boolean {
  return (
    one !== null &&
    one.channel === other.channel &&
    one.account === other.account &&
    one.to === other.to &&
    one.thread === other.thread
  )
}

// ------------------------------------------------------------------------------------------------------------ asking

/** What somebody asks who wants `target` bound to the place where they write. */
export interface BindAsk {
  /** Null where there is no chat. */
  place: Route | null
  /** False where the configuration says that nothing is bound there. */
  enabled: boolean
  target: { key: string; open: boolean }
  /** Keys of the conversation that what is written at the place belongs to now, and of the one that it has by itself. */
  now: string
  home: string
  /** The target belongs to what was asked from here: it, or what it was started by, is this conversation. */
  related: boolean
  /** Whoever asks may let people into conversations (`operator.pairing`). */
  letsIn: boolean
}

export type MayBind = { ok: true } | { ok: false; problem: string }

export function mayBind({ place, enabled, target, now, home, related, letsIn }: BindAsk): MayBind {
  if (place === null) return no('There is no chat here that could be bound.')
  if (!enabled) return no('Nothing is bound here: session.threadBindings.enabled, or that of the channel, is false.')
  if (target.key === now) return no('That is the conversation here already.')
  if (target.key === home) return no('That is the conversation that this place has by itself: /unfocus')
  if (!related && !letsIn) return no('Only sub-agents of this conversation can be bound here, except by an owner.')
  if (!target.open) return no('That conversation was deleted.')
  return { ok: true }
}

function no(problem: string): MayBind {
  return { ok: false, problem }
}

/** Said at the place when its binding ends without a word of somebody there. `name`: of the conversation, one line. */
export function farewell(why: BindingEnd, place: Route, name: string, limits: BindingRules): string {
  const what = `This ${placeWord(place)} is no longer bound to ${name}`
  switch (why) {
    case 'idle':
      return `${what}: nothing was written for ${lasting(limits.idleMs)}.`
    case 'max-age':
      return `${what}: its time there, ${lasting(limits.maxAgeMs)}, is over.`
    case 'stopped':
      return `${what}: it was stopped.`
    case 'gone':
      return `${what}: its conversation was deleted.`
    default:
      return `${what}.`
  }
}

export function placeWord(place: Pick<Route, 'thread'>): 'thread' | 'chat' {
  return place.thread ? 'thread' : 'chat'
}

const minute = 60_000
const units: readonly (readonly [string, number])[] = [
  ['day', 24 * 60 * minute],
  ['hour', 60 * minute],
  ['minute', minute],
]

/** `90 minutes`, `24 hours`, `7 days`: in the largest unit that fits without a rest, a day only from two on. */
export function lasting(ms: number): string {
  for (const [name, size] of units) {
    const n = ms / size
    if (Number.isInteger(n) && (name !== 'day' || n > 1)) return `${n} ${name}${n === 1 ? '' : 's'}`
  }
  return `${Math.ceil(ms / minute)} minutes`
}

/** Longest that a person may set. */
const longest = 366 * 24 * 60 * minute

/** `90m`, `24h`, `7d`, `2w`, or `off` (0), in milliseconds; null for anything else. */
export function parseLimit(text: string): number | null {
  const said = text.trim().toLowerCase()
  if (said === 'off' || said === '0') return 0
  const [, figures, unit] = /^([1-9]\d{0,5})(m|h|d|w)$/.exec(said) ?? []
  if (figures === undefined) return null
  const sizes: Record<string, number> = { m: minute, h: 60 * minute, d: 1440 * minute, w: 10_080 * minute }
  const ms = Number(figures) * sizes[unit!]!
  return ms > longest ? null : ms
}
