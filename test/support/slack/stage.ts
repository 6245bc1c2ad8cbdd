/**
 * Slack as the stories of chats use it: five people who are let in, each with a direct channel, and how the service misbehaves.
 *
 * Owns what people do and see there, by name. What the story is: test/support/chat-story.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stage } from '../chat-story.ts'
import type { SlackService } from './service.ts'
import { directOf } from './world.ts'

export function stageOf(service: SlackService, streaming: boolean): Stage {
  const { world } = service
  const people = ['Ann', 'Bob', 'Cem', 'Dora', 'Eve'].map(name => world.user(`U0${name.toUpperCase()}`, name))
  const stranger = world.user('U0MALLORY', 'Mallory')
  const byName = (name: string) => people.find(one => one.real_name === name)!
  return {
    channels: {
      slack: {
        botToken: service.botToken,
        appToken: service.appToken,
        apiRoot: service.url,
        dmPolicy: 'allowlist',
        allowFrom: people.map(one => one.id),
        streaming: { mode: streaming ? 'partial' : 'off' },
      },
    },
    key: name => `agent:main:slack:direct:${byName(name).id.toLowerCase()}`,
    people: people.map(one => one.real_name),
    write: (from, text) => world.say(byName(from), text).ts,
    seen: from => world.byApp(directOf(byName(from).id)).map(one => one.text),
    waiting: () => world.pending.length,
    owner: name => `slack:${byName(name).id}`,
    sender: name => `sender:slack:default:${byName(name).id.toLowerCase()}`,
    asked: name =>
      world
        .byApp(directOf(byName(name).id))
        .filter(one => world.buttons(one).length > 0)
        .map(one => ({ id: `${one.channel}/${one.ts}`, text: one.text, values: world.buttons(one) })),
    press(by, { id }, value) {
      const [channel = '', ts = ''] = id.split('/')
      world.press(by === null ? stranger : byName(by), world.message(channel, ts)!, value)
    },
    faults: {
      drop: () => service.drop(),
      async down(next) {
        await service.down()
        await sleep(next() * 300)
        await service.up()
      },
      unanswered: () => service.fault({ cut: 'after', times: 2 }),
      unheard: () => service.fault({ cut: 'before', times: 2 }),
      busy: () => service.fault({ retryAfter: 1, times: 2 }),
      broken: () => service.fault({ garbage: { status: 503, body: 'no' }, times: 2 }),
      late: next => service.fault({ delayMs: next() * 500, times: 3 }),
      refresh: () => service.refresh(),
      again(_next, ts) {
        const message = world.messages.find(one => one.ts === ts)
        if (message) world.happens('message', message)
      },
    },
  }
}
