/**
 * Discord as the stories of chats use it: five people who are let in, each with a direct chat, and how the service misbehaves.
 *
 * Owns what people do and see there, by name. What the story is: test/support/chat-story.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stage } from '../chat-story.ts'
import type { DiscordService } from './service.ts'
import type { MessageRow } from './world.ts'

const people = ['ann', 'bob', 'cem', 'dora', 'eve']

export function stageOf(service: DiscordService, streaming: boolean): Stage {
  const { world, gateway } = service
  const seen = (from: string): string[] => world.byBot(world.direct(from).id).map(one => one.content)
  /** Numbers count anew with each session, and what one was told is nothing to the next. */
  const events: { session: number; s: number }[] = []
  const told = (s: number): void => void events.push({ session: gateway.sessions(), s })
  let pressed = ''
  return {
    channels: {
      discord: {
        token: service.token,
        apiRoot: service.url(),
        dmPolicy: 'allowlist',
        allowFrom: people.map(name => world.user(name).id),
        streaming: { mode: streaming ? 'partial' : 'off' },
      },
    },
    key: name => `agent:main:discord:direct:${world.user(name).id}`,
    people,
    async there() {
      while (gateway.sessions() === 0) await sleep(20)
      await sleep(100)
    },
    write(from, text) {
      const { row, s } = service.say(world.user(from), world.direct(from), text)
      told(s)
      return row.id
    },
    seen,
    owner: name => `discord:${world.user(name).id}`,
    sender: name => `sender:discord:default:${world.user(name).id}`,
    asked: name =>
      world
        .byBot(world.direct(name).id)
        .map(row => ({ id: row.id, text: row.content, values: buttons(row) }))
        .filter(({ values }) => values.length > 0),
    press(by, { id }, value) {
      pressed = service.press(world.user(by ?? 'mallory'), world.messages.get(id)!, value)
    },
    pressAgain: () => service.tellAgain(pressed),
    waiting: () => events.filter(({ session, s }) => session === gateway.sessions() && !gateway.confirmed(s)).length,
    faults: {
      drop: () => gateway.drop(),
      async down(next) {
        await service.down()
        await sleep(next() * 300)
        await service.up()
      },
      unanswered() {
        service.fail('lost')
        service.fail('lost')
      },
      busy: () => service.fail('rate_limit'),
      broken() {
        service.fail('server')
        service.fail('server')
      },
      again(_next, id) {
        const row = world.messages.get(id)
        if (row) told(gateway.tell('MESSAGE_CREATE', service.shown(row)))
      },
      // A bot can ask for what it missed in chats that it knows, and in no others.
      forget() {
        if (people.every(name => seen(name).length > 1)) gateway.forget()
      },
    },
  }
}

function buttons({ components }: MessageRow): string[] {
  return (components ?? []).flatMap(row => row.components.map(button => button.custom_id))
}
