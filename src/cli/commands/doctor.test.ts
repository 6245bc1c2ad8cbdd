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
import { makeDevice } from '../../../test/support/door.ts'
import { put } from '../../../test/support/temp.ts'
import { connect } from '../../client/connect.ts'
import type { DeputyError } from '../../protocol/errors.ts'

interface Found {
  id: string
  level: string
  what: string
  why: string
  evidence: string
  fix: string
  fixable: boolean
}

interface Document {
  ok: boolean
  gateway: string
  checks: { id: string; says: string[]; findings: Found[]; skipped?: string }[]
  fixed: { id: string; did: string; proved: boolean }[]
  delegation: {
    where: string
    agent: string
    children: { agent: string; returned: boolean; refusal: string | null }[]
  } | null
}

const family = {
  agents: {
    defaults: { model: 'rehearsal/rehearsal', subagents: { maxSpawnDepth: 2 } },
    entries: { main: { subagents: { allowAgents: ['extractor'] } }, extractor: {} },
  },
}

let desk: Desk
beforeEach(() => {
  desk = openDesk()
})

async function doctor(...args: string[]): Promise<{ code: number; document: Document; ids: string[] }> {
  const { code, document } = await desk.json<Document>('doctor', ...args)
  return { code, document, ids: document.checks.flatMap(({ findings }) => findings.map(({ id }) => id)) }
}

const says = (document: Document, id: string) => document.checks.find(check => check.id === id)!.says.join('\n')
const finding = (document: Document, id: string) =>
  document.checks.flatMap(({ findings }) => findings).find(found => found.id === id)!

/** Every file of a tree with its mode, size and time of change. */
function snapshot(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(name => {
      const { mode, size, mtimeMs } = statSync(join(dir, name))
      return `${name} ${mode.toString(8)} ${size} ${mtimeMs}`
    })
}

describe('delegation is proved by doing it', () => {
  test('with a running gateway: in it, and the result comes back', async () => {
    desk.configure(family)
    await desk.start()
    const { code, document, ids } = await doctor()
    expect({ code, ids }).toEqual({ code: 0, ids: [] })
    expect(document).toMatchObject({ ok: true, gateway: 'running' })
    expect(document.delegation).toMatchObject({
      where: 'in the running gateway',
      agent: 'main',
      children: [{ agent: 'extractor', returned: true, refusal: null }],
    })
    expect(desk.started).toEqual([])
    const { document: listed } = await desk.json<{ runs: { label: string; model: string }[] }>('runs', 'list')
    expect(listed.runs.find(run => run.label === 'doctor extractor')).toMatchObject({ model: 'rehearsal/rehearsal' })
    const { document: open } = await desk.json<{ sessions: { key: string }[] }>('sessions', 'list')
    expect(open.sessions.map(({ key }) => key)).not.toContain('agent:main:doctor')
  })

  test('stopped, and nothing waits: on the home itself, which stays usable', async () => {
    desk.configure(family)
    const gateway = await desk.start()
    await gateway.stop()
    const config = readFileSync(join(desk.home, 'deputy.json'), 'utf8')
    const { code, document } = await doctor()
    expect(code).toBe(0)
    expect(document).toMatchObject({ gateway: 'stopped', delegation: { children: [{ returned: true }] } })
    expect(desk.started).toEqual([desk.home])
    expect(readFileSync(join(desk.home, 'deputy.json'), 'utf8')).toBe(config)
    expect(existsSync(join(desk.home, 'deputy.sock'))).toBe(false)
    await desk.start()
  })

  test('stopped while a run is at work: elsewhere, and the run is left alone', async () => {
    desk.configure(family)
    const gateway = await desk.start()
    await desk.deputy('spawn', 'extractor', 'sleep 600000')
    await gateway.stop()
    const { code, document } = await doctor()
    expect(code).toBe(0)
    expect(document.delegation).toMatchObject({ children: [{ agent: 'extractor', returned: true }] })
    expect(document.delegation!.where).toContain('1 runs wait for the next start')
    expect(desk.started).not.toContain(desk.home)
    const { document: after } = await desk.json<{ runs: { state: string; agent: string }[] }>('runs', 'list')
    expect(after.runs).toMatchObject([{ agent: 'extractor', state: 'running' }])
  })

  test('before the first start: nothing is made', async () => {
    const before = readdirSync(desk.user)
    const { document, ids } = await doctor()
    expect(ids).toEqual(['models.rehearsal'])
    expect(document.delegation).toMatchObject({ agent: 'main', children: [{ agent: 'main', returned: true }] })
    expect(readdirSync(desk.user)).toEqual(before)
  })

  test('an agent that may be spawned and whose tool is taken away: the refusal is the finding', async () => {
    desk.configure({ ...family, tools: { deny: ['sessions_spawn'] } })
    const { code, document, ids } = await doctor()
    expect({ code, ids }).toEqual({ code: 1, ids: ['spawn.failed'] })
    expect(finding(document, 'spawn.failed').evidence).toContain('sessions_spawn')
    expect(document.delegation).toMatchObject({ children: [{ agent: 'extractor', returned: false }] })
  })

  test('a provider that has no key is found without asking it, and does not stop the proof', async () => {
    desk.configure({
      agents: { ...family.agents, defaults: { model: 'anthropic/claude-sonnet-4-5' } },
    })
    const { document, ids } = await doctor()
    expect(ids).toEqual(['models.unusable'])
    expect(finding(document, 'models.unusable')).toMatchObject({
      level: 'error',
      fix: expect.stringContaining('MODEL_'),
    })
    expect(document.delegation).toMatchObject({ children: [{ returned: true }] })
  })
})

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
  const { code, document } = await killed.json<Document>('doctor')
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
    [{ bind: 'lan', auth: { mode: 'none' } }, ['door.bind', 'spawn.no-gateway']],
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

test('looking changes nothing in the home', async () => {
  desk.configure({ ...family, gateway: { trustedProxies: ['::1'] } })
  const gateway = await desk.start()
  await desk.deputy('spawn', 'extractor', 'sleep 600000')
  await gateway.stop()
  // SQLite's own: a reader makes the index of the log, and asking for the lock opens its file.
  const lasting = () => snapshot(desk.home).filter(line => !/^(deputy\.sqlite-(shm|wal)|home\.lock) /.test(line))
  const before = lasting()
  await doctor()
  expect(lasting()).toEqual(before)
})

test('people get why, evidence and fix of each, in 100 columns', async () => {
  desk.configure({ ...family, tools: { exec: { sandbox: 'off' } } })
  const { code, out } = await desk.deputy('doctor')
  expect(code).toBe(1)
  for (const part of ['✓ home', 'main spawned extractor', '[sandbox.off]', 'why', 'evidence', 'fix', '1 finding'])
    expect(out).toContain(part)
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
})
