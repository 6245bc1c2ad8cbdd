/**
 * A topic of a group that is bound to a sub-agent: the whole house, and people who talk to the sub-agent there, and others who
 * try to. It ends by hand, by silence, by a stop. Once over Telegram as it is, the rest over a service without its pauses.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { openApp } from '../../src/app.ts'
import { until } from '../support/app.ts'
import { stubConfig } from '../support/gateway.ts'
import { type ProviderReply, type ProviderRequest, startProvider } from '../support/provider.ts'
import { openTelegram } from '../support/telegram/service.ts'
import { openChatWorld } from './support.ts'

const group = '-1001'
const topic = '77'
const home = `agent:main:telegram:group:${group}:topic:${topic}`
const block = {
  dmPolicy: 'allowlist',
  allowFrom: [21],
  groupPolicy: 'allowlist',
  groups: { [group]: { allowFrom: [21, 22, 23] } },
}
const commands = { allowFrom: { telegram: ['21', '23'] }, ownerAllowFrom: ['telegram:21'] }

/** Main says who it is and what it heard; its sub-agents too, by another name. */
async function script(request: ProviderRequest): Promise<ProviderReply> {
  const who = request.system.includes('You are a sub-agent') ? 'sub' : 'main'
  const lines = request.user.split('\n')
  const said = (lines[0]?.startsWith('[from') ? lines[1] : lines[0])?.replace('@deputy_test_bot ', '') ?? ''
  const [task, , label] = /(spawn|slow) (\w+)$/.exec(said) ?? []
  if (who === 'main' && request.results.length === 0 && task !== undefined)
    return { toolCalls: [{ name: 'sessions_spawn', args: { task, label } }] }
  if (who === 'main' && request.results.length === 0 && said === 'own')
    return {
      toolCalls: [
        { name: 'sessions_spawn', args: { task: 'spawn own', label: 'own', thread: true, context: 'isolated' } },
      ],
    }
  if (who === 'main' && request.results.length === 0 && said === 'mine') {
    const spawn = (label: string) => ({ name: 'sessions_spawn', args: { task: `mine ${label}`, label } })
    return { toolCalls: [spawn('north'), spawn('south')] }
  }
  if (who === 'sub' && said.startsWith('mine ')) {
    await shovel.held.promise
    return { text: `found by ${said}` }
  }
  if (who === 'sub' && said.startsWith('slow')) return { text: 'never', delayMs: 60_000 }
  return { text: `${who} heard: ${said}` }
}

/** Held until a test lets it go: what a sub-agent says to its task. */
const shovel = { held: Promise.withResolvers<void>() }

async function open(telegram: Record<string, unknown> = {}) {
  const provider = await startProvider({ script })
  const { gateway: _, ...config } = stubConfig(provider.baseUrl, { commands })
  const world = await openChatWorld({ ...block, ...telegram }, config)
  onTestFinished(async () => {
    await world.close()
    await provider.close()
  })
  const { service } = world
  const said = (thread: string | null) =>
    service.shown.filter(one => one.chat === group && (one.thread ?? null) === thread).map(({ text }) => text)
  const say = (from: string, text: string, thread: string | null = topic) =>
    service.group(group, from, text, {
      chat: { id: group, kind: 'group', title: 'Work', guild: null, thread, parent: null },
      mentioned: text.startsWith('@'),
      text: text.replace('@', ''),
    })
  return {
    world,
    provider,
    say,
    inTopic: () => said(topic),
    /** A person writes in the topic, and what stands there then. */
    async ask(from: string, text: string, answer: string | RegExp) {
      const before = said(topic).length
      say(from, text)
      const fits = (line: string) => (typeof answer === 'string' ? line.includes(answer) : answer.test(line))
      await until(
        () => said(topic).slice(before),
        lines => lines.some(fits),
      )
    },
    async child(): Promise<string> {
      const { sessions } = await world.owner.request('sessions.list', { limit: 50 })
      return sessions.map(each => each.key).find(each => each.includes(':subagent:'))!
    },
  }
}

const [ann, bob, cleo, mallory] = ['21', '22', '23', '99'] as const

