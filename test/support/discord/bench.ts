/**
 * The fake Discord as the conformance suite and the stories use it: people by name, each with a direct chat of their own.
 */
import type { Bench } from '../../../src/channels/conformance-bench.ts'
import { discord } from '../../../src/channels/discord/index.ts'
import { tempDir } from '../temp.ts'
import { type DiscordService, openDiscord } from './service.ts'

export interface DiscordBench extends Bench {
  fake: DiscordService
}

export async function openDiscordBench(settings: Record<string, unknown> = {}): Promise<DiscordBench> {
  const fake = await openDiscord()
  const { world, gateway } = fake
  /** Numbers of the events that told of a message. */
  const events = new Map<string, number>()
  const tell = (id: string, t: string) => void events.set(id, gateway.tell(t, fake.shown(world.messages.get(id)!)))
  const square = world.channel('square', '900000000000000001')
  return {
    fake,
    threads: {
      route: { channel: 'discord', account: 'default', to: square.id },
      seen: thread => world.byBot(thread ?? square.id).map(({ content }) => content),
    },
    channel: discord,
    settings: { token: fake.token, apiRoot: fake.url(), ...settings },
    stateDir: tempDir(),
    route: from => ({ channel: 'discord', account: 'default', to: world.direct(from).id }),
    secrets: [fake.token],
    close: () => fake.close(),
    service: {
      async write({ from, text }) {
        const { row, s } = fake.say(world.user(from), world.direct(from), text)
        events.set(row.id, s)
        return row.id
      },
      async redeliver(id) {
        tell(id, 'MESSAGE_CREATE')
      },
      async edit(id, text) {
        const row = world.messages.get(id)!
        row.content = text
        row.edited_timestamp = new Date().toISOString()
        tell(id, 'MESSAGE_UPDATE')
      },
      acknowledged: id => gateway.confirmed(events.get(id) ?? Number.POSITIVE_INFINITY),
      async drop() {
        gateway.drop()
      },
      async outage(on) {
        if (on) await fake.down()
        else await fake.up()
      },
      failNext: how => fake.fail(how),
      seen: from => world.byBot(world.direct(from).id).map(({ id, content }) => ({ id, text: content })),
      async garbage() {
        gateway.tell('MESSAGE_CREATE', { id: 5, channel_id: null })
        gateway.tell('MESSAGE_CREATE', { id: '1', channel_id: '2', author: {}, content: 7 })
        gateway.tell('MESSAGE_UPDATE', {})
        gateway.tell('INTERACTION_CREATE', { id: '3', type: 2 })
        gateway.tell('NEWS_OF_TOMORROW', { chat: 5 })
        gateway.raw('{"op":0,"d":')
        gateway.raw('{"op":99,"d":null}')
      },
    },
  }
}
