/** What happens to who is connected when the secret, the mode or what is believed of a proxy is changed. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Desk, openDesk } from '../../test/support/cli.ts'
import { type Door, openDoor, openRaw, secret } from '../../test/support/door.ts'
import { connect } from '../client/connect.ts'

const changed = { code: 4001, reason: 'gateway auth changed' }
const proxied = { 'x-forwarded-for': '203.0.113.9' }

describe('over the settings', () => {
  let door: Door
  afterEach(() => door.close())

  /** Connects with the secret, or with none in the mode without one. */
  async function enter(headers: Record<string, string> = {}, scopes = ['operator.read']) {
    const raw = await openRaw(door.url, headers)
    const client = { id: 'test', version: '1', platform: 'linux', mode: 'test' }
    const params = { minProtocol: 4, maxProtocol: 4, client, scopes, auth: { token: secret } }
    raw.send({ type: 'req', id: 'c', method: 'connect', params })
    const { ok, error } = await raw.wait(frame => frame.id === 'c')
    return { raw, ok, code: error?.details?.['code'] }
  }

  /** Whether a request over it is still answered. */
  async function serves({ raw }: { raw: Awaited<ReturnType<typeof openRaw>> }) {
    raw.send({ type: 'req', id: 'h', method: 'health', params: {} })
    return (await raw.wait(frame => frame.id === 'h')).ok
  }

  test('a new secret ends who used the old one, and nobody else', async () => {
    door = await openDoor()
    const old = await enter()
    const socket = await connect({ socketPath: door.socketPath })
    door.changed()
    expect(await serves(old)).toBe(true)
    door.settings.auth = { mode: 'token', secret: 'another-0123456789abcdef' }
    door.changed()
    expect(await old.raw.closed).toEqual(changed)
    expect(await socket.request('health', {})).toMatchObject({ ok: true })
    expect(await enter()).toMatchObject({ ok: false, code: 'AUTH_TOKEN_MISMATCH' })
    socket.close()
  })

  test.each([
    ['another mode with the same secret', { mode: 'password', secret }],
    ['no secret any more', { mode: 'token', secret: null }],
    ['nobody is asked any more', { mode: 'none', secret: null }],
  ] as const)('%s', async (_, auth) => {
    door = await openDoor()
    const old = await enter()
    door.settings.auth = auth
    door.changed()
    expect(await old.raw.closed).toEqual(changed)
  })

  test('where nobody was asked and now a token is: they end', async () => {
    door = await openDoor({ settings: { auth: { mode: 'none', secret: null } } })
    const old = await enter()
    expect(old.ok).toBe(true)
    door.settings.auth = { mode: 'token', secret }
    door.changed()
    expect(await old.raw.closed).toEqual(changed)
  })

  test('who came from elsewhere with the secret alone ends when a device is asked for', async () => {
    door = await openDoor({ settings: { remoteDevices: 'optional' } })
    const [far, near] = [await enter(proxied), await enter()]
    door.settings.remoteDevices = 'required'
    door.changed()
    expect(await far.raw.closed).toEqual(changed)
    expect(await serves(near)).toBe(true)
    near.raw.ws.close()
  })

  test('a user whom the proxy may not name any more, or who may less, ends; who may more stays', async () => {
    const rules = { userHeader: 'x-user', requiredHeaders: [], allowUsers: null, allowLoopback: true }
    const proxy = (identityScopes: object) => ({
      mode: 'trusted-proxy' as const,
      secret: null,
      proxy: { ...rules, identityScopes: identityScopes as never },
    })
    const auth = proxy({ ann: ['operator.write'], bob: ['operator.read'], cleo: ['operator.write'] })
    door = await openDoor({ settings: { trustedProxies: ['127.0.0.1'], auth } })
    const as = (user: string) => enter({ 'x-user': user, ...proxied }, ['operator.write'])
    const [ann, bob, cleo] = [await as('ann'), await as('bob'), await as('cleo')]
    door.settings.auth = proxy({ ann: ['operator.read'], bob: ['operator.write'] })
    door.changed()
    expect(await ann.raw.closed).toEqual(changed)
    expect(await cleo.raw.closed).toEqual(changed)
    expect(await serves(bob)).toBe(true)
    bob.raw.ws.close()
  })

  test('a listener that others reach is never without a lock, whatever the configuration says since', async () => {
    const open = { auth: { mode: 'none', secret: null }, remoteDevices: 'optional' } as const
    door = await openDoor({ settings: { ...open, hosts: ['0.0.0.0'] } })
    expect(await enter()).toMatchObject({ ok: true })
    expect(await enter(proxied)).toMatchObject({ ok: false, code: 'AUTH_TOKEN_MISMATCH' })
    await door.close()
    door = await openDoor({ settings: open })
    expect(await enter(proxied)).toMatchObject({ ok: true })
  })
})

