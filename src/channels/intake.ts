/**
 * What comes in on its way to the house: that of one chat one after the other, chats beside each other.
 *
 * Owns the order. Knows neither a service nor what is said. Invariant: what comes of a chat is begun only when what came
 * before it was taken or given up.
 */
export interface Intake {
  /** Resolves when `take` has; fails when it does. The same `id` again while it is open waits for the same end. */
  put(id: string, chat: string, take: () => Promise<void>): Promise<void>
  busy(): boolean
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

export function openIntake(): Intake {
  const last = new Map<string, Promise<void>>()
  const open = new Map<string, Promise<void>>()
  return {
    put(id, chat, take) {
      const known = open.get(id)
      if (known) return known
      const done = (last.get(chat) ?? Promise.resolve()).then(take)
      const settled = done
        .catch(() => undefined)
        .then(() => {
          if (last.get(chat) === settled) last.delete(chat)
          open.delete(id)
        })
      last.set(chat, settled)
      open.set(id, done)
      return done
    },
    busy: () => last.size > 0,
    async idle() {
      while (last.size > 0) await Promise.all(last.values())
    },
  }
}
