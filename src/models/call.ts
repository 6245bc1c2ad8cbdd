/**
 * A model call as the house sees it: attempts over keys and models until one answers, or a reason why none does.
 *
 * Owns the order of attempts. Invariants:
 * C1 exactly one `end` or `fail`, and nothing after it. C2 no `call` before the answer is whole, so nothing told as a call
 * is ever taken back. C3 what is shown of a failed attempt is taken back by `replace` before the next one shows anything.
 * C4 no wait longer than `sleepMs` happens here: it becomes `retryAtMs`, and the runner waits in a row (decisions.md 36).
 * C5 no key, and nothing that looks like one, is in any event or log line.
 */
import { outputWithin } from '../core/budget.ts'
import type { ModelEvent, ModelRequest } from '../core/ports.ts'
import type { TokenUsage } from '../core/types.ts'
import { attempt, type Outcome } from './attempt.ts'
import type { Target } from './directory.ts'
import { scrub, type Trouble, trouble } from './failure.ts'
import type { Credential, Log } from './options.ts'
import {
  choose,
  failure,
  give,
  type Given,
  giveInLine,
  giveLater,
  holdOf,
  idsOf,
  type Order,
  targets,
  type Whose,
} from './order.ts'
import type { Places, Who } from './places.ts'
import { callOptions } from './prompt.ts'
import { rehearse } from './rehearsal.ts'
import { costOf, partTokens, promptTokens } from './tokens.ts'
import { watchAnswer } from './watch.ts'
import type { Wires } from './wires.ts'

export interface Caller extends Order {
  places: Places
  wires: Wires
  log: Log
}

/** What one call has done so far. */
interface Call {
  /** Whose place it has. */
  who: Who
  /** True once something was shown that a next attempt would have to take back. */
  shown: boolean
  /** Requests that went out. */
  asked: number
  /** What those that gave no answer have used, as far as it is known. */
  used: TokenUsage
  costNano: number
}

export async function* call(caller: Caller, request: ModelRequest): AsyncGenerator<ModelEvent> {
  const so: Call = { who: request.run ?? {}, shown: false, asked: 0, used: nothing, costNano: 0 }
  try {
    yield* inOrder(caller, request, so)
  } finally {
    caller.places.leave(so.who)
  }
}

async function* inOrder(caller: Caller, request: ModelRequest, so: Call): AsyncGenerator<ModelEvent> {
  const given: Given[] = []
  for (const target of targets(caller, request.model, given)) {
    if (target.api === 'rehearsal') {
      if (so.shown) yield { type: 'replace' }
      yield* rehearse(request)
      return
    }
    const failed = yield* withModel(caller, request, target, so, given)
    if (!failed) return
    given.push(failed)
  }
  const unasked = so.asked === 0
  // What the first has used must be known, else what is set aside is charged.
  const used = unasked || given[0]?.known ? { usage: so.used, costNano: so.costNano } : {}
  yield { type: 'fail', failure: { ...failure(given), ...used, ...(unasked ? { unasked } : {}) } }
}

/** Ends with null after `end`, else with the reason why this model gives no answer now. */
async function* withModel(
  caller: Caller,
  request: ModelRequest,
  target: Target,
  so: Call,
  before: readonly Given[],
): AsyncGenerator<ModelEvent, Given | null> {
  const { cooldown, limits, now, random, log } = caller
  const keys = caller.keys(target.provider)
  const secrets = [...keys.map(key => key.secret), ...Object.values(target.headers)]
  const ids = idsOf(caller, target, request.cacheKey)
  const spent = new Set<Credential>()
  let strange = 0
  let last: Trouble | null = null

  for (;;) {
    const maxTokens = roomFor(request, target, so)
    if (maxTokens < 1) return last ? give(target, last, again(last, caller), true) : give(target, tooDear(target), null)
    const pick = choose(caller, target, ids, spent)
    if (pick.ms > limits.sleepMs) return giveLater(caller, target, pick)
    if (pick.ms > 0) await sleep(pick.ms, request.signal)
    if (request.signal.aborted) return give(target, trouble('aborted', 'The call was aborted.'), null)

    let { key } = pick
    if (pick.wanted.length > 0) {
      const place = await caller.places.take(so.who, pick.wanted, limits.sleepMs, request.signal)
      if (place === null) {
        if (!request.signal.aborted) return giveInLine(caller, target)
        continue
      }
      key = pick.wanted.find(({ id }) => id === place)!.key
    }

    const startedAt = now()
    so.asked += 1
    const outcome = yield* once(caller, { ...request, maxTokens }, target, key, so)
    if (outcome.ok) {
      for (const id of [ids.key(key), ids.provider, ids.conversation]) cooldown.clear(id, target.model, startedAt)
      const usage = outcome.usage ?? {
        input: promptTokens(request),
        output: partTokens(outcome.parts),
        cacheRead: 0,
        cacheWrite: 0,
      }
      yield* outcome.calls
      const first = before[0]
      if (first) log('info', 'a fallback answered', { model: target.ref, for: first.ref, why: first.trouble.message })
      yield {
        type: 'end',
        stop: outcome.stop,
        usage: together(so.used, usage),
        costNano: so.costNano + costOf(usage, target.price),
        parts: outcome.parts,
        ...(first ? { insteadOf: { model: first.ref, why: first.trouble.message } } : {}),
      }
      return null
    }

    const why = { ...outcome.trouble, message: scrub(outcome.trouble.message, secrets) }
    last = why
    const known = billed(outcome)
    // What broke off in the middle is billed all the same: what came of it counts, where the provider says nothing.
    const used = known ?? (outcome.begun ? { ...nothing, input: promptSize(request), output: outcome.tokens } : nothing)
    so.used = together(so.used, used)
    so.costNano += costOf(used, target.price)
    const over = (retry: Parameters<typeof give>[2] = null) => give(target, why, retry, known !== null)
    if (why.class === 'aborted') return over()
    log('warn', 'model call failed', {
      model: target.ref,
      key: key?.id ?? 'none',
      class: why.class,
      message: why.message,
    })
    const strike = (whose: Whose, id: string, baseMs = limits.backoffMs) => {
      cooldown.strike(id, target.model, { trouble: why, startedAt, baseMs })
      const cooling = cooldown.of(id, target.model)
      return cooling && holdOf(caller, target, key, { ...cooling, whose })
    }
    switch (why.class) {
      case 'auth':
      case 'quota':
        if (key) spent.add(key)
        strike('key', ids.key(key), 10_000)
        if (spent.size >= keys.length) return over()
        break
      case 'rate_limit':
        strike('key', ids.key(key))
        break
      case 'overloaded':
      case 'network': {
        // A line that breaks in the middle of an answer says something of this conversation: the others go on.
        const mine = why.class === 'network' && outcome.begun
        const hold = mine ? strike('conversation', ids.conversation) : strike('provider', ids.provider)
        if (!why.again) return over({ at: now() + 2 * limits.sleepMs, hold })
        break
      }
      case 'bad_answer':
        strange += 1
        if (!why.again || strange > 2) return over()
        await sleep(limits.backoffMs * 2 ** (strange - 1) * (1 + random() / 4), request.signal)
        break
      default:
        return over()
    }
  }
}

