/**
 * What the service answered to the messages of one socket.
 *
 * Owns the waiting: each message waits by its id until it is answered, the connection is gone, or too much time has passed.
 */
import type { WASocket } from 'baileys'

/** Longer than the service ever took to answer; beyond it nobody knows. */
const patienceMs = 30_000

export interface Answer {
  /** The error that the service named, or null; rejects when no answer can come any more. */
  arrived: Promise<string | null>
  forget(): void
}

export interface Answers {
  to(id: string, signal: AbortSignal): Answer
}

export function openAnswers(socket: WASocket): Answers {
  const waiting = new Map<string, { resolve(error: string | null): void; reject(error: Error): void }>()
  socket.ws.on('CB:ack,class:message', ({ attrs }: { attrs: Record<string, string> }) => {
    waiting.get(attrs['id'] ?? '')?.resolve(attrs['error'] ?? null)
  })
  socket.ev.on('connection.update', ({ connection }) => {
    if (connection !== 'close') return
    for (const one of waiting.values()) one.reject(new Error('the connection was lost before the answer'))
  })
  return {
    to(id, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<string | null>()
      const tooLong = setTimeout(() => reject(new Error('the service did not answer')), patienceMs)
      const abort = () => reject(new Error('it was broken off before the answer'))
      signal.addEventListener('abort', abort)
      waiting.set(id, { resolve, reject })
      // Nobody may be waiting yet when it fails.
      promise.catch(() => undefined)
      return {
        arrived: promise,
        forget() {
          clearTimeout(tooLong)
          signal.removeEventListener('abort', abort)
          waiting.delete(id)
        },
      }
    },
  }
}
