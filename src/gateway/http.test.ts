import { hash } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { connect as connectTcp } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type Door, openDoor, openRaw } from '../../test/support/door.ts'

let door: Door
afterEach(() => door.close())

const port = () => Number(new URL(door.url).port)

/** A request with any headers at all, as a hostile page or proxy could make it. */
function ask(path: string, options: { method?: string; headers?: Record<string, string> } = {}) {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port: port(), path, ...options }, response => {
      let body = ''
      response.on('data', chunk => (body += String(chunk)))
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }))
    })
    request.on('error', reject)
    request.end()
  })
}

/** The status that an upgrade is refused with; 101 when it is not. */
async function upgrade(path: string, headers: Record<string, string>): Promise<number> {
  try {
    const raw = await openRaw(`${door.url.slice(0, -1)}${path}`, headers)
    raw.ws.terminate()
    return 101
  } catch (error) {
    return Number(/(\d{3})$/.exec((error as Error).message)?.[1])
  }
}

describe('probes', () => {
  test('alive and ready, without any credential and without a trace', async () => {
    door = await openDoor()
    for (const path of ['/healthz', '/health']) {
      expect(await ask(path)).toMatchObject({ status: 200, body: '{"ok":true,"status":"live"}' })
    }
    // The 9.6 command asks this before others; only a 503 would change what it prints.
    expect(await ask('/startupz')).toMatchObject({ status: 200, body: '{"ok":true,"status":"ready"}' })
    const ready = await ask('/readyz')
    expect(ready.status).toBe(200)
    expect(JSON.parse(ready.body)).toEqual({ ready: true, failing: [], uptimeMs: expect.any(Number) })
    expect(ready.headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'cache-control': 'no-store',
    })
    expect(await ask('/healthz', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
    expect((await ask('/healthz', { method: 'POST' })).status).toBe(405)
    expect((await ask('/elsewhere')).status).toBe(404)
  })

  test('not ready is 503, and what fails is told to this machine only', async () => {
    door = await openDoor({ failing: ['store'] })
    expect(await ask('/readyz')).toMatchObject({ status: 503, body: expect.stringContaining('"failing":["store"]') })
    const remote = await ask('/readyz', { headers: { 'x-forwarded-for': '203.0.113.1' } })
    expect(remote).toMatchObject({ status: 503, body: '{"ready":false}' })
  })
})

describe('the page', () => {
  test('one document that may run its own script and style, speak to its own gateway, and nothing else', async () => {
    door = await openDoor()
    const { status, headers, body } = await ask('/')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    const policy = String(headers['content-security-policy'])
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'sha256-[\w+/]+=*'; style-src 'sha256-[\w+/]+=*'; connect-src 'self'/,
    )
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toContain('unsafe')
    const script = /<script type="module">([\s\S]*?)<\/script>/.exec(body)![1]!
    expect(policy).toContain(hash('sha256', script, 'base64'))
    expect(body).not.toMatch(/https?:\/\/(?!\s| and)/)
    // The dashboard of the 9.6 command asks this way.
    expect(await ask('/', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
    expect((await ask('/', { method: 'POST' })).status).toBe(405)
    expect((await ask('/', { headers: { host: 'evil.example' } })).status).toBe(403)
    expect((await ask('/?token=abc')).status).toBe(400)
  })

  test('behind a proxy that speaks TLS browsers are told to stay with it', async () => {
    door = await openDoor()
    expect((await ask('/')).headers).not.toHaveProperty('strict-transport-security')
    door.settings.hsts = 'max-age=31536000'
    for (const path of ['/', '/healthz', '/none'])
      expect((await ask(path)).headers).toHaveProperty('strict-transport-security', 'max-age=31536000')
  })

  test('under a path, or not at all', async () => {
    door = await openDoor({ settings: { page: { enabled: true, basePath: '/deputy' } } })
    expect((await ask('/deputy')).status).toBe(200)
    expect((await ask('/deputy/')).status).toBe(200)
    expect((await ask('/')).status).toBe(404)
    door.settings.page = { enabled: false, basePath: '' }
    expect((await ask('/')).status).toBe(404)
  })
})

test('a setting that cannot be read is an answer and a line in the log, not the end of the gateway', async () => {
  door = await openDoor()
  Object.defineProperty(door.settings, 'publicOrigin', {
    get() {
      throw new Error('no such address')
    },
  })
  expect(await ask('/healthz')).toMatchObject({ status: 500, body: expect.not.stringContaining('address') })
  await expect(openRaw(door.url)).rejects.toThrow()
  expect(door.log.map(({ message }) => message)).toEqual(['a request failed', 'an upgrade failed'])
  Object.defineProperty(door.settings, 'publicOrigin', { value: null })
  expect((await ask('/healthz')).status).toBe(200)
})

describe('whose requests are served', () => {
  test.each([
    ['no name but an address', {}, true],
    ['localhost', { host: 'localhost:1' }, true],
    ['an IPv6 address', { host: '[::1]:1' }, true],
    ['a foreign name (DNS rebinding)', { host: 'evil.example' }, false],
    ['a name that ends like a good one', { host: 'localhost.evil.example' }, false],
    ['no host that can be read', { host: 'a b' }, false],
    ['credentials in the host', { host: 'localhost@evil.example' }, false],
    ['its own page', { host: 'localhost:1', origin: 'http://localhost:1' }, true],
    ['a foreign page', { origin: 'https://evil.example' }, false],
    ['another port of this machine', { host: '127.0.0.1:1', origin: 'http://127.0.0.1:2' }, false],
    ['a page without an origin', { origin: 'null' }, false],
    ['a file', { origin: 'file://' }, false],
    ['a listed page', { origin: 'https://ui.example' }, true],
    ['the public address', { host: 'deputy.example', origin: 'https://deputy.example' }, true],
  ])('%s', async (_, headers: Record<string, string>, served) => {
    door = await openDoor({
      settings: { allowedOrigins: ['https://ui.example'], publicOrigin: 'https://deputy.example' },
    })
    expect((await ask('/healthz', { headers })).status).toBe(served ? 200 : 403)
    expect(await upgrade('/', headers)).toBe(served ? 101 : 403)
  })

  test('a credential in the address is refused before anything else reads it', async () => {
    door = await openDoor()
    expect(await ask('/healthz?token=abc')).toMatchObject({
      status: 400,
      body: expect.stringContaining('credential_in_url'),
    })
    expect(await upgrade('/?x=1&password=abc', {})).toBe(400)
    expect(await upgrade('/?mytoken=1', {})).toBe(101)
  })

  test('what is not HTTP is answered with 400 or nothing, and the port goes on', async () => {
    door = await openDoor()
    for (const bytes of [
      '\0\0\0\0',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
      'GET / HTTP/1.1\r\n\r\n',
    ]) {
      const socket = connectTcp(port(), '127.0.0.1')
      let answer = ''
      socket.on('data', chunk => (answer += String(chunk)))
      socket.on('error', () => undefined)
      socket.write(bytes)
      await new Promise(resolve => socket.on('close', resolve))
      expect(answer).toMatch(/^(HTTP\/1\.1 4\d\d .*[\s\S]*)?$/)
    }
    expect((await ask('/healthz')).status).toBe(200)
  })
})
