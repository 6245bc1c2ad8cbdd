/**
 * The sign that the account is writing: a service shows it for some seconds, so it is sent again for as long as it holds.
 *
 * Owns the timers. A failure ends the sign and nothing else: it carries no promise.
 */
import type { Route } from '../core/types.ts'

export interface Typing {
  set(route: Route, on: boolean): void
  stop(): void
}

/** `againMs`: a little less than the service shows it for. */
export function openTyping(againMs: number, show: (route: Route) => Promise<void>): Typing {
  const timers = new Map<string, NodeJS.Timeout>()

  function clear(key: string): void {
    clearInterval(timers.get(key))
    timers.delete(key)
  }

  return {
    set(route, on) {
      const key = `${route.to}\n${route.thread ?? ''}`
      if (!on) return clear(key)
      if (timers.has(key)) return
      const once = (): void => void show(route).catch(() => clear(key))
      timers.set(key, setInterval(once, againMs).unref())
      once()
    },
    stop() {
      for (const key of [...timers.keys()]) clear(key)
    },
  }
}
