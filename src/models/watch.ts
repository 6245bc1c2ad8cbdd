/**
 * Sees that an answer comes at all, keeps coming, and doesn't get too long: by its bytes, so that a provider's own signs of
 * life (comments, pings) count and words that nobody asked for are stopped before they fill the memory.
 *
 * Owns one timer for one request. Breaking off goes through the request's own AbortController, so the line is closed too.
 */
import { type Trouble, trouble } from './failure.ts'

export interface Watch {
  /** Why the watch broke the request off; null as long as it didn't. */
  broke(): Trouble | null
  /** So many bytes of the answer have come; 0 for its head. */
  heard(bytes: number): void
  end(): void
}

export interface WatchOptions {
  provider: string
  firstByteMs: number
  idleMs: number
  answerBytes: number
  /** Breaks the request off. */
  abort(): void
}

export function watchAnswer({ provider, firstByteMs, idleMs, answerBytes, abort }: WatchOptions): Watch {
  let broken: Trouble | null = null
  let limit = firstByteMs
  let bytes = 0
  let heardAt = performance.now()
  let timer = setTimeout(check, limit)
  timer.unref()

  function stop(reason: Trouble): void {
    broken ??= reason
    abort()
  }

  function check(): void {
    const silent = performance.now() - heardAt
    if (silent >= limit - 1) {
      const seconds = Math.round(limit / 100) / 10
      stop(trouble('network', `${provider} has been silent for ${seconds} s.`, { again: false }))
      return
    }
    timer = setTimeout(check, limit - silent)
    timer.unref()
  }

  return {
    broke: () => broken,

    heard(more) {
      heardAt = performance.now()
      bytes += more
      if (more === 0) {
        limit = Math.max(idleMs, 1)
        clearTimeout(timer)
        timer = setTimeout(check, limit)
        timer.unref()
      }
      if (bytes <= answerBytes) return
      const megabytes = Math.round(answerBytes / 1e5) / 10
      stop(trouble('bad_answer', `${provider} sent more than ${megabytes} MB.`, { again: false }))
    },

    end: () => clearTimeout(timer),
  }
}
