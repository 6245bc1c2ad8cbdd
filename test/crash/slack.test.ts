/**
 * The whole story over Slack, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. What may have been sent is looked up in the channel's history, so that nobody reads anything twice.
 *
 * Seeds, and how to play them again: test/support/chat-crashes.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { chatCrashes } from '../support/chat-crashes.ts'
import type { Stage } from '../support/chat-story.ts'
import { openSlack, type SlackService } from '../support/slack/service.ts'
import { directOf } from '../support/slack/world.ts'

function stageOf(service: SlackService, streaming: boolean): Stage {
  const { world } = service
  const people = ['Ann', 'Bob', 'Cem', 'Dora', 'Eve'].map(name => world.user(`U0${name.toUpperCase()}`, name))
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

chatCrashes({ open: () => openSlack(), stage: stageOf, tellsRepeats: true })
