/**
 * The provider packages: one language model per (wire, address, key, model), made on first use and kept.
 *
 * Owns the instances, the only imports of the packages (each on first use, so that an idle gateway carries none) and the
 * watched line under them (line.ts). Never retries: call.ts does.
 */
import type { Target } from './directory.ts'
import type { Asked, Send } from './line.ts'
import type { Credential } from './options.ts'
import { isOpenai, type LanguageModel } from './prompt.ts'
import type { Watch } from './watch.ts'

export interface Wires {
  /** @param credential null for a server that wants no key. */
  model(target: Target, credential: Credential | null): LanguageModel | Promise<LanguageModel>
  /** Follows the bytes of every request that is sent with this signal. */
  watch(signal: AbortSignal, watch: Watch): void
}

export function openWires(send: Send): Wires {
  const models = new Map<string, LanguageModel>()
  const watches = new WeakMap<AbortSignal, Watch>()

  /** What the packages take for fetch: they call it with an address, plain headers and a text. */
  const fetch = ((url: string, asked: Asked) => {
    const watch = asked.signal && watches.get(asked.signal)
    return send(url, watch ? { ...asked, heard: watch.heard } : asked)
  }) as typeof globalThis.fetch

  async function make(target: Target, credential: Credential | null): Promise<LanguageModel> {
    const { baseUrl: baseURL, model, provider: name } = target
    const secret = credential?.secret
    // The packages insist on some key; a header made of it would be wrong where none is wanted.
    const apiKey = secret ?? 'none'
    switch (target.api) {
      case 'anthropic-messages': {
        const { createAnthropic } = await import('@ai-sdk/anthropic')
        const key = credential?.kind === 'token' ? { authToken: apiKey } : { apiKey }
        return createAnthropic({ baseURL, fetch, ...key })(model)
      }
      case 'openai-responses': {
        const { createOpenAI } = await import('@ai-sdk/openai')
        return createOpenAI({ baseURL, apiKey, fetch }).responses(model)
      }
      case 'google-generative-ai': {
        const { createGoogle } = await import('@ai-sdk/google')
        return createGoogle({ baseURL, apiKey, fetch })(model)
      }
      default: {
        if (isOpenai(baseURL)) {
          const { createOpenAI } = await import('@ai-sdk/openai')
          return createOpenAI({ baseURL, apiKey, fetch }).chat(model)
        }
        const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
        const key = secret === undefined ? {} : { apiKey: secret }
        return createOpenAICompatible({ name, baseURL, ...key, fetch, includeUsage: true })(model)
      }
    }
  }

  return {
    model(target, credential) {
      const id = [target.api, target.provider, target.baseUrl, credential?.kind, credential?.secret, target.model].join(
        '\n',
      )
      const known = models.get(id)
      if (known) return known
      return make(target, credential).then(model => {
        models.set(id, model)
        return model
      })
    },
    watch: (signal, watch) => {
      watches.set(signal, watch)
    },
  }
}
