import { writeFileSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { type HouseSetup, lastText, openTestHouse, type TestHouse } from '../../test/support/house.ts'
import type { Capabilities, Content } from '../core/chat.ts'

const can: Capabilities = {
  edit: true,
  threads: true,
  reactions: true,
  media: true,
  typing: true,
  buttons: true,
  polls: false,
  binds: null,
  maxText: 4000,
}
const route = { channel: 'telegram', account: 'default', to: '42' }
const open: TestHouse[] = []

/** An agent that calls `message` once, and then says what it was answered. */
async function house(args: object, more: Partial<HouseSetup> = {}): Promise<TestHouse> {
  const it = await openTestHouse({
    chats: { any: () => true, capabilities: place => (place.channel === 'telegram' ? can : null) },
    script: request =>
      lastText(request) === 'go'
        ? { calls: [{ name: 'message', args }] }
        : { text: `heard: ${lastText(request).replaceAll('\n', ' ')}` },
    ...more,
  })
  open.push(it)
  return it
}

afterEach(async () => {
  for (const it of open.splice(0)) await it.close()
})

async function rows(it: TestHouse) {
  const found = await it.store.read.selectFrom('outbox').selectAll().orderBy('id').execute()
  return found.map(row => ({ ...row, content: JSON.parse(row.payload) as Content, route: JSON.parse(row.route) }))
}

async function answer(it: TestHouse, from: typeof route | null = route): Promise<string> {
  const accepted = await it.say('go', from ? { route: from } : {})
  return (await it.done(accepted.wireId)).text ?? ''
}

describe('message', () => {
  test('goes to the chat of the conversation, and its row comes with the result of the call', async () => {
    const it = await house({ message: 'on my way' })
    expect(await answer(it)).toMatch(
      /^heard: \{"status":"queued","id":"out:[^"]+","channel":"telegram","target":"42"\}/,
    )
    const [said, reply] = await rows(it)
    expect([said!.content, said!.route, said!.state]).toEqual([{ text: 'on my way' }, route, 'pending'])
    expect(reply!.content.text).toMatch(/^heard/)
  })

  test('goes elsewhere as the operator allows, and says where it comes from', async () => {
    const outreach = {
      withinProvider: true,
      acrossProviders: false,
      marker: { prefix: '[from {channel}] ', suffix: '' },
      actions: null,
    }
    const it = await house({ message: 'hi', target: '43' }, { sharing: { outreach } })
    expect(await answer(it)).toContain('queued')
    expect((await rows(it))[0]).toMatchObject({ content: { text: '[from telegram] hi' }, route: { to: '43' } })
    const narrow = await house(
      { message: 'hi', target: '43' },
      { sharing: { outreach: { ...outreach, withinProvider: false } } },
    )
    expect(await answer(narrow)).toContain('forbidden')
    expect((await rows(narrow)).filter(row => row.content.text === 'hi')).toEqual([])
  })

  test('is refused without a target, without an account, and where the service cannot do it', async () => {
    expect(await answer(await house({ message: 'hi' }), null)).toContain('say channel and target')
    expect(await answer(await house({ message: 'hi', channel: 'slack', target: 'C1' }), null)).toContain('no account')
    const poll = { action: 'poll', question: 'q', options: ['a', 'b'] }
    expect(await answer(await house(poll))).toContain('no polls')
    expect(await answer(await house({ action: 'react', messageId: '7' }))).toContain('react needs messageId and emoji')
  })

  test('means what it sent by its own id, once that is delivered', async () => {
    let id = ''
    const it = await house(
      {},
      {
        script: request => {
          const last = lastText(request)
          id = /"id":"(out:[^"]+)"/.exec(last)?.[1] ?? id
          if (last === 'send') return { calls: [{ name: 'message', args: { message: 'one' } }] }
          if (last === 'edit')
            return { calls: [{ name: 'message', args: { action: 'edit', messageId: id, message: 'two' } }] }
          return { text: `heard: ${last}` }
        },
      },
    )
    const turn = async (text: string) => (await it.done((await it.say(text, { route })).wireId)).text
    await turn('send')
    expect(await turn('edit')).toContain('has not been delivered (pending)')
    await it.store.write('sent', tx =>
      tx.updateTable('outbox').set({ state: 'sent', remote_ids: '["m7"]' }).where('key', '=', id).execute(),
    )
    expect(await turn('edit')).toContain('queued')
    expect((await rows(it)).find(row => row.content.edit)).toMatchObject({ content: { text: 'two', edit: 'm7' } })
  })

  test('takes files along as copies: by hash, for the gateway alone, with the type that they have', async () => {
    const it = await house({ media: ['report.txt', 'photo.txt'] })
    const workspace = join(it.dir, 'workspace')
    mkdirSync(workspace, { recursive: true })
    const png = Buffer.from(
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
      'base64',
    )
    writeFileSync(join(workspace, 'report.txt'), 'all well')
    writeFileSync(join(workspace, 'photo.txt'), png)
    expect(await answer(it)).toContain('queued')
    const [text, photo] = (await rows(it))[0]!.content.media!
    expect([text!.name, text!.mimeType, text!.kind, text!.bytes]).toEqual(['report.txt', 'text/plain', 'document', 8])
    expect([photo!.mimeType, photo!.kind]).toEqual(['image/png', 'image'])
    writeFileSync(join(workspace, 'report.txt'), 'changed')
    expect(readFileSync(text!.path, 'utf8')).toBe('all well')
    expect(statSync(text!.path).mode & 0o777).toBe(0o600)
    expect(text!.path.startsWith(workspace)).toBe(false)
  })

  test('regression: what one reply says in several calls goes out in their order, however long the files take', async () => {
    const calls = [{ media: ['large.bin'] }, { message: 'two' }, { message: 'three' }]
    const it = await house(
      {},
      {
        script: request =>
          lastText(request) === 'go'
            ? { calls: calls.map(args => ({ name: 'message', args })) }
            : { text: `heard: ${lastText(request)}` },
      },
    )
    mkdirSync(join(it.dir, 'workspace'), { recursive: true })
    writeFileSync(join(it.dir, 'workspace', 'large.bin'), Buffer.alloc(20_000_000))
    await answer(it)
    const said = (await rows(it)).map(row => row.content.media?.[0]?.name ?? row.content.text)
    expect(said.slice(0, 3)).toEqual(['large.bin', 'two', 'three'])
  })

  test('takes no file from elsewhere along', async () => {
    const it = await house({ media: ['link'] })
    const workspace = join(it.dir, 'workspace')
    mkdirSync(workspace, { recursive: true })
    writeFileSync(join(it.dir, 'secret'), 'token')
    symlinkSync(join(it.dir, 'secret'), join(workspace, 'link'))
    expect(await answer(it)).toContain('outside the workspace')
    expect((await rows(it)).filter(row => row.content.media)).toEqual([])
  })

  test('is said once, whenever the gateway dies', async () => {
    const it = await house(
      { message: 'once' },
      {
        script: async request => {
          if (lastText(request) === 'go') return { calls: [{ name: 'message', args: { message: 'once' } }] }
          return { text: 'done' }
        },
      },
    )
    const accepted = await it.say('go', { route })
    while ((await rows(it)).length === 0) await new Promise(resolve => setTimeout(resolve, 1))
    await it.crash()
    await it.done(accepted.wireId)
    expect((await rows(it)).map(row => row.content.text)).toEqual(['once', 'done'])
  })
})

test('a reply that only says that there is nothing to say reaches no chat', async () => {
  const it = await house({}, { script: () => ({ text: 'NO_REPLY' }) })
  expect(await answer(it)).toBe('NO_REPLY')
  expect(await rows(it)).toEqual([])
})
