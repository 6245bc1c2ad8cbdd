import { spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Desk, openDesk } from '../../../test/support/cli.ts'
import { examine, family, finding, says } from '../../../test/support/doctor.ts'
import { makeDevice } from '../../../test/support/door.ts'
import { put } from '../../../test/support/temp.ts'
import { connect } from '../../client/connect.ts'
import type { DeputyError } from '../../protocol/errors.ts'

let desk: Desk
beforeEach(() => {
  desk = openDesk()
})

const doctor = (...args: string[]) => examine(desk, ...args)

/** Every file of a tree with its mode, size and time of change. */
function snapshot(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(name => {
      const { mode, size, mtimeMs } = statSync(join(dir, name))
      return `${name} ${mode.toString(8)} ${size} ${mtimeMs}`
    })
}

describe('the home', () => {
  test('open to others: found, mended, and seen to be mended', async () => {
    desk.configure(family)
    put(join(desk.home, '.env'), 'SOME_API_KEY=x\n', 0o644)
    chmodSync(desk.home, 0o755)
    const first = await doctor()
    expect(first.ids).toEqual(['home.mode', 'home.files'])
    expect(finding(first.document, 'home.mode')).toMatchObject({ fixable: true, fix: `chmod 700 ${desk.home}` })
    // Looking alone changes nothing.
    expect(statSync(desk.home).mode & 0o777).toBe(0o755)
    const fixed = await doctor('--fix')
    expect(fixed).toMatchObject({ code: 0, ids: [] })
    expect(fixed.document.fixed.map(({ id, proved }) => ({ id, proved }))).toEqual([
      { id: 'home.mode', proved: true },
      { id: 'home.files', proved: true },
    ])
    expect(statSync(desk.home).mode & 0o777).toBe(0o700)
    expect(statSync(join(desk.home, '.env')).mode & 0o777).toBe(0o600)
  })

  test('a directory that holds other things is told, and not closed', async () => {
    mkdirSync(desk.home, { mode: 0o755 })
    chmodSync(desk.home, 0o755)
    writeFileSync(join(desk.home, 'thesis.txt'), 'x')
    const { document, ids } = await doctor('--fix')
    expect(ids).toContain('home.mode')
    expect(finding(document, 'home.mode').fixable).toBe(false)
    expect(statSync(desk.home).mode & 0o777).toBe(0o755)
  })

  test('a socket that nobody listens on is taken away', async () => {
    desk.configure(family)
    const server = createServer()
    const path = join(desk.home, 'deputy.sock')
    await new Promise<void>(resolve => server.listen(`${path}.x`, resolve))
    // Renamed, so that closing it does not remove the file.
    renameSync(`${path}.x`, path)
    await new Promise(resolve => server.close(resolve))
    expect((await doctor()).ids).toEqual(['home.stale-socket'])
    const { document, ids } = await doctor('--fix')
    expect(ids).toEqual([])
    expect(document.fixed).toMatchObject([{ id: 'home.stale-socket', proved: true }])
    expect(existsSync(path)).toBe(false)
  })

  test('what could not be mended is not said to be', async () => {
    desk.configure(family)
    mkdirSync(join(desk.home, 'deputy.sock'))
    const { code, document, ids } = await doctor('--fix')
    expect({ code, ids }).toEqual({ code: 1, ids: ['home.stale-socket'] })
    expect(document.fixed).toMatchObject([
      { id: 'home.stale-socket', proved: false, did: expect.stringMatching(/^not done: /) },
    ])
    expect((await desk.deputy('doctor', '--fix')).out).toContain('✗ not fixed')
  })

  test('a process that holds the home and does not answer is named', async () => {
    desk.configure(family)
    // The lock of another process: this one would be refused as well.
    const holder = spawn(process.execPath, [
      '-e',
      `const { DatabaseSync } = require('node:sqlite')
       const db = new DatabaseSync(${JSON.stringify(join(desk.home, 'home.lock'))})
       db.exec('begin exclusive')
       require('node:fs').writeFileSync(${JSON.stringify(join(desk.home, 'deputy.pid'))}, process.pid + '\\n')
       console.log('held')
       setInterval(() => db, 1000)`,
    ])
    onTestFinished(() => void holder.kill('SIGKILL'))
    await new Promise(resolve => holder.stdout.once('data', resolve))
    const { document, ids } = await doctor()
    expect(ids).toEqual(['home.silent'])
    expect(finding(document, 'home.silent')).toMatchObject({ level: 'error', fix: `kill ${holder.pid}` })
    expect(document.gateway).toBe('silent')
    expect(document.delegation).toMatchObject({ children: [{ returned: true }] })
    expect(desk.started).not.toContain(desk.home)
  })
})

