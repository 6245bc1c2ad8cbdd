/** What Slack has that other services do not, with the real library against a Slack on loopback. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Opened, openOne } from '../../../test/support/open-account.ts'
import { openSlack, type SlackService } from '../../../test/support/slack/service.ts'
import { tempDir } from '../../../test/support/temp.ts'
import type { OutboundMedia } from '../../core/chat.ts'
import { until } from '../conformance.ts'
import { plainOf } from './inbound.ts'
import { slack } from './index.ts'
import { cut } from './render.ts'

async function world(settings: Record<string, unknown> = {}): Promise<{ fake: SlackService } & Opened> {
  const fake = await openSlack()
  onTestFinished(() => fake.close())
  const commands = [{ name: 'status', description: 'How things stand.' }]
  const tokens = { botToken: fake.botToken, appToken: fake.appToken, apiRoot: fake.url }
  const opened = await openOne(slack, { ...tokens, ...settings }, commands)
  onTestFinished(() => {
    expect(opened.lines.join('\n')).not.toMatch(/xoxb-7|xapp-1/)
  })
  await until(
    () => opened.account.status().state,
    state => state === 'connected',
  )
  return Object.assign(opened, { fake })
}

function fileOf(name: string, bytes: Buffer): OutboundMedia {
  const path = join(tempDir(), 'file')
  writeFileSync(path, bytes)
  return { path, name, mimeType: 'application/pdf', bytes: bytes.length, kind: 'document', voice: false }
}

test('says where it was written, by whom, and who was meant', async () => {
  const { fake, taken, came } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  fake.world.channel('C0TALK', 'talk')
  fake.world.channel('G0FEW', 'few', { kind: 'mpim' })
  const ours = fake.world.put('C0TALK', { text: 'I am here', bot_id: fake.world.bot.id, user: fake.world.bot.user })
  fake.world.say(ann, 'just talk', 'C0TALK')
  fake.world.say(ann, '<@U0DEPUTY> look at <https://x.example/?a=1&amp;b=2|this> &lt;now&gt;', 'C0TALK')
  fake.world.say(ann, 'as I said', 'C0TALK', { thread_ts: ours.ts })
  fake.world.say(ann, 'among few', 'G0FEW')
  fake.world.say(ann, '<@U0DEPUTY> by mention only', 'C0TALK', { event: 'app_mention' })
  fake.world.say(ann, 'a person', undefined)
  await came(5)
  const inChats = [...taken].sort((a, b) => a.id.localeCompare(b.id))
  expect(inChats.map(({ text, mentioned, chat }) => [text, mentioned, chat.kind, chat.title, chat.thread])).toEqual([
    ['just talk', false, 'channel', 'talk', null],
    ['look at this (https://x.example/?a=1&b=2) <now>', true, 'channel', 'talk', null],
    ['as I said', true, 'channel', 'talk', ours.ts],
    ['among few', false, 'group', 'few', null],
    ['by mention only', true, 'channel', 'talk', null],
    ['a person', false, 'direct', null, null],
  ])
  expect(taken[0]!.sender).toEqual({ id: 'U0ANN', also: ['@ann'], name: 'Ann', roles: [], bot: false, self: false })
  expect(taken[0]!.chat.team).toBe('T0DEPUTY')
})

test('what it said itself never comes in; other programs come in as such; a preview is no edit', async () => {
  const { fake, taken, came, say } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  await say({ to: 'D0ANN' }, { text: 'my own words' })
  fake.world.say(ann, 'from a program', 'D0ANN', { bot_id: 'B0OTHER', subtype: 'bot_message' })
  const said = fake.world.say(ann, 'with a link')
  fake.world.event({
    type: 'message',
    subtype: 'message_changed',
    channel: 'D0ANN',
    channel_type: 'im',
    message: { ...said, attachments: [{ title: 'preview' }] },
  })
  fake.world.event({
    type: 'message',
    subtype: 'channel_join',
    channel: 'D0ANN',
    user: 'U0ANN',
    ts: '1.1',
    text: 'joined',
  })
  fake.world.say(ann, 'the end')
  await came(2)
  expect(taken.map(({ text, sender }) => [text, sender.bot])).toEqual([
    ['from a program', true],
    ['with a link', false],
    ['the end', false],
  ])
})

test('its slash command says a command or words', async () => {
  const { fake, taken, came } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  fake.world.slash(ann, '/deputy', 'status now')
  fake.world.slash(ann, '/deputy', 'how are you?')
  fake.world.slash(ann, '/deputy', '')
  fake.world.slash(ann, '/stop', '')
  await came(3)
  expect(taken.map(({ via, text }) => [via, text])).toEqual([
    ['command', '/status now'],
    ['text', 'how are you?'],
    ['command', '/help'],
    ['command', '/stop'],
  ])
  expect(new Set(taken.map(({ id }) => id)).size).toBe(4)
  expect(Math.min(...taken.map(({ at }) => at))).toBeGreaterThan(0)
})

test('a button is pressed once: its value comes in, then the buttons go and the words stay', async () => {
  const opened = await world()
  const { fake, came, say } = opened
  const ann = fake.world.user('U0ANN', 'Ann')
  const buttons = [
    [{ label: 'Yes', value: '/approve 7', style: 'primary' as const }],
    [{ label: 'No', value: '/deny 7' }],
  ]
  expect(await say({ to: 'D0ANN' }, { text: 'May *I*?', buttons })).toMatchObject([{ sent: true }])
  const [shown] = fake.world.byApp('D0ANN')
  expect(shown!.blocks?.map(block => block['type'])).toEqual(['section', 'actions', 'actions'])
  opened.ingest = async () => ({ done: 'dropped', reason: 'sender-not-allowed' })
  fake.world.press(ann, shown!, '/deny 7')
  await came(0)
  opened.ingest = async () => ({ done: 'command' })
  fake.world.press(ann, shown!, '/approve 7')
  expect(await came(1)).toMatchObject({ via: 'button', text: '/approve 7', mentioned: true, sender: { id: 'U0ANN' } })
  await until(
    () => shown!.blocks?.map(block => block['type']),
    types => types?.length === 1 && types[0] === 'section',
  )
  expect(shown!.text).toBe('May _I_?')
})

test('files both ways: fetched with the token from the service only, never beyond the limit', async () => {
  const { fake, came, say } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  const bytes = Buffer.alloc(3000, 7)
  const origin = new URL(fake.url).origin
  const file = fake.world.keep('../plan.pdf', 'application/pdf', bytes)
  const about = { id: file, name: '../plan.pdf', mimetype: 'application/pdf', size: 3000 }
  const files = [
    { ...about, url_private_download: `${origin}/files-pri/${file}` },
    { ...about, url_private_download: 'https://files.slack.com.evil.example/x' },
    { ...about, mode: 'tombstone' },
  ]
  fake.world.say(ann, 'read it', 'D0ANN', { subtype: 'file_share', files })
  const { media } = await came(0)
  expect(media).toHaveLength(2)
  expect(media[0]).toMatchObject({ kind: 'document', name: '../plan.pdf', mimeType: 'application/pdf', bytes: 3000 })
  const signal = AbortSignal.timeout(5000)
  expect(Buffer.from(await media[0]!.read(3000, signal)).equals(bytes)).toBe(true)
  await expect(media[0]!.read(2999, signal)).rejects.toMatchObject({ code: 'MEDIA_TOO_LARGE' })
  await expect(media[1]!.read(5000, signal)).rejects.toThrow('not kept by Slack')
  expect(await say({ to: 'D0ANN' }, { text: '**done**', media: [fileOf('plan.pdf', bytes)] })).toEqual([
    { sent: true, remoteId: null },
  ])
  expect(fake.world.byApp('D0ANN')).toMatchObject([{ text: '*done*', files: [{ name: 'plan.pdf' }] }])
  const gone = { ...fileOf('x.pdf', bytes), path: join(tempDir(), 'gone') }
  expect(await say({ to: 'D0ANN' }, { text: '', media: [gone] })).toMatchObject([
    { certain: true, code: 'media_missing' },
  ])
})

test('a file of which nothing was shown yet fails for certain; one that may be shown does not', async () => {
  const { fake, say } = await world()
  fake.world.user('U0ANN', 'Ann')
  const media = [fileOf('plan.pdf', Buffer.from('%PDF'))]
  fake.fault({ method: 'files.getUploadURLExternal', cut: 'after' })
  expect(await say({ to: 'D0ANN' }, { text: '', media })).toMatchObject([
    { sent: false, certain: true, retryable: true },
  ])
  fake.fault({ method: 'files.completeUploadExternal', cut: 'after' })
  expect(await say({ to: 'D0ANN' }, { text: '', media })).toMatchObject([{ sent: false, certain: false }])
})

test('what may have been sent is looked up by its key, in the channel and in a thread', async () => {
  const { fake, account } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  fake.world.channel('C0TALK', 'talk')
  const root = fake.world.say(ann, 'begin', 'C0TALK')
  for (const thread of [undefined, root.ts]) {
    const route = { channel: 'slack', account: 'default', to: 'C0TALK', ...(thread ? { thread } : {}) }
    const message = { id: '1', route, content: { text: 'once' }, key: `k-${thread}`, edit: null, maybeRepeat: false }
    const signal = AbortSignal.timeout(10_000)
    expect(await account.outbound.lookup!(message, signal)).toEqual({ is: 'absent' })
    fake.fault({ method: 'chat.postMessage', cut: 'after' })
    expect(await account.outbound.send(message, signal)).toMatchObject({ sent: false, certain: false })
    expect(await account.outbound.lookup!(message, signal)).toMatchObject({ is: 'sent', remoteId: expect.any(String) })
    for (let i = 0; i < 450; i++)
      fake.world.put('C0TALK', { text: `talk ${i}`, user: ann.id, ...(thread ? { thread_ts: thread } : {}) })
    expect(await account.outbound.lookup!(message, signal)).toMatchObject({ is: 'sent', remoteId: expect.any(String) })
    fake.fault({ method: thread ? 'conversations.replies' : 'conversations.history', cut: 'before' })
    await expect(account.outbound.lookup!(message, signal)).rejects.toThrow()
  }
})

test('threads, edits, reactions and the repeat mark; a person is written to directly', async () => {
  const { fake, say } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  fake.world.channel('C0TALK', 'talk')
  const root = fake.world.say(ann, 'well?', 'C0TALK')
  const to = { to: 'C0TALK', thread: root.ts }
  await say(to, { text: 'yes' })
  const ours = fake.world.byApp('C0TALK', root.ts)[0]!
  await say(to, { text: 'no', edit: ours.ts })
  expect(fake.world.byApp('C0TALK', root.ts).map(one => one.text)).toEqual(['no'])
  await say(to, { text: '', react: { message: root.ts, emoji: '👍' } })
  expect(await say(to, { text: '', react: { message: root.ts, emoji: '👍' } })).toMatchObject([{ sent: true }])
  expect(root.reactions).toEqual([{ name: 'thumbsup', users: ['U0DEPUTY'] }])
  await say(to, { text: '', react: { message: root.ts, emoji: '' } })
  expect(root.reactions).toEqual([])
  expect(await say(to, { text: '', react: { message: root.ts, emoji: '🦩' } })).toMatchObject([{ code: 'bad_request' }])
  await say({ to: 'U0ANN' }, { text: 'again' }, { maybeRepeat: true })
  expect(fake.world.byApp('D0ANN').map(one => one.text)).toEqual(['(may be a repeat) again'])
  expect(await say({ to: 'D0ANN' }, { text: 'final' }, { edit: '1.000001' })).toMatchObject([{ sent: true }])
  expect(fake.world.byApp('D0ANN').map(one => one.text)).toContain('final')
})

test('the service asks for a new connection and gets it, without a word of failure', async () => {
  const { fake, account, taken, lines } = await world()
  const ann = fake.world.user('U0ANN', 'Ann')
  const opened = () => fake.calls.filter(({ method }) => method === 'apps.connections.open').length
  expect(opened()).toBe(1)
  fake.refresh()
  await until(opened, n => n === 2)
  fake.world.say(ann, 'still there?')
  await until(
    () => taken.length,
    n => n === 1,
  )
  expect(account.status()).toMatchObject({ state: 'connected', problem: null })
  expect(lines.filter(line => line.startsWith('warn'))).toEqual([])
})

test('tokens that are refused or missing end it with the reason', async () => {
  const fake = await openSlack()
  onTestFinished(() => fake.close())
  const good = { botToken: fake.botToken, appToken: fake.appToken, apiRoot: fake.url }
  for (const [settings, code] of [
    [{ ...good, botToken: 'xoxb-wrong' }, 'CHANNEL_TOKEN_REFUSED'],
    [{ ...good, appToken: 'xapp-wrong' }, 'CHANNEL_TOKEN_REFUSED'],
    [{ apiRoot: fake.url }, 'CHANNEL_TOKEN_MISSING'],
    [{ ...good, mode: 'relay' }, 'CHANNEL_SETTINGS'],
  ] as const) {
    const { account } = await openOne(slack, settings)
    await until(
      () => account.status().state,
      state => state === 'failed',
    )
    expect(account.status().problem).toMatchObject({ code, fix: expect.any(String) })
  }
})

test('Markdown as mrkdwn, and back', () => {
  const [part] = cut(
    { text: '# Plan\n**bold** and *fine*, a**b**c `x<y` [site](https://x.example/a|b)\n\n> said\n> twice' },
    4000,
  )
  expect(part!.text).toBe('*Plan*\n\n*bold* and _fine_, abc `x&lt;y` <https://x.example/a%7Cb|site>\n\n> said\n> twice')
  const poll = cut({ text: '', poll: { question: 'Tea?', options: ['yes', 'no'], multiple: false } }, 4000)
  expect(poll.map(({ text }) => text)).toEqual(['*Tea?*\n\n1. yes\n2. no'])
  const me = 'U0DEPUTY'
  expect(
    plainOf('<@U0DEPUTY>: hi <@U1|bob> <#C1|talk> <!here> <mailto:a@x.example|a@x.example> a &amp;lt; b', me),
  ).toBe('hi @bob #talk @here a@x.example (mailto:a@x.example) a &lt; b')
})
