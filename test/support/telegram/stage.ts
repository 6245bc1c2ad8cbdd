/**
 * Telegram as the stories of chats use it: five people who are let in, and how the service misbehaves.
 *
 * Owns what people do and see there, by name. What the story is: test/support/chat-story.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stage } from '../chat-story.ts'
import type { TelegramService } from './service.ts'
import type { Update } from './world.ts'

export function stageOf(service: TelegramService, streaming: boolean): Stage {
  const { world } = service
  const people = ['Ann', 'Bob', 'Cem', 'Dora', 'Eve'].map((name, i) => world.user(21 + i, name))
  const stranger = world.user(99, 'Mallory')
  const idOf = (name: string): number => people.find(one => one.first_name === name)!.id
  let pressed!: Update
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
    pressAgain: () => service.redeliver(pressed),
    waiting: () => world.updates.length,
    owner: name => `telegram:${idOf(name)}`,
    sender: name => `sender:telegram:default:${idOf(name)}`,
    asked: name =>
      world
        .byBot(idOf(name))
        .filter(one => one.reply_markup)
        .map(one => ({
          id: `${one.chat.id}/${one.message_id}`,
          text: one.text ?? '',
          values: one.reply_markup!.inline_keyboard.flat().map(button => button.callback_data ?? ''),
        })),
    press(by, { id }, value) {
      const [chat, message] = id.split('/').map(Number)
      const who = by === null ? stranger : people.find(one => one.first_name === by)!
      pressed = world.press(who, world.message(chat!, message!)!, value)
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
