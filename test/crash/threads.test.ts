/**
 * A sub-agent with a thread of its own, told over Discord and Slack with the real libraries, and what is left of the story when
 * the gateway is killed in the middle of opening the thread.
 *
 * Somebody asks in a channel; the agent hands the work on; a thread appears, with the sub-agent's words in it; what is written
 * there is answered there; the channel hears of the result once. On Telegram the chat itself takes the thread's part.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { openDiscord } from '../support/discord/service.ts'
import { type GatewayProcess, openGateways, stubConfig } from '../support/gateway.ts'
import { type Provider, type ProviderReply, type ProviderRequest, startProvider } from '../support/provider.ts'
import { openSlack } from '../support/slack/service.ts'
import { openTelegram } from '../support/telegram/service.ts'

const gateways = openGateways()

/** One channel of a service, with one person in it. */
interface Stage {
  channels: Record<string, unknown>
  /** Resolves when the service knows the bot. */
  there(): Promise<void>
  say(text: string): void
  /** What the bot has said in the channel itself. */
  inChannel(): readonly string[]
  threads(): readonly string[]
  inThread(thread: string): readonly string[]
  sayIn(thread: string, text: string): void
  /** Calls `strike` once, at this moment of opening. */
  at(moment: 'message' | 'thread', strike: () => Promise<void>): void
  /** From now on the bot may begin none. Only where that is a right of its own. */
  refuseThreads?(): void
  close(): Promise<void>
}

async function discord(): Promise<Stage> {
  const service = await openDiscord()
  const { world } = service
  const ann = world.user('ann')
  const square = world.channel('square', '900000000000000001')
  return {
    channels: {
      discord: {
        token: service.token,
        apiRoot: service.url(),
        guilds: { '900000000000000001': { requireMention: false, users: [ann.id] } },
        streaming: { mode: 'off' },
      },
    },
    async there() {
      while (service.gateway.sessions() === 0) await sleep(20)
      await sleep(100)
    },
    say: text => void service.say(ann, square, text),
    inChannel: () => world.byBot(square.id).map(one => one.content),
    threads: () => [...world.channels.values()].filter(one => one.type === 11).map(one => one.id),
    inThread: thread => world.byBot(thread).map(one => one.content),
    sayIn: (thread, text) => void service.say(ann, world.channels.get(thread)!, text),
    at(moment, strike) {
      service.watch.thread = async when => {
        if ((when === 'asked') !== (moment === 'message')) return
        service.watch.thread = null
        await strike()
      }
    },
    refuseThreads: () => service.failThread('refused'),
    close: () => service.close(),
  }
}

async function slack(): Promise<Stage> {
  const service = await openSlack()
  const { world } = service
  const ann = world.user('U0ANN', 'Ann')
  const square = world.channel('C0SQUARE', 'square')
  const own = () => world.byApp(square.id)
  return {
    channels: {
      slack: {
        botToken: service.botToken,
        appToken: service.appToken,
        apiRoot: service.url,
        channels: { C0SQUARE: { requireMention: false, users: [ann.id] } },
        streaming: { mode: 'off' },
      },
    },
    there: async () => undefined,
    say: text => void world.say(ann, text, square.id),
    inChannel: () => own().flatMap(one => (one.thread_ts ? [] : [one.text])),
    threads: () => own().flatMap(one => (one.text.includes('works on this') ? [one.ts] : [])),
    inThread: thread => own().flatMap(one => (one.thread_ts === thread ? [one.text] : [])),
    sayIn: (thread, text) => void world.say(ann, text, square.id, { thread_ts: thread }),
    at(_moment, strike) {
      service.done = async (method, params) => {
        if (method !== 'chat.postMessage' || !params['text']?.includes('works on this')) return
        service.done = null
        await strike()
      }
    },
    close: () => service.close(),
  }
}

function reply(request: ProviderRequest): ProviderReply {
  if (request.system.includes('You are a sub-agent'))
    return { text: /and more/.test(request.user) ? 'more of it' : 'dug it out' }
  if (request.user.includes('and you?')) return { text: 'it is me again' }
  const said = JSON.stringify(request.turns)
  if (said.includes('The person has read these words')) return { text: 'NO_REPLY' }
  if (said.includes('Sub-agent main')) return { text: 'told: it is dug out' }
  if (request.results.length > 0) return { text: 'begun' }
  const args = { task: 'dig', label: 'digging', thread: true, context: 'isolated' }
  return { toolCalls: [{ name: 'sessions_spawn', args }] }
}

let stage: Stage
let provider: Provider
let gateway: GatewayProcess | null = null

afterEach(async () => {
  await gateway?.kill()
  await provider.close()
})

async function until<T>(look: () => T, so: (seen: T) => boolean): Promise<T> {
  for (const end = performance.now() + 20_000; ; await sleep(20)) {
    const seen = look()
    if (so(seen)) return seen
    if (performance.now() > end)
      throw new Error(`it did not come: ${JSON.stringify(seen)}\n${gateway?.said().slice(-3000)}`)
  }
}

