/**
 * Updates on their way to the house: those of one chat one after the other, chats beside each other.
 *
 * Owns the order. Knows neither how updates come nor what they say. Invariant: an update of a chat is begun only when the
 * one before it was taken or given up.
 */
import type { Update } from 'grammy/types'
import { chatIdOf } from './inbound.ts'

export interface Intake {
  /** Resolves when the house has taken it; fails when it could not. */
  put(update: Update): Promise<void>
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

export function openIntake(take: (update: Update) => Promise<void>): Intake {
  const last = new Map<string, Promise<void>>()
  /** A webhook may bring an update again while it is still being taken: both wait for the same end. */
  const open = new Map<number, Promise<void>>()
  return {
    put(update) {
      const known = open.get(update.update_id)
      if (known) return known
      const chat = chatIdOf(update)
      const done = (last.get(chat) ?? Promise.resolve()).then(() => take(update))
      const settled = done
        .catch(() => undefined)
        .then(() => {
          if (last.get(chat) === settled) last.delete(chat)
          open.delete(update.update_id)
        })
      last.set(chat, settled)
      open.set(update.update_id, done)
      return done
    },
    async idle() {
      while (last.size > 0) await Promise.all(last.values())
    },
  }
}
