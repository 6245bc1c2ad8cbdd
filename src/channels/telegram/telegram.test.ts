/** What Telegram has that other services do not, with the real library against a Bot API on loopback. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { type Opened, openOne } from '../../../test/support/open-account.ts'
import { openTelegram, type TelegramService } from '../../../test/support/telegram/service.ts'
import { tempDir } from '../../../test/support/temp.ts'
import type { OutboundMedia } from '../../core/chat.ts'
import { until } from '../conformance.ts'
import { telegram } from './index.ts'

const group = -1_001_234

async function world(settings: Record<string, unknown> = {}): Promise<{ fake: TelegramService } & Opened> {
  const fake = await openTelegram()
  onTestFinished(() => fake.close())
  const commands = [
    { name: 'status', description: 'How things stand.' },
    { name: 'export-session', description: 'The conversation as a file.' },
  ]
  const opened = await openOne(telegram, { botToken: fake.token, apiRoot: fake.url, ...settings }, commands)
  onTestFinished(() => {
    expect(opened.lines.join('\n')).not.toContain(fake.token.split(':')[1])
  })
  return Object.assign(opened, { fake })
}

function fileOf(name: string, bytes: Buffer, kind: OutboundMedia['kind'], mimeType: string): OutboundMedia {
  const path = join(tempDir(), 'file')
  writeFileSync(path, bytes)
  return { path, name, mimeType, bytes: bytes.length, kind, voice: false }
}

test('in a group it says who is meant: a mention, a reply to the bot, a command that names it, and nothing else', async () => {
  const { fake, taken, came } = await world()
  const ann = fake.world.user(11, 'Ann', 'ann_a')
  fake.world.group(group, 'Family', { forum: true })
  const ours = fake.world.put(fake.world.chats.get(group)!, { text: 'I am here' })
  const started = { forum_topic_created: { name: 'Plans' } }
  const topic = fake.world.put(fake.world.chats.get(group)!, started)
  const say = (text: string, options = {}) => fake.world.say(ann, text, group, options)
  say('just talk')
  say('hey @Deputy_Test_Bot, look')
  say('as I said', { replyTo: ours })
  say('/status@deputy_test_bot now')
  say('/status@another_bot now')
  say('/export_session html')
  say('/roll 20')
  say('in the topic', { thread: 7, replyTo: topic })
  say('about @deputy_test_bot_two')
  say('you there', { entities: [{ type: 'text_mention', offset: 0, length: 3, user: fake.world.bot }] })
  await came(9)
  expect(taken.map(({ text, via, mentioned, chat }) => [text, via, mentioned, chat.thread])).toEqual([
    ['just talk', 'text', false, null],
    ['hey @Deputy_Test_Bot, look', 'text', true, null],
    ['as I said', 'text', true, null],
    ['/status now', 'command', true, null],
    ['/status@another_bot now', 'text', false, null],
    ['/export-session html', 'command', false, null],
    ['/roll 20', 'text', false, null],
    ['in the topic', 'text', false, '7'],
    ['about @deputy_test_bot_two', 'text', false, null],
    ['you there', 'text', true, null],
  ])
  expect(taken[2]!.quoted).toEqual({ id: '1', sender: '700100200', own: true, text: 'I am here' })
  expect(taken[7]!.quoted).toBeNull()
  expect(taken[0]!.chat).toMatchObject({ id: String(group), kind: 'group', title: 'Family' })
  expect(taken[0]!.sender).toMatchObject({ id: '11', also: ['@ann_a'], name: 'Ann' })
})

test('lists the commands under names that the service allows', async () => {
  const { fake } = await world({ customCommands: [{ command: '/tea', description: 'Make tea.' }] })
  await fake.world.until(() => fake.world.commands.length > 0, 'commands')
  expect(fake.world.commands.map(one => one.command)).toEqual(['status', 'export_session', 'tea'])
})

test('a button is pressed once: its value comes in, the wait ends, the buttons go', async () => {
  const opened = await world()
  const { fake, came, say } = opened
  const ann = fake.world.user(11, 'Ann')
  const buttons = [
    [
      { label: 'Yes', value: '/approve 7 once', style: 'primary' as const },
      { label: 'No', value: '/deny' },
    ],
  ]
  expect(await say({ to: '11' }, { text: 'May I?', buttons })).toEqual([{ sent: true, remoteId: '1' }])
  const shown = () => fake.world.message(11, 1)!
  expect(shown().reply_markup?.inline_keyboard[0]?.map(one => one.callback_data)).toEqual(['/approve 7 once', '/deny'])
  opened.ingest = async () => ({ done: 'dropped', reason: 'sender-not-allowed' })
  fake.world.press(ann, shown(), '/approve 7 once')
  await fake.world.until(() => fake.world.answered.length === 1, 'an answer to the press')
  expect(shown().reply_markup).toBeDefined()
  opened.ingest = async () => ({ done: 'command', refused: true })
  fake.world.press(ann, shown(), '/approve 7 once')
  await fake.world.until(() => fake.world.answered.length === 2, 'an answer to the press')
  expect(shown().reply_markup).toBeDefined()
  opened.ingest = async () => ({ done: 'command' })
  fake.world.press(ann, shown(), '/approve 7 once')
  await fake.world.until(() => fake.world.answered.length === 3, 'an answer to the press')
  await until(
    () => shown().reply_markup,
    gone => gone === undefined,
  )
  const press = await came(1)
  expect(press).toMatchObject({ via: 'button', text: '/approve 7 once', mentioned: true, sender: { id: '11' } })
  expect(press.quoted).toMatchObject({ id: '1', own: true, text: 'May I?' })
})

test('files come in by their kind, are fetched when wanted and never beyond the limit', async () => {
  const { fake, came } = await world()
  const ann = fake.world.user(11, 'Ann')
  const bytes = Buffer.alloc(3000, 7)
  fake.world.sendFile(ann, bytes, { kind: 'photo', caption: 'the cat' })
  fake.world.sendFile(ann, bytes, { kind: 'voice', mimeType: 'audio/ogg' })
  fake.world.sendFile(ann, bytes, { kind: 'document', name: '../../etc/passwd', mimeType: 'application/pdf' })
  fake.world.sendFile(ann, Buffer.alloc(20_000_001), { kind: 'document', name: 'huge.bin' })
  const [photo, voice, document, huge] = [await came(0), await came(1), await came(2), await came(3)]
  expect(photo).toMatchObject({ text: 'the cat', media: [{ kind: 'image', mimeType: 'image/jpeg', bytes: 3000 }] })
  expect(voice).toMatchObject({ text: '', media: [{ kind: 'audio', voice: true }] })
  expect(document.media[0]).toMatchObject({ kind: 'document', name: '../../etc/passwd', mimeType: 'application/pdf' })
  const signal = AbortSignal.timeout(5000)
  expect(Buffer.from(await photo.media[0]!.read(5000, signal)).equals(bytes)).toBe(true)
  await expect(document.media[0]!.read(2999, signal)).rejects.toMatchObject({ code: 'MEDIA_TOO_LARGE' })
  await expect(huge.media[0]!.read(50_000_000, signal)).rejects.toMatchObject({ code: 'MEDIA_TOO_LARGE' })
  fake.fault({ method: 'file', refuse: { code: 500 } })
  const failed = await voice.media[0]!.read(5000, signal).catch((error: Error) => `${error.stack} ${error.cause}`)
  expect(failed).not.toContain(fake.token.split(':')[1])
})

test('files go out as what they are, with the words as a caption where they fit', async () => {
  const { fake, say } = await world()
  fake.world.user(11, 'Ann')
  const jpeg = fileOf('cat.jpg', Buffer.from([0xff, 0xd8, 0xff, 0xe0, 1, 2]), 'image', 'image/jpeg')
  const broken = fileOf('broken.png', Buffer.from('no picture'), 'image', 'image/png')
  const paper = fileOf('a "b"; c.pdf', Buffer.from('%PDF'), 'document', 'application/pdf')
  expect(await say({ to: '11' }, { text: '**the** cat', media: [jpeg] })).toEqual([{ sent: true, remoteId: '1' }])
  expect(await say({ to: '11' }, { text: 'x'.repeat(2000), media: [broken, paper] })).toHaveLength(3)
  const told = fake.world.byBot(11)
  expect(told[0]).toMatchObject({ caption: 'the cat', caption_entities: [{ type: 'bold', offset: 0, length: 3 }] })
  expect(fake.world.shown.map(one => one.media)).toEqual(['photo', null, 'document', 'document'])
  const gone = { ...jpeg, path: join(tempDir(), 'gone.jpg') }
  expect(await say({ to: '11' }, { text: '', media: [gone] })).toMatchObject([{ certain: true, code: 'media_missing' }])
})

test('words keep their form; what the service cannot read is shown without it', async () => {
  const { fake, say } = await world()
  fake.world.user(11, 'Ann')
  await say(
    { to: '11' },
    { text: '# Plan\n**bold** `a < b` [site](https://x.example/?a=1&b=2)\n```ts\nif (a && b) {}\n```' },
  )
  const [first] = fake.world.byBot(11)
  expect(first!.text).toBe('Plan\n\nbold a < b site\n\nif (a && b) {}')
  expect(first!.entities?.map(one => one.type)).toEqual(['bold', 'bold', 'code', 'text_link', 'pre'])
  expect(first!.entities?.find(one => one.type === 'text_link')?.url).toBe('https://x.example/?a=1&b=2')
  fake.fault({ method: 'sendMessage', refuse: { code: 400, description: "Bad Request: can't parse entities: no" } })
  expect(await say({ to: '11' }, { text: 'a **b** <i>' })).toMatchObject([{ sent: true }])
  expect(fake.world.byBot(11)[1]).toMatchObject({ text: 'a b <i>' })
  expect(fake.world.byBot(11)[1]!.entities).toBeUndefined()
})

test('threads, replies, reactions, polls, edits and the repeat mark', async () => {
  const { fake, say, came, account } = await world()
  const ann = fake.world.user(11, 'Ann')
  fake.world.group(group, 'Family', { forum: true })
  const asked = fake.world.say(ann, 'well?', group, { thread: 7 })
  const to = { to: String(group), thread: '7' }
  await came(0)
  await say(to, { text: 'yes', replyTo: String(asked.message_id) })
  const ours = fake.world.byBot(group, 7)[0]!
  expect(ours.reply_to_message?.message_id).toBe(asked.message_id)
  await say(to, { text: 'no', edit: String(ours.message_id) })
  expect(fake.world.byBot(group, 7).map(one => one.text)).toEqual(['no'])
  expect(await say(to, { text: 'no', edit: String(ours.message_id) })).toMatchObject([{ sent: true }])
  await say(to, { text: '', react: { message: String(asked.message_id), emoji: '👍' } })
  expect([...fake.world.reactions.values()]).toEqual([['👍']])
  await say(to, { text: '', poll: { question: 'Tea?', options: ['yes', 'no'], multiple: false } })
  await say(to, { text: 'again' }, { maybeRepeat: true })
  const [, poll, repeat] = fake.world.byBot(group, 7)
  expect(poll).toMatchObject({ poll: { question: 'Tea?', options: [{ text: 'yes' }, { text: 'no' }] } })
  expect(repeat!.text).toBe('(may be a repeat) again')
  account.typing?.({ channel: 'telegram', account: 'default', ...to }, true)
  await fake.world.until(() => fake.world.typing.length > 0, 'typing')
  account.typing?.({ channel: 'telegram', account: 'default', ...to }, false)
  expect(fake.world.typing[0]).toMatchObject({ chat: group, thread: 7 })
})

test('a growing message that somebody removed is said anew; a group that moved is followed; a block is final', async () => {
  const { fake, say } = await world()
  fake.world.user(11, 'Ann')
  expect(await say({ to: '11' }, { text: 'final words' }, { edit: '99' })).toEqual([{ sent: true, remoteId: '1' }])
  const old = fake.world.group(-55, 'Old', { type: 'group' })
  fake.world.group(group, 'New')
  Object.assign(old, { migrated: group })
  expect(await say({ to: '-55' }, { text: 'where are you' })).toMatchObject([{ sent: true }])
  expect(fake.world.byBot(group).map(one => one.text)).toEqual(['where are you'])
  fake.world.blocked.add(11)
  expect(await say({ to: '11' }, { text: 'hello?' })).toMatchObject([
    { certain: true, retryable: false, code: 'blocked' },
  ])
  expect(await say({ to: '12' }, { text: 'hello?' })).toMatchObject([{ retryable: false, code: 'not_found' }])
})

test('a slow chat holds up no other, and what is open is never confirmed', async () => {
  const opened = await world()
  const { fake, taken } = opened
  const held = Promise.withResolvers<void>()
  opened.ingest = async message => {
    if (message.chat.id === '11') await held.promise
    return { done: 'accepted' }
  }
  fake.world.say(fake.world.user(11, 'Ann'), 'slow')
  const slow = fake.world.updates[0]!
  await until(
    () => taken.length,
    n => n === 1,
  )
  const bob = fake.world.user(12, 'Bob')
  for (let i = 0; i < 5; i++) fake.world.say(bob, `quick ${i}`)
  await until(
    () => taken.length,
    n => n === 6,
  )
  await sleep(700)
  expect(fake.world.updates).toContain(slow)
  expect(taken).toHaveLength(6)
  held.resolve()
  await until(
    () => fake.world.updates.length,
    n => n === 0,
  )
})

test('a token that is not known ends it with the reason; another program that fetches is said and outlived', async () => {
  const { fake, account } = await world()
  await until(
    () => account.status().state,
    state => state === 'connected',
  )
  fake.fault({ method: 'getUpdates', times: 2, refuse: { code: 409, description: 'Conflict: terminated by other' } })
  fake.drop()
  await until(
    () => account.status().problem?.code,
    code => code === 'CHANNEL_CONFLICT',
  )
  await until(
    () => account.status().state,
    state => state === 'connected',
  )
  const other = await openOne(telegram, { botToken: '1:AAwrong', apiRoot: fake.url })
  await until(
    () => other.account.status().state,
    state => state === 'failed',
  )
  expect(other.account.status().problem).toMatchObject({ code: 'CHANNEL_TOKEN_REFUSED', fix: expect.any(String) })
  const none = await openOne(telegram, {})
  expect(none.account.status().problem).toMatchObject({ code: 'CHANNEL_TOKEN_MISSING' })
})

test('an account that is stopped while it begins to fetch is stopped', async () => {
  const { account } = await world()
  for (let i = 0; i < 20; i++) {
    account.start()
    // Connected is said before the first fetch; what begins between the two must end as well.
    await until(
      () => account.status().state,
      state => state === 'connected',
    )
    await account.stop()
    expect(account.status().state).toBe('off')
  }
})

test('reactions come in where they are asked for: to what the bot wrote, once, and what is taken off is nothing', async () => {
  const { fake, taken, came, say } = await world({ reactionNotifications: 'own' })
  const ann = fake.world.user(11, 'Ann')
  const theirs = fake.world.say(ann, 'hello')
  await came(0)
  const [sent] = await say({ to: '11' }, { text: 'hi' })
  const ours = Number(sent!.sent && sent!.remoteId)
  const emoji = (sign: string) => ({ type: 'emoji', emoji: sign })
  const react = (message_id: number, fresh: string[], old: string[] = []) =>
    fake.world.tell({
      message_reaction: {
        chat: { id: 11, type: 'private', first_name: 'Ann' },
        message_id,
        user: ann,
        date: 1_700_000_000,
        old_reaction: old.map(emoji),
        new_reaction: fresh.map(emoji),
      },
    })
  react(theirs.message_id, ['👍'])
  react(ours, ['👍'])
  react(ours, [], ['👍'])
  fake.world.say(ann, 'and on')
  await came(2)
  expect(taken.map(({ text }) => text)).toEqual(['hello', '[reaction: 👍]', 'and on'])
  expect(taken[1]).toMatchObject({ quoted: { id: String(ours), own: true }, mentioned: true, sender: { id: '11' } })
  expect(fake.calls.some(({ params }) => JSON.stringify(params).includes('message_reaction'))).toBe(true)
  const quiet = await world()
  expect(quiet.fake.calls.some(({ params }) => JSON.stringify(params).includes('message_reaction'))).toBe(false)
})

test('every press is answered, also one that says nothing to us: the button does not go on waiting', async () => {
  const { fake, taken } = await world()
  const ann = fake.world.user(11, 'Ann')
  fake.world.tell({ callback_query: { id: '77', from: ann, chat_instance: '1', game_short_name: 'chess' } })
  await until(
    () =>
      fake.calls.some(({ method, params }) => method === 'answerCallbackQuery' && params['callback_query_id'] === '77'),
    Boolean,
  )
  expect(taken).toEqual([])
})
