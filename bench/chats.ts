/**
 * Measures of Telegram, Slack and Discord: from a message that the service has to the model, and from the model's answer to the
 * service; one chat at a time, and a hundred at once. The service lives in this process and shares the machine. Telegram's
 * own limit of 30 messages a second is kept, so that a hundred answers take three seconds and more.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bench, type Measure, times } from './measure.ts'
import { sum } from './stats.ts'
import { micros } from './stub.ts'
import { start } from './targets.ts'

const chats = 100

/** A service and a hundred people in it. */
interface Side {
  channels: Record<string, unknown>
  ready(): boolean
  say(person: number, text: string): void
  /** How many messages that person was sent. */
  told(person: number): number
  /** Called when the service is asked to show something. */
  onSend(heard: () => void): void
  close(): Promise<void>
}

async function telegram(): Promise<Side> {
  const { openTelegram } = await import('../test/support/telegram/service.ts')
  const service = await openTelegram()
  const people = Array.from({ length: chats }, (_, i) => service.world.user(1000 + i, `P${i}`))
  const block = { botToken: service.token, apiRoot: service.url, dmPolicy: 'open', allowFrom: ['*'] }
  return {
    channels: { telegram: block },
    ready: () => service.calls.some(({ method }) => method === 'getUpdates'),
    say: (person, text) => void service.world.say(people[person]!, text),
    told: person => service.world.byBot(people[person]!.id).length,
    onSend(heard) {
      service.chaos = method => {
        if (method === 'sendMessage') heard()
        return null
      }
    },
    close: () => service.close(),
  }
}

async function slack(): Promise<Side> {
  const { openSlack } = await import('../test/support/slack/service.ts')
  const { directOf } = await import('../test/support/slack/world.ts')
  const service = await openSlack()
  const people = Array.from({ length: chats }, (_, i) => service.world.user(`U0P${i}`, `P${i}`))
  const tokens = { botToken: service.botToken, appToken: service.appToken, apiRoot: service.url }
  return {
    channels: { slack: { ...tokens, dmPolicy: 'open', allowFrom: ['*'] } },
    ready: () => service.calls.some(({ method }) => method === 'apps.connections.open'),
    say: (person, text) => void service.world.say(people[person]!, text),
    told: person => service.world.byApp(directOf(people[person]!.id)).length,
    onSend(heard) {
      service.chaos = method => {
        if (method === 'chat.postMessage') heard()
        return null
      }
    },
    close: () => service.close(),
  }
}

async function discord(): Promise<Side> {
  const { openDiscord } = await import('../test/support/discord/service.ts')
  const service = await openDiscord()
  const people = Array.from({ length: chats }, (_, i) => service.world.user(`p${i}`))
  const directs = people.map(one => service.world.direct(one.username))
  return {
    channels: {
      discord: { token: service.token, apiRoot: service.url(), dmPolicy: 'open', allowFrom: ['*'] },
    },
    ready: () => service.gateway.sessions() > 0,
    say: (person, text) => void service.say(people[person]!, directs[person]!, text),
    told: person => service.world.byBot(directs[person]!.id).length,
    onSend(heard) {
      service.watch.call = (method, path) => {
        if (method === 'POST' && path.endsWith('/messages')) heard()
      }
    },
    close: () => service.close(),
  }
}

async function measured(
  bench: Bench,
  open: () => Promise<Side>,
): Promise<{ in: number[]; out: number[]; all: number }> {
  const side = await open()
  const home = await bench.target.makeHome(bench.provider.baseUrl)
  const file = join(home.path, 'deputy.json')
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), channels: side.channels }))
  const gateway = await start(bench.target, home)
  try {
    await until(side.ready)
    let said = Number.NaN
    side.onSend(() => {
      said = micros()
    })
    let turn = 0
    const way = async (): Promise<{ in: number; out: number }> => {
      // A chat each: Telegram takes one message a second in each.
      const person = turn++ % chats
      const before = side.told(person)
      bench.provider.forget()
      const at = micros()
      side.say(person, 'hello')
      const seen = await bench.provider.until('the answer', one => one.sentAt > 0)
      await until(() => side.told(person) > before)
      return { in: (seen.inAt - at) / 1000, out: (said - seen.sentAt) / 1000 }
    }
    await times(5, way)
    const ways = await times(bench.quick ? 5 : chats - 5, way)
    const before = Array.from({ length: chats }, (_, person) => side.told(person))
    const at = micros()
    for (let person = 0; person < chats; person++) side.say(person, 'hello')
    await until(() => before.every((n, person) => side.told(person) > n))
    return { in: ways.map(one => one.in), out: ways.map(one => one.out), all: (micros() - at) / 1e6 }
  } finally {
    await gateway.stop()
    await side.close()
    bench.provider.forget()
  }
}

async function until(so: () => boolean): Promise<void> {
  for (const end = performance.now() + 60_000; !so(); await new Promise(resolve => setTimeout(resolve, 1))) {
    if (performance.now() > end) throw new Error('an answer did not come')
  }
}

export const chatServices: readonly Measure[] = Object.entries({ telegram, slack, discord }).map(([id, open]) => ({
  figures: [`${id}-in`, `${id}-out`, `${id}-100`],
  peers: false,
  async run(bench) {
    const seen = await measured(bench, open)
    return { [`${id}-in`]: sum(seen.in), [`${id}-out`]: sum(seen.out), [`${id}-100`]: sum([seen.all]) }
  },
}))
