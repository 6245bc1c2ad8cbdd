/**
 * What is said in groups to others: kept for the moment when somebody speaks to the agent there, so that it knows what about.
 *
 * Owns a bounded memory, which a restart empties: that these messages came and were not for the agent is in `drops`, their
 * words are in no row. Only people whom the group's rules let in are overheard.
 */
import type { InboundMessage } from '../core/chat.ts'
import { type Overheard, plainWords, speaker } from '../router/words.ts'

/** Chats at once; the one that was quiet longest is forgotten. */
const mostChats = 300
const longestLine = 1000

export interface OverheardChats {
  add(message: InboundMessage, limit: number): void
  before(message: InboundMessage): readonly Overheard[]
  /** The agent has it now. */
  told(message: InboundMessage): void
}

export function openOverheard(): OverheardChats {
  const chats = new Map<string, Overheard[]>()
  const keyOf = ({ channel, account, chat }: InboundMessage) =>
    [channel, account, chat.id, chat.thread ?? ''].join('\n')

  return {
    add(message, limit) {
      const key = keyOf(message)
      const lines = chats.get(key) ?? []
      chats.delete(key)
      if (limit === 0) return
      const files = message.media.length > 0 ? ` (with ${message.media.length} files)` : ''
      lines.push({ name: speaker(message), text: `${plainWords(message.text).slice(0, longestLine)}${files}` })
      chats.set(key, lines.slice(-limit))
      for (const oldest of chats.keys()) {
        if (chats.size <= mostChats) break
        chats.delete(oldest)
      }
    },
    before: message => (message.chat.kind === 'direct' ? [] : (chats.get(keyOf(message)) ?? [])),
    told: message => void chats.delete(keyOf(message)),
  }
}
