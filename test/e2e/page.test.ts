/**
 * The gateway's own page in a real browser: the link of `deputy dashboard` pairs the browser that opens it, once, and
 * nothing else; without it somebody presses a button and somebody else approves.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DeviceList } from '../../src/protocol/results.ts'
import { type Browser, chromium, openBrowser } from '../support/browser.ts'
import { type GatewayProcess, openGateways, stubConfig } from '../support/gateway.ts'
import { freePort } from '../support/port.ts'
import { type Provider, startProvider } from '../support/provider.ts'

const gateways = openGateways()
let home: string
let gateway: GatewayProcess
let provider: Provider
let browser: Browser

const token = 'page-token-0123456789abcdef0123456789abcdef'
const agents = { defaults: { model: 'stub/m' }, entries: { main: { name: 'Mary' }, helper: {} } }

// Without a browser there is nobody to give the page to.
describe.skipIf(chromium === null)('the page', () => {
  beforeAll(async () => {
    provider = await startProvider({ script: () => ({ text: 'one two three four', hang: 'middle' }) })
    const settings = { gateway: { port: await freePort(), auth: { token } }, agents }
    home = gateways.home(stubConfig(provider.baseUrl, settings))
    gateway = await gateways.start(home)
    browser = await openBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await provider?.close()
  })

  async function link(): Promise<string> {
    const { code, out, err } = await gateways.run(home, ['dashboard', '--json'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const { url, page } = JSON.parse(out) as { url: string; page: boolean }
    expect(page).toBe(true)
    return url
  }

  async function devices(): Promise<DeviceList> {
    const client = await gateway.client()
    return await client.request('device.pair.list', {})
  }

  test('the link pairs this browser, which stays paired; the code is gone from the address and works once', async () => {
    const url = await link()
    const tab = await browser.tab()
    await tab.open(url)
    const text = await tab.says(/helper/)
    expect(text).toMatch(/This browser is paired\.[\s\S]*Deputy \d+\.\d+\.\d+[\s\S]*main \(Mary\), the default/)
    expect(text).toMatch(/Runs at work\s+None\./)
    expect(await tab.evaluate('location.href')).toBe(`${new URL(url).origin}/`)
    expect(tab.console).toEqual([])
    const { paired, pending } = await devices()
    expect(pending).toEqual([])
    expect(paired).toMatchObject([
      { clientId: 'deputy-page', platform: 'web', scopes: expect.arrayContaining(['operator.admin']) },
    ])

    // Its key is in no script's reach, and no secret of the gateway is in the browser.
    expect(await tab.evaluate('indexedDB.databases().then(all => all.map(each => each.name))')).toEqual(['deputy'])
    expect(await tab.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])')).toBe(
      '[{},{},""]',
    )

    await tab.open(new URL('/', url).href)
    expect(await tab.says(/helper/)).toContain('This browser is paired.')
    expect((await devices()).paired).toHaveLength(1)
    // The used link does a paired browser no harm.
    await tab.open(url)
    expect(await tab.says(/helper/)).toContain('This browser is paired.')

    const other = await browser.tab()
    await other.open(url)
    expect(await other.says(/too old/)).toContain('deputy dashboard')
    expect(await devices()).toMatchObject({ paired: [{ deviceId: paired[0]!.deviceId }], pending: [] })

    await gateways.run(home, ['devices', 'remove', paired[0]!.deviceId])
    await tab.says(/waits for an approval/)
  })

  test('without the link nothing is asked until somebody does; approved, the page goes on by itself', async () => {
    const before = await devices()
    const tab = await browser.tab()
    await tab.open(gateway.url!)
    await tab.says(/not paired/)
    expect(await devices()).toEqual(before)
    await tab.evaluate("document.getElementById('ask').click()")
    const text = await tab.says(/deputy devices approve [\w-]{36}/)
    const [, id = ''] = /approve ([\w-]{36})/.exec(text)!
    expect((await gateways.run(home, ['devices', 'approve', id])).code).toBe(0)
    await tab.says(/This browser is paired\.[\s\S]*may\s+operator\.read\n/)
  })

  test('runs at work are shown; what they say is text; a restart is survived', async () => {
    const tab = await browser.tab()
    await tab.open(await link())
    await tab.says(/helper/)
    const client = await gateway.client()
    const task = 'count <img src=x onerror="document.title=1"> <b>bold</b>'
    const { run } = await client.request('runs.spawn', { agent: 'main', task })
    await tab.says(/main\s+(queued|running|waiting)\s+count <img src=x/)
    expect(await tab.evaluate('document.title')).toBe('Deputy')
    await client.request('runs.cancel', { run, reason: 'seen' })
    await tab.says(/None\./)
    await gateway.stop()
    await tab.says(/does not answer/)
    gateway = await gateways.start(home)
    await tab.says(/This browser is paired/)
  })
})
