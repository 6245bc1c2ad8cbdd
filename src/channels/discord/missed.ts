/**
 * What was written while there was no line that could be resumed: fetched from each chat behind the newest message known.
 *
 * Owns the asking. A direct chat that never was before cannot be found this way: the service lists none to a bot.
 */
import type { APIMessage } from 'discord-api-types/v10'

export interface MissedOptions {
  newest: ReadonlyMap<string, string>
  /** Messages of a channel behind one, oldest first, at most a page; null when it can't be read any more. */
  page(channel: string, after: string): Promise<APIMessage[] | null>
  take(message: APIMessage): Promise<void>
  signal: AbortSignal
}

export const pageSize = 100

export async function fetchMissed({ newest, page, take, signal }: MissedOptions): Promise<number> {
  let found = 0
  for (const [channel, last] of [...newest].reverse()) {
    for (let after = last; !signal.aborted; ) {
      const messages = await page(channel, after)
      if (!messages || messages.length === 0) break
      for (const message of messages) await take(message)
      found += messages.length
      after = messages.at(-1)!.id
      if (messages.length < pageSize) break
    }
  }
  return found
}
