/**
 * The fake Slack as the conformance suite and the stories use it: people by name, each with a direct channel of their own.
 */
import type { Bench } from '../../../src/channels/conformance-bench.ts'
import { slack } from '../../../src/channels/slack/index.ts'
import { tempDir } from '../temp.ts'
import { openSlack, type SlackService } from './service.ts'
import { directOf, type SlackMessage, type SlackUser } from './world.ts'

/** The person of that name; always the same id. */
export function person(service: SlackService, name: string): SlackUser {
  const id = `U0${name.toUpperCase()}`
  return service.world.users.get(id) ?? service.world.user(id, name)
}

export interface SlackBench extends Bench {
  fake: SlackService
}

export async function openSlackBench(settings: Record<string, unknown> = {}): Promise<SlackBench> {
  const fake = await openSlack()
  const { world } = fake
  /** By the time of the message: it, and what told of it first. */
  const said = new Map<string, { message: SlackMessage; event: string }>()
  const square = world.channel('C0SQUARE', 'square')
  return {
    fake,
    threads: {
      route: { channel: 'slack', account: 'default', to: square.id },
      seen: thread =>
        world.byApp(square.id).flatMap(({ text, thread_ts = null }) => (thread_ts === thread ? [text] : [])),
    },
    channel: slack,
    settings: { botToken: fake.botToken, appToken: fake.appToken, apiRoot: fake.url, ...settings },
    stateDir: tempDir(),
    route: from => ({ channel: 'slack', account: 'default', to: directOf(person(fake, from).id) }),
    secrets: [fake.botToken, fake.appToken],
    close: () => fake.close(),
    service: {
      async write({ from, text }) {
        const message = world.say(person(fake, from), text)
        said.set(message.ts, { message, event: world.pending.at(-1)!.id })
        return message.ts
      },
      async redeliver(id) {
        world.happens('message', said.get(id)!.message)
      },
      async edit(id, text) {
        world.edit(said.get(id)!.message, text)
      },
      acknowledged: id => fake.acknowledged.has(said.get(id)!.event),
      async drop() {
        fake.drop()
      },
      async outage(on) {
        if (on) await fake.down()
        else await fake.up()
      },
      failNext(how) {
        if (how === 'refused') fake.fault({ refuse: 'not_in_channel' })
        if (how === 'rate_limit') fake.fault({ retryAfter: 3 })
        if (how === 'server') fake.fault({ garbage: { status: 502, body: '<html>bad gateway</html>' } })
        if (how === 'lost') fake.fault({ cut: 'after' })
      },
      seen: from => world.byApp(directOf(person(fake, from).id)).map(({ ts, text }) => ({ id: ts, text })),
      async garbage() {
        for (const frame of ['no json', 'null', '7', '{}', '{"type":"events_api"}', '{"type":"news"}'])
          fake.frame(frame)
        fake.frame('{"type":"events_api","envelope_id":"g1","payload":{"event":{"type":"message"}}}')
        fake.frame('{"type":"interactive","envelope_id":"g2","payload":{"type":"block_actions"}}')
        fake.frame('{"type":"slash_commands","envelope_id":"g3"}')
        fake.frame('{"type":"slash_commands","envelope_id":"g4","payload":{"command":5}}')
        world.event({ type: 'message', subtype: 'message_changed', channel: 'D1' })
        world.event({ type: 'message', channel: null, files: 'none', user: 'U1', ts: '1' })
        world.event({ type: 'team_join', user: 'U1' })
      },
    },
  }
}
