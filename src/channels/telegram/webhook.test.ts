/** The webhook: acknowledged only once taken, each chat in order, and nobody without the secret gets in. */
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type Opened, openOne } from '../../../test/support/open-account.ts'
import { openTelegram, type TelegramService } from '../../../test/support/telegram/service.ts'
import { until } from '../conformance.ts'
import { telegram } from './index.ts'

const secret = 'a-secret-of-the-webhook-000'

async function world(): Promise<{ fake: TelegramService; url: string } & Opened> {
  const fake = await openTelegram()
  onTestFinished(() => fake.close())
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/hook`
  const settings = { botToken: fake.token, apiRoot: fake.url, webhookUrl: url, webhookSecret: secret }
  const opened = await openOne(telegram, { ...settings, webhookPath: '/hook', webhookPort: port })
  await until(
    () => opened.account.status().state,
    state => state === 'connected',
  )
  return Object.assign(opened, { fake, url })
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

test('an update is answered with 200 only once it was taken, and comes again until then', async () => {
  const opened = await world()
  const { fake, taken } = opened
  let failures = 0
  opened.ingest = async () => {
    failures += 1
    if (failures <= 2) throw new Error('the disk is full')
    return { done: 'accepted' }
  }
  const ann = fake.world.user(11, 'Ann')
  for (const text of ['one', 'two', 'three']) fake.world.say(ann, text)
  await until(
    () => fake.world.updates.length,
    n => n === 0,
  )
  expect(taken.map(message => message.text)).toEqual(['one', 'one', 'one', 'two', 'three'])
})

test('what has not the secret, the path, the form or the size is refused and reaches nobody', async () => {
  const { url, taken } = await world()
  const post = async (at: string, given: string | null, body: string): Promise<number> => {
    const headers = given === null ? {} : { 'x-telegram-bot-api-secret-token': given }
    return (await fetch(at, { method: 'POST', headers, body })).status
  }
  const update = JSON.stringify({ update_id: 1, message: { message_id: 1, date: 1, chat: { id: 1, type: 'private' } } })
  expect(await post(url, null, update)).toBe(401)
  expect(await post(url, `${secret}x`, update)).toBe(401)
  expect(await post(`${url}/more`, secret, update)).toBe(404)
  expect(await post(url, secret, 'no json')).toBe(400)
  expect(await post(url, secret, '{"update_id":"one"}')).toBe(400)
  expect(await post(url, secret, 'x'.repeat(1_000_001))).toBe(413)
  expect((await fetch(url, { headers: { 'x-telegram-bot-api-secret-token': secret } })).status).toBe(404)
  expect(taken).toEqual([])
})

test('a webhook without a secret is not opened', async () => {
  const { account } = await openOne(telegram, { botToken: '1:AA', webhookUrl: 'https://bot.example/hook' })
  expect(account.status()).toMatchObject({ state: 'failed', problem: { code: 'CHANNEL_SETTINGS' } })
})
