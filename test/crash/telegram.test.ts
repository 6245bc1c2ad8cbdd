/**
 * The whole story over Telegram, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. The service can neither recognise nor look up what was sent: what may be a repeat says so.
 *
 * A seed is the whole list of what happens when. `DEPUTY_SEED=7,8` plays those; DEPUTY_LONG=1 plays hundreds of rounds.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { play, type Stage, storyConfig, storyReply } from '../support/chat-story.ts'
import { openGateways } from '../support/gateway.ts'
import { startProvider } from '../support/provider.ts'
import { openTelegram, type TelegramService } from '../support/telegram/service.ts'
import { random } from './kills.ts'

const gateways = openGateways()
const long = process.env['DEPUTY_LONG'] === '1'
const rounds = long ? 8 : 2
const given = process.env['DEPUTY_SEED']?.split(',').map(Number)
const seeds = given ?? Array.from({ length: long ? 10 : 2 }, (_, i) => i + 1)

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

for (const seed of seeds) {
  test(`kills and drops at random moments, seed ${seed}`, { timeout: 900_000 }, async () => {
    const next = random(seed)
    const service = await openTelegram()
    const provider = await startProvider({ script: request => storyReply(request, () => Math.floor(next() * 40)) })
    onTestFinished(async () => {
      await provider.close()
      await service.close()
    })
    const stage = stageOf(service, seed % 2 === 1)
    const config = storyConfig(provider.baseUrl, stage)
    const verdict = await play({ gateways, config, stage, seed, rounds, next })
    if (long) console.log(`seed ${seed}: ${JSON.stringify({ ...verdict, happened: verdict.happened.length })}`)
    expect(verdict.problems, verdict.happened.join(', ')).toEqual([])
  })
}
