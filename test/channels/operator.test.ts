/** What an operator does about channels: letting people in, with the gateway running or stopped; accounts; logging in. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { ChannelResults, SenderList } from '../../src/protocol/results.ts'
import { until } from '../support/app.ts'
import { type Desk, openDesk } from '../support/cli.ts'
import { fakeChannel } from '../support/fake-channel.ts'
import { type ChatService, startService } from '../support/fake-service.ts'

let service: ChatService
let desk: Desk
beforeEach(async () => {
  service = await startService()
  desk = openDesk(undefined, {
    telegram: async () => fakeChannel('telegram'),
    whatsapp: async () => fakeChannel('whatsapp', { login: true }),
  })
})
afterEach(() => service.close())

const configure = (telegram: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
  desk.configure({
    agents: { defaults: { model: 'rehearsal/rehearsal' } },
    channels: { telegram: { botToken: service.token, apiRoot: service.url, ...telegram } },
    ...more,
  })
const texts = (chat: string) => service.seen(chat).map(({ text }) => text)
async function codeOf(chat: string): Promise<string> {
  const [text] = await until(
    () => texts(chat),
    seen => seen.length > 0,
  )
  const code = /Pairing code: ([A-Z2-9]{8})/.exec(text ?? '')?.[1]
  if (!code) throw new Error(`no code in ${text}`)
  return code
}

describe('letting people in', () => {
  test('a stranger is listed with the code they were told, let in, told so, and answered; the first becomes the owner', async () => {
    configure()
    await desk.start()
    service.direct('13', 'hello?', {
      sender: { id: '13', also: [], name: 'Eve\u202e [admin]\n', roles: [], bot: false, self: false },
    })
    const code = await codeOf('13')
    const listed = await desk.deputy('pairing', 'list')
    expect(listed.out).toContain(code)
    expect(listed.out).toContain('Eve admin (13)')
    const wrong = await desk.deputy('pairing', 'approve', 'telegram', 'AAAAAAAA')
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('SENDER_CODE_UNKNOWN') })
    const done = await desk.deputy('pairing', 'approve', 'telegram', code.toLowerCase(), '--notify')
    expect(done).toMatchObject({
      code: 0,
      out: expect.stringContaining('13 may write at telegram (default). They are the owner now'),
    })
    await until(
      () => texts('13'),
      seen => seen.some(text => text.includes('You have been let in')),
    )
    service.direct('13', 'say welcome')
    await until(
      () => texts('13'),
      seen => seen.includes('welcome'),
    )
    expect((await desk.deputy('config', 'get', 'commands.ownerAllowFrom')).out).toContain('telegram:13')
    // The second one who is let in is no owner.
    service.direct('14', 'me too')
    const second = await desk.json<ChannelResults['channels.pairing.approve']>(
      'pairing',
      'approve',
      'telegram',
      await codeOf('14'),
    )
    expect(second.document).toMatchObject({ senderId: '14', ownerAdded: false })
  })

  test('with the gateway stopped the same is done in its database', async () => {
    configure()
    const gateway = await desk.start()
    service.direct('13', 'hello?')
    service.direct('14', 'hello?')
    const codes = [await codeOf('13'), await codeOf('14')]
    await gateway.stop()
    const { document } = await desk.json<SenderList>('pairing', 'list', 'telegram')
    expect(document.requests.map(({ code }) => code).sort()).toEqual([...codes].sort())
    expect((await desk.deputy('pairing', 'approve', 'telegram', codes[0]!, '--notify')).code).toBe(0)
    expect((await desk.deputy('pairing', 'reject', 'telegram', codes[1]!)).code).toBe(0)
    service.direct('13', 'say back again')
    await desk.start()
    await until(
      () => texts('13'),
      seen => seen.includes('back again'),
    )
    expect(texts('13').filter(text => text.includes('You have been let in'))).toHaveLength(1)
    // Whoever was turned down may ask again, with another code.
    const before = texts('14').length
    service.direct('14', 'please?')
    await until(
      () => texts('14'),
      seen => seen.length > before,
    )
    expect(texts('14').at(-1)).not.toContain(codes[1])
  })

  test('who may only pair can let in, and makes nobody an owner', async () => {
    configure()
    const gateway = await desk.start()
    service.direct('13', 'hello?')
    const code = await codeOf('13')
    const client = await connect({ socketPath: gateway.ready.socket, scopes: ['operator.pairing'] })
    try {
      const asked = { channel: 'telegram', code }
      await expect(
        client.request('channels.pairing.approve', { ...asked, bootstrapCommandOwner: true }),
      ).rejects.toMatchObject({
        code: 'MISSING_SCOPE',
      })
      await expect(client.request('channels.pairing.approve', { channel: 'telegram' })).rejects.toMatchObject({
        code: 'INVALID_PARAMS',
      })
      await expect(client.request('channels.stop', { channel: 'telegram' })).rejects.toMatchObject({
        code: 'MISSING_SCOPE',
      })
      expect(await client.request('channels.pairing.approve', asked)).toMatchObject({
        senderId: '13',
        ownerAdded: false,
      })
      await expect(client.request('channels.pairing.approve', asked)).rejects.toMatchObject({
        code: 'SENDER_CODE_UNKNOWN',
      })
    } finally {
      client.close()
    }
  })

  test('at most three wait at an account, and whoever comes then hears nothing', async () => {
    configure()
    await desk.start()
    for (const from of ['1', '2', '3', '4', '5']) service.direct(from, 'hello')
    await until(
      () => service.shown,
      seen => seen.length >= 3,
    )
    const last = service.direct('6', 'hello')
    await until(() => service.acknowledged(last), Boolean)
    expect(service.shown.map(({ chat }) => chat).sort()).toEqual(['1', '2', '3'])
    expect((await desk.json<SenderList>('pairing', 'list')).document.requests).toHaveLength(3)
  })
})

describe('accounts', () => {
  test('each is listed as it stands; a wrong token is said, and ends nothing', async () => {
    configure({ accounts: { alerts: { botToken: 'a-wrong-token-0123456789', name: 'Alerts' } } })
    await desk.start()
    const status = async () => (await desk.json<ChannelResults['channels.status']>('channels', 'status')).document
    const seen = await until(
      status,
      all => all.channelAccounts['telegram']?.[0]?.connected === true && all.statusIssues.length > 0,
    )
    expect(seen.channelAccounts['telegram']).toMatchObject([
      { accountId: 'default', state: 'connected', self: 'deputy_bot', running: true, dmPolicy: 'pairing' },
      { accountId: 'alerts', name: 'Alerts', state: 'failed', connected: false, running: false },
    ])
    expect(seen.statusIssues).toMatchObject([
      { channel: 'telegram', accountId: 'alerts', kind: 'CHANNEL_TOKEN_REFUSED' },
    ])
    const words = await desk.deputy('channels', 'status')
    expect(words.out).toContain('connected as deputy_bot')
    expect(words.out).toContain('the token is wrong')
    expect((await desk.deputy('status')).out).toContain('Fake: connected as deputy_bot')
    const doctor = await desk.deputy('doctor')
    expect(doctor.out).toContain('telegram (alerts) is not connected.')
    expect(doctor.out).toContain('the token is wrong [CHANNEL_TOKEN_REFUSED]')
    const listed = await desk.deputy('channels', 'list')
    expect(listed.out).toMatch(/telegram\s+alerts\s+Alerts\s+on/)
    expect(words.out + listed.out).not.toContain('a-wrong-token')
  })

  test('the doctor names an account without a token', async () => {
    desk.configure({ channels: { telegram: {} } })
    const { out } = await desk.deputy('doctor')
    expect(out).toContain("telegram has no token and can't connect.")
    expect(out).toContain('deputy channels add telegram')
  })

  test('one that is added, changed or removed while the gateway runs comes up, and goes', async () => {
    desk.configure({ agents: { defaults: { model: 'rehearsal/rehearsal' } } })
    await desk.start()
    const states = async () =>
      (await desk.json<ChannelResults['channels.status']>('channels', 'status')).document.channelAccounts[
        'telegram'
      ]?.map(({ accountId, state }) => [accountId, state]) ?? []
    desk.env['SOME_BOT'] = service.token
    expect((await desk.deputy('channels', 'add', 'telegram', '--token', service.token)).code).toBe(0)
    await desk.deputy('config', 'set', 'channels.telegram.apiRoot', service.url)
    await until(states, seen => JSON.stringify(seen) === '[["default","connected"]]')
    await desk.deputy('config', 'set', 'channels.telegram.enabled', 'false')
    await until(states, seen => JSON.stringify(seen) === '[["default","off"]]')
    expect((await desk.deputy('channels', 'remove', 'telegram')).code).toBe(0)
    await until(states, seen => seen.length === 0)
    expect(await desk.deputy('channels', 'remove', 'telegram')).toMatchObject({
      code: 1,
      err: expect.stringContaining('CHANNEL_ACCOUNT'),
    })
    expect((await desk.deputy('channels', 'add', 'pigeon')).err).toContain('CHANNEL_UNKNOWN')
  })

  test('a second account takes nothing from the first, which needed no word', async () => {
    desk.configure({})
    await desk.deputy('channels', 'add', 'whatsapp')
    await desk.deputy('channels', 'add', 'whatsapp', '--account', 'shop')
    const { document } = await desk.json<{ accounts: { account: string }[] }>('channels', 'list')
    expect(document.accounts.map(({ account }) => account)).toEqual(['default', 'shop'])
  })

  test('logging in shows a QR in the terminal, or a code for the phone', async () => {
    desk.configure({ channels: { whatsapp: {} }, agents: { defaults: { model: 'rehearsal/rehearsal' } } })
    await desk.start()
    await until(
      async () =>
        (await desk.json<ChannelResults['channels.status']>('channels', 'status')).document.channelAccounts['whatsapp'],
      seen => seen?.[0]?.state === 'reconnecting',
    )
    const drawn = await desk.deputy('channels', 'login', 'whatsapp')
    expect(drawn.code).toBe(0)
    expect(drawn.out.split('\n').filter(row => /[█▀▄]{5,}/.test(row)).length).toBeGreaterThan(10)
    expect(drawn.out).toContain('Logged in as deputy_bot.')
    const typed = await desk.deputy('channels', 'login', 'whatsapp', '--phone', '+4912345')
    expect(typed.out).toContain('ABCD-1234')
    expect((await desk.deputy('channels', 'logout', 'whatsapp')).code).toBe(0)
  })
})
