/**
 * Keeps what a service says from ending the process, and hears its last words.
 *
 * baileys listens to its socket with functions that may reject, and nobody would catch that: a frame that cannot be opened
 * would be an unhandled rejection. Here it ends the connection, which is opened again; anything else is logged. And it reads
 * frames later than it hears of a close: why a service closed would be lost, so a close waits for the frames before it.
 */
import type { WASocket } from 'baileys'

export function guard(socket: WASocket, log: (words: string) => void): void {
  const { ws } = socket
  let reading: Promise<unknown> = Promise.resolve()
  for (const event of ws.eventNames()) {
    for (const listener of ws.listeners(event)) {
      const guarded = async (...args: unknown[]) => {
        try {
          if (event === 'close') await reading
          await listener.apply(ws, args)
        } catch (error) {
          const words = error instanceof Error ? error.message : String(error)
          log(`what the service said could not be handled: ${words}`)
          // Both sides count frames: after one that could not be opened none can.
          if (event === 'message') await socket.end(error instanceof Error ? error : new Error(words))
        }
      }
      ws.off(event, listener as (...args: unknown[]) => void)
      ws.on(event, (...args: unknown[]) => {
        const done = guarded(...args)
        if (event === 'message') reading = Promise.all([reading, done])
      })
    }
  }
}
