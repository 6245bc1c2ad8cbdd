/** Slack that calls us: only what it signed, lately, over these very bytes; acknowledged once it was taken. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { openOne } from '../../../test/support/open-account.ts'
import { freePort } from '../../../test/support/port.ts'
import { openSlack } from '../../../test/support/slack/service.ts'
import { until } from '../conformance.ts'
import { slack } from './index.ts'
import { isSigned, readRequest } from './requests.ts'

const secret = '8f742231b10e8888abcd99yyyzzz85a5'

function sign(body: string, at = Math.floor(Date.now() / 1000), key = secret): Record<string, string> {
  const mac = createHmac('sha256', key).update(`v0:${at}:${body}`).digest('hex')
  return { 'x-slack-request-timestamp': String(at), 'x-slack-signature': `v0=${mac}` }
}

async function world() {
  const fake = await openSlack()
  onTestFinished(() => fake.close())
  const port = await freePort()
  const settings = {
    mode: 'http',
    botToken: fake.botToken,
    apiRoot: fake.url,
    signingSecret: secret,
    webhookPort: port,
  }
  const opened = await openOne(slack, settings, [{ name: 'status', description: 'How things stand.' }])
  await until(
    () => opened.account.status().state,
    state => state === 'connected',
  )
  const url = `http://127.0.0.1:${port}/slack/events`
  const post = (body: string, headers = sign(body), to = url) => fetch(to, { method: 'POST', headers, body })
  return Object.assign(opened, { fake, post, url })
}

const told = (text: string, ts = '1700000000.000100') =>
  JSON.stringify({
    type: 'event_callback',
    team_id: 'T0',
    event_id: `Ev${ts}`,
    event: { type: 'message', channel: 'D0ANN', channel_type: 'im', user: 'U0ANN', text, ts },
  })

test('events, presses and commands are taken before they are answered; a challenge is answered', async () => {
  const opened = await world()
  const { post, taken, fake } = opened
  const challenge = await post(JSON.stringify({ type: 'url_verification', token: 'x', challenge: 'say this' }))
  expect([challenge.status, await challenge.text()]).toEqual([200, 'say this'])
  let full = true
  opened.ingest = async () => {
    if (full) throw new Error('the disk is full')
    return { done: 'accepted' }
  }
  const first = post(told('hello'))
  await until(
    () => taken.length,
    n => n > 0,
  )
  full = false
  expect((await first).status).toBe(200)
  const slash = {
    command: '/deputy',
    text: 'status',
    user_id: 'U0ANN',
    channel_id: 'D0ANN',
    trigger_id: '1.2',
    team_id: 'T0',
  }
  expect((await post(new URLSearchParams(slash).toString())).status).toBe(200)
  const press = {
    type: 'block_actions',
    trigger_id: '3.4',
    team: { id: 'T0' },
    user: { id: 'U0ANN' },
    channel: { id: 'D0ANN' },
    message: { ts: '1700000000.000200', text: 'May I?' },
    actions: [{ value: 'yes', action_ts: '1700000001.000000' }],
  }
  expect((await post(new URLSearchParams({ payload: JSON.stringify(press) }).toString())).status).toBe(200)
  expect(taken.slice(-3).map(({ via, text }) => [via, text])).toEqual([
    ['text', 'hello'],
    ['command', '/status'],
    ['button', 'yes'],
  ])
  // Nothing is opened towards Slack for it.
  expect(fake.calls.some(({ method }) => method === 'apps.connections.open')).toBe(false)
})

test('what is unsigned, signed otherwise, old, changed or too large reaches nobody', async () => {
  const { post, taken, url } = await world()
  const body = told('let me in')
  const now = Math.floor(Date.now() / 1000)
  const status = async (headers: Record<string, string>, sent = body, to = url) =>
    (await post(sent, headers, to)).status
  expect(await status({})).toBe(401)
  expect(await status(sign(body, now, `${secret}x`))).toBe(401)
  expect(await status(sign(body, now - 301))).toBe(401)
  expect(await status(sign(body, now + 400))).toBe(401)
  expect(await status(sign(body), told('let me out'))).toBe(401)
  expect(await status({ ...sign(body), 'x-slack-request-timestamp': String(now - 1) })).toBe(401)
  expect(await status({ ...sign(body), 'x-slack-request-timestamp': '0x10' })).toBe(401)
  expect(await status(sign(body), body, `${url}/more`)).toBe(404)
  expect((await fetch(url)).status).toBe(404)
  expect(await status(sign('no form'), 'no form')).toBe(400)
  const large = 'x'.repeat(1_000_001)
  expect(await status(sign(large), large)).toBe(413)
  expect(taken).toEqual([])
})

test('a signature holds for one body, one time and one secret, within five minutes', () => {
  const text = fc.string({ unit: 'binary', maxLength: 200 })
  fc.assert(
    fc.property(text, text, fc.integer({ min: -900, max: 900 }), fc.boolean(), (body, other, late, swap) => {
      const now = 1_800_000_000
      const headers = sign(body, now - late)
      const shown = swap ? other : body
      expect(isSigned(headers, shown, secret, now * 1000)).toBe(shown === body && Math.abs(late) <= 300)
      expect(isSigned(headers, body, `${secret}${other}!`, now * 1000)).toBe(false)
    }),
    { numRuns: 50 },
  )
})

test('nonsense has no form', () => {
  fc.assert(fc.property(fc.string(), text => void readRequest(text)))
  for (const body of ['{', '{"type":"event_callback"}', '{"event":{"type":5}}', 'payload=5', 'payload=[]', '[1]', ''])
    expect(readRequest(body), body).toBe(null)
})

test('without a signing secret it is not opened', async () => {
  const { account } = await openOne(slack, { mode: 'http', botToken: 'xoxb-1', webhookPort: 0 })
  expect(account.status()).toMatchObject({ state: 'failed', problem: { code: 'CHANNEL_TOKEN_MISSING' } })
})