async function open(make: () => Promise<Stage>): Promise<string> {
  stage = await make()
  onTestFinished(() => stage.close())
  provider = await startProvider({ script: reply })
  return gateways.home(stubConfig(provider.baseUrl, { channels: stage.channels }))
}

/** From the thread on: the sub-agent's words there, an answer to what is written there, and the result in the channel, once. */
async function toTheEnd(written = false): Promise<void> {
  await until(stage.inChannel, seen => seen.includes('told: it is dug out'))
  const [thread = ''] = await until(stage.threads, seen => seen.length > 0)
  if (!written) {
    await until(
      () => stage.inThread(thread),
      seen => seen.includes('dug it out'),
    )
    stage.sayIn(thread, 'and more?')
  }
  await until(
    () => stage.inThread(thread),
    seen => seen.includes('more of it'),
  )
  // What came of the answer in the thread would have come to the channel by now.
  await sleep(300)
  // What was written before the task was done is read with it, and one answer is enough for both.
  const first = written ? stage.inThread(thread).filter(text => text === 'dug it out') : ['dug it out']
  expect(stage.inThread(thread)).toEqual([...first, 'more of it'])
  expect(stage.threads()).toEqual([thread])
  const [opener, ...rest] = [...stage.inChannel()].sort()
  expect(opener).toMatch(/^\*+digging\*+\nAgent main works on this/)
  // Killed between the two, the agent finds the result when it comes back, and has nothing to say before it.
  expect(rest.filter(text => text !== 'begun')).toEqual(['told: it is dug out'])
}

describe.each([
  ['Discord', discord],
  ['Slack', slack],
])('%s', (name, make) => {
  test('a thread is opened, spoken in and answered in', async () => {
    gateway = await gateways.start(await open(make))
    await stage.there()
    stage.say('dig')
    await toTheEnd()
  }, 120_000)

  test('killed when the spawn was written', async () => {
    const home = await open(make)
    gateway = await gateways.start(home, { env: { DEPUTY_CRASH: 'reply:after:1' } })
    await stage.there()
    stage.say('dig')
    await gateway.ended
    expect(stage.inChannel()).toEqual([])
    gateway = await gateways.start(home)
    await toTheEnd()
  }, 120_000)

  const moments = name === 'Discord' ? (['message', 'thread'] as const) : (['thread'] as const)
  test.each(moments)(
    'killed when the %s was there, and nobody had heard of it',
    async moment => {
      const home = await open(make)
      gateway = await gateways.start(home)
      await stage.there()
      const first = gateway
      const killed = new Promise<void>(done => stage.at(moment, () => first.kill().then(() => done())))
      stage.say('dig')
      await killed
      // Whoever sees the thread may write there before the gateway is back.
      const [thread] = stage.threads()
      if (thread) stage.sayIn(thread, 'and more?')
      gateway = await gateways.start(home)
      await toTheEnd(thread !== undefined)
    },
    120_000,
  )
})

test('where the bot may not open threads, the channel is told why, and of the result once', async () => {
  const home = await open(discord)
  stage.refuseThreads!()
  gateway = await gateways.start(home)
  await stage.there()
  stage.say('dig')
  await until(
    stage.inChannel,
    seen => seen.includes('told: it is dug out') && seen.some(text => /^No thread/.test(text)),
  )
  await sleep(300)
  expect(stage.threads()).toEqual([])
  expect([...stage.inChannel()].sort()).toEqual([
    expect.stringMatching(/^\*+digging\*+\nAgent main works on this/),
    expect.stringMatching(/^No thread could be opened for “digging” \(blocked: 403 \(50013\): Missing Permissions\)/),
    'begun',
    'told: it is dug out',
  ])
}, 60_000)

test("on Telegram the chat itself is the sub-agent's from then on, until /unfocus", async () => {
  const service = await openTelegram()
  onTestFinished(() => service.close())
  const { world } = service
  const ann = world.user(21, 'Ann')
  const said = () => world.byBot(ann.id).map(one => one.text ?? '')
  const account = { botToken: service.token, apiRoot: service.url, dmPolicy: 'allowlist', allowFrom: [ann.id] }
  provider = await startProvider({ script: reply })
  const channels = { telegram: { ...account, streaming: { mode: 'off' } } }
  gateway = await gateways.start(gateways.home(stubConfig(provider.baseUrl, { channels })))
  world.say(ann, 'dig')
  await until(said, seen => seen.includes('dug it out') && seen.includes('begun'))
  world.say(ann, 'and more?')
  await until(said, seen => seen.includes('more of it'))
  world.say(ann, '/unfocus')
  await until(said, seen => seen.some(text => /no longer bound/.test(text)))
  world.say(ann, 'and you?')
  await until(said, seen => seen.includes('it is me again'))
  expect(said().filter(text => text.includes('dug'))).toEqual(['dug it out'])
  expect(said()[0]).toMatch(/digging[\s\S]*answers in this chat now/)
}, 60_000)
