/**
 * When the house is tidied: well after the start, which has better things to do, and from then on as often as it says.
 *
 * Owns one timer. Never holds up anything: work that fails is told in the log and comes again the next time.
 */
export interface Rounds {
  /** What is done, for the log. */
  name: string
  firstMs: number
  everyMs: number
  /** Answers with a line for the log, or null when there is nothing to say. */
  work(): Promise<string | null>
}

const minute = 60_000

/** Once a day: what has had its time is forgotten, then files that nothing names. */
export const daily = { firstMs: 10 * minute, everyMs: 24 * 60 * minute }
/** Often enough for what is put away after minutes. */
export const often = { firstMs: 2 * minute, everyMs: 5 * minute }

/** Returns how to stop it; the store ends what is under way when it closes. */
export function goRound({ name, firstMs, everyMs, work }: Rounds, log: (line: string) => void): () => void {
  let timer = wait(firstMs)
  let stopped = false

  function wait(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      timer = wait(everyMs)
      work().then(
        line => line !== null && log(`${name}: ${line}`),
        error => stopped || log(`${name} failed: ${error instanceof Error ? error.message : String(error)}`),
      )
    }, ms).unref()
  }

  return () => {
    stopped = true
    clearTimeout(timer)
  }
}
