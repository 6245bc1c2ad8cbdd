/**
 * Well-known models: what they can read and write, and what they cost. As of 2026-11-22, from the providers' own price
 * pages; models.providers.<id>.models[].cost in the configuration goes before it.
 *
 * Owns a table and two rules for it. A price that is reduced for a time stands here without the reduction, and a model
 * whose long prompts cost more has its window cut where that begins: a budget may then be too careful, never too small. A
 * model that is not here is used all the same, with plain defaults and no price.
 */

export interface CatalogueRow {
  name: string
  contextWindow: number
  maxTokens: number
  /** nano-USD per token: one dollar per million tokens is 1000. */
  price: { input: number; output: number; cacheRead: number; cacheWrite: number }
}

/** Thousands of tokens, then USD per million: input, output, cache read, cache write (five minutes where there is a choice). */
function row(
  name: string,
  window: number,
  most: number,
  [input, output, cacheRead, cacheWrite]: readonly [number, number, number, number],
): CatalogueRow {
  const nano = (usd: number) => Math.round(usd * 1000)
  return {
    name,
    contextWindow: window * 1000,
    maxTokens: most * 1000,
    price: { input: nano(input), output: nano(output), cacheRead: nano(cacheRead), cacheWrite: nano(cacheWrite) },
  }
}

export const catalogue: Readonly<Record<string, CatalogueRow>> = {
  'anthropic/claude-fable-5-2': row('Claude Fable 5.2', 1000, 128, [8, 40, 0.2, 10]),
  'anthropic/claude-fable-5-1': row('Claude Fable 5.1', 1000, 128, [10, 50, 0.25, 12.5]),
  'anthropic/claude-opus-5-5': row('Claude Opus 5.5', 1000, 128, [4, 20, 0.2, 5]),
  'anthropic/claude-opus-5': row('Claude Opus 5', 1000, 128, [5, 25, 0.5, 6.25]),
  'anthropic/claude-opus-4-8': row('Claude Opus 4.8', 1000, 128, [5, 25, 0.5, 6.25]),
  'anthropic/claude-opus-4-6': row('Claude Opus 4.6', 1000, 128, [5, 25, 0.5, 6.25]),
  'anthropic/claude-opus-4-5': row('Claude Opus 4.5', 200, 64, [5, 25, 0.5, 6.25]),
  'anthropic/claude-sonnet-5-5': row('Claude Sonnet 5.5', 1000, 128, [2, 10, 0.1, 2.5]),
  'anthropic/claude-sonnet-5': row('Claude Sonnet 5', 1000, 128, [2, 10, 0.2, 2.5]),
  'anthropic/claude-sonnet-4-6': row('Claude Sonnet 4.6', 200, 128, [3, 15, 0.3, 3.75]),
  'anthropic/claude-sonnet-4-5': row('Claude Sonnet 4.5', 200, 64, [3, 15, 0.3, 3.75]),
  // From 100,000 tokens of prompt on, five times as much.
  'anthropic/claude-haiku-5-5': row('Claude Haiku 5.5', 100, 64, [0.1, 0.5, 0.01, 0.125]),
  'anthropic/claude-haiku-4-5': row('Claude Haiku 4.5', 200, 64, [1, 5, 0.1, 1.25]),
  // From 272,000 tokens of prompt on, twice as much.
  'openai/gpt-6-astra': row('GPT-6 Astra', 272, 128, [10, 50, 1, 12.5]),
  'openai/gpt-6.1-sol': row('GPT-6.1 Sol', 272, 128, [2, 10, 0.1, 2.5]),
  'openai/gpt-6.1-terra': row('GPT-6.1 Terra', 272, 128, [1, 5, 0.05, 1.25]),
  'openai/gpt-6-sol': row('GPT-6 Sol', 272, 128, [2, 10, 0.2, 2.5]),
  'openai/gpt-6-luna': row('GPT-6 Luna', 272, 128, [0.1, 0.5, 0.01, 0.125]),
  'openai/gpt-5.6-sol': row('GPT-5.6 Sol', 272, 128, [4, 20, 0.4, 5]),
  'openai/gpt-5.6-terra': row('GPT-5.6 Terra', 272, 128, [2, 12, 0.2, 2.5]),
  'openai/gpt-5.6-luna': row('GPT-5.6 Luna', 272, 128, [0.2, 1.2, 0.02, 0.25]),
  'google/gemini-4-carbon': row('Gemini 4 Carbon', 1000, 64, [4, 20, 0.2, 4]),
  'google/gemini-4-argon': row('Gemini 4 Argon', 1000, 64, [4, 20, 0.2, 4]),
  'google/gemini-3.8-flash': row('Gemini 3.8 Flash', 1000, 64, [1.5, 7.5, 0.15, 1.5]),
  // From 200,000 tokens of prompt on, twice as much.
  'google/gemini-2.5-pro': row('Gemini 2.5 Pro', 200, 64, [1.25, 10, 0.125, 1.25]),
  'google/gemini-2.5-flash': row('Gemini 2.5 Flash', 1000, 64, [0.3, 2.5, 0.03, 0.3]),
}

/** Short names; the configuration's aliases go before them. */
export const builtinAliases: Readonly<Record<string, string>> = {
  fable: 'anthropic/claude-fable-5-2',
  opus: 'anthropic/claude-opus-5-5',
  sonnet: 'anthropic/claude-sonnet-5-5',
  haiku: 'anthropic/claude-haiku-5-5',
  gpt: 'openai/gpt-6.1-sol',
  'gpt-mini': 'openai/gpt-6-luna',
  gemini: 'google/gemini-4-carbon',
  'gemini-flash': 'google/gemini-3.8-flash',
  rehearsal: 'rehearsal/rehearsal',
}