describe('devices', () => {
  const knock = async (url: string, device: ReturnType<typeof makeDevice>, scopes: string[]) => {
    const options = { url: url.replace('http', 'ws'), device, scopes, client: { displayName: 'Phone' } }
    const client = await connect(options).catch((error: unknown) => error as DeputyError)
    if (!(client instanceof Error)) client.close()
    return client
  }

  test('a device that waits is told with what it asks, what it holds and the command; one that has all is not', async () => {
    desk.configure(family)
    const { ready } = await desk.start({ tcp: true })
    const device = makeDevice()
    const refused = (await knock(ready.url!, device, ['operator.read'])) as DeputyError
    const first = await doctor()
    expect(first.ids).toEqual(['devices.pending'])
    const requestId = String(refused.details['requestId'])
    expect(finding(first.document, 'devices.pending')).toMatchObject({
      what: 'Phone waits for an approval.',
      evidence: expect.stringContaining('asks for operator.read; holds nothing'),
      fix: expect.stringContaining(`deputy devices approve ${requestId}`),
      fixable: false,
    })
    const operator = await connect({ socketPath: ready.socket })
    onTestFinished(() => operator.close())
    await operator.request('device.pair.approve', { requestId })
    expect((await doctor()).ids).toEqual([])
    await knock(ready.url!, device, ['operator.write'])
    const second = await doctor()
    expect(finding(second.document, 'devices.pending').why).toContain('a call that needs operator.write is refused')
    // And delegation does not care: the proof went well each time.
    expect(second.document.delegation).toMatchObject({ children: [{ returned: true }] })
  })
})

test('a damaged database is named, and stays byte for byte as it is', async () => {
  desk.configure(family)
  const gateway = await desk.start()
  await gateway.stop()
  const path = join(desk.home, 'deputy.sqlite')
  const bytes = readFileSync(path)
  // A page in the middle: the header and the schema stay whole.
  bytes.fill(0xab, 8192 * 20, 8192 * 22)
  writeFileSync(path, bytes)
  const { document, ids } = await doctor('--fix')
  expect(ids).toContain('store.damaged')
  expect(finding(document, 'store.damaged')).toMatchObject({ level: 'error', fixable: false })
  expect(readFileSync(path).equals(bytes)).toBe(true)
})

test('after a stop that was none: said, and what was at work is left for the next start', async () => {
  desk.configure(family)
  await desk.start()
  await desk.deputy('spawn', 'extractor', 'sleep 600000')
  // What a killed process leaves: the files as they were, the log not yet taken up.
  const killed = openDesk()
  cpSync(desk.home, killed.home, { recursive: true, filter: path => !/\.(sock|lock|pid)$/.test(path) })
  chmodSync(killed.home, 0o700)
  const { code, document } = await examine(killed)
  expect(code).toBe(0)
  expect(says(document, 'store')).toMatch(/last stop was no clean one.*\n1 run at work when it stopped/)
  expect(killed.started).not.toContain(killed.home)
})

test('somebody else’s database is not touched', async () => {
  desk.configure(family)
  const db = new DatabaseSync(join(desk.home, 'deputy.sqlite'))
  db.exec('create table mine (x); insert into mine values (1)')
  db.close()
  chmodSync(join(desk.home, 'deputy.sqlite'), 0o600)
  const before = snapshot(desk.home)
  const { document, ids } = await doctor()
  expect(ids).toEqual(['store.unusable'])
  expect(finding(document, 'store.unusable').evidence).toContain('STORE_FOREIGN')
  expect(snapshot(desk.home).filter(line => line.startsWith('deputy.sqlite'))).toEqual(
    before.filter(line => line.startsWith('deputy.sqlite')),
  )
})

