/**
 * What the models room must be told, and what it tells back beyond the port.
 *
 * Owns shapes only. The room knows neither configuration nor store: the app maps both onto these options. `settings` is
 * asked at each use, so a reloaded configuration counts from the next call on. Secrets come in through `keysFor` alone and
 * leave only towards the provider they belong to.
 */
import type { Pace } from '../core/pace.ts'
import type { Clock, Models, ResolvedModel } from '../core/ports.ts'
import type { Send } from './line.ts'

/** Wire protocols that can be spoken (openclaw-facts E6, `models.providers.<id>.api`). */
export const apis = [
  'openai-completions',
  'openai-responses',
  'anthropic-messages',
  'google-generative-ai',
  'ollama',
] as const

export type Api = (typeof apis)[number]

/** One row of `models.providers.<id>.models`. */
export interface ModelSettings {
  id: string
  /** Another wire than its provider's. */
  api?: string
  /** Tokens the model can read, answer included. */
  contextWindow?: number
  /** Tokens it may answer at most. */
  maxTokens?: number
  /** USD per million tokens, as OpenClaw writes it. Given, it overrides the catalogue and makes the model priced. */
  cost?: { input: number; output: number; cacheRead?: number; cacheWrite?: number }
  /** False: never asked to think. For openai-completions only `true` sends an effort. */
  reasoning?: boolean
  /** What it takes: `image` and `audio` besides text; by default images, and sound where the wire is Google's. */
  input?: readonly string[]
  headers?: Readonly<Record<string, string>>
}

/** `models.providers.<id>`, without its key (see `keysFor`). */
export interface ProviderSettings {
  id: string
  /** One of `apis`; anything else is refused by name. Default: the built-in provider's, else openai-completions. */
  api?: string
  /** Default: the built-in provider's. */
  baseUrl?: string
  headers?: Readonly<Record<string, string>>
  /** Longest silence before the first byte and between bytes. */
  timeoutSeconds?: number
  /** Calls that may be out at a time with one key for one model. Default: any number. */
  maxConcurrent?: number
  models: readonly ModelSettings[]
}

export interface ModelsSettings {
  /** From the configuration; the built-in providers need no entry. Same object as long as nothing changed. */
  providers: readonly ProviderSettings[]
  /** Name → `provider/model` (agents.defaults.models.<ref>.alias). */
  aliases: Readonly<Record<string, string>>
}

/** A key, and what it is called in logs. */
export interface Credential {
  /** `anthropic:default`, `env:ANTHROPIC_API_KEY`, `config:<provider>`: never the secret itself. */
  id: string
  kind: 'api_key' | 'token'
  secret: string
}

export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Record<string, unknown>,
) => void

/** Milliseconds and bytes; tests make them small. */
export interface Limits {
  /** Longest silence before the first byte of an answer (default 120 s; Ollama 300 s, it may be loading a model). */
  firstByteMs: number
  /** Longest silence inside an answer (default 240 s: some models think without a word). */
  idleMs: number
  /** Waits up to this are slept inside the call; longer ones end it with `retryAtMs` (decisions.md 36). Default 2 s. */
  sleepMs: number
  /** First wait of the exponential backoff. Default 250 ms. */
  backoffMs: number
  /** An answer that takes more on the wire is refused. Default 32 MB: a token may be sent in a frame of its own. */
  answerBytes: number
  /** So is one with more characters in it. Default 4 million, several times what any model is able to say. */
  answerChars: number
}

export interface ModelsOptions {
  settings(): ModelsSettings
  /** What an agent is configured to use; `primary` null when nothing is. References or aliases, fallbacks in order. */
  modelsFor(agent: string): { primary: string | null; fallbacks: readonly string[] }
  /** Keys of an agent for a provider, best first (credentials.ts). Synchronous, and cheap enough for every call. */
  keysFor(agent: string, provider: string): readonly Credential[]
  /** For OLLAMA_HOST and the like; keys are not read here. */
  environment: Readonly<Record<string, string | undefined>>
  clock: Clock
  log: Log
  /** Default: line.ts. */
  send?: Send
  /** Default: answers are handed on as they come. */
  pace?: Pace
  /** 0 ≤ x < 1, for jitter. Default Math.random. */
  random?: () => number
  limits?: Partial<Limits>
  /** From which the marks of keys are made that rows may hold; another one each time when there is none. */
  markKey?: Uint8Array
}

/** For lists (models.list, status, `deputy models`). */
export interface ModelListing extends ResolvedModel {
  name: string
  /** Which key would be used, by id; null when none is needed. */
  key: string | null
}

export interface ModelRoom extends Models {
  /**
   * The model of an agent when nobody names one: its configured one, else the best that has a key, else a model of a
   * discovered Ollama, else `rehearsal/rehearsal`. Always a reference that resolves, unless the configured one doesn't.
   */
  defaultRef(agent: string): string
  /** Every model of the catalogue and the configuration that this agent could use now. */
  list(agent: string): readonly ModelListing[]
  /**
   * Asks the Ollama on this machine (or OLLAMA_HOST) once for its models; returns their ids, empty when there is none. Not
   * needed before anything else: call it after the start, in the background. At most 500 ms.
   */
  discover(): Promise<readonly string[]>
}
