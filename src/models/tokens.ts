/**
 * Tokens and money: estimates where nobody counted, and what a count costs. Pure.
 */
import type { ModelRequest } from '../core/ports.ts'
import type { Part, TokenUsage } from '../core/types.ts'

/** About four characters a token in most languages and code; an image about 1,500 tokens; a second of speech, some 2 kB, about 32. */
export function partTokens(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + tokensOf(part), 0)
}

function tokensOf(part: Part): number {
  switch (part.type) {
    case 'text':
      return textTokens(part.text)
    case 'thinking':
      return textTokens(part.thinking)
    case 'toolCall':
      return textTokens(part.name) + textTokens(JSON.stringify(part.arguments) ?? '')
    case 'image':
      return 1_500
    case 'audio':
      return Math.ceil(part.data.length / 80)
  }
}

export function textTokens(text: string): number {
  return Math.ceil(text.length / 4)
}

export function promptTokens(request: Pick<ModelRequest, 'system' | 'messages' | 'tools'>): number {
  const tools = request.tools.reduce((sum, tool) => sum + textTokens(JSON.stringify(tool)), 0)
  return (
    textTokens(request.system) + tools + request.messages.reduce((sum, next) => sum + partTokens(next.parts) + 4, 0)
  )
}

/** Whole nano-USD, rounded up: what is charged is never less than what was spent. */
export function costOf(usage: TokenUsage, price: TokenUsage): number {
  return Math.ceil(
    usage.input * price.input +
      usage.output * price.output +
      usage.cacheRead * price.cacheRead +
      usage.cacheWrite * price.cacheWrite,
  )
}
