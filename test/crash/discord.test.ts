/**
 * The whole story over Discord, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. The service knows what was sent by its nonce, so that nobody reads anything twice.
 *
 * Seeds, and how to play them again: test/support/chat-crashes.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { chatCrashes } from '../support/chat-crashes.ts'
import type { Stage } from '../support/chat-story.ts'
import { type DiscordService, openDiscord } from '../support/discord/service.ts'

const people = ['ann', 'bob', 'cem', 'dora', 'eve']

function stageOf(service: DiscordService, streaming: boolean): Stage {
  const { world, gateway } = service
  const seen = (from: string): string[] => world.byBot(world.direct(from).id).map(one => one.content)
  /** Numbers count anew with each session, and what one was told is nothing to the next. */
  const events: { session: number; s: number }[] = []
  const told = (s: number): void => void events.push({ session: gateway.sessions(), s })
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

chatCrashes({ open: () => openDiscord(), stage: stageOf, tellsRepeats: true })
