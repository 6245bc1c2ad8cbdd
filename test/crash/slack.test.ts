/**
 * The whole story over Slack, while the gateway is killed and the service drops, refuses, answers late or not at all, at
 * random moments. What may have been sent is looked up in the channel's history, so that nobody reads anything twice.
 *
 * A seed is the whole list of what happens when. `DEPUTY_SEED=7,8` plays those; DEPUTY_LONG=1 plays hundreds of rounds.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { play, type Stage, storyConfig, storyReply } from '../support/chat-story.ts'
import { openGateways } from '../support/gateway.ts'
import { startProvider } from '../support/provider.ts'
import { openSlack, type SlackService } from '../support/slack/service.ts'
import { directOf } from '../support/slack/world.ts'
import { random } from './kills.ts'

const gateways = openGateways()
const long = process.env['DEPUTY_LONG'] === '1'
const rounds = long ? 8 : 2
const given = process.env['DEPUTY_SEED']?.split(',').map(Number)
const seeds = given ?? Array.from({ length: long ? 10 : 2 }, (_, i) => i + 1)

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

for (const seed of seeds) {
  test(`kills and drops at random moments, seed ${seed}`, { timeout: 900_000 }, async () => {
    const next = random(seed)
    const service = await openSlack()
    const provider = await startProvider({ script: request => storyReply(request, () => Math.floor(next() * 40)) })
    onTestFinished(async () => {
      await provider.close()
      await service.close()
    })
    const stage = stageOf(service, seed % 2 === 1)
    const config = storyConfig(provider.baseUrl, stage)
    const verdict = await play({ gateways, config, stage, seed, rounds, next })
    if (long) console.log(`seed ${seed}: ${JSON.stringify({ ...verdict, happened: verdict.happened.length })}`)
    // Only what was growing when the gateway died may be said again, and says so.
    if (seed % 2 === 0) expect(verdict.marked).toBe(0)
    expect(verdict.problems, verdict.happened.join(', ')).toEqual([])
  })
}
