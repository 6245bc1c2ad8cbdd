/**
 * The message that opens a thread, in two calls: it is said in the channel, then the thread is begun on it.
 *
 * Owns that a thread is begun once for one message, whatever happened to an answer. The service gives a thread the id of the
 * message it begins on, and refuses a second one: so the second call may be repeated, and says by its refusal that it was
 * carried out (Discord API, "Start Thread from Message", error 160004).
 */
import type { REST } from '@discordjs/rest'
import type { SendOutcome } from '../../core/ports.ts'
import { failureOf, refusalOf } from './failure.ts'

const hasOne = 160004
const unknownMessage = 10008

/**
 * `starter`: the message, where an earlier try is known to have said it; `say` says it. Throws what `say` throws: then nothing is
 * known to stand there.
 */
export async function openThread(
  rest: REST,
  about: { channel: string; name: string; starter: string | null; say(): Promise<string | null> },
  now: () => number,
  signal: AbortSignal,
): Promise<SendOutcome> {
  const starter = about.starter ?? (await about.say())
  if (starter === null) return { sent: true, remoteId: null }
  try {
    const body = { name: about.name.slice(0, 100) }
    await rest.post(`/channels/${about.channel}/messages/${starter}/threads`, { body, signal })
  } catch (error) {
    const refusal = refusalOf(error)
    // Somebody has removed the message: another one has to begin it.
    if (refusal === unknownMessage && about.starter !== null)
      return openThread(rest, { ...about, starter: null }, now, signal)
    if (refusal !== hasOne) return { ...failureOf(error, now()), remoteId: starter }
  }
  return { sent: true, remoteId: starter }
}
