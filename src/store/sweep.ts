/**
 * When the store is tidied: well after the start, which has better things to do, and once a day from then on.
 *
 * Owns one timer. Never holds up anything: a sweep that fails is told in the log and comes again the next day.
 */
import type { Store } from './open.ts'

const firstMs = 10 * 60_000
const everyMs = 24 * 3600_000

/** Returns how to stop it; the store ends a sweep that is under way when it closes. */
export function sweepDaily(store: Pick<Store, 'sweep'>, log: (line: string) => void): () => void {
  let timer = wait(firstMs)

  function wait(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      timer = wait(everyMs)
      store.sweep().then(
        removed => removed > 0 && log(`store: removed ${removed} files of long texts that nothing refers to`),
        error => log(`store: the sweep failed: ${error instanceof Error ? error.message : String(error)}`),
      )
    }, ms).unref()
  }

  return () => clearTimeout(timer)
}
