import { beforeEach, expect, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { connectFrame, makeDevice, openRaw } from '../../../test/support/door.ts'
import { devicePayload } from '../../protocol/device.ts'

interface Link {
  url: string
  expiresAtMs: number
  scopes: string[]
  page: boolean
}

let desk: Desk
beforeEach(() => {
  desk = openDesk()
  desk.configure({ agents: { defaults: { model: 'rehearsal/rehearsal' } } })
})

const tokenOf = (url: string) => new URLSearchParams(new URL(url).hash.slice(1)).get('bootstrapToken')!

/** A browser that opens the link: a fresh key, the code, what OpenClaw's page asks for. */
async function open(url: string, code: string, device = makeDevice()) {
  const page = new URL(url)
  const raw = await openRaw(`ws://${page.host}/`, { origin: page.origin, 'x-forwarded-for': '203.0.113.9' })
  const challenge = await raw.wait(frame => frame.event === 'connect.challenge')
  const { nonce, ts: signedAt } = challenge.payload as { nonce: string; ts: number }
  const client = { id: 'openclaw-control-ui', version: '1', platform: 'web', mode: 'webchat' }
  const scopes = ['operator.admin', 'operator.read', 'operator.write', 'operator.approvals', 'operator.pairing']
  const signature = device.sign(
    devicePayload(3, {
      deviceId: device.id,
      clientId: client.id,
      clientMode: client.mode,
      role: 'operator',
      scopes,
      signedAt,
      token: code,
      nonce,
      platform: client.platform,
    }),
  )
  const shown = { id: device.id, publicKey: device.publicKey, signature, signedAt, nonce }
  raw.send(connectFrame({ client, scopes, role: 'operator', auth: { bootstrapToken: code }, device: shown }))
  const answer = await raw.wait(frame => frame.id === 'c')
  return { raw, answer, device }
}

test('the link pairs the browser that opens it, once, and nothing else', async () => {
  await desk.start({ tcp: true })
  const { code, document } = await desk.json<Link>('dashboard')
  expect(code).toBe(0)
  const url = new URL(document.url)
  expect(url.search).toBe('')
  expect(document.expiresAtMs - Date.now()).toBeGreaterThan(290_000)
  expect(document.expiresAtMs - Date.now()).toBeLessThanOrEqual(300_000)

  const first = await open(document.url, tokenOf(document.url))
  expect(first.answer).toMatchObject({ ok: true })
  const { auth } = first.answer.payload as { auth: { scopes: string[]; deviceToken?: string } }
  expect(auth.scopes).toEqual(expect.arrayContaining(['operator.admin', 'operator.write']))
  expect(auth.deviceToken).toBeTruthy()
  first.raw.ws.close()

  const second = await open(document.url, tokenOf(document.url))
  expect(second.answer).toMatchObject({ ok: false, error: { details: { code: 'AUTH_BOOTSTRAP_TOKEN_INVALID' } } })
  second.raw.ws.close()
})

test('what people get: the link alone on standard output', async () => {
  await desk.start({ tcp: true })
  const { code, out, err } = await desk.deputy('dashboard')
  expect(code).toBe(0)
  expect(out).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#bootstrapToken=\S+&bootstrapProfile=owner\n$/)
  expect(err).toContain('Works once, for')
  expect(err).toMatch(/ssh -N -L \d+:127\.0\.0\.1:\d+/)
})

test('without a TCP port there is nothing that a browser could open', async () => {
  await desk.start({ tcp: false })
  const { code, out, err } = await desk.deputy('dashboard')
  expect({ code, out }).toEqual({ code: 3, out: '' })
  expect(err).toContain('[GATEWAY_UNREACHABLE]')
})

test('without a gateway the command that starts one is named', async () => {
  const { code, err } = await desk.deputy('dashboard')
  expect(code).toBe(3)
  expect(err).toContain('deputy gateway run')
})
