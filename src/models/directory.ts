/**
 * Which models there are and what is known of each: the built-in providers, the configuration over them, the catalogue.
 *
 * Owns how a reference becomes a target (a wire, an address, facts). A reference is `provider/model`, split at the first
 * `/` (openclaw-facts E6). Never reads a key and never touches the network.
 */
import type { ResolvedModel } from '../core/ports.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { fixOf } from '../protocol/errors.ts'
import { builtinAliases, catalogue } from './catalogue.ts'
import { type Api, apis, type ModelSettings, type ModelsSettings, type ProviderSettings } from './options.ts'
import { rehearsalModel } from './rehearsal.ts'

/** A provider that is known without configuration. */
export interface BuiltinProvider {
  api: Api
  baseUrl: string
  /** Variables that hold its key, in order; empty = it needs none. */
  keys: readonly string[]
  /** What an agent uses when only this provider has a key. */
  model: string
}

/** In the order in which a default model is looked for. */
export const builtinProviders: Readonly<Record<string, BuiltinProvider>> = {
  anthropic: {
    api: 'anthropic-messages',
    baseUrl: 'https://api.anthropic.com/v1',
    keys: ['ANTHROPIC_API_KEY'],
    model: 'claude-sonnet-5-5',
  },
  openai: {
    api: 'openai-responses',
    baseUrl: 'https://api.openai.com/v1',
    keys: ['OPENAI_API_KEY'],
    model: 'gpt-6.1-sol',
  },
  google: {
    api: 'google-generative-ai',
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta',
    keys: ['GEMINI_API_KEY', 'GOOGLE_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY'],
    model: 'gemini-3.8-flash',
  },
  openrouter: {
    api: 'openai-completions',
    baseUrl: 'https://openrouter.ai/api/v1',
    keys: ['OPENROUTER_API_KEY'],
    model: 'openrouter/auto',
  },
  ollama: { api: 'ollama', baseUrl: 'http://127.0.0.1:11434', keys: [], model: '' },
}

/** Everything a call needs but the key. */
export interface Target extends ResolvedModel {
  api: Api | 'rehearsal'
  /** With the path that the wire expects; '' for the rehearsal model. */
  baseUrl: string
  headers: Readonly<Record<string, string>>
  /** True when a call without a key makes sense: an Ollama, a server of one's own. */
  keyless: boolean
  /** Longest silence; null = the room's limits. */
  timeoutMs: number | null
  /** Calls at a time with one key; null = any number. */
  places: number | null
  reasoning: boolean | null
  images: boolean
  audio: boolean
  name: string
}

export type Found = { ok: true; target: Target } | { ok: false; code: ErrorCode; reason: string; fix: string }

export interface Directory {
  find(ref: string): Found
  /** Every model known by name: the catalogue's and the configuration's. */
  all(): readonly Target[]
}

function no(code: ErrorCode, reason: string, fix = fixOf(code)): Found {
  return { ok: false, code, reason, fix }
}

