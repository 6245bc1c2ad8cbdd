/**
 * A model call as the house sees it: attempts over keys and models until one answers, or a reason why none does.
 *
 * Owns the order of attempts. Invariants:
 * C1 exactly one `end` or `fail`, and nothing after it. C2 no `call` before the answer is whole, so nothing told as a call
 * is ever taken back. C3 what is shown of a failed attempt is taken back by `replace` before the next one shows anything.
 * C4 no wait longer than `sleepMs` happens here: it becomes `retryAtMs`, and the runner waits in a row (decisions.md 36).
 * C5 no key, and nothing that looks like one, is in any event or log line.
 */
import type { ModelEvent, ModelFailure, ModelRequest } from '../core/ports.ts'
import { fixOf } from '../protocol/errors.ts'
import { attempt, type Outcome } from './attempt.ts'
import type { Cooldown } from './cooldown.ts'
import type { Found, Target } from './directory.ts'
import { scrub, type Trouble, trouble } from './failure.ts'
import type { Credential, Limits, Log } from './options.ts'
import { callOptions } from './prompt.ts'
import { rehearse } from './rehearsal.ts'
import { costOf, partTokens, promptTokens } from './tokens.ts'
import { watchAnswer } from './watch.ts'
import type { Wires } from './wires.ts'

export interface Caller {
  /** With a key or without need of one, else the reason. */
  find(ref: string): Found
  fallbacks: readonly string[]
  keys(provider: string): readonly Credential[]
  wires: Wires
  cooldown: Cooldown
  limits: Limits
  now: () => number
  random: () => number
  log: Log
}

/** Runs that wait for one key begin again within so long after it is free, at most. */
const spreadMs = 10_000

/** Why a model gave no answer, and when it may. */
interface Given {
  ref: string
  provider: string
  model: string
  trouble: Trouble
  retryAtMs: number | null
  usage: { usage: NonNullable<Outcome['usage']>; costNano: number } | null
}

export async function* call(caller: Caller, request: ModelRequest): AsyncGenerator<ModelEvent> {
  const given: Given[] = []
  const refs = [request.model, ...caller.fallbacks]
  const tried = new Set<string>()
  // True once something was shown that a next attempt would have to take back.
  const shown = { yet: false }
  for (const ref of refs) {
    const first = given[0]
    if (first && !mayFallBack(first.trouble)) break
    const found = caller.find(ref)
    if (!found.ok) {
      const kind = found.code === 'MODEL_NO_KEY' ? 'auth' : 'bad_request'
      const why = trouble(kind, found.reason, { code: found.code, fix: found.fix })
      const [provider = ref, model = ref] = ref.split(/\/(.*)/s)
      given.push({ ref, provider, model, trouble: why, retryAtMs: null, usage: null })
      continue
    }
    const { target } = found
    if (tried.has(target.ref)) continue
    tried.add(target.ref)
    if (first?.trouble.class === 'context_length' && !roomier(caller, first.ref, target)) continue
    if (target.api === 'rehearsal') {
      if (shown.yet) yield { type: 'replace' }
      yield* rehearse(request)
      return
    }
    const failed = yield* withModel(caller, request, target, shown)
    if (!failed) return
    given.push(failed)
    if (failed.trouble.class === 'aborted') break
  }
  yield { type: 'fail', failure: failure(given) }
}

/** Another model helps against everything but a stop, a refusal, and a request that is wrong anywhere. */
function mayFallBack({ class: kind, code }: Trouble): boolean {
  return kind !== 'aborted' && kind !== 'refusal' && (kind !== 'bad_request' || code === 'MODEL_UNKNOWN')
}

function roomier(caller: Caller, ref: string, target: Target): boolean {
  const first = caller.find(ref)
  return first.ok && target.contextWindow > first.target.contextWindow
}

/** The first model's failure is the one that counts; a later one is mentioned, and may make waiting worth while. */
function failure(given: readonly Given[]): ModelFailure {
  const first = given.find(one => one.trouble.class === 'aborted') ?? given[0]!
  const others = given.filter(one => one !== first).map(one => `${one.ref}: ${one.trouble.class}`)
  const retries = given.flatMap(one => (one.retryAtMs === null ? [] : [one.retryAtMs]))
  const { class: kind, code, message, fix } = first.trouble
  return {
    class: kind,
    code,
    message: others.length > 0 ? `${message} Fallbacks failed too (${others.join(', ')}).` : message,
    fix: fix ?? fixOf(code, { id: first.provider }),
    ...(retries.length > 0 ? { retryAtMs: Math.min(...retries) } : {}),
    provider: first.provider,
    model: first.model,
    ...(first.usage ?? {}),
  }
}

