/**
 * The Control UI of both generations in a headless browser, against the real program (openclaw-clients.md §5): it connects,
 * chats, streams, stops, reconnects, and is let in after an approval. Needs Chromium.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../../src/client/connect.ts'
import { type ControlUi, openControlUi, type Page } from './control-ui.ts'
import { token, until, useLab, type Version, versions } from './lab.ts'

const lab = useLab()

async function call<T>(method: string, params: Record<string, unknown> = {}): Promise<T> {
  const client = await connect({ url: lab.url, token })
  try {
    return (await client.request(method as 'status', params as Record<string, never>)) as T
  } finally {
    client.close()
  }
}

interface History {
  messages: { role: string; content: { text?: string }[] }[]
}

/** Those whose methods are served; docs/compatibility.md has the others. */
const pages: Record<Version, [path: string, says: RegExp][]> = {
  '9.6': [
    ['/agents', /extractor[\s\S]*stub\/m/],
    ['/sessions', /agent:main:main[\s\S]*(Done|Killed)/],
    ['/logs', /logs\/deputy\.log[\s\S]*started/],
    ['/usage', /sessions in range/],
    ['/settings/devices', /openclaw-control-ui[\s\S]*unpaired/],
  ],
  '4.12': [
    ['/overview', /Gateway Access/],
    ['/instances', /openclaw-control-ui/],
    ['/sessions', /agent:main:main[\s\S]*direct/],
    ['/usage', /sessions in range/],
    ['/config', /For editors[\s\S]*Authentication/],
    ['/debug', /"runtimeVersion"/],
    ['/logs', /logs\/deputy\.log[\s\S]*started/],
  ],
}

describe.each(versions)('Control UI %s', version => {
  let ui: ControlUi
  let page: Page
  const wrong: string[] = []

  beforeAll(async () => {
    await call('chat.inject', { sessionKey: 'main', message: 'Good morning.' }).catch(() =>
      call('sessions.create', { key: 'agent:main:main', message: 'Good morning.' }),
    )
    ui = await openControlUi(version, () => lab.port)
    page = await ui.page()
    page.on('pageerror', error => wrong.push(String(error.message)))
    await page.goto(`${ui.origin}/#token=${token}`)
  })
  afterAll(() => ui?.close())

  const body = () => page.innerText('body')
  const composer = () => page.locator('textarea').last()
  const shows = (text: string | RegExp, ms?: number) =>
    until(body, seen => (typeof text === 'string' ? seen.includes(text) : text.test(seen)), ms)

  async function send(text: string): Promise<void> {
    await composer().fill(text)
    await composer().press('Enter')
  }

  test('connects with the token and shows what was said before', async () => {
    await composer().waitFor({ timeout: 60_000 })
    await shows('Good morning.')
  })

  test('sends, and shows the answer once and nothing that goes on working', async () => {
    await send(`hello from ${version}`)
    await shows(`You said: hello from ${version}`)
    await until(body, seen => !/Working…/.test(seen))
    // It reads the history again when the answer is complete. Screen readers are told of it besides.
    const said = page.locator(`:text-is("You said: hello from ${version}"):not(.sr-only)`)
    await until(
      () => said.count(),
      count => count === 1,
    )
    const { messages } = await call<History>('chat.history', { sessionKey: 'main' })
    expect(messages.at(-1)?.content.at(-1)?.text).toBe(`You said: hello from ${version}`)
  })

  test('streams, and is stopped', async () => {
    await send('please hang')
    await shows('one two three')
    // Esc does not stop in 4.12 (openclaw-clients.md §5.4); its own command does.
    if (version === '9.6') await composer().press('Escape')
    else await send('/stop')
    await until(
      () => call<{ session: { status: string } }>('sessions.describe', { key: 'agent:main:main' }),
      ({ session }) => session.status === 'killed',
    )
    await send(`after the stop of ${version}`)
    await shows(`You said: after the stop of ${version}`)
  })

  test('shows a tool call and its answer', async () => {
    await send('use tool')
    await shows(/You said: use tool and /)
  })

  test('the gateway restarts: it comes back and goes on', async () => {
    await lab.restart()
    await until(
      () => call<unknown[]>('system-presence'),
      present => JSON.stringify(present).includes('openclaw-control-ui'),
      60_000,
    )
    await composer().waitFor({ timeout: 60_000 })
    await send(`after the restart of ${version}`)
    await shows(`You said: after the restart of ${version}`, 60_000)
  })

  test.each(pages[version])('the page %s shows what the gateway has', async (path, says) => {
    await page.goto(`${ui.origin}${path}`)
    await shows(says, 30_000)
  })

  test('a browser without the token shows its request, and is let in by itself once that is approved', async () => {
    const stranger = await ui.page()
    await stranger.goto(ui.origin)
    const seen = () => stranger.innerText('body')
    if (version === '4.12') {
      // It only has a form for the token; what the gateway said stands beside it.
      await until(seen, text => /token/i.test(text), 60_000)
      expect(await stranger.locator('textarea').count()).toBe(0)
      return
    }
    const page = await until(seen, text => /devices approve/.test(text), 60_000)
    const requestId = /devices approve ([0-9a-f-]{36})/.exec(page)?.[1]
    const { pending } = await call<{ pending: { requestId: string }[] }>('device.pair.list')
    expect(pending.map(request => request.requestId)).toContain(requestId)
    await call('device.pair.approve', { requestId })
    await stranger.locator('textarea').last().waitFor({ timeout: 60_000 })
    await until(seen, text => text.includes(`after the restart of ${version}`))
  })

  test('no page error on the way', () => {
    expect(wrong).toEqual([])
  })
})
