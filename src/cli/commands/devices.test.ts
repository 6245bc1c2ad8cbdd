import { beforeEach, describe, expect, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { makeDevice } from '../../../test/support/door.ts'
import { type Client, connect } from '../../client/connect.ts'
import type { DeputyError } from '../../protocol/errors.ts'
import type { DeviceList } from '../../protocol/results.ts'
import type { RunningGateway } from '../host.ts'

let desk: Desk
let url: string
let gateway: RunningGateway
beforeEach(async () => {
  desk = openDesk()
  desk.configure({ agents: { defaults: { model: 'rehearsal/rehearsal' } } })
})
const start = async () => {
  gateway = await desk.start({ tcp: true })
  url = gateway.ready.url!.replace('http', 'ws')
}

/** Connects and is turned away; the request that it left. */
async function ask(device: ReturnType<typeof makeDevice>, scopes: string[], displayName?: string): Promise<string> {
  const client = displayName === undefined ? {} : { client: { displayName } }
  const error = await connect({ url, device, scopes, ...client }).then(
    () => Promise.reject(new Error('was let in')),
    (error: DeputyError) => error,
  )
  return String(error.details['requestId'])
}
const enter = (device: ReturnType<typeof makeDevice>, scopes: string[]): Promise<Client> =>
  connect({ url, device, scopes })

describe('with a gateway', () => {
  beforeEach(start)

  test('the list says who asks for what, what is new, and the command; approving widens, removing ends', async () => {
    const device = makeDevice()
    const request = await ask(device, ['operator.read'], '\x1b[2JAnna\u202e phone')
    const listed = await desk.deputy('devices', 'list')
    expect(listed.out).toContain('Waiting for approval')
    expect(listed.out).toMatch(
      new RegExp(`${request.slice(0, 8)}\\s+Anna phone \\(${device.id.slice(0, 12)}\\)\\s+read`),
    )
    expect(listed.out).toContain(`deputy devices approve ${request.slice(0, 8)}`)
    expect(listed.out).not.toContain('\x1b[2J')
    for (const line of listed.out.split('\n')) expect(line.length).toBeLessThanOrEqual(140)

    const approved = await desk.deputy('devices', 'approve', request.slice(0, 8))
    expect(approved).toMatchObject({ code: 0, out: `Anna phone (${device.id.slice(0, 12)}) may: read.\n` })
    const client = await enter(device, ['operator.read', 'operator.write'])
    const wider = client.auth!.pending!.requestId
    expect((await desk.deputy('devices', 'list')).out).toMatch(/write\s+read\s+write\s+/)
    expect((await desk.deputy('devices', 'approve', wider)).out).toContain('may: write. New: write.')
    await client.request('chat.send', { sessionKey: 'main', message: 'say hi', idempotencyKey: 'k' })

    expect((await desk.deputy('devices', 'rename', device.id, 'desk')).out).toBe('It is called desk now.\n')
    expect((await desk.deputy('devices', 'list')).out).toMatch(/desk \(\w+\)\s+write\s+.*now/)
    const removed = await desk.deputy('devices', 'remove', 'desk')
    expect(removed.out).toContain(`Removed desk (${device.id.slice(0, 12)}).`)
    expect((await client.closed).code).toBe(4001)
  })

  test('--json has the shapes of the wire', async () => {
    const device = makeDevice()
    const requestId = await ask(device, ['operator.read'])
    const list = await desk.json<DeviceList>('devices', 'list')
    expect(list.document).toMatchObject({
      pending: [{ requestId, deviceId: device.id, role: 'operator', scopes: ['operator.read'] }],
      paired: [],
    })
    expect((await desk.json('devices', 'approve', requestId)).document).toMatchObject({
      requestId,
      device: { deviceId: device.id, tokens: [{ role: 'operator' }] },
    })
    expect((await desk.json('devices', 'rotate', device.id, '--scopes', 'read')).document).toMatchObject({
      deviceId: device.id,
      role: 'operator',
      scopes: ['operator.read'],
      tokenDelivery: 'withheld-cross-device',
    })
    expect((await desk.json('devices', 'revoke', device.id.slice(0, 12))).document).toMatchObject({
      deviceId: device.id,
      role: 'operator',
      endedRuns: 0,
    })
    const again = await ask(device, ['operator.read'])
    expect((await desk.json('devices', 'reject', again)).document).toEqual({ requestId: again, deviceId: device.id })
  })

  test('a wrong name, a closed request, a short form of two: each says what to do', async () => {
    const [one, two] = [makeDevice(), makeDevice()]
    const request = await ask(one, ['operator.read'], 'twin')
    await ask(two, ['operator.read'], 'twin')
    expect(await desk.deputy('devices', 'approve', 'nothing')).toMatchObject({
      code: 1,
      err: expect.stringContaining('UNKNOWN_REQUEST'),
    })
    expect(await desk.deputy('devices', 'remove', 'nobody')).toMatchObject({
      code: 1,
      err: expect.stringContaining('UNKNOWN_DEVICE'),
    })
    expect(await desk.deputy('devices', 'approve')).toMatchObject({ code: 1, out: expect.stringContaining('twin') })
    await desk.deputy('devices', 'reject', request)
    expect(await desk.deputy('devices', 'approve', request)).toMatchObject({
      code: 1,
      err: expect.stringContaining('REQUEST_CLOSED'),
    })
    await desk.deputy('devices', 'approve', await ask(one, ['operator.read'], 'twin'))
    await desk.deputy('devices', 'approve', await ask(two, ['operator.read'], 'twin'))
    expect(await desk.deputy('devices', 'remove', 'twin')).toMatchObject({
      code: 2,
      err: expect.stringContaining('2 devices'),
    })
    expect(await desk.deputy('devices', 'rotate', one.id, '--scopes', 'everything')).toMatchObject({ code: 2 })
    expect(await desk.deputy('devices', 'clear')).toMatchObject({ code: 2, err: expect.stringContaining('--yes') })
    await ask(makeDevice(), ['operator.read'])
    expect((await desk.deputy('devices', 'clear', '--pending')).out).toBe('Requests turned down: 1.\n')
    expect((await desk.deputy('devices', 'clear', '--yes')).out).toBe('Requests turned down: 0. Devices removed: 2.\n')
  })

  test('a code lets a device in that nobody sits at', async () => {
    const { out } = await desk.deputy('devices', 'pair', '--scopes', 'read')
    const device = makeDevice()
    const client = await connect({ url, device, scopes: ['operator.read'], setupCode: out.trim() })
    expect(client.auth!.scopes).toEqual(['operator.read'])
    client.close()
  })
})

describe('with the gateway stopped', () => {
  test('everything is decided in the database, and holds when it starts', async () => {
    await start()
    const [kept, gone] = [makeDevice(), makeDevice()]
    const request = await ask(kept, ['operator.read'], 'kept')
    const other = await ask(gone, ['operator.read'], 'gone')
    await desk.deputy('devices', 'approve', other)
    await gateway.stop()

    expect((await desk.json<DeviceList>('devices', 'list')).document).toMatchObject({
      pending: [{ requestId: request }],
      paired: [{ deviceId: gone.id, connected: false }],
    })
    expect(await desk.deputy('devices', 'approve', request)).toMatchObject({
      code: 0,
      out: expect.stringContaining('may: read.'),
    })
    expect((await desk.deputy('devices', 'remove', 'gone')).out).toContain('Its runs end when the gateway starts.')
    expect((await desk.deputy('devices', 'rename', 'kept', 'mine')).code).toBe(0)
    expect((await desk.deputy('devices', 'pair')).code).toBe(3)

    await start()
    const client = await enter(kept, ['operator.read'])
    expect(client.auth!.scopes).toEqual(['operator.read'])
    client.close()
    await ask(gone, ['operator.read'])
  })

  test('a home that never ran is not made for asking', async () => {
    expect(await desk.deputy('devices', 'list')).toMatchObject({ code: 3, out: '' })
  })
})