describe('the configuration', () => {
  test('keys that nothing knows, and agents that do not exist', async () => {
    desk.configure({
      ...family,
      gatway: {},
      agents: { ...family.agents, entries: { main: { subagents: { allowAgents: ['extractr'] } }, extractor: {} } },
    })
    const { document, ids } = await doctor()
    expect(ids).toEqual(['config.ignored', 'agents.unknown'])
    expect(finding(document, 'config.ignored').what).toContain('gatway')
    expect(finding(document, 'agents.unknown').what).toContain('extractr')
    // There is nobody left to be spawned.
    expect(says(document, 'spawn')).toContain('nothing to try')
  })

  test('one that does not pass: what can still be looked at is', async () => {
    put(join(desk.home, 'deputy.json'), '{ gateway: { port: "many" } }')
    const { code, document, ids } = await doctor()
    expect({ code, ids }).toEqual({ code: 1, ids: ['config.invalid'] })
    expect(document.checks.find(({ id }) => id === 'spawn')).toMatchObject({ skipped: expect.any(String) })
    expect(document.delegation).toBeNull()
  })
})

describe('the door', () => {
  test('a loopback entry among the trusted proxies makes nobody local, and is no finding', async () => {
    desk.configure({ ...family, gateway: { trustedProxies: ['127.0.0.1'] } })
    const { code, document } = await doctor()
    expect(code).toBe(0)
    expect(says(document, 'door')).toContain(
      '127.0.0.1 in gateway.trustedProxies makes nobody local and grants nothing',
    )
  })

  test('a port that another program holds: its process is named', async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    desk.configure({ ...family, gateway: { port } })
    const { document, ids } = await doctor()
    expect(ids).toEqual(['door.port-taken'])
    expect(finding(document, 'door.port-taken').evidence).toContain(`process ${process.pid}`)
  })

  test.each([
    [{ auth: { mode: 'none' } }, ['door.open']],
    [{ bind: 'lan', auth: { mode: 'none' } }, ['config.invalid']],
    [{ bind: 'lan', auth: { token: 'x'.repeat(32), remoteDevices: 'optional' } }, ['door.secret-alone']],
    [{ controlUi: { allowedOrigins: ['*'] } }, ['door.any-origin']],
  ])('%j → %j', async (gateway, expected) => {
    desk.configure({ ...family, gateway })
    expect((await doctor()).ids).toEqual(expected)
  })

  test('the port of a gateway that runs is its own; one set since is not listened on yet', async () => {
    desk.configure(family)
    const { ready } = await desk.start({ tcp: true })
    const port = Number(new URL(ready.url!).port)
    desk.configure({ ...family, gateway: { port } })
    const now = await doctor()
    expect(now.ids).toEqual([])
    expect(says(now.document, 'door')).toContain(`listens on 127.0.0.1:${port}`)
    desk.configure({ ...family, gateway: { port: 1 } })
    expect((await doctor()).ids).toEqual(['door.port-closed'])
  })
})

test('a workspace that is not there is told, and not made by looking', async () => {
  const workspace = join(desk.user, 'disk', 'notes')
  mkdirSync(join(desk.user, 'disk'))
  const { agents } = family
  desk.configure({ agents: { ...agents, entries: { ...agents.entries, extractor: { workspace } } } })
  expect((await doctor()).ids).toEqual(['agents.workspace-missing'])
  expect(existsSync(workspace)).toBe(false)
  put(workspace, 'a file')
  expect((await doctor()).ids).toContain('agents.workspace-unusable')
})

describe('the sandbox', () => {
  test('off: the agents are the operator', async () => {
    desk.configure({ ...family, tools: { exec: { sandbox: 'off' } } })
    const { document, ids } = await doctor()
    expect(ids).toEqual(['sandbox.off'])
    expect(finding(document, 'sandbox.off').why).toContain('are the operator')
  })

  test('not installed, and not working', async () => {
    desk.configure(family)
    desk.env['PATH'] = desk.user
    expect((await doctor()).ids).toEqual(['sandbox.missing'])
    put(join(desk.user, 'bwrap'), '#!/bin/sh\necho "setting up uid map: Permission denied" >&2; exit 1\n', 0o755)
    const { document, ids } = await doctor()
    expect(ids).toEqual(['sandbox.broken'])
    expect(finding(document, 'sandbox.broken').evidence).toContain('Permission denied')
  })
})
