/**
 * Where words that start no turn stand in what a model sees. Owns that rule only.
 */
import type { Session } from '../core/types.ts'
import { lastReply, liveRunOf } from '../store/facts.ts'
import type { Tx } from '../store/open.ts'

/** Its own place in order, or right before the model's newest reply while that reply's calls may still be owed a result. */
export async function placeFor(tx: Tx, session: Session): Promise<number> {
  const live = await liveRunOf(tx, session.id)
  const [reply] = live ? await lastReply(tx, live.id) : []
  const said = reply?.result?.seq ?? null
  return said === null ? session.seq + 1 : said - 1
}