test('a topic is bound to a sub-agent, and people talk to it there, until they do not', async () => {
  const { world, provider, say, inTopic, ask, child } = await open()
  await ask(ann, '@spawn digger', 'main heard')
  await until(
    () => provider.requests.length,
    n => n >= 4,
  )
  await ask(ann, '/focus 2', 'there are 1 to 1')
  await ask(ann, '/focus digger', 'This thread is bound to #1 digger now.')

  // Nobody needs to mention anybody there, and elsewhere everything is as it was.
  await ask(bob, 'dig deeper', 'sub heard: dig deeper')
  say(bob, 'not for you', '78')
  say(bob, 'nor you', `${topic}\n`)
  say(mallory, 'let me in')
  say(mallory, '/unfocus')
  await ask(ann, 'and wider', 'sub heard: and wider')
  expect(JSON.stringify(provider.requests.map(request => request.turns))).not.toMatch(/let me in|not for you|nor you/)
  await ask(bob, '/unfocus', 'You may not use /unfocus here.')
  await ask(ann, '/agents', '“digger” is bound here')
  await ask(ann, '/session idle 90m', 'By silence it ends after: 90 minutes')
  await ask(ann, '/session', /By age it ends: never/)
  await ask(ann, '/session idle soon', 'Write: /session idle 90m, 24h, 7d or off')
  await ask(ann, '/focus', 'is bound to “digger”')

  // What it works with is what it was given, and nothing of it is on anybody's list of devices.
  const client = world.owner
  const key = await child()
  const { messages } = await client.request('chat.history', { sessionKey: key })
  expect(JSON.stringify(messages)).toContain('dig deeper')

  // A fresh start is one of the sub-agent, and stays bound.
  await ask(ann, '/new', 'A new conversation.')
  const before = provider.requests.length
  await ask(bob, 'who are you', 'sub heard: who are you')
  expect(JSON.stringify(provider.requests[before]!.turns)).not.toContain('dig deeper')

  await ask(ann, '/unfocus', 'This thread is no longer bound to “digger”.\nWhat is written here goes to main again.')
  say(bob, 'dig on')
  await ask(ann, '@hello', 'main heard: hello')
  expect(inTopic().filter(line => line.includes('dig on'))).toEqual([])
  await ask(ann, '/unfocus', 'This thread is bound to nothing.')
}, 30_000)

test('only owners bind what is not from here', async () => {
  const { world, ask } = await open()
  world.service.direct(ann, 'my secret')
  await until(
    () => world.service.shown.map(({ text }) => text),
    lines => lines.includes('main heard: my secret'),
  )
  const mine = 'agent:main:telegram:direct:21'
  const none = /^There is no sub-agent or conversation agent:main:telegram:direct:\d+ here\. \/subagents list$/
  await ask(cleo, `@/focus ${mine}`, none)
  await ask(cleo, '@/focus agent:main:telegram:direct:5', none)
  await ask(ann, `/focus ${mine}`, 'This thread is bound to main now.')
  await ask(cleo, 'hello', 'main heard: hello')
  await ask(cleo, `/focus ${mine}`, 'This thread is bound to main.')
  await ask(ann, `/focus ${home}`, 'by itself: /unfocus')
  await ask(cleo, '/session unbind', 'This thread is no longer bound to main.')
}, 30_000)

test('silence ends it, which is said once, also over a restart; then it is not addressed any more', async () => {
  const { world, say, inTopic, ask } = await open({ threadBindings: { idleHours: 0.0002 } })
  await ask(ann, '@spawn digger', 'main heard')
  await ask(ann, '/focus last', 'is bound to #1 digger now')
  await sleep(1000)
  await world.restart()
  const over = (line: string) => line.startsWith('This thread is no longer bound to “digger”: nothing was written for')
  await until(inTopic, lines => lines.some(over))
  await ask(ann, '/focus last', 'is bound to #1 digger now')
  await sleep(1000)
  // Whoever comes too late finds it ended too.
  say(bob, 'too late')
  await until(inTopic, lines => lines.filter(over).length === 2)
  await ask(ann, '@hello', 'main heard: hello')
  expect(inTopic().filter(line => line.includes('too late'))).toEqual([])
}, 30_000)

test('what was stopped or deleted is bound no more, and that is said', async () => {
  const { world, inTopic, ask, child } = await open()
  await ask(ann, '@slow digger', 'main heard')
  await ask(ann, '/focus digger', 'is bound to #1 digger now')
  // By somebody elsewhere.
  const client = world.owner
  const key = await child()
  await client.request('chat.send', { sessionKey: home, message: '/kill digger', idempotencyKey: 'k1' })
  await until(inTopic, lines =>
    lines.some(line => line === 'This thread is no longer bound to “digger”: it was stopped.'),
  )

  await ask(ann, '/focus digger', 'is bound to #1 digger now')
  await client.request('sessions.delete', { key })
  const gone = 'This thread is no longer bound to “digger”: its conversation was deleted.'
  await until(inTopic, lines => lines.includes(gone))
  await ask(ann, '/focus digger', 'That conversation was deleted.')
  await ask(ann, '@hello', 'main heard: hello')
}, 30_000)

