/**
 * A models room over the scripted provider stub, and what a call said, for tests.
 *
 * Owns short defaults: small limits, one agent, one key per provider. Real packages, real sockets.
 */
import type { ModelEvent, ModelRequest, Models } from '../../src/core/ports.ts'
import { openModels } from '../../src/models/models.ts'
import type { Credential, ModelRoom, ModelsOptions, ProviderSettings } from '../../src/models/options.ts'

export const stubKey = 'sk-stub-0123456789abcdef'

export interface StubModels {
  models: ModelRoom
  log: { level: string; message: string; fields: Record<string, unknown> }[]
}

export function stubModels(
  providers: readonly ProviderSettings[],
  more: Partial<ModelsOptions> & { fallbacks?: readonly string[]; primary?: string; keys?: readonly string[] } = {},
): StubModels {
  const { fallbacks = [], primary = null, keys = [stubKey], ...options } = more
  const log: StubModels['log'] = []
  const settings = { providers, aliases: {} }
  const credentials: Credential[] = keys.map((secret, n) => ({ id: `key:${n}`, kind: 'api_key', secret }))
  const models = openModels({
    settings: () => settings,
    modelsFor: () => ({ primary, fallbacks }),
    keysFor: () => credentials,
    environment: {},
    clock: { now: () => Date.now() },
    log: (level, message, fields = {}) => log.push({ level, message, fields }),
    random: () => 0,
    ...options,
    limits: { backoffMs: 5, sleepMs: 100, firstByteMs: 2_000, idleMs: 2_000, ...options.limits },
  })
  return { models, log }
}

export function request(model: string, more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    model,
    agent: 'main',
    system: 'You are a test.',
    messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }],
    tools: [],
    maxTokens: 1_000,
    cacheKey: 'conversation-1',
    signal: new AbortController().signal,
    ...more,
  }
}

export interface Heard {
  events: ModelEvent[]
  /** Text that stands, after every `replace`. */
  text: string
  calls: { id: string; name: string; args: string }[]
  end: Extract<ModelEvent, { type: 'end' }> | null
  failure: Extract<ModelEvent, { type: 'fail' }>['failure'] | null
}

/** Hears a call to its end and checks what holds for every call: one end or fail, last; nothing taken back after a call. */
export async function hear(models: Models, asked: ModelRequest): Promise<Heard> {
  const events: ModelEvent[] = []
  for await (const event of models.stream(asked)) events.push(event)
  const closing = events.filter(event => event.type === 'end' || event.type === 'fail')
  if (closing.length !== 1 || events.at(-1) !== closing[0])
    throw new Error(`a call must close exactly once: ${events.map(event => event.type).join(' ')}`)
  const firstCall = events.findIndex(event => event.type === 'call')
  if (firstCall >= 0 && events.slice(firstCall).some(event => event.type !== 'call' && event.type !== 'end'))
    throw new Error('something came between a call and the end')
  const from = events.findLastIndex(event => event.type === 'replace') + 1
  const last = closing[0]!
  return {
    events,
    text: events
      .slice(from)
      .map(event => (event.type === 'text' ? event.delta : ''))
      .join(''),
    calls: events.flatMap(event =>
      event.type === 'call' ? [{ id: event.id, name: event.name, args: event.args }] : [],
    ),
    end: last.type === 'end' ? last : null,
    failure: last.type === 'fail' ? last.failure : null,
  }
}