const nothing: TokenUsage = Object.freeze({ input: 0, output: 0, cacheRead: 0, cacheWrite: 0 })

function together(one: TokenUsage, other: TokenUsage): TokenUsage {
  return {
    input: one.input + other.input,
    output: one.output + other.output,
    cacheRead: one.cacheRead + other.cacheRead,
    cacheWrite: one.cacheWrite + other.cacheWrite,
  }
}

function promptSize(request: ModelRequest): number {
  return request.most?.promptTokens ?? promptTokens(request)
}

/** How long an answer this model may give, so that all attempts together stay within what is set aside; below 1: none. */
function roomFor(request: ModelRequest, { maxTokens, price }: Target, so: Call): number {
  const most = Math.min(request.maxTokens, maxTokens)
  if (!request.most) return most
  const { promptTokens, nano, tokens } = request.most
  const { input, output, cacheRead, cacheWrite } = so.used
  const free = {
    nano: nano === null ? null : nano - so.costNano,
    tokens: tokens === null ? null : tokens - input - output - cacheRead - cacheWrite,
  }
  return outputWithin(free, { promptTokens, maxTokens: most, price })
}

function tooDear({ ref }: Target): Trouble {
  return trouble('bad_request', `What is left of the budget is too little to ask ${ref}.`, { code: 'RUN_BUDGET' })
}

/** What this call may cost is used up, not the budget: the run comes again, with something set aside anew. */
function again({ again: may }: Trouble, { now, limits }: Caller): { at: number; hold: null } | null {
  return may ? { at: now() + 2 * limits.sleepMs, hold: null } : null
}

/** What a provider turns away before it has said a word, it does not bill. */
const turnedAway: ReadonlySet<Trouble['class']> = new Set(['auth', 'quota', 'bad_request', 'context_length'])

/** Null when it is not known: then what was set aside is charged. */
function billed(outcome: Outcome & { ok: false }): TokenUsage | null {
  if (outcome.usage !== null || outcome.begun || !turnedAway.has(outcome.trouble.class)) return outcome.usage
  return nothing
}

async function* once(
  caller: Caller,
  request: ModelRequest,
  target: Target,
  key: Credential | null,
  so: Call,
): AsyncGenerator<ModelEvent, Outcome> {
  const { limits, wires, now } = caller
  const inner = new AbortController()
  const stop = () => inner.abort()
  request.signal.addEventListener('abort', stop, { once: true })
  if (request.signal.aborted) stop()
  const watch = watchAnswer({
    provider: target.provider,
    firstByteMs: target.timeoutMs ?? limits.firstByteMs,
    idleMs: target.timeoutMs ?? limits.idleMs,
    answerBytes: limits.answerBytes,
    abort: stop,
  })
  wires.watch(inner.signal, watch)
  const start: ModelEvent = { type: 'start', provider: target.provider, model: target.model, api: target.api }
  const opening: ModelEvent[] = so.shown ? [{ type: 'replace' }, start] : [start]
  so.shown = true
  let whole = false
  try {
    const send = async () => {
      const model = wires.model(target, key)
      return ('then' in model ? await model : model).doStream(callOptions(request, target, inner.signal))
    }
    const { answerChars } = limits
    const given = { provider: target.provider, send, watch, signal: request.signal, opening, answerChars, now }
    const outcome = yield* attempt(given)
    whole = outcome.ok
    return outcome
  } finally {
    watch.end()
    request.signal.removeEventListener('abort', stop)
    // An answer that nobody reads to its end must not hold its line.
    if (!whole) stop()
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) {
      resolve()
      return
    }
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}