export function makeDirectory(settings: ModelsSettings, environment: Record<string, string | undefined>): Directory {
  const configured = new Map(settings.providers.map(provider => [provider.id.toLowerCase(), provider]))
  const found = new Map<string, Found>()

  function target(provider: string, id: string): Found {
    if (provider === 'rehearsal') {
      if (id === rehearsalModel.model) return { ok: true, target: rehearsalModel }
      return no('MODEL_UNKNOWN', `The rehearsal provider has one model: ${rehearsalModel.ref}.`)
    }
    const own = configured.get(provider)
    const builtin = Object.hasOwn(builtinProviders, provider) ? builtinProviders[provider] : undefined
    if (!own && !builtin) {
      const known = ['rehearsal', ...Object.keys(builtinProviders), ...configured.keys()]
      return no('MODEL_UNKNOWN', `There is no provider "${provider}". Known: ${[...new Set(known)].join(', ')}.`)
    }
    if (!id) return no('MODEL_UNKNOWN', `The reference names the provider "${provider}" but no model.`)
    const row = own?.models.find(model => model.id === id)
    const api = row?.api ?? own?.api ?? builtin?.api ?? 'openai-completions'
    if (!isApi(api))
      return no(
        'MODEL_UNKNOWN',
        `The provider "${provider}" asks for the wire "${api}", which is not spoken here. Spoken: ${apis.join(', ')}.`,
        `Set models.providers.${provider}.api to one of them.`,
      )
    const address = own?.baseUrl ?? (api === 'ollama' ? ollamaUrl(environment) : builtin?.baseUrl)
    if (!address || !URL.canParse(address))
      return no(
        'MODEL_UNKNOWN',
        `The provider "${provider}" has no address${address ? ` that can be read: ${address}` : ''}.`,
        `Set models.providers.${provider}.baseUrl.`,
      )
    return { ok: true, target: describe(provider, id, api, address, own, row) }
  }

  function describe(
    provider: string,
    id: string,
    api: Api,
    address: string,
    own: ProviderSettings | undefined,
    row: ModelSettings | undefined,
  ): Target {
    const known = catalogue[`${provider}/${id}`]
    const cost = row?.cost
    const price = cost
      ? {
          input: cost.input * 1000,
          output: cost.output * 1000,
          cacheRead: (cost.cacheRead ?? cost.input) * 1000,
          cacheWrite: (cost.cacheWrite ?? cost.input) * 1000,
        }
      : (known?.price ?? { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 })
    const contextWindow = row?.contextWindow ?? known?.contextWindow ?? (api === 'ollama' ? 8_192 : 128_000)
    return {
      ref: `${provider}/${id}`,
      provider,
      model: id,
      name: known?.name ?? id,
      api,
      baseUrl: wirePath(api, address),
      headers: { ...own?.headers, ...row?.headers },
      keyless: api === 'ollama' || (own?.baseUrl !== undefined && !isHosted(own.baseUrl)),
      timeoutMs: own?.timeoutSeconds ? own.timeoutSeconds * 1000 : api === 'ollama' ? 300_000 : null,
      places: own?.maxConcurrent ?? null,
      reasoning: row?.reasoning ?? null,
      images: row?.input ? row.input.includes('image') : true,
      audio: row?.input ? row.input.includes('audio') : api === 'google-generative-ai',
      contextWindow,
      maxTokens: Math.min(row?.maxTokens ?? known?.maxTokens ?? 8_192, contextWindow),
      price,
      priced: cost !== undefined || known !== undefined,
    }
  }

  function find(ref: string): Found {
    const wanted = ref.trim()
    const named = settings.aliases[wanted] ?? (wanted.includes('/') ? wanted : builtinAliases[wanted.toLowerCase()])
    const full = named ?? bare(wanted)
    if (!full) return no('MODEL_UNKNOWN', `"${wanted}" is neither provider/model nor the alias of one.`)
    const at = full.indexOf('/')
    const provider = full.slice(0, at).toLowerCase()
    const id = full.slice(at + 1)
    if (provider === 'gemini') return target('google', id)
    // OpenRouter's own router models carry its name twice.
    if (provider === 'openrouter' && id && !id.includes('/')) return target(provider, `openrouter/${id}`)
    return target(provider, id)
  }

  /** A model named without its provider, when exactly one provider has it. */
  function bare(id: string): string | undefined {
    const refs = [
      ...settings.providers.flatMap(provider =>
        provider.models.filter(model => model.id === id).map(() => `${provider.id}/${id}`),
      ),
      ...Object.keys(catalogue).filter(ref => ref.slice(ref.indexOf('/') + 1) === id),
    ]
    const once = [...new Set(refs)]
    return once.length === 1 ? once[0] : undefined
  }

  return {
    find(ref) {
      const known = found.get(ref)
      if (known) return known
      const answer = find(ref)
      // Strangers' words must not grow the table without end.
      if (found.size < 1000) found.set(ref, answer)
      return answer
    },

    all() {
      const refs = [
        ...settings.providers.flatMap(provider =>
          provider.models.map(model => `${provider.id.toLowerCase()}/${model.id}`),
        ),
        ...Object.keys(catalogue),
        rehearsalModel.ref,
      ]
      return [...new Set(refs)].flatMap(ref => {
        const answer = find(ref)
        return answer.ok ? [answer.target] : []
      })
    },
  }
}

function isApi(api: string): api is Api {
  return (apis as readonly string[]).includes(api)
}

/** Providers whose servers always want a key; an address of one's own may do without. */
function isHosted(url: string): boolean {
  const hosts = Object.values(builtinProviders).map(provider => new URL(provider.baseUrl).hostname)
  const host = URL.canParse(url) ? new URL(url).hostname : ''
  return host !== '127.0.0.1' && hosts.includes(host)
}

/** OLLAMA_HOST is `host`, `host:port` or a URL; 0.0.0.0 is what a server listens on, not where it is. */
export function ollamaUrl(environment: Record<string, string | undefined>): string {
  const host = environment['OLLAMA_HOST']?.trim()
  const written = host?.includes('://') ? host : `http://${host}`
  if (!host || !URL.canParse(written)) return 'http://127.0.0.1:11434'
  const url = new URL(written)
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1'
  if (!url.port && !host.includes('://')) url.port = '11434'
  return url.origin
}

/** Adds what a wire's own addresses lack: OpenClaw writes Anthropic's and Ollama's without a path. */
function wirePath(api: Api, address: string): string {
  const base = address.replace(/\/+$/, '')
  if (api === 'ollama') return /\/v1$/.test(base) ? base : `${base}/v1`
  if (api === 'anthropic-messages') return /\/v\d+$/.test(base) ? base : `${base}/v1`
  return base
}
