/**
 * One request to one model with one key: its stream read to the end and turned into the house's events.
 *
 * Owns the reading. A tool call is held back until the answer is whole, so a call that was told never comes to nothing.
 * Never retries, never waits, and knows no second model. `usage.input` counts what was neither read from nor written to a
 * cache: the four numbers add up to all tokens of the call.
 */
import type { ModelEvent } from '../core/ports.ts'
import type { Part, StopReason, TokenUsage } from '../core/types.ts'
import { classify, type Trouble, trouble } from './failure.ts'
import type { LanguageModel } from './prompt.ts'
import type { Watch } from './watch.ts'

export type Call = Extract<ModelEvent, { type: 'call' }>
export type Delta = Extract<ModelEvent, { type: 'text' | 'thinking' }>

export type Outcome =
  | { ok: true; stop: StopReason; usage: TokenUsage | null; parts: readonly Part[]; calls: readonly Call[] }
  | (Broken & {
      /** About so many tokens had come. */
      tokens: number
    })

interface Broken {
  ok: false
  trouble: Trouble
  usage: TokenUsage | null
  /** Something of the answer had come. */
  begun: boolean
}

type Streamed = Awaited<ReturnType<LanguageModel['doStream']>>
type StreamPart = Streamed['stream'] extends ReadableStream<infer T> ? T : never
type Finish = Extract<StreamPart, { type: 'finish' }>
type Meta = Record<string, Record<string, unknown>>

export interface AttemptOptions {
  provider: string
  /** Puts the request on its way. */
  send(): Promise<Streamed>
  watch: Watch
  /** The caller's own signal: tells an abort from a broken line. */
  signal: AbortSignal
  /** Told as soon as the request is on its way. */
  opening: readonly ModelEvent[]
  /** More is refused. */
  answerChars: number
  now: () => number
}

export async function* attempt(given: AttemptOptions): AsyncGenerator<ModelEvent, Outcome> {
  const { provider, send, watch, signal, opening, answerChars, now } = given
  const answer = collect()
  let chars = 0
  const broken = (outcome: Broken): Outcome => ({ ...outcome, tokens: Math.ceil(chars / 4) })
  try {
    const sent = send()
    // Whoever stops listening at the opening must not leave a rejection behind.
    sent.then(undefined, () => undefined)
    for (const event of opening) yield event
    const reader = (await sent).stream.getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      chars += 'delta' in value ? value.delta.length : 0
      if (chars > answerChars) {
        const why = trouble('bad_answer', `${provider} sent more than ${answerChars} characters.`, { again: false })
        return broken({ ok: false, usage: answer.usage(), begun: true, trouble: why })
      }
      const delta = answer.take(value)
      if (delta) yield delta
    }
    const outcome = answer.outcome(provider, error => classify(provider, error, now()))
    return outcome.ok ? outcome : broken(outcome)
  } catch (error) {
    const why = signal.aborted
      ? trouble('aborted', 'The call was aborted.')
      : (watch.broke() ?? classify(provider, error, now()))
    return broken({ ok: false, usage: answer.usage(), begun: answer.begun(), trouble: why })
  }
}

interface Answer {
  take(part: StreamPart): Delta | null
  usage(): TokenUsage | null
  begun(): boolean
  outcome(provider: string, classed: (error: unknown) => Trouble): Broken | (Outcome & { ok: true })
}

