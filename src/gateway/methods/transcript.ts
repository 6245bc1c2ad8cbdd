/**
 * Transcript rows as OpenClaw's clients read them (openclaw-facts.md §C4). Owns the shape, the cuts that keep an answer
 * within what a frame holds, and that a silent reply is not shown (as there). The stored idempotency key goes along: the Control UI waits for it (openclaw-clients.md §5.2).
 */
import type { ChildEnd, Message, Part } from '../../core/types.ts'
import { isSilentReply } from '../../core/silence.ts'
import type { ChatMessage } from '../../protocol/results.ts'
import type { House } from '../../sessions/types.ts'

const cutMark = '\n…[cut]'

function cut(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : text.slice(0, Math.max(0, maxChars - cutMark.length)) + cutMark
}

function contentOf(part: Part, maxChars: number): unknown {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: cut(part.text, maxChars) }
    case 'thinking':
      return { type: 'thinking', thinking: cut(part.thinking, maxChars) }
    case 'toolCall':
      return { type: 'toolCall', id: part.id, name: part.name, arguments: part.arguments }
    case 'image':
    case 'audio':
      return part.data.length > maxChars
        ? { type: part.type, mimeType: part.mimeType, omitted: true }
        : { type: part.type, mimeType: part.mimeType, data: part.data }
  }
}

function isText(part: Part): part is Part & { type: 'text' } {
  return part.type === 'text'
}

export function textOf(parts: readonly Part[]): string {
  return parts
    .filter(isText)
    .map(part => part.text)
    .join('')
}

/** Silent replies left out. With the wire id of the run that wrote each: clients match what they heard live by it (openclaw-clients.md §4). */
export async function chatMessages(
  house: Pick<House, 'wires'>,
  messages: readonly Message[],
  maxChars: number,
): Promise<ChatMessage[]> {
  const wire = await house.wires(messages.flatMap(({ run }) => run ?? []))
  /** A tool's result belongs to the turn of the call before it. */
  const turns = new Map<string, number>()
  return messages.flatMap(message => {
    const { run, meta } = message
    if (isSilentReply(message)) return []
    if (run === null) return [toChatMessage(message, maxChars)]
    const turn = meta.turn ?? turns.get(run) ?? 0
    turns.set(run, turn)
    const shown = toChatMessage(message, maxChars)
    return [{ ...shown, __openclaw: { ...shown.__openclaw, runId: wire(run, turn) } }]
  })
}

function toChatMessage(message: Message, maxChars: number): ChatMessage {
  const { meta, seq, id, at } = message
  const { role, kind } = speaker(message)
  const shown: ChatMessage = {
    role,
    content: message.parts.map(part => contentOf(part, maxChars)),
    timestamp: at,
    __openclaw: kind === undefined ? { id, seq } : { id, seq, kind },
  }
  if (meta.child) shown.content = [{ type: 'text', text: endOf(meta.child) }, ...shown.content]
  if (meta.via) {
    const { kind, sessionKey, tool } = meta.via
    shown.provenance = { kind, sourceSessionKey: sessionKey, sourceTool: tool }
  }
  if (meta.idempotencyKey !== undefined) shown.idempotencyKey = meta.idempotencyKey
  if (meta.toolCallId !== undefined) shown.toolCallId = meta.toolCallId
  if (meta.toolName !== undefined) shown.toolName = meta.toolName
  if (message.role === 'toolResult') shown.isError = meta.isError === true
  if (meta.api !== undefined) shown.api = meta.api
  if (meta.provider !== undefined) shown.provider = meta.provider
  if (meta.model !== undefined) shown.model = meta.model
  if (meta.stop !== undefined) shown.stopReason = meta.stop
  if (meta.usage !== undefined) {
    const { input, output, cacheRead, cacheWrite, costNano } = meta.usage
    const totalTokens = input + output + cacheRead + cacheWrite
    shown.usage = { input, output, cacheRead, cacheWrite, totalTokens, cost: { total: costNano / 1e9 } }
  }
  return shown
}

/** What the house tells the model itself (an early end, a child's, what a check found) is nobody's message; its answers to commands are. */
function speaker({ role, meta }: Message): { role: ChatMessage['role']; kind?: string } {
  if (role === 'event' && meta.command) {
    return { role: meta.command === 'answered' ? 'assistant' : 'user', kind: 'command' }
  }
  if (role === 'event') return { role: 'system', kind: 'event' }
  if (meta.check) return { role: 'system', kind: 'check' }
  return meta.child ? { role: 'system', kind: 'child' } : { role }
}

function endOf({ agent, label, task, outcome, error }: ChildEnd): string {
  const how = outcome === 'succeeded' ? 'completed' : `${outcome}${error ? `: ${error}` : ''}`
  return `[Sub-agent ${agent} · ${label ?? task.slice(0, 80)} · ${how}]\n`
}

/** The newest messages that fit, in order; `dropped` counts the older ones that did not. */
export function newest(messages: readonly ChatMessage[], maxTotal: number): { kept: ChatMessage[]; dropped: number } {
  let room = maxTotal
  let first = messages.length
  while (first > 0) {
    room -= JSON.stringify(messages[first - 1]).length
    // One message always goes, however long: an empty history would hide that there is one.
    if (room < 0 && first < messages.length) break
    first -= 1
  }
  return { kept: messages.slice(first), dropped: first }
}
