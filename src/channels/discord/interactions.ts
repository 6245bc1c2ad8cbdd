/**
 * The answer to a slash command or a press, as whoever made it sees it.
 *
 * Owns the three seconds that the service waits before it shows them a failure: what takes longer is put off first, and
 * answered by a change of that. Buttons that were used go, also when the answer came too late for the service. Never decides
 * whether something was used.
 */
import type { REST } from '@discordjs/rest'
import type { APIInteraction } from 'discord-api-types/v10'
import { type Ingested, isUsed } from '../../core/chat.ts'

export interface AnswerOptions {
  rest(): Promise<REST>
  application: string
  /** Answers to commands are seen by whoever asked alone. */
  ephemeral: boolean
}

export interface Answering {
  /** Once it was taken. Throws what the service says. */
  taken(said: { text: string; done: Ingested }): Promise<void>
  /** It says nothing to read, or was not taken. */
  over(): void
}

const putOffMs = 2000
const onlyForThem = { flags: 64 }

/** Begins to count when the interaction has come. */
export function openAnswer(raw: APIInteraction, options: AnswerOptions): Answering {
  const button = raw.type === 3
  const seen = options.ephemeral ? onlyForThem : {}
  let putOff: Promise<boolean> | null = null
  const timer = setTimeout(() => {
    putOff = call(button ? { type: 6 } : { type: 5, data: seen }).then(
      () => true,
      () => false,
    )
  }, putOffMs)

  async function call(body: object): Promise<void> {
    const rest = await options.rest()
    await rest.post(`/interactions/${raw.id}/${raw.token}/callback`, { body, auth: false })
  }

  async function answerPress(used: boolean, late: boolean): Promise<void> {
    if (late && !used) return
    const answered = late ? Promise.reject() : call(used ? { type: 7, data: { components: [] } } : { type: 6 })
    await answered.catch(async error => {
      const message = 'message' in raw ? raw.message : undefined
      if (!used || !message) throw error
      const rest = await options.rest()
      await rest.patch(`/channels/${message.channel_id}/messages/${message.id}`, { body: { components: [] } })
    })
  }

  async function answerCommand(text: string, dropped: boolean, late: boolean): Promise<void> {
    const content = dropped ? 'Nothing was done.' : `\`${text.replaceAll('`', "'").slice(0, 1900)}\``
    if (!late) return call({ type: 4, data: { content, ...(dropped ? onlyForThem : seen) } })
    const rest = await options.rest()
    const original = `/webhooks/${options.application}/${raw.token}/messages/@original` as const
    await rest.patch(original, { body: { content }, auth: false })
  }

  return {
    async taken({ text, done }) {
      clearTimeout(timer)
      const late = putOff !== null && (await putOff)
      if (button) await answerPress(isUsed(done), late)
      else await answerCommand(text, done.done === 'dropped', late)
    },
    over: () => clearTimeout(timer),
  }
}
