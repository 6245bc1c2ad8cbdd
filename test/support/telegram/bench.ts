/**
 * The fake Bot API as the conformance suite and the stories use it: people by name, each with a chat of their own.
 */
import type { Bench } from '../../../src/channels/conformance-bench.ts'
import { telegram } from '../../../src/channels/telegram/index.ts'
import { tempDir } from '../temp.ts'
import { openTelegram, type TelegramService } from './service.ts'
import type { Update, User } from './world.ts'

/** The person of that name; always the same id. */
export function person(service: TelegramService, name: string): User {
  const known = [...service.world.users.values()].find(user => user.first_name === name)
  return known ?? service.world.user(5_000_000 + service.world.users.size, name, `${name}_on_telegram`)
}

export interface TelegramBench extends Bench {
  fake: TelegramService
}

export async function openTelegramBench(settings: Record<string, unknown> = {}): Promise<TelegramBench> {
  const fake = await openTelegram()
  const { world } = fake
  /** Updates by the id of the message they brought. */
  const updates = new Map<string, Update>()
  return {
    fake,
    channel: telegram,
    settings: { botToken: fake.token, apiRoot: fake.url, ...settings },
    stateDir: tempDir(),
    route: from => ({ channel: 'telegram', account: 'default', to: String(person(fake, from).id) }),
    secrets: [fake.token, fake.token.split(':')[1]!],
    close: () => fake.close(),
    service: {
      async write({ from, text }) {
        const message = world.say(person(fake, from), text)
        updates.set(String(message.message_id), world.updates.at(-1)!)
        return String(message.message_id)
      },
      async redeliver(id) {
        fake.redeliver(updates.get(id)!)
      },
      async edit(id, text) {
        const { message } = updates.get(id) as unknown as { message: Parameters<typeof world.edit>[0] }
        world.edit(message, text)
      },
      acknowledged: id => !world.updates.includes(updates.get(id)!),
      async drop() {
        fake.drop()
      },
      async outage(on) {
        if (on) await fake.down()
        else await fake.up()
      },
      failNext(how) {
        if (how === 'refused')
          fake.fault({
            method: 'sendMessage',
            refuse: { code: 403, description: 'Forbidden: bot was blocked by the user' },
          })
        if (how === 'rate_limit') fake.fault({ method: 'sendMessage', refuse: { code: 429, retryAfter: 3 } })
        if (how === 'server') fake.fault({ method: 'sendMessage', refuse: { code: 502, description: 'Bad Gateway' } })
        if (how === 'lost') fake.fault({ method: 'sendMessage', cut: 'after' })
      },
      seen(from) {
        return world.byBot(person(fake, from).id).map(one => ({ id: String(one.message_id), text: one.text ?? '' }))
      },
      async garbage() {
        world.tell({ message: { message_id: 'no number', chat: null } })
        world.tell({ edited_message: {} })
        world.tell({ callback_query: { id: 7 } })
        world.tell({ news_of_tomorrow: { chat: 5 } })
        world.tell({ message: 'just words' })
        fake.fault({ method: 'getUpdates', garbage: { status: 200, body: '<html>nothing to see</html>' } })
        fake.fault({ method: 'getUpdates', garbage: { status: 200, body: '{"ok":true,"result":"none"}' } })
      },
    },
  }
}
