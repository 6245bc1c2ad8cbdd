/**
 * The whole story over Telegram, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. The service can neither recognise nor look up what was sent: what may be a repeat says so.
 *
 * Seeds, and how to play them again: test/support/chat-crashes.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { chatCrashes } from '../support/chat-crashes.ts'
import type { Stage } from '../support/chat-story.ts'
import { openTelegram, type TelegramService } from '../support/telegram/service.ts'

function stageOf(service: TelegramService, streaming: boolean): Stage {
  const { world } = service
  const people = ['Ann', 'Bob', 'Cem', 'Dora', 'Eve'].map((name, i) => world.user(21 + i, name))
  const idOf = (name: string): number => people.find(one => one.first_name === name)!.id
  return {
    channels: {
      telegram: {
        botToken: service.token,
        apiRoot: service.url,
        dmPolicy: 'allowlist',
        allowFrom: people.map(one => one.id),
        streaming: { mode: streaming ? 'partial' : 'off' },
      },
    },
    key: name => `agent:main:telegram:direct:${idOf(name)}`,
    people: people.map(one => one.first_name),
    write(from, text) {
      world.say(people.find(one => one.first_name === from)!, text)
      return String(world.updates.at(-1)!.update_id)
    },
    seen: from => world.byBot(idOf(from)).map(one => one.text ?? ''),
    waiting: () => world.updates.length,
    faults: {
      drop: () => service.drop(),
      async down(next) {
        await service.down()
        await sleep(next() * 300)
        await service.up()
      },
      unanswered: () => service.fault({ cut: 'after', times: 2 }),
      unheard: () => service.fault({ cut: 'before', times: 2 }),
      busy: () => service.fault({ refuse: { code: 429, retryAfter: 1 }, times: 2 }),
      broken: () => service.fault({ refuse: { code: 500 }, times: 2 }),
      late: next => service.fault({ delayMs: next() * 500, times: 3 }),
      conflict: () => service.fault({ method: 'getUpdates', refuse: { code: 409, description: 'Conflict' } }),
      again(_next, id) {
        const update = world.updates.find(one => String(one.update_id) === id)
        if (update) service.redeliver(update)
      },
    },
  }
}

chatCrashes({ open: () => openTelegram(), stage: stageOf, tellsRepeats: false })