/** Ends with null after `end`, else with the reason why this model gives no answer now. */
async function* withModel(
  caller: Caller,
  request: ModelRequest,
  target: Target,
  shown: { yet: boolean },
): AsyncGenerator<ModelEvent, Given | null> {
  const { cooldown, limits, now, random, log } = caller
  const keys = caller.keys(target.provider)
  const secrets = [...keys.map(key => key.secret), ...Object.values(target.headers)]
  const everybody = `${target.provider} *`
  const conversation = `${target.provider} conversation ${request.cacheKey}`
  const spent = new Set<Credential>()
  let strange = 0

  const give = (why: Trouble, retryAtMs: number | null, usage: Outcome['usage'] = null): Given => ({
    ref: target.ref,
    provider: target.provider,
    model: target.model,
    trouble: { ...why, message: scrub(why.message, secrets) },
    retryAtMs,
    usage: usage && { usage, costNano: costOf(usage, target.price) },
  })

  for (;;) {
    const pick = choose(
      cooldown,
      target,
      longer(cooldown.of(everybody, target.model), cooldown.of(conversation, target.model)),
      keys.filter(key => !spent.has(key)),
      keys.length === 0,
    )
    // Not all at one moment: many runs wait for the same key.
    if (pick.ms > limits.sleepMs)
      return give(pick.trouble!, now() + Math.ceil(pick.ms + random() * Math.min(spreadMs, pick.ms / 4)))
    if (pick.ms > 0) await sleep(pick.ms, request.signal)
    if (request.signal.aborted) return give(trouble('aborted', 'The call was aborted.'), null)

    const startedAt = now()
    const outcome = yield* once(caller, request, target, pick.key, shown)
    const id = keyId(target, pick.key)
    if (outcome.ok) {
      cooldown.clear(id, target.model, startedAt)
      cooldown.clear(everybody, target.model, startedAt)
      cooldown.clear(conversation, target.model, startedAt)
      const usage = outcome.usage ?? {
        input: promptTokens(request),
        output: partTokens(outcome.parts),
        cacheRead: 0,
        cacheWrite: 0,
      }
      yield* outcome.calls
      yield { type: 'end', stop: outcome.stop, usage, costNano: costOf(usage, target.price), parts: outcome.parts }
      return null
    }

    const why = outcome.trouble
    if (why.class === 'aborted') return give(why, null, outcome.usage)
    log('warn', 'model call failed', {
      model: target.ref,
      key: pick.key?.id ?? 'none',
      class: why.class,
      message: scrub(why.message, secrets),
    })
    const strike = { trouble: why, startedAt, baseMs: limits.backoffMs }
    switch (why.class) {
      case 'auth':
      case 'quota':
        if (pick.key) spent.add(pick.key)
        cooldown.strike(id, target.model, { ...strike, baseMs: 10_000 })
        if (spent.size >= keys.length) return give(why, null, outcome.usage)
        break
      case 'rate_limit':
        cooldown.strike(id, target.model, strike)
        break
      case 'overloaded':
      case 'network':
        // A line that breaks in the middle of an answer says something of this conversation: the others go on.
        cooldown.strike(why.class === 'network' && outcome.begun ? conversation : everybody, target.model, strike)
        if (!why.again) return give(why, now() + 2 * limits.sleepMs, outcome.usage)
        break
      case 'bad_answer':
        strange += 1
        if (!why.again || strange > 2) return give(why, null, outcome.usage)
        await sleep(limits.backoffMs * 2 ** (strange - 1) * (1 + random() / 4), request.signal)
        break
      default:
        return give(why, null, outcome.usage)
    }
  }
}

function keyId(target: Target, key: Credential | null): string {
  return `${target.provider} key ${key?.secret ?? ''}`
}

type Pause = ReturnType<Cooldown['of']>

function longer(one: Pause, other: Pause): Pause {
  return (one?.ms ?? 0) >= (other?.ms ?? 0) ? one : other
}

/**
 * The key to use and how long to wait for it; `whatever` is the pause that holds for each of them. A key that was refused or has run dry comes last but is tried again when
 * there is no other: a person may have mended it.
 */
function choose(
  cooldown: Cooldown,
  target: Target,
  whatever: Pause,
  keys: readonly Credential[],
  keyless: boolean,
): { key: Credential | null; ms: number; trouble: Trouble | null } {
  const options = (keyless ? [null] : keys).map(key => {
    const own = cooldown.of(keyId(target, key), target.model)
    const refused = own?.trouble.class === 'auth' || own?.trouble.class === 'quota'
    const worst = refused ? whatever : longer(own, whatever)
    return { key, refused, ms: worst?.ms ?? 0, trouble: worst?.trouble ?? null }
  })
  const usable = options.filter(option => !option.refused)
  const from = usable.length > 0 ? usable : options
  return from.reduce((best, option) => (option.ms < best.ms ? option : best))
}

async function* once(
  caller: Caller,
  request: ModelRequest,
  target: Target,
  key: Credential | null,
  shown: { yet: boolean },
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
  const opening: ModelEvent[] = shown.yet ? [{ type: 'replace' }, start] : [start]
  shown.yet = true
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
