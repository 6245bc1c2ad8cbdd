/**
 * From a request of the house to the call options of a provider package.
 *
 * Owns the translation and the marks for prompt caches: Anthropic's breakpoints (tools, system, the two newest ends of the
 * conversation) and OpenAI's cache key. The prefix stays byte for byte the same from call to call, so the marks pay.
 */
import type { OpenAICompatibleProvider } from '@ai-sdk/openai-compatible'
import type { ModelMessage, ModelRequest } from '../core/ports.ts'
import type { Part } from '../core/types.ts'
import type { Target } from './directory.ts'

/** The LanguageModel of the provider packages, taken from one of them: it is the same for all. */
export type LanguageModel = ReturnType<OpenAICompatibleProvider['languageModel']>
export type CallOptions = Parameters<LanguageModel['doStream']>[0]
type Prompt = CallOptions['prompt']
type Sent = Prompt[number]
type Meta = NonNullable<Sent['providerOptions']>
type UserPart = Extract<Sent, { role: 'user' }>['content'][number]
type AssistantPart = Extract<Sent, { role: 'assistant' }>['content'][number]
type ToolPart = Extract<Extract<Sent, { role: 'tool' }>['content'][number], { type: 'tool-result' }>

const breakpoint: Meta = { anthropic: { cacheControl: { type: 'ephemeral' } } }

export function callOptions(request: ModelRequest, target: Target, abortSignal: AbortSignal): CallOptions {
  const marked = target.api === 'anthropic-messages'
  const tools = request.tools.map((tool, index) => ({
    type: 'function' as const,
    name: tool.name,
    description: tool.description,
    inputSchema: tool.schema as NonNullable<
      Extract<NonNullable<CallOptions['tools']>[number], { type: 'function' }>
    >['inputSchema'],
    ...(marked && index === request.tools.length - 1 ? { providerOptions: breakpoint } : {}),
  }))
  const reasoning = effort(request.thinking, target)
  const own = providerOptions(request, target)
  return {
    prompt: prompt(request, target, marked),
    maxOutputTokens: request.maxTokens,
    abortSignal,
    ...(tools.length > 0 ? { tools } : {}),
    ...(reasoning ? { reasoning } : {}),
    ...(Object.keys(target.headers).length > 0 ? { headers: { ...target.headers } } : {}),
    ...(own ? { providerOptions: own } : {}),
  }
}

function providerOptions(request: ModelRequest, target: Target): Meta | null {
  // The house keeps the conversation itself; nothing is left with the provider, reasoning comes back encrypted.
  const promptCacheKey = request.cacheGroup ?? request.cacheKey
  if (target.api === 'openai-responses') return { openai: { store: false, promptCacheKey } }
  if (target.api === 'openai-completions' && isOpenai(target.baseUrl)) return { openai: { promptCacheKey } }
  return null
}

export function isOpenai(baseUrl: string): boolean {
  return baseUrl.startsWith('https://api.openai.com/')
}

const efforts: Readonly<Record<string, CallOptions['reasoning']>> = {
  off: 'none',
  minimal: 'minimal',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'xhigh',
  max: 'max',
  ultra: 'max',
}

/** Thinking levels of openclaw-facts E3. Servers that only resemble OpenAI's are asked when the configuration says they can. */
function effort(thinking: string | undefined, target: Target): CallOptions['reasoning'] {
  if (thinking === undefined || target.reasoning === false) return undefined
  const plain = target.api === 'ollama' || (target.api === 'openai-completions' && !isOpenai(target.baseUrl))
  return plain && target.reasoning !== true ? undefined : efforts[thinking]
}

function prompt(request: ModelRequest, target: Target, marked: boolean): Prompt {
  const sent: Sent[] = request.system
    ? [{ role: 'system', content: request.system, ...(marked ? { providerOptions: breakpoint } : {}) }]
    : []
  for (const message of request.messages) sent.push(...translate(message, target))
  if (marked) {
    // The newest end is read by the next call; the end before it is what this call reads, should the newest have changed.
    const ends = sent.flatMap((message, index) => (message.role === 'user' || message.role === 'tool' ? [index] : []))
    for (const index of ends.slice(-2)) sent[index] = { ...sent[index]!, providerOptions: breakpoint }
  }
  if (request.note) sent.push({ role: 'user', content: [{ type: 'text', text: request.note }] })
  return sent
}

