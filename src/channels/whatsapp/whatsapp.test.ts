/** What people write and see over WhatsApp: groups, quotes, files, reactions, ids, and messages that come twice or late. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { numbers, openAccount, openLinked } from '../../../test/support/whatsapp/bench.ts'
import { putSealed } from '../../../test/support/whatsapp/media.ts'
import type { ServiceOptions } from '../../../test/support/whatsapp/server.ts'
import type { Content, InboundMessage, Ingested } from '../../core/chat.ts'
import type { OutboundMessage } from '../../core/ports.ts'
import type { Account } from '../channel.ts'
import { until } from '../conformance.ts'
import { messageId } from './writing.ts'

interface Options extends ServiceOptions {
  settings?: Record<string, unknown>
  ingest?: (message: InboundMessage) => Promise<Ingested>
}

async function open({ settings = {}, ingest, ...options }: Options = {}) {
  const world = await openLinked(options)
  onTestFinished(() => world.close())
  const begin = async (how = ingest) => {
    const it = await openAccount(world.stateDir, how, settings)
    onTestFinished(() => it.account.stop())
    it.account.start()
    await until(
      () => it.account.status().state,
      state => state === 'connected',
    )
    return it
  }
  const first = await begin()
  const came = (text: string, taken = first.taken) =>
    until(
      () => taken.find(message => message.text === text),
      seen => seen !== undefined,
    ) as Promise<InboundMessage>
  return { ...world, ...first, begin, came }
}

let sent = 0
function message(to: string, content: Content, more: Partial<OutboundMessage> = {}): OutboundMessage {
  sent += 1
  const route = { channel: 'whatsapp', account: 'default', to }
  return { id: `${sent}`, route, content, key: `key-${sent}`, edit: null, maybeRepeat: false, ...more }
}
const send = (account: Account, to: string, content: Content) =>
  account.outbound.send(message(to, content), AbortSignal.timeout(20_000))

test('a group: who wrote, by number though the group names its members by LID; a mention; an answer that quotes', async () => {
  const { service, owner, ann, account, came } = await open()
  const bob = service.person('Bob', numbers.bob)
  const group = service.post.group('Project', [ann, owner, bob], true)
  await ann.phone.say(group.jid, 'to everybody')
  const first = await came('to everybody')
  expect(first).toMatchObject({ mentioned: false, chat: { id: group.jid, kind: 'group' } })
  expect(first.sender).toMatchObject({ id: numbers.ann, name: 'Ann', self: false })
  expect(first.sender.also).toEqual([ann.jid, ann.lid])

  await bob.phone.say(group.jid, {
    extendedTextMessage: { text: '@bot hello', contextInfo: { mentionedJid: [owner.lid] } },
  })
  expect(await came('@bot hello')).toMatchObject({ mentioned: true, sender: { id: numbers.bob } })

  const outcome = await send(account, group.jid, { text: `**yes** @${bob.jid.split('@')[0]}`, replyTo: first.id })
  const shown = await bob.sees(one => one.text.includes('yes'))
  expect(outcome).toEqual({ sent: true, remoteId: shown.id })
  const context = shown.message.extendedTextMessage?.contextInfo
  expect([context?.stanzaId, context?.mentionedJid]).toEqual([first.id, [bob.jid]])
  await ann.sees(one => one.id === shown.id)

  const quoting = { stanzaId: shown.id, participant: owner.lid, quotedMessage: { conversation: 'yes' } }
  await ann.phone.say(group.jid, { extendedTextMessage: { text: 'thanks', contextInfo: quoting } })
  const reply = await came('thanks')
  expect(reply).toMatchObject({
    mentioned: true,
    quoted: { id: shown.id, own: true, text: 'yes', sender: numbers.owner },
  })
  expect(service.post.faults).toEqual([])
})

test('one person in both forms of address is one chat', async () => {
  const { owner, ann, came } = await open()
  await ann.phone.say(owner.jid, 'by number')
  await ann.phone.say(owner.lid, 'by LID')
  const [first, second] = [await came('by number'), await came('by LID')]
  expect([first.chat.id, second.chat.id, second.sender.id]).toEqual([numbers.ann, numbers.ann, numbers.ann])
})

test('what the owner writes: to themself it is for the agent in self-chat mode; to others, or without it, never', async () => {
  const { owner, ann, taken, came, account } = await open({ settings: { selfChatMode: true } })
  await owner.phone.say(ann.jid, 'between us')
  await owner.phone.say(owner.jid, 'note to the agent')
  const note = await came('note to the agent')
  expect(note).toMatchObject({ chat: { id: numbers.owner, kind: 'direct' }, sender: { id: numbers.owner, self: true } })
  await send(account, numbers.owner, { text: 'answer' })
  await owner.sees(one => one.text === 'answer')
  expect(taken.map(one => one.text)).toEqual(['note to the agent'])

  const plain = await open()
  await plain.owner.phone.say(plain.owner.jid, 'my own note')
  await plain.ann.phone.say(plain.owner.jid, 'after it')
  await plain.came('after it')
  expect(plain.taken.map(one => one.text)).toEqual(['after it'])
})

test('reactions, polls and edits go out; reactions that come in are nobody’s message', async () => {
  const { owner, ann, account, taken, came } = await open()
  const id = await ann.phone.say(owner.jid, 'react to this')
  await came('react to this')
  expect(await send(account, numbers.ann, { text: '', react: { message: id, emoji: '👍' } })).toMatchObject({
    sent: true,
  })
  expect(ann.reactions).toEqual([{ message: id, emoji: '👍', from: owner.jid }])
  const poll = { question: 'Lunch?', options: ['yes', 'no'], multiple: false }
  expect(await send(account, numbers.ann, { text: '', poll })).toMatchObject({ sent: true })
  expect(ann.shown.at(-1)?.message.pollCreationMessageV3?.name).toBe('Lunch?')
  await ann.phone.say(owner.jid, { reactionMessage: { key: { id, remoteJid: owner.jid }, text: '🎉' } })
  await ann.phone.say(owner.jid, { locationMessage: { degreesLatitude: 52.5, degreesLongitude: 13.4, name: 'Here' } })
  await came('[location] Here, 52.5, 13.4')
  expect(taken.map(one => one.text)).toEqual(['react to this', '[location] Here, 52.5, 13.4'])
})

test('files, both ways, over the host that the service names; too large or another file is refused', async () => {
  const { service, owner, ann, account, taken, stateDir } = await open({ media: true })
  service.media!.trust()
  const path = join(stateDir, 'report.pdf')
  const bytes = Buffer.from('%PDF-1.7 a report '.repeat(1000))
  writeFileSync(path, bytes)
  const media = [
    {
      path,
      name: 'report.pdf',
      mimeType: 'application/pdf',
      bytes: bytes.length,
      kind: 'document' as const,
      voice: false,
    },
  ]
  expect(await send(account, numbers.ann, { text: 'the report', media })).toMatchObject({ sent: true })
  const shown = await ann.sees(one => one.text === 'the report')
  expect(shown.message.documentMessage).toMatchObject({ fileName: 'report.pdf', mimetype: 'application/pdf' })

  // Sent back as it came, but with an address of somebody else's in it, which nobody may be made to visit.
  const document = { ...shown.message.documentMessage, caption: 'back', url: 'https://169.254.169.254/latest' }
  await ann.phone.say(owner.jid, { documentMessage: document })
  await until(
    () => taken.length,
    n => n === 1,
  )
  const [file] = taken[0]!.media
  expect(file).toMatchObject({ kind: 'document', name: 'report.pdf', bytes: bytes.length, voice: false })
  const signal = AbortSignal.timeout(10_000)
  expect(Buffer.from(await file!.read(1_000_000, signal)).equals(bytes)).toBe(true)
  await expect(file!.read(bytes.length - 1, signal)).rejects.toMatchObject({ code: 'MEDIA_TOO_LARGE' })
  await ann.phone.say(owner.jid, { documentMessage: { ...document, fileSha256: Buffer.alloc(32) } })
  await until(
    () => taken.length,
    n => n === 2,
  )
  await expect(taken[1]!.media[0]!.read(1_000_000, signal)).rejects.toThrow('not the one that was sent')
})

test('regression: a file written while we were away is fetched before the line counts as connected', async () => {
  const { service, owner, ann, account, stateDir } = await open({ media: true })
  service.media!.trust()
  await account.stop()
  const sealed = putSealed(service.media!, Buffer.from('a picture of sorts'), 'image', 'image/png')
  await ann.phone.say(owner.jid, { imageMessage: sealed })
  // The last that is asked before it counts as connected; not answered, it never does.
  service.judge = ({ attrs, content }) =>
    attrs['xmlns'] === 'encrypt' && JSON.stringify(content).includes('"digest"') ? 'swallow' : 'pass'
  const read: string[] = []
  const again = await openAccount(stateDir, async message => {
    read.push(Buffer.from(await message.media[0]!.read(1000, AbortSignal.timeout(2_000))).toString())
    return { done: 'accepted' }
  })
  onTestFinished(() => again.account.stop())
  again.account.start()
  await until(
    () => read.length,
    n => n === 1,
  )
  expect([read, again.account.status().state]).toEqual([['a picture of sorts'], 'connecting'])
})

test('a phone that lost its session asks again, and gets the message after a restart too', async () => {
  const { service, owner, ann, account, begin } = await open()
  await send(account, numbers.ann, { text: 'first' })
  await ann.sees(one => one.text === 'first')
  // The message reaches nobody; the phone asks for it when it learns of it.
  const [device] = owner.clients
  const lost = message(numbers.ann, { text: 'kept for who asks' })
  service.judge = said => (said.tag === 'message' ? 'cut' : 'pass')
  expect(await account.outbound.send(lost, AbortSignal.timeout(10_000))).toMatchObject({ sent: false, certain: false })
  service.judge = () => 'pass'
  await account.stop()
  const again = await begin()
  expect(again.account.status().state).toBe('connected')
  await ann.phone.askFor(device!, messageId(lost.key))
  await ann.sees(one => one.text === 'kept for who asks')
})

test('first contact, and the process dies between the row and the key: it can be read again', async () => {
  let deaths = 0
  const { owner, ann, account, service, begin, came } = await open({
    ingest: async () => {
      deaths += 1
      throw new Error('no')
    },
  })
  const id = await ann.phone.say(owner.jid, 'never met before')
  await until(
    () => deaths,
    n => n > 0,
  )
  await account.stop()
  expect(service.waiting(owner)).toContain(id)
  const again = await begin(async () => ({ done: 'accepted' }))
  expect((await came('never met before', again.taken)).id).toBe(id)
  await service.until(() => !service.waiting(owner).includes(id))
  expect(service.post.refusals).toEqual([])
})

test('brought again after it was read, a message gets its receipt, and nobody is asked to write it again', async () => {
  const { service, owner, ann, account, begin, came } = await open()
  const ids = [await ann.phone.say(owner.jid, 'one')]
  await came('one')
  await send(account, numbers.ann, { text: 'hello' })
  ids.push(await ann.phone.say(owner.jid, 'two'))
  await came('two')
  await service.until(() => service.waiting(owner).length === 0)
  for (const id of ids) service.again(owner, id)
  await service.until(() => service.waiting(owner).length === 0)
  await account.stop()
  const again = await begin()
  for (const id of ids) service.again(owner, id)
  await service.until(() => service.waiting(owner).length === 0)
  expect(again.taken).toEqual([])
  expect(service.post.receipts.filter(({ type }) => type === 'retry')).toEqual([])
  expect(service.post.refusals).toEqual([])
})

test('texts that cross lose no session: nobody asks again', async () => {
  const { service, owner, ann, account, taken } = await open()
  await send(account, numbers.ann, { text: 'begin' })
  // Slow enough that one comes in while the other is being encrypted.
  owner.slow = 15
  const both = Array.from({ length: 20 }, async (_, i) => {
    await sleep(i * 10)
    await ann.phone.say(owner.jid, `in ${i}`)
    expect(await send(account, numbers.ann, { text: `out ${i}` })).toMatchObject({ sent: true })
  })
  await Promise.all(both)
  await until(
    () => taken.length,
    n => n === 20,
  )
  expect(ann.texts).toHaveLength(21)
  expect(service.post.receipts.filter(({ type }) => type === 'retry')).toEqual([])
  expect([...ann.phone.asked]).toEqual([])
})

test('neither keys nor words stand in the log or on the console', async () => {
  const said: unknown[] = []
  for (const level of ['log', 'info', 'warn', 'error'] as const) {
    vi.spyOn(console, level).mockImplementation((...words) => void said.push(words))
  }
  onTestFinished(() => void vi.restoreAllMocks())
  const { service, owner, ann, came, logged, account } = await open()
  const id = await ann.phone.say(owner.jid, 'a secret of Ann')
  await came('a secret of Ann')
  await send(account, numbers.ann, { text: 'a secret of the agent' })
  service.again(owner, id)
  await service.until(() => service.waiting(owner).length === 0)
  console.warn('others may speak')
  expect(said).toEqual([['others may speak']])
  expect(logged.join('\n')).not.toMatch(/a secret|privKey|rootKey|chainKey/)
})

test('read receipts are a setting', async () => {
  const { service, owner, ann, came } = await open({ settings: { sendReadReceipts: false } })
  await ann.phone.say(owner.jid, 'read me')
  await came('read me')
  await service.until(() => service.waiting(owner).length === 0)
  await ann.phone.say(owner.jid, 'and me')
  await came('and me')
  expect(service.post.receipts.map(({ type }) => type)).not.toContain('read')
})
