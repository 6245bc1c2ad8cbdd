/** Discord beyond the contract: servers, threads, commands, buttons, files, and lines that are lost for good. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type DiscordBench, openDiscordBench } from '../../../test/support/discord/bench.ts'
import { tempDir } from '../../../test/support/temp.ts'
import type { Content, InboundMessage, Ingested } from '../../core/chat.ts'
import type { SendOutcome } from '../../core/ports.ts'
import type { Account } from '../channel.ts'
import { until } from '../conformance.ts'
import { cut } from './render.ts'

let bench: DiscordBench
let account: Account
let taken: InboundMessage[]
let ingest: (message: InboundMessage) => Promise<Ingested>

async function open(settings = bench.settings): Promise<Account> {
  return bench.channel.open({
    account: 'default',
    settings,
    stateDir: bench.stateDir,
    ingest(message) {
      taken.push(message)
      return ingest(message)
    },
    changed: () => undefined,
    commands: () => [
      { name: 'status', description: 'How things stand.' },
      { name: 'Not A Name', description: 'never listed' },
    ],
    clock: { now: () => Date.now() },
    log: () => undefined,
  })
}
const connected = () =>
  until(
    () => account.status().state,
    state => state === 'connected',
  )
const next = (text: string) =>
  until(
    () => taken.find(message => message.text === text),
    found => found !== undefined,
  ).then(found => found!)

beforeEach(async () => {
  bench = await openDiscordBench()
  taken = []
  ingest = async () => ({ done: 'accepted' })
  account = await open()
  account.start()
  await connected()
})
afterEach(async () => {
  await account.stop()
  await bench.close()
})

let sent = 0
function say(content: Content, to: { to: string; thread?: string }, edit: string | null = null): Promise<SendOutcome> {
  sent += 1
  const route = { channel: 'discord', account: 'default', ...to }
  const message = { id: String(sent), route, content, key: `k${sent}`, edit, maybeRepeat: false }
  return account.outbound.send(message, AbortSignal.timeout(10_000))
}

describe('what comes in', () => {
  test('a channel of a server: who is meant, what is quoted, names instead of numbers, roles', async () => {
    const { fake } = bench
    const { world } = fake
    const room = world.channel('general', 'g1')
    const ann = world.user('ann')
    const bob = world.user('bob')
    fake.say(ann, room, 'to nobody', { member: { nick: 'Annie', roles: ['r1'] } })
    expect(await next('to nobody')).toMatchObject({
      mentioned: false,
      chat: { id: room.id, kind: 'channel', guild: 'g1', title: 'general', thread: null },
      sender: { id: ann.id, name: 'Annie', roles: ['r1'], also: ['@ann'] },
    })
    fake.say(ann, room, `<@${world.bot.id}> ask <@${bob.id}> please`)
    expect(await next('ask @Bob please')).toMatchObject({ mentioned: true })
    const own = world.message(world.bot, room, 'I said this')
    fake.say(ann, room, 'about that', { referenced_message: own })
    expect(await next('about that')).toMatchObject({ mentioned: true, quoted: { own: true, text: 'I said this' } })
  })

  test('a thread stands in its channel', async () => {
    const { fake } = bench
    const room = fake.world.channel('general', 'g1')
    const thread = fake.world.channel('side talk', 'g1', room)
    fake.say(fake.world.user('ann'), thread, 'in here')
    expect(await next('in here')).toMatchObject({ chat: { id: room.id, thread: thread.id, parent: room.id } })
    expect(await say({ text: 'here too' }, { to: room.id, thread: thread.id })).toMatchObject({ sent: true })
    expect(fake.world.byBot(thread.id).map(row => row.content)).toEqual(['here too'])
  })

  test('where a direct chat stands is not asked for: strangers would use up the calls that others need', async () => {
    const { fake } = bench
    for (const name of ['ann', 'bob', 'cem']) fake.say(fake.world.user(name), fake.world.direct(name), `by ${name}`)
    expect(await next('by cem')).toMatchObject({ chat: { kind: 'direct', id: fake.world.direct('cem').id } })
    expect(fake.calls.filter(call => call.startsWith('GET /channels/'))).toEqual([])
  })

  test('its own words, joins and embeds that the service adds are no messages', async () => {
    const { fake } = bench
    const { world, gateway } = fake
    const chat = world.direct('ann')
    fake.say(world.bot, chat, 'own words')
    fake.say(world.user('ann'), chat, 'joined', { type: 7 })
    const { row } = fake.say(world.user('ann'), chat, 'https://example.com')
    gateway.tell('MESSAGE_UPDATE', fake.shown(row))
    fake.say(world.user('ann'), chat, 'the end')
    await next('the end')
    expect(taken.map(message => message.text)).toEqual(['https://example.com', 'the end'])
  })

  test('files are fetched up to the limit, from the service alone', async () => {
    const { fake } = bench
    const { world } = fake
    const data = Buffer.alloc(5000, 7)
    const file = world.attach('../../etc/passwd', 'application/pdf', data, fake.url())
    const elsewhere = { ...file, url: 'http://127.0.0.1:1/secret' }
    fake.say(world.user('ann'), world.direct('ann'), 'look', { attachments: [file, elsewhere] })
    const { media } = await next('look')
    expect(media[0]).toMatchObject({ kind: 'document', bytes: 5000, voice: false })
    expect(Buffer.from(await media[0]!.read(5000, AbortSignal.timeout(5000)))).toEqual(data)
    await expect(media[0]!.read(4999, AbortSignal.timeout(5000))).rejects.toMatchObject({ code: 'MEDIA_TOO_LARGE' })
    await expect(media[1]!.read(5000, AbortSignal.timeout(5000))).rejects.toThrow('not on a host of Discord')
  })

  test('a slash command is listed, taken as it would be written, and answered at once', async () => {
    const { fake } = bench
    await until(
      () => fake.listed.map(one => one.name),
      names => names.length > 0,
    )
    expect(fake.listed.map(one => one.name)).toEqual(['status'])
    const chat = fake.world.direct('ann')
    const data = {
      type: 1,
      id: '9',
      name: 'subagents',
      options: [{ type: 3, name: 'args', value: 'spawn extractor x' }],
    }
    const id = fake.command(fake.world.user('ann'), chat, data)
    expect(await next('/subagents spawn extractor x')).toMatchObject({ via: 'command', id, chat: { kind: 'direct' } })
    await until(
      () => fake.callbacks.length,
      n => n === 1,
    )
    expect(fake.callbacks[0]!.body).toMatchObject({ type: 4, data: { flags: 64 } })
  })

  test('buttons: their value comes back, and they go once it was taken; a stranger changes nothing', async () => {
    const { fake } = bench
    const chat = fake.world.direct('ann')
    const buttons = [[{ label: 'Allow', value: '/approve 7 allow-once', style: 'primary' as const }]]
    await say({ text: 'May I?', buttons }, { to: chat.id })
    const [question] = fake.world.byBot(chat.id)
    expect(question!.components![0]!.components[0]).toMatchObject({
      label: 'Allow',
      custom_id: '/approve 7 allow-once',
    })
    const press = (who: string) => fake.press(fake.world.user(who), question!, '/approve 7 allow-once')
    ingest = async () => ({ done: 'dropped', reason: 'sender-not-allowed' })
    press('mallory')
    await until(
      () => fake.callbacks.length,
      n => n === 1,
    )
    expect(fake.callbacks[0]!.body).toEqual({ type: 6 })
    ingest = async () => ({ done: 'command' })
    press('ann')
    await until(
      () => fake.callbacks.length,
      n => n === 2,
    )
    expect(taken.at(-1)).toMatchObject({ via: 'button', text: '/approve 7 allow-once' })
    expect(fake.callbacks[1]!.body).toMatchObject({ type: 7, data: { components: [] } })
    expect(question!.components).toEqual([])
  })
})

describe('what takes longer than the service waits', () => {
  const slowly = () => {
    const taking = Promise.withResolvers<{ done: 'command' }>()
    ingest = () => taking.promise
    return () => taking.resolve({ done: 'command' })
  }

  test('a press is put off in time, and its buttons go once it was taken', async () => {
    const { fake } = bench
    const chat = fake.world.direct('ann')
    await say({ text: 'May I?', buttons: [[{ label: 'Allow', value: '/approve 7 once' }]] }, { to: chat.id })
    const [question] = fake.world.byBot(chat.id)
    const done = slowly()
    const id = fake.press(fake.world.user('ann'), question!, '/approve 7 once')
    await until(() => fake.answered(id), Boolean)
    expect(fake.callbacks.map(one => one.body)).toEqual([{ type: 6 }])
    expect(question!.components).toHaveLength(1)
    done()
    await until(
      () => question!.components,
      buttons => buttons?.length === 0,
    )
    expect(question!.content).toBe('May I?')
  })

  test('a command is put off in time, and answered once it was taken', async () => {
    const { fake } = bench
    const done = slowly()
    const id = fake.command(fake.world.user('ann'), fake.world.direct('ann'), { type: 1, id: '9', name: 'status' })
    await until(() => fake.answered(id), Boolean)
    expect(fake.callbacks.map(one => one.body)).toEqual([{ type: 5, data: { flags: 64 } }])
    done()
    await until(() => fake.interaction(id).changed, Boolean)
    expect(fake.interaction(id).changed).toEqual({ content: '`/status`' })
  })

  test('buttons of a press that was answered too late go all the same', async () => {
    const { fake } = bench
    const chat = fake.world.direct('ann')
    await say({ text: 'May I?', buttons: [[{ label: 'Allow', value: '/approve 7 once' }]] }, { to: chat.id })
    const [question] = fake.world.byBot(chat.id)
    fake.interaction(fake.press(fake.world.user('ann'), question!, '/approve 7 once')).at -= 5000
    await until(
      () => question!.components,
      buttons => buttons?.length === 0,
    )
    expect(fake.callbacks).toEqual([])
  })
})

describe('lines', () => {
  test('what was being taken when the process died is told again to the next one', async () => {
    const { fake } = bench
    const ann = fake.world.user('ann')
    fake.say(ann, fake.world.direct('ann'), 'taken')
    await next('taken')
    ingest = () => new Promise(() => undefined)
    const { s } = fake.say(ann, fake.world.direct('ann'), 'in the middle')
    await next('in the middle')
    await until(() => existsSync(join(bench.stateDir, 'session.json')), Boolean)
    // What a killed process leaves: the file alone. The first one is not let write any more.
    const left = await until(
      () => JSON.parse(readFileSync(join(bench.stateDir, 'session.json'), 'utf8')) as { sequence: number },
      memory => memory.sequence === s - 1,
    )
    expect(statSync(join(bench.stateDir, 'session.json')).mode & 0o777).toBe(0o600)
    fake.say(ann, fake.world.direct('ann'), 'while dead')
    const first = account
    taken = []
    ingest = async () => ({ done: 'accepted' })
    const kept = bench.stateDir
    bench.stateDir = tempDir()
    writeFileSync(join(bench.stateDir, 'session.json'), JSON.stringify(left))
    account = await open()
    account.start()
    await next('while dead')
    expect(taken.map(message => message.text)).toEqual(['in the middle', 'while dead'])
    expect(fake.gateway.sessions()).toBe(1)
    bench.stateDir = kept
    void first.stop()
  })

  test('a session that the service has forgotten: what was written meanwhile is fetched', async () => {
    const { fake } = bench
    const { world } = fake
    const ann = world.user('ann')
    const room = world.channel('general', 'g1')
    fake.say(ann, world.direct('ann'), 'before')
    fake.say(ann, room, 'before, in the room')
    await next('before')
    await next('before, in the room')
    await fake.down()
    for (let i = 0; i < 130; i++) world.message(ann, world.direct('ann'), `missed ${i}`)
    world.message(ann, room, 'missed in the room')
    fake.gateway.forget()
    await fake.up()
    await next('missed 129')
    await next('missed in the room')
    const direct = taken.filter(message => message.chat.kind === 'direct').map(message => message.text)
    expect(direct).toEqual(['before', ...Array.from({ length: 130 }, (_, i) => `missed ${i}`)])
    expect(fake.gateway.sessions()).toBe(2)
  })

  test('a wrong token is a failure that says how to mend it', async () => {
    await account.stop()
    account = await open({ ...bench.settings, token: 'MTA.wrong.token' })
    account.start()
    await until(
      () => account.status().state,
      state => state === 'failed',
    )
    expect(account.status().problem).toMatchObject({ code: 'CHANNEL_TOKEN_REFUSED' })
    expect(JSON.stringify(account.status())).not.toContain('wrong')
    await account.stop()
    account = await open({})
    account.start()
    expect(account.status()).toMatchObject({ state: 'failed', problem: { code: 'CHANNEL_TOKEN_MISSING' } })
  })

  test('stopped while the service is away, it does not come back by itself', async () => {
    const { fake } = bench
    await fake.down()
    await until(
      () => account.status().state,
      state => state === 'reconnecting',
    )
    await account.stop()
    await fake.up()
    const before = fake.calls.length
    await new Promise(resolve => setTimeout(resolve, 1500))
    expect(account.status().state).toBe('off')
    expect(fake.calls.length).toBe(before)
    expect(fake.gateway.sessions()).toBe(1)
  })
})

describe('what goes out', () => {
  test('an edit changes the message; one that grows is said anew when somebody has removed it', async () => {
    const { fake } = bench
    const chat = fake.world.direct('ann')
    const first = await say({ text: 'gro' }, { to: chat.id })
    const id = first.sent ? first.remoteId! : ''
    await say({ text: 'growing' }, { to: chat.id }, id)
    expect(fake.world.byBot(chat.id).map(row => row.content)).toEqual(['growing'])
    fake.world.messages.delete(id)
    expect(await say({ text: 'grown' }, { to: chat.id }, id)).toMatchObject({ sent: true })
    expect(await say({ text: 'x', edit: id }, { to: chat.id })).toMatchObject({ sent: false, retryable: false })
    expect(fake.world.byBot(chat.id).map(row => row.content)).toEqual(['grown'])
  })

  test('files, reactions, replies and polls', async () => {
    const { fake } = bench
    const { world } = fake
    const chat = world.direct('ann')
    const { row } = fake.say(world.user('ann'), chat, 'hello')
    const path = join(tempDir(), 'a.txt')
    writeFileSync(path, 'some words')
    const media = [
      { path, name: 'a "b".txt', mimeType: 'text/plain', bytes: 10, kind: 'document' as const, voice: false },
    ]
    expect(await say({ text: 'here', media, replyTo: row.id }, { to: chat.id })).toMatchObject({ sent: true })
    const [answer] = world.byBot(chat.id)
    expect(answer).toMatchObject({ content: 'here', referenced_message: { id: row.id } })
    expect(world.files.get(answer!.attachments[0]!.id)!.toString()).toBe('some words')
    const missing = [{ ...media[0]!, path: `${path}.gone` }]
    expect(await say({ text: 'x', media: missing }, { to: chat.id })).toMatchObject({ code: 'media_missing' })
    await say({ text: '', react: { message: row.id, emoji: '👍' } }, { to: chat.id })
    expect(row.reactions).toEqual([{ emoji: '👍', by: world.bot.id }])
    await say({ text: '', react: { message: row.id, emoji: '' } }, { to: chat.id })
    expect(row.reactions).toEqual([])
    await say({ text: '', poll: { question: 'Tea?', options: ['yes', 'no'], multiple: false } }, { to: chat.id })
    expect(world.byBot(chat.id).at(-1)!.poll).toMatchObject({ question: { text: 'Tea?' } })
  })

  test('typing is shown where the person is', async () => {
    const { fake } = bench
    const chat = fake.world.direct('ann')
    account.typing!({ channel: 'discord', account: 'default', to: chat.id }, true)
    await until(
      () => fake.typing,
      seen => seen.includes(chat.id),
    )
    account.typing!({ channel: 'discord', account: 'default', to: chat.id }, false)
  })

  test('marks of the service: words mean nothing more than they say, nobody is called', () => {
    const text = (markdown: string) => cut({ text: markdown }, 2000).map(part => part.text)
    expect(text('**bold** and *it* and ~~gone~~')).toEqual(['**bold** and *it* and ~~gone~~'])
    expect(text('a\\*b\\* @everyone')).toEqual(['a\\*b\\* @\u200beveryone'])
    expect(text('`` a`b ``')).toEqual(['`` a`b ``'])
    expect(text('[site](https://example.com/a)')).toEqual(['[site](<https://example.com/a>)'])
    expect(text('```ts\nlet a = 1\n```')).toEqual(['```ts\nlet a = 1\n```'])
    expect(text('> quoted')).toEqual(['> quoted'])
  })
})