function translate(message: ModelMessage, target: Target): Sent[] {
  switch (message.role) {
    case 'user': {
      const content = message.parts.flatMap(part => userPart(part, target))
      return content.length > 0 ? [{ role: 'user', content }] : []
    }
    case 'assistant': {
      const content = message.parts.flatMap(assistantPart)
      return content.length > 0 ? [{ role: 'assistant', content }] : []
    }
    case 'tool':
      return toolResult(message, target)
  }
}

function userPart(part: Part, target: Target): UserPart[] {
  if (part.type === 'text') return part.text ? [{ type: 'text', text: part.text }] : []
  if (part.type === 'audio') return hears(target, part.mimeType) ? [file(part)] : [{ type: 'text', text: unheard }]
  if (part.type !== 'image') return []
  return target.images ? [file(part)] : [{ type: 'text', text: unseen }]
}

/** OpenAI's wire has two forms of sound, Google's takes any; the others have none. */
function hears(target: Target, mimeType: string): boolean {
  if (!target.audio) return false
  if (target.api === 'openai-completions') return /^audio\/(wav|mp3|mpeg)$/.test(mimeType)
  return target.api === 'google-generative-ai'
}

const unheard = '[Sound was here; this model cannot listen to it.]'

const unseen = '[An image was here; this model takes no images.]'

function file(part: Extract<Part, { data: string }>): Extract<UserPart, { type: 'file' }> {
  return { type: 'file', mediaType: part.mimeType, data: { type: 'data', data: part.data } }
}

function assistantPart(part: Part): AssistantPart[] {
  switch (part.type) {
    case 'text':
      return part.text ? [{ type: 'text', text: part.text }] : []
    case 'thinking':
      return [{ type: 'reasoning', text: part.thinking, ...meta(part.meta) }]
    case 'toolCall':
      return [
        {
          type: 'tool-call',
          toolCallId: part.id,
          toolName: part.name,
          input: input(part.arguments),
          ...meta(part.meta),
        },
      ]
    case 'image':
    case 'audio':
      return []
  }
}

/** Every wire wants an object; arguments that could not be read are shown to the model as what it wrote. */
function input(args: unknown): unknown {
  return typeof args === 'object' && args !== null && !Array.isArray(args) ? args : { unreadable: args }
}

function meta(value: unknown): { providerOptions?: Meta } {
  return typeof value === 'object' && value !== null ? { providerOptions: value as Meta } : {}
}

function toolResult(message: Extract<ModelMessage, { role: 'tool' }>, target: Target): Sent[] {
  const text = message.parts.flatMap(part => (part.type === 'text' ? [part.text] : [])).join('\n')
  const images = message.parts.filter(part => part.type === 'image')
  const inside = target.images && images.length > 0 && takesImagesInResults(target)
  const words = images.length > 0 && !target.images ? `${text}\n${unseen}` : text
  const output: ToolPart['output'] = inside
    ? { type: 'content', value: [...(text ? [{ type: 'text' as const, text }] : []), ...images.map(file)] }
    : { type: message.isError ? 'error-text' : 'text', value: words || '(no output)' }
  const result: Sent = {
    role: 'tool',
    content: [{ type: 'tool-result', toolCallId: message.callId, toolName: message.name, output }],
  }
  if (inside || images.length === 0 || !target.images) return [result]
  // Chat completions take text only as a result: the images follow as if shown by the user.
  return [result, { role: 'user', content: [{ type: 'text', text: `From ${message.name}:` }, ...images.map(file)] }]
}

function takesImagesInResults(target: Target): boolean {
  return target.api !== 'ollama' && target.api !== 'openai-completions'
}
