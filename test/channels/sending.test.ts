/** What is sent to a chat by hand: over the wire and the command line, and what the operator sees of what went wrong. */
import { PassThrough } from 'node:stream'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { run } from '../../src/cli/program.ts'
import { until } from '../support/app.ts'
import { type ChatWorld, openChatWorld } from './support.ts'

let world: ChatWorld
afterEach(() => world.close())

const texts = () => world.service.shown.map(({ text }) => text)
const send = (more: object = {}) =>
  world.owner.request('send', { to: '42', channel: 'telegram', message: 'hello', idempotencyKey: 'k1', ...more })

async function openOwn(): Promise<void> {
  world = await openChatWorld({ dmPolicy: 'disabled' })
  await until(
    () => world.app,
    () => true,
  )
}

test('send answers with the id of the service, and a repeat of the key says nothing again', async () => {
  await openOwn()
  const sent = await send({ channel: undefined })
  expect(sent).toMatchObject({ runId: 'k1', status: 'sent', channel: 'telegram', to: '42', error: null })
  expect(sent.messageId).toBe(world.service.shown[0]!.id)
  expect(await send()).toEqual(sent)
  await world.restart()
  expect(await send()).toEqual(sent)
  expect(texts()).toEqual(['hello'])
  await expect(send({ message: 'other words' })).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
})

test('message.action sends and edits; what the service cannot do is refused, and so is what nobody serves', async () => {
  await openOwn()
  const act = (action: string, params: Record<string, unknown>) =>
    world.owner.request('message.action', { channel: 'telegram', action, params, idempotencyKey: `${action}-1` })
  const sent = await act('send', { to: '42', message: 'one' })
  expect(sent).toMatchObject({ ok: true, action: 'send', status: 'sent' })
  await expect(act('react', { target: '42', messageId: '1', emoji: '👍' })).rejects.toThrow('no reactions')
  await expect(act('pin', { target: '42' })).rejects.toThrow('There is no action "pin"')
  await expect(act('send', { message: 'x' })).rejects.toThrow('needs params.target')
  await expect(
    world.owner.request('poll', {
      channel: 'telegram',
      to: '42',
      question: 'q',
      options: ['a', 'b'],
      idempotencyKey: 'p',
    }),
  ).rejects.toThrow('no polls')
  await expect(send({ channel: 'slack' })).rejects.toMatchObject({ code: 'DELIVERY_NO_CHANNEL' })
  expect(texts()).toEqual(['one'])
})

test('a file comes from the workspace of the agent and from nowhere else', async () => {
  await openOwn()
  mkdirSync(join(world.dir, 'workspace'), { recursive: true })
  writeFileSync(join(world.dir, 'workspace', 'a.txt'), 'x')
  await expect(send({ mediaUrl: 'a.txt' })).rejects.toThrow('No files can be sent there')
  await expect(send({ mediaUrl: '../deputy.json' })).rejects.toThrow('outside the workspace')
  await expect(send({ mediaUrl: join(world.dir, 'deputy.json') })).rejects.toThrow('outside the workspace')
})

test('what was refused for good is a dead letter that the operator sees and tries again', async () => {
  await openOwn()
  world.service.failNext('refused')
  await expect(send()).rejects.toMatchObject({ code: 'DELIVERY_DEAD', details: { outbox: 1 } })
  const { messages } = await world.owner.request('outbox.list', {})
  expect(messages).toMatchObject([{ id: 1, state: 'dead', to: '42', text: 'hello', error: 'refused: refused' }])
  expect((await world.owner.request('outbox.retry', { id: 1 })).message).toMatchObject({ state: 'sent' })
  expect((await world.owner.request('outbox.list', {})).messages).toEqual([])
  await expect(world.owner.request('outbox.retry', { id: 1 })).rejects.toMatchObject({ code: 'UNKNOWN_DELIVERY' })
  await expect(world.owner.request('outbox.retry', { id: 9 })).rejects.toMatchObject({ code: 'UNKNOWN_DELIVERY' })
  expect(texts()).toEqual(['hello'])
})

async function deputy(...argv: string[]) {
  const said = { out: '', err: '' }
  const take = (where: 'out' | 'err') => ({
    write(text: string) {
      said[where] += text
      return true
    },
  })
  const code = await run({
    argv: [...argv, '--home', world.dir],
    env: { HOME: world.dir, PATH: process.env['PATH'] },
    version: '9.9.9',
    stdin: new PassThrough() as never,
    stdout: take('out'),
    stderr: take('err'),
    onSignal: () => () => undefined,
  } as never)
  return { code, ...said }
}

test('the commands: message send and edit, outbox list and retry', async () => {
  await openOwn()
  const at = ['--channel', 'telegram', '--target', '42']
  expect((await deputy('message', 'send', ...at, '-m', 'hello')).out).toMatch(/^sent to telegram 42, message \S+\n/)
  const { id } = world.service.shown[0]!
  expect((await deputy('message', 'edit', ...at, '--message-id', id, '-m', 'hallo')).code).toBe(0)
  world.service.failNext('refused')
  const refused = await deputy('message', 'send', ...at, '-m', 'never')
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('deputy outbox retry')])
  const list = await deputy('outbox', 'list', '--dead')
  expect(list.out).toMatch(/dead\s+telegram 42\s+never/)
  const dead = /^\s*(\d+)\s+dead/m.exec(list.out)![1]!
  expect((await deputy('outbox', 'retry', dead)).out).toBe(`Message ${dead} is sent to telegram 42.\n`)
  expect((await deputy('outbox', 'list')).out).toBe('Everything is out.\n')
  expect((await deputy('outbox', 'retry', 'x')).code).toBe(2)
})