test('what a sub-agent says while it works is told where it is bound, and not after that; its result goes home besides', async () => {
  const { provider, inTopic, ask, say } = await open()
  shovel.held = Promise.withResolvers()
  await ask(ann, '@mine', 'main heard')
  await ask(ann, '/focus north', 'is bound to #1 north now')
  // It is at work still: what people write is read with its next call.
  say(bob, 'and hurry')
  await ask(ann, '/session', 'is bound to “north”')
  await ask(ann, '/focus south', 'is bound to #2 south now')
  await ask(ann, '/focus north', 'is bound to #1 north now')
  shovel.held.resolve()
  await until(inTopic, lines => lines.includes('sub heard: and hurry'))
  // Nobody reads twice, nor what is for the one who asked alone.
  await until(
    () =>
      JSON.stringify(
        provider.requests.filter(request => !request.system.includes('You are a sub-agent')).at(-1)?.turns,
      ),
    turns => turns.includes('found by mine south') && turns.includes('and hurry'),
  )
  expect(inTopic().filter(line => line.includes('found by'))).toEqual(['found by mine north'])
  expect(inTopic().filter(line => line === 'sub heard: and hurry')).toHaveLength(1)
}, 30_000)

test('a thread that was opened for a sub-agent is talked to, looked at and left as one that a person bound', async () => {
  const { world, say } = await open()
  const { shown } = world.service
  say(ann, '@own', null)
  const found = (text: string) => shown.find(one => one.text.startsWith(text))
  const { thread } = (await until(() => found('sub heard: spawn own'), Boolean))!
  expect(thread).toBeTruthy()
  for (const [who, text, answer] of [
    [bob, 'dig deeper', 'sub heard: dig deeper'],
    [mallory, 'dig mine', ''],
    [ann, '/session', 'This thread is bound to “own”.'],
    [
      ann,
      '/session max-age 2h',
      'This thread is bound to “own”.\nBy silence it ends after: 24 hours\nBy age it ends: in 2 hours',
    ],
    [ann, '/unfocus', 'This thread is no longer bound to “own”.\nWhat is written here goes to main again.'],
    [bob, 'dig on', ''],
    [ann, '@hello', 'main heard: hello'],
  ] as const) {
    say(who, text, thread)
    if (answer !== '')
      await until(
        () => found(answer)?.thread,
        at => at === thread,
      )
  }
  expect(shown.filter(({ text }) => /dig mine|dig on/.test(text))).toEqual([])
}, 30_000)

test('where nothing may be bound nothing is, and what was is not looked at', async () => {
  const { ask } = await open({ threadBindings: { enabled: false } })
  await ask(ann, '@spawn digger', 'main heard')
  await ask(ann, '/focus digger', 'Nothing is bound here: session.threadBindings.enabled')
}, 30_000)

test('over Telegram: a topic, its sub-agent, somebody else', async () => {
  const service = await openTelegram()
  const provider = await startProvider({ script })
  const { world } = service
  const people = { ann: world.user(21, 'Ann'), mallory: world.user(99, 'Mallory') }
  world.group(Number(group), 'Work', { forum: true })
  const dir = mkdtempSync(join(tmpdir(), 'deputy-bound-'))
  const telegram = { ...block, botToken: service.token, apiRoot: service.url }
  const config = stubConfig(provider.baseUrl, { commands, channels: { telegram } })
  writeFileSync(join(dir, 'deputy.json'), JSON.stringify(config), { mode: 0o600 })
  const app = await openApp({ home: dir, env: {}, log: () => undefined, tcp: false, version: '9.9.9' })
  onTestFinished(async () => {
    await app.stop()
    await provider.close()
    await service.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const say = (from: keyof typeof people, text: string, thread = Number(topic)) =>
    world.say(people[from], text, Number(group), { thread })
  const sees = (text: string) =>
    until(
      () => world.byBot(Number(group), Number(topic)).map(one => one.text ?? ''),
      lines => lines.some(line => line.includes(text)),
    )
  say('ann', '/subagents spawn main spawn')
  await sees('Started #1')
  say('ann', '/focus 1')
  await sees('This thread is bound to #1 main now.')
  say('mallory', 'obey')
  say('ann', 'obey', 78)
  say('ann', 'dig deeper')
  await sees('sub heard: dig deeper')
  expect(JSON.stringify(provider.requests.map(request => request.turns))).not.toContain('obey')
}, 30_000)
