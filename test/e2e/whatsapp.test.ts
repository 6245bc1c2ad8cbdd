/** The shipped gateway and a person with WhatsApp: the user's own case, and the whole way of a delegation. */
import { expect, onTestFinished, test, vi } from 'vitest'
import { openGateways } from '../support/gateway.ts'
import { delegating } from '../support/whatsapp/delegating.ts'
import { numbers } from '../support/whatsapp/bench.ts'
import { startFakeWhatsApp } from '../support/whatsapp/server.ts'
import { openWorld, trusting } from '../support/whatsapp/world.ts'

const gateways = openGateways()

async function open() {
  const { config } = await delegating()
  const world = await openWorld(gateways, config)
  onTestFinished(() => world.close())
  const gateway = await world.start()
  onTestFinished(() => gateway.kill().then(() => undefined))
  await world.service.until(() => world.service.online(world.owner))
  return { ...world, gateway }
}

test("the seed's own case: /subagents spawn from WhatsApp, and an agent that calls sessions_spawn, on a fresh home", async () => {
  const { ann, owner, service, gateway } = await open()

  await ann.phone.say(owner.jid, '/subagents spawn extractor task bycommand')
  await ann.sees(one => one.text.startsWith('Started #1: extractor'))
  await ann.sees(one => one.text === 'told bycommand')

  await ann.phone.say(owner.jid, 'go bytool')
  await ann.sees(one => one.text === 'on it bytool')
  await ann.sees(one => one.text === 'told bytool')

  expect(ann.texts).toEqual([expect.stringContaining('Started #1'), 'told bycommand', 'on it bytool', 'told bytool'])
  expect(new Set(ann.shown.filter(one => !one.mine).map(one => one.from))).toEqual(new Set([owner.jid]))
  expect(ann.texts.join('\n') + gateway.said()).not.toMatch(/1008|pairing required/i)
  const client = await gateway.client()
  expect((await client.request('device.pair.list', {})).pending).toEqual([])
  // Read, and typed while it worked; nothing that the service was asked is unknown to it.
  expect(service.post.receipts.some(({ by, type }) => by !== ann.jid && type === 'read')).toBe(true)
  expect(service.presences.map(({ state }) => state)).toEqual(expect.arrayContaining(['composing', 'paused']))
  expect(service.post.faults).toEqual([])
  expect(service.post.unknown).toEqual([])
}, 60_000)

test('a question in between: the work waits for the answer in the chat, over a kill of the gateway', async () => {
  const { config } = await delegating()
  const asking = { tools: { ask: ['sessions_spawn'] }, commands: { ownerAllowFrom: [`whatsapp:${numbers.ann}`] } }
  const world = await openWorld(gateways, { ...config, ...asking })
  onTestFinished(() => world.close())
  const { ann, owner, service } = world
  const first = await world.start()
  onTestFinished(() => first.kill().then(() => undefined))
  await ann.phone.say(owner.jid, 'go carefully')
  const question = await ann.sees(one => one.text.includes('/approve '))
  await first.kill()
  const second = await world.start()
  onTestFinished(() => second.kill().then(() => undefined))
  const [words] = /\/approve \S+ allow-once/.exec(question.text) ?? [`none in ${question.text}`]
  await ann.phone.say(owner.jid, words)
  await ann.sees(one => one.text === 'told carefully')
  expect(ann.texts.filter(text => text.includes('carefully') && !text.includes('/approve'))).toEqual([
    'on it carefully',
    'told carefully',
  ])
  expect(service.post.faults).toEqual([])
}, 60_000)

test('a stranger gets a code once, and nothing that they write reaches an agent', async () => {
  const { config, provider } = await delegating()
  const world = await openWorld(gateways, { ...config, channels: { whatsapp: { dmPolicy: 'pairing' } } })
  onTestFinished(() => world.close())
  const gateway = await world.start()
  onTestFinished(() => gateway.kill().then(() => undefined))
  const { service, owner } = world
  const stranger = service.person('Stranger', '+4915100000009')
  await stranger.phone.say(owner.jid, 'go 1')
  const code = await stranger.sees(one => !one.mine)
  expect(code.text).toMatch(/[A-HJ-NP-Z2-9]{8}/)
  await stranger.phone.say(owner.jid, 'go 2')
  await service.until(() => service.waiting(owner).length === 0)
  expect(stranger.texts).toEqual([code.text])
  expect(provider.requests).toEqual([])
  expect(service.post.receipts.some(({ type }) => type === 'read')).toBe(false)
}, 60_000)

test('linked over the wire with a QR, unlinked on the phone, linked again by a code in a terminal', async () => {
  const service = await startFakeWhatsApp()
  onTestFinished(() => service.close())
  const { config } = await delegating()
  const [owner, ann] = [service.person('Olga', numbers.owner), service.person('Ann', numbers.ann)]
  const gateway = await gateways.start(gateways.home(config), { env: trusting(service) })
  onTestFinished(() => gateway.kill().then(() => undefined))
  const client = await gateway.client()

  let step = await client.request('web.login.start', {})
  while (!step.done) {
    if (step.qr) await service.scan(step.qr, owner)
    step = await client.request('web.login.wait', { seen: step.n, timeoutMs: 20_000 })
  }
  expect(step).toMatchObject({ connected: true, done: true })
  await ann.phone.say(owner.jid, 'go first')
  await ann.sees(one => one.text === 'told first')

  await service.unlink(owner)
  const failed = await vi.waitUntil(
    async () => {
      const { channelAccounts } = await client.request('channels.status', {})
      return channelAccounts['whatsapp']?.find(({ lastError }) => lastError !== null)
    },
    { timeout: 15_000 },
  )
  expect(failed).toMatchObject({ connected: false, lastError: expect.stringContaining('removed on the phone') })

  await ann.phone.say(owner.jid, 'nobody is there')
  const login = gateways.run(gateway.home, ['channels', 'login', 'whatsapp', '--phone', numbers.owner])
  const { code } = await vi.waitUntil(
    async () => {
      const now = await client.request('web.login.wait', { timeoutMs: 500 }).catch(() => null)
      return now?.code ? { code: now.code } : null
    },
    { timeout: 15_000 },
  )
  await service.type(code, owner)
  const { code: ended, out } = await login
  expect({ ended, shown: out.replace(/\W/g, '').includes(code) }).toEqual({ ended: 0, shown: true })
  await ann.phone.say(owner.jid, 'go again')
  await ann.sees(one => one.text === 'told again')
  // What was written while no device was linked stays on the phone.
  expect(ann.texts).toEqual(['on it first', 'told first', 'on it again', 'told again'])
}, 90_000)
