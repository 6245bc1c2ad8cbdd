/**
 * The models room opened: references resolved, calls streamed, an Ollama found.
 *
 * Owns what is shared between calls: cooldowns, provider instances, what was discovered. Opening touches no network and
 * loads no provider package; both wait for the first call that needs them.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { unpaced } from '../core/pace.ts'
import type { ModelEvent, ModelRequest, ResolvedModel } from '../core/ports.ts'
import { fixOf } from '../protocol/errors.ts'
import { call } from './call.ts'
import { makeCooldown } from './cooldown.ts'
import { builtinProviders, type Directory, type Found, makeDirectory, ollamaUrl, type Target } from './directory.ts'
import type { Limits, ModelListing, ModelRoom, ModelsOptions, ModelsSettings } from './options.ts'
import { doorOf, inPlaceOf, type Order, pauseInLine, pauseOf, recall } from './order.ts'
import { makePlaces } from './places.ts'
import { rehearsalModel } from './rehearsal.ts'
import { openLine } from './line.ts'
import { openWires } from './wires.ts'

const defaults: Limits = {
  firstByteMs: 120_000,
  idleMs: 240_000,
  sleepMs: 2_000,
  backoffMs: 250,
  answerBytes: 32_000_000,
  answerChars: 4_000_000,
}

export function openModels(options: ModelsOptions): ModelRoom {
  const { clock, environment, keysFor, log, modelsFor, settings } = options
  const send = options.send ?? openLine(options.pace ?? unpaced)
  const random = options.random ?? Math.random
  const now = () => clock.now()
  const wires = openWires(send)
  const cooldown = makeCooldown(now, random)
  const places = makePlaces()
  const limits = { ...defaults, ...options.limits }
  const markKey = options.markKey ?? randomBytes(32)
  let known: { settings: ModelsSettings; directory: Directory } | null = null
  let discovering: Promise<readonly string[]> | null = null
  let discovered: readonly string[] = []

  function directory(): Directory {
    const current = settings()
    if (known?.settings !== current) known = { settings: current, directory: makeDirectory(current, environment) }
    return known.directory
  }

  function withKey(found: Found, agent: string): Found {
    if (!found.ok || found.target.keyless || keysFor(agent, found.target.provider).length > 0) return found
    const { provider } = found.target
    const variable = builtinProviders[provider]?.keys[0]
    const place = `models.providers.${provider}.apiKey in deputy.json, or a profile in the agent's auth-profiles.json`
    return {
      ok: false,
      code: 'MODEL_NO_KEY',
      reason: `There is no key for the provider "${provider}".`,
      fix: variable ? `Set ${variable} in the environment and start again, or ${place}.` : `Set ${place}.`,
    }
  }

  function find(ref: string, agent: string): Found {
    const wanted = ref === '' || ref === 'default' ? defaultRef(agent) : ref
    return withKey(directory().find(wanted), agent)
  }

  function defaultRef(agent: string): string {
    const { primary } = modelsFor(agent)
    if (primary) return primary
    for (const [provider, { keys, model }] of Object.entries(builtinProviders))
      if (keys.length > 0 && keysFor(agent, provider).length > 0) return `${provider}/${model}`
    for (const { id, models } of settings().providers) {
      const first = models[0]
      if (first && find(`${id}/${first.id}`, agent).ok) return `${id.toLowerCase()}/${first.id}`
    }
    return discovered[0] ? `ollama/${discovered[0]}` : rehearsalModel.ref
  }

  function orderFor(agent: string): Order {
    return {
      find: ref => find(ref, agent),
      fallbacks: modelsFor(agent).fallbacks,
      keys: provider => keysFor(agent, provider),
      mark: (provider, secret) =>
        createHmac('sha256', markKey).update(`${provider}\n${secret}`).digest('hex').slice(0, 16),
      cooldown,
      limits,
      now,
      random,
    }
  }

  async function* stream(request: ModelRequest): AsyncGenerator<ModelEvent> {
    yield* call({ ...orderFor(request.agent), places, wires, log }, request)
  }

  async function askOllama(): Promise<readonly string[]> {
    const own = settings().providers.find(provider => provider.id.toLowerCase() === 'ollama')
    const base = (own?.baseUrl ?? ollamaUrl(environment)).replace(/\/+(v1\/*)?$/, '')
    try {
      const response = await send(`${base}/api/tags`, { signal: AbortSignal.timeout(500) })
      const body = (await response.json()) as { models?: { name?: unknown }[] }
      discovered = (body.models ?? []).flatMap(model => (typeof model.name === 'string' ? [model.name] : []))
      if (discovered.length > 0) log('info', 'found an Ollama', { url: base, models: discovered.length })
    } catch (error) {
      // Not having one is the ordinary case.
      log('debug', 'no Ollama answers', { url: base, why: error instanceof Error ? error.message : String(error) })
    }
    return discovered
  }

  function resolved({ ref, provider, model, contextWindow, maxTokens, price, priced }: Target): ResolvedModel {
    return { ref, provider, model, contextWindow, maxTokens, price, priced }
  }

  function listing(target: Target, agent: string): ModelListing {
    return { ...resolved(target), name: target.name, key: keysFor(agent, target.provider)[0]?.id ?? null }
  }

  return {
    stream,
    defaultRef,
    inPlaceOf: (ref, agent) => inPlaceOf(orderFor(agent), ref).map(resolved),
    pause: ({ model, agent, cacheKey }) => pauseOf(orderFor(agent), model, cacheKey),
    line: {
      admits(run, { model, agent, cacheKey }) {
        const door = doorOf(orderFor(agent), model, cacheKey)
        return door === null || door.wanted.some(({ id }) => id === places.at(run))
      },
      async enter(run, { model, agent, cacheKey }, signal) {
        const order = orderFor(agent)
        const door = doorOf(order, model, cacheKey)
        if (!door || (await places.take(run, door.wanted, limits.sleepMs, signal)) !== null) return null
        return signal.aborted ? null : pauseInLine(order, door.target)
      },
      park: run => places.park(run),
      arrive: run => places.arrive(run),
      rest: run => places.rest(run),
      leave: run => places.leave(run),
      onCall: heard => places.onCall(who => void (typeof who === 'string' && heard(who))),
    },
    recall: holds => recall(cooldown, holds),

    resolve(ref, agent) {
      const found = find(ref, agent)
      if (!found.ok) return { ok: false, code: found.code, reason: found.reason, fix: found.fix || fixOf(found.code) }
      return { ok: true, model: resolved(found.target) }
    },

    list(agent) {
      const found = discovered.flatMap(model => {
        const answer = directory().find(`ollama/${model}`)
        return answer.ok ? [answer.target] : []
      })
      return [...directory().all(), ...found]
        .filter(target => withKey({ ok: true, target }, agent).ok)
        .map(target => listing(target, agent))
    },

    discover() {
      discovering ??= askOllama()
      return discovering
    },
  }
}
