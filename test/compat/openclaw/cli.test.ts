/**
 * The `openclaw` command of both generations against the real program, command by command (openclaw-clients.md §3).
 */
import { beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../../src/client/connect.ts'
import { DeputyError } from '../../../src/protocol/errors.ts'
import { makeDevice } from '../../support/door.ts'
import { parrot, token, useLab, type Version, versions, type Way } from './lab.ts'

const lab = useLab()

beforeEach(() => lab.provider.script(parrot))

interface Row {
  args: string
  says: RegExp
  /** Exit code; default 0. */
  code?: number
  only?: Version
  way?: Way
}

/** Each way of pointing at the gateway, and every command that asks it something. */
const rows: Row[] = [
  { args: 'health', says: /Agents: main \(default\), extractor/ },
  { args: 'status', says: /Gateway|Overview/ },
  { args: 'gateway status', says: /(Connectivity|RPC) probe: ok/ },
  { args: 'gateway status --require-rpc', says: /(Read|RPC) probe: ok/ },
  { args: 'gateway health', says: /OK \(\d+ms\)/ },
  { args: 'gateway health', says: /OK \(\d+ms\)/, way: 'url' },
  { args: 'gateway probe', says: /Reachable: yes/ },
  { args: 'gateway call status', says: /"runtimeVersion"/ },
  { args: 'gateway call health', says: /"ok": true/, way: 'url' },
  { args: 'gateway call agents.list', says: /"defaultId": "main"/, way: 'remote' },
  { args: 'gateway call health', says: /"ok": true/, way: 'local' },
  { args: 'gateway call health', says: /"ok": true/, way: 'envUrl' },
  { args: 'status', says: /Gateway|Overview/, way: 'local' },
  { args: 'gateway call no.such', says: /unknown method: no\.such/, code: 1 },
  { args: 'system presence', says: /"mode": "gateway"/ },
  { args: 'system heartbeat last', says: /null/ },
  { args: 'channels status', says: /Gateway reachable/ },
  { args: 'channels status --probe', says: /Gateway reachable/ },
  { args: 'nodes status', says: /Known: 0/ },
  { args: 'devices list', says: /No device pairing entries/ },
  { args: 'agent --agent main --message hello', says: /^You said: hello$/m },
  { args: 'agent --agent main --message hello', says: /^You said: hello$/m, way: 'remote' },
  // It asks whether there is a page at the gateway's address.
  { args: 'dashboard --no-open', says: /Dashboard URL: http:\/\/127\.0\.0\.1:\d+\/$/m, only: '9.6' },
  { args: 'models list', says: /stub\/m /, only: '9.6' },
  { args: 'models list', says: /stub\/m /, only: '9.6', way: 'remote' },
  { args: 'health', says: /Agents: main/, way: 'remote' },
  { args: 'logs', says: /a connection was refused/ },
  { args: 'logs --json', says: /"level":"info","subsystem":"gateway","message":"a connection was refused/, way: 'url' },
  // Not served yet: the refusal is passed on, and nothing hangs. Without admin it does not say what exists (§A2).
  { args: 'cron list', says: /unknown method: cron\.list|missing scope: operator\.admin/, code: 1 },
  { args: 'system event --text hello', says: /unknown method: wake|missing scope: operator\.admin/, code: 1 },
]

describe.each(versions)('openclaw %s', version => {
  test('a wrong token is refused in words, and with it the exit code is 1', async () => {
    const ran = await lab.openclaw(version, ['gateway', 'call', 'health'], { token: 'wrong-token-0123456789abcdef' })
    expect(ran.out).toMatch(/unauthorized: gateway token mismatch/)
    expect(ran.code).toBe(1)
  })

  test.each(rows.filter(row => row.only === undefined || row.only === version))('$args ($way)', async row => {
    const { args, says, code = 0, way = 'env' } = row
    const ran = await lab.openclaw(version, args.split(' '), { way })
    expect(ran.out).toMatch(says)
    expect(ran.code, ran.out).toBe(code)
  })

  test('agent: a run that fails says why; an agent that does not exist is refused', async () => {
    lab.provider.script(() => ({ status: 400, error: { message: 'the model does not want to' } }))
    const ran = await lab.openclaw(version, ['agent', '--agent', 'main', '--message', 'hi'], { way: 'remote' })
    expect(ran.out).toMatch(/the model does not want to/)
    const other = await lab.openclaw(version, ['agent', '--agent', 'nobody', '--message', 'hi'], { way: 'remote' })
    expect(other.out).toMatch(/nobody/)
    // 4.12 falls back to a run of its own on any refusal (openclaw-clients.md §3.1).
    if (version === '9.6') expect([ran.code, other.code]).toEqual([1, 1])
  })

  test('agent without a name takes the default agent of the gateway', async () => {
    // 4.12 checks the name against its own configuration, whatever the mode is.
    if (version !== '9.6') return
    const ran = await lab.openclaw(version, ['agent', '--agent', 'extractor', '--message', 'hi'], { way: 'remote' })
    expect(ran).toMatchObject({ code: 0, out: expect.stringContaining('You said: hi') })
    const unnamed = await lab.openclaw(version, ['agent', '--message', 'hi there'], { way: 'remote' })
    expect(unnamed).toMatchObject({ code: 0, out: expect.stringContaining('You said: hi there') })
  })

  test('devices: list, approve, rotate, revoke, remove, reject', async () => {
    const asks = async () => {
      const device = makeDevice()
      const refused = await connect({ url: lab.url, device, scopes: ['operator.read'] }).catch(
        (error: DeputyError) => error,
      )
      if (!(refused instanceof DeputyError)) throw new Error('it was let in')
      return { id: device.id, requestId: String(refused.details?.['requestId']) }
    }
    const run = (...args: string[]) => lab.openclaw(version, ['devices', ...args])

    const first = await asks()
    const listed = await run('list', '--json')
    expect(listed.out).toContain(first.requestId)
    const approved = await run('approve', first.requestId)
    expect(approved).toMatchObject({ code: 0, out: expect.stringContaining('Approved') })
    const rotated = await run('rotate', '--device', first.id, '--role', 'operator', '--json')
    expect(rotated).toMatchObject({ code: 0, out: expect.stringContaining(first.id) })
    const revoked = await run('revoke', '--device', first.id, '--role', 'operator', '--json')
    expect(revoked).toMatchObject({ code: 0, out: expect.stringContaining('revokedAtMs') })
    // A device without authority is none any more; OpenClaw would still list it.
    expect((await run('remove', first.id)).out).toContain('unknown deviceId')

    const third = await asks()
    await run('approve', third.requestId)
    expect(await run('remove', third.id)).toMatchObject({ code: 0 })

    const second = await asks()
    expect(await run('reject', second.requestId)).toMatchObject({ code: 0 })
    expect((await run('approve', second.requestId)).code).toBe(1)
    expect((await run('remove', 'f'.repeat(64))).code).toBe(1)
    const local = await connect({ url: lab.url, token })
    expect(await local.request('device.pair.list', {})).toMatchObject({ pending: [], paired: [] })
    local.close()
  })
})
