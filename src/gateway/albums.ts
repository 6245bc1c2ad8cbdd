/**
 * Albums: several messages that a service shows as one, each with a picture of it, and the words on one of them only.
 *
 * Owns a bounded memory of those whose first message was let in, which a restart empties. What follows in an album is meant
 * for whom its words were meant, and belongs to the turn that they began. Invariant: only what the same sender wrote in the
 * same chat counts, whatever a message claims to belong to.
 */
import type { InboundMessage } from '../core/chat.ts'
import type { QueueMode } from '../sessions/types.ts'

/** A turn that an album began waits so long after each of its messages for the next. */
export const albumMs = 700
const mostAlbums = 500

export interface Albums {
  /** The message as it is meant: addressed, when the album's words were. */
  meant(message: InboundMessage): InboundMessage
  /** What it does to the conversation, given what messages there usually do. */
  mode(message: InboundMessage, usual: QueueMode): QueueMode
  /** It was let in; `began`: with a turn of its own. */
  letIn(message: InboundMessage, began: boolean): void
}

export function openAlbums(): Albums {
  /** Whether the album's first message began a turn. */
  const albums = new Map<string, { began: boolean }>()
  const keyOf = ({ channel, account, chat, sender, album }: InboundMessage) =>
    album === undefined ? null : [channel, account, chat.id, sender.id, album].join('\n')
  const find = (message: InboundMessage) => albums.get(keyOf(message) ?? '')

  return {
    meant: message => (find(message) && !message.mentioned ? { ...message, mentioned: true } : message),
    // Read with the first, whether others' messages would wait for another turn or break this one off.
    mode(message, usual) {
      if (find(message)?.began) return 'steer'
      return message.album !== undefined && usual === 'followup' ? 'collect' : usual
    },
    letIn(message, began) {
      const key = keyOf(message)
      if (key === null || albums.has(key)) return
      albums.set(key, { began })
      for (const oldest of albums.keys()) {
        if (albums.size <= mostAlbums) break
        albums.delete(oldest)
      }
    },
  }
}