function collect(): Answer {
  const blocks: { part: Part; meta: Meta }[] = []
  const open = new Map<string, (typeof blocks)[number]>()
  const calls: Call[] = []
  let finish: Finish | null = null
  let failed: { error: unknown } | null = null

  function block(key: string, part: Part, meta: Meta | undefined) {
    const known = open.get(key)
    const mine = known ?? { part, meta: {} }
    if (!known) {
      open.set(key, mine)
      blocks.push(mine)
    }
    for (const [name, values] of Object.entries(meta ?? {})) mine.meta[name] = { ...mine.meta[name], ...values }
    return mine.part
  }

  const text = (id: string, meta?: Meta) => block(`text ${id}`, { type: 'text', text: '' }, meta)
  const thinking = (id: string, meta?: Meta) => block(`thinking ${id}`, { type: 'thinking', thinking: '' }, meta)

  function take(part: StreamPart): Delta | null {
    const meta = 'providerMetadata' in part ? (part.providerMetadata as Meta | undefined) : undefined
    switch (part.type) {
      case 'text-delta': {
        const mine = text(part.id, meta)
        if (mine.type === 'text') mine.text += part.delta
        return part.delta ? { type: 'text', delta: part.delta } : null
      }
      case 'reasoning-start':
      case 'reasoning-end':
        thinking(part.id, meta)
        return null
      case 'reasoning-delta': {
        const mine = thinking(part.id, meta)
        if (mine.type === 'thinking') mine.thinking += part.delta
        return part.delta ? { type: 'thinking', delta: part.delta } : null
      }
      case 'tool-call': {
        const { toolCallId: id, toolName: name, input: args } = part
        calls.push({ type: 'call', id, name, args, ...(meta ? { meta } : {}) })
        blocks.push({ part: { type: 'toolCall', id, name, arguments: parsed(args) }, meta: meta ?? {} })
        return null
      }
      case 'finish':
        finish = part
        return null
      case 'error':
        failed ??= part
        return null
      default:
        return null
    }
  }

  function parts(): Part[] {
    const whole: Part[] = []
    for (const { part, meta } of blocks) {
      const kept = Object.keys(meta).length > 0
      if (part.type === 'text' && part.text) whole.push(part)
      if (part.type === 'thinking' && (part.thinking || kept)) whole.push(kept ? { ...part, meta } : part)
      if (part.type === 'toolCall') whole.push(kept ? { ...part, meta } : part)
    }
    return whole
  }

  const usage = () => (finish ? usageOf(finish.usage) : null)

  return {
    take,
    usage,
    begun: () => blocks.length > 0,
    outcome(provider, classed) {
      const begun = blocks.length > 0
      const unfinished = !finish || finish.finishReason.unified === 'interrupted'
      const nameless = (failed?.error as { name?: unknown } | undefined)?.name === 'AI_InvalidResponseDataError'
      if (failed && !nameless) return { ok: false, trouble: classed(failed.error), usage: usage(), begun }
      const raw = finish?.finishReason.unified === 'error' ? finish.finishReason.raw : undefined
      if (raw) {
        const why = trouble('bad_answer', `${provider} ended its answer: ${raw}.`)
        return { ok: false, trouble: why, usage: usage(), begun }
      }
      if (unfinished || nameless || finish?.finishReason.unified === 'error') {
        const reason = begun
          ? trouble('network', `${provider} closed the line in the middle of an answer.`)
          : trouble('bad_answer', `${provider} sent something that is not an answer.`)
        return { ok: false, trouble: reason, usage: null, begun }
      }
      return { ok: true, stop: stopOf(finish!, calls.length > 0), usage: usage(), parts: parts(), calls }
    },
  }
}

function parsed(args: string): unknown {
  try {
    return JSON.parse(args)
  } catch {
    return args
  }
}

function stopOf(finish: Finish, called: boolean): StopReason {
  switch (finish.finishReason.unified) {
    case 'length':
      return 'length'
    case 'content-filter':
      return 'refusal'
    default:
      return called ? 'toolUse' : 'stop'
  }
}

/** Null when the provider didn't count. */
function usageOf({ inputTokens, outputTokens }: Finish['usage']): TokenUsage | null {
  if (inputTokens.total === undefined && outputTokens.total === undefined) return null
  const cacheRead = inputTokens.cacheRead ?? 0
  const cacheWrite = inputTokens.cacheWrite ?? 0
  const input = inputTokens.noCache ?? Math.max(0, (inputTokens.total ?? 0) - cacheRead - cacheWrite)
  return { input, output: outputTokens.total ?? 0, cacheRead, cacheWrite }
}