describe('over the file', () => {
  const token = 'first-0123456789abcdef0123456789abcdef'
  const model = { agents: { defaults: { model: 'rehearsal/rehearsal' } } }
  let desk: Desk
  beforeEach(() => {
    desk = openDesk()
    desk.configure({ gateway: { auth: { token } }, ...model })
  })

  test('deputy config set: the old ends, the new is in force at once', async () => {
    const { ready } = await desk.start({ tcp: true })
    const url = `${ready.url!.replace('http', 'ws')}/`
    const old = await connect({ url, token })
    expect((await desk.deputy('config', 'set', 'gateway.auth.token', 'second-0123456789abcdef0123456789')).code).toBe(0)
    expect(await old.closed).toEqual(changed)
    await expect(connect({ url, token })).rejects.toMatchObject({ code: 'AUTH_TOKEN_MISMATCH' })
    const next = await connect({ url, token: 'second-0123456789abcdef0123456789' })
    next.close()
  })

  test('whoever changes it over the wire gets the answer first', async () => {
    const { ready } = await desk.start({ tcp: true })
    const client = await connect({ url: `${ready.url!.replace('http', 'ws')}/`, token })
    const { hash } = await client.request('config.get', {})
    const raw = '{ gateway: { auth: { token: "third-0123456789abcdef0123456789" } } }'
    expect(await client.request('config.patch', { raw, baseHash: hash })).toMatchObject({
      ok: true,
      changedPaths: ['gateway.auth.token'],
      restartRequired: [],
    })
    expect(await client.closed).toEqual(changed)
  })

  test('a secret that is referred to: secrets.reload takes its new value', async () => {
    const file = join(desk.home, 'token.txt')
    desk.configure({
      gateway: { auth: { token: { source: 'file', provider: 'mine', id: 'value' } } },
      secrets: { providers: { mine: { source: 'file', path: file, mode: 'singleValue' } } },
      ...model,
    })
    writeFileSync(file, token, { mode: 0o600 })
    const { ready } = await desk.start({ tcp: true })
    const old = await connect({ url: `${ready.url!.replace('http', 'ws')}/`, token })
    writeFileSync(file, 'fourth-0123456789abcdef0123456789', { mode: 0o600 })
    const socket = await connect({ socketPath: ready.socket })
    await socket.request('secrets.reload', {})
    expect(await old.closed).toEqual(changed)
    expect(await socket.request('health', {})).toMatchObject({ ok: true })
    socket.close()
  })

  test('taking the lock off a door that others reach is refused, and the gateway goes on', async () => {
    desk.configure({ gateway: { bind: 'lan', auth: { token } }, ...model })
    const { ready } = await desk.start({ tcp: true })
    const before = readFileSync(join(desk.home, 'deputy.json'), 'utf8')
    const { code, err } = await desk.deputy('config', 'set', 'gateway.auth.mode', 'none')
    expect(code).toBe(1)
    expect(err).toMatch(/listens on 0\.0\.0\.0[\s\S]*\[CONFIG_UNSAFE_BIND\]\n {2}Set gateway\.auth\.mode to token/)
    expect(readFileSync(join(desk.home, 'deputy.json'), 'utf8')).toBe(before)
    // By hand it is written, and not taken.
    writeFileSync(join(desk.home, 'deputy.json'), JSON.stringify({ gateway: { bind: 'lan', auth: { mode: 'none' } } }))
    const client = await connect({ socketPath: ready.socket })
    await expect
      .poll(async () => (await client.request('status', {})).problems, { timeout: 5_000 })
      .toMatchObject([{ code: 'CONFIG_INVALID' }])
    expect((await fetch(`http://127.0.0.1:${new URL(ready.url!).port}/healthz`)).status).toBe(200)
    client.close()
  })
})
