/**
 * The lock-out matrix: whoever may is never refused, whoever may not always is, nothing that was approved is ever lost, and
 * each refusal names what helps, which then helps. On real gateways, over real lines, in every row of
 * test/support/lockout-rules.ts. Writes docs/lockout-matrix.md with `vitest -u`, else holds it against what came out.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openApp } from '../../src/app.ts'
import { type Client, connect } from '../../src/client/connect.ts'
import { run } from '../../src/cli/program.ts'
import type { WireError } from '../../src/protocol/frames.ts'
import { makeDevice } from '../support/door.ts'
import {
  type Caller,
  type DeviceKey,
  type FarSide,
  type Gate,
  type Knock,
  knock,
  type Line,
  openFarSide,
  shows,
  transports,
} from '../support/lockout-callers.ts'
import {
  type Action,
  actions,
  done,
  fateOf,
  keeps,
  type Mode,
  modes,
  outcomeOf,
  type Row,
  remedyOf,
  report,
  type State,
  states,
  type Who,
} from '../support/lockout-rules.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { PassThrough } from 'node:stream'
import { put } from '../support/temp.ts'

const secret = 'lockout-0123456789abcdef0123456789abcdef'
const dir = mkdtempSync(join(tmpdir(), 'deputy-lockout-'))
let far: FarSide | null
beforeAll(() => {
  far = openFarSide(dir)
})
afterAll(() => {
  far?.close()
  rmSync(dir, { recursive: true, force: true })
})

interface House {
  mode: Mode
  gate: Gate
  owner: Client
  /** What was approved, by device: never less may be held. */
  approved: Map<string, string[]>
  deputy(...argv: string[]): Promise<number>
  close(): Promise<void>
}

/** A gateway in this process. `trusts`: the proxy on this machine is a trusted one. */
async function openHouse(mode: Mode, trusts: boolean): Promise<House> {
  const user = join(dir, `${mode}-${trusts}`)
  const home = join(user, 'home')
  const auth = {
    token: { mode, token: secret },
    password: { mode, password: secret },
    none: { mode },
    'trusted-proxy': { mode, trustedProxy: { userHeader: 'x-user', allowLoopback: true } },
  }[mode]
  const bind = mode === 'none' ? 'loopback' : 'lan'
  const trustedProxies = [trusts ? '127.0.0.1' : '192.0.2.1']
  const settings = {
    gateway: { port: 0, bind, auth, trustedProxies },
    agents: { defaults: { model: 'rehearsal/rehearsal' } },
  }
  put(join(home, 'deputy.json'), JSON.stringify(settings))
  const env = { HOME: user, PATH: process.env['PATH'], OLLAMA_HOST: 'http://127.0.0.1:9' }
  const app = await openApp({ home, env, log: () => undefined, version: '0' })
  const socket = app.ready.socket
  const port = Number(new URL(app.ready.url!).port)
  const reached = mode === 'none' ? null : (far?.reach(port) ?? null)
  if (reached?.url.startsWith('ws+unix:')) await expect.poll(() => existsSync(reached.url.slice(8, -2))).toBe(true)
  const owner = await connect({ socketPath: socket })
  return {
    mode,
    gate: { socket, port, far: reached },
    owner,
    approved: new Map(),
    deputy: (...argv) =>
      run({
        argv: [...argv, '--home', home],
        env,
        version: '0',
        stdin: new PassThrough() as never,
        stdout: { write: () => true },
        stderr: { write: () => true },
        root: resolve(import.meta.dirname, '../..'),
        startGateway: () => Promise.reject(new Error('not here')),
      }),
    async close() {
      owner.close()
      await app.stop()
    },
  }
}

const refusal = (knocked: Knock): WireError => {
  if (knocked.in) throw new Error('was let in')
  return knocked.error
}

/** Asks as a device alone, where nothing else would let it in; the request that it leaves. */
async function ask(house: House, device: DeviceKey, scopes: string[]): Promise<string> {
  const transport = house.mode === 'none' ? 'proxy, not trusted' : 'loopback'
  const error = refusal(await knock(house.gate, { transport, secret: null, device }, { scopes }))
  return String(error.details!['requestId'])
}

async function approve(house: House, device: DeviceKey, scopes: string[]): Promise<void> {
  await house.owner.request('device.pair.approve', { requestId: await ask(house, device, scopes) })
  house.approved.set(device.id, scopes)
}

/** A device in that state; an older generation has the token of before. */
async function inState(house: House, state: State): Promise<{ device: DeviceKey; deviceToken?: string }> {
  const device = makeDevice()
  const transport = house.mode === 'none' ? 'proxy, not trusted' : 'loopback'
  if (state === 'waiting') await ask(house, device, ['operator.admin'])
  if (state === 'read only') await approve(house, device, ['operator.read'])
  if (state === 'everything') await approve(house, device, ['operator.admin'])
  if (state !== 'revoked' && state !== 'older generation') return { device }
  await approve(house, device, ['operator.admin'])
  const first = await knock(house.gate, { transport, secret: null, device }, { scopes: ['operator.admin'] })
  if (!first.in) throw new Error('was not let in')
  await house.owner.request('device.pair.remove', { deviceId: device.id })
  expect((await first.line.closed).code).toBe(4001)
  house.approved.delete(device.id)
  if (state === 'revoked') return { device }
  await approve(house, device, ['operator.admin'])
  return { device, deviceToken: first.line.auth.deviceToken! }
}

const readWrite = ['operator.read', 'operator.write']
const child = { agent: 'main', task: 'say done' }

async function spawns(line: Line): Promise<string> {
  const { payload, error } = await line.call('runs.spawn', child)
  if (error) return String(error.details!['code'])
  expect(payload).toMatchObject({ run: expect.any(String), detached: true })
  return done
}

async function act(house: House, caller: Caller, action: Action): Promise<{ outcome: string; error?: WireError }> {
  const { gate, owner } = house
  const scopes =
    action === 'approve'
      ? ['operator.pairing', 'operator.read']
      : action === 'probe' || action === 'asks for more'
        ? ['operator.read']
        : readWrite
  const protocol = action === 'v3' ? 3 : 4
  const client =
    action === 'CLI'
      ? { id: 'cli', mode: 'cli' }
      : action === 'probe'
        ? { id: 'openclaw-probe', mode: 'probe' }
        : { id: 'test', mode: 'backend' }
  const before = action === 'probe' ? await counts(house) : null
  const knocked = await knock(gate, caller, { scopes, protocol, client })
  if (before) expect(await counts(house)).toEqual(before)
  if (!knocked.in) {
    namesRemedy(knocked.error, action)
    if (protocol === 4) expect(knocked.close.reason).toMatch(/^[^()]{1,80}( \(requestId: [\w-]{36}\))?$/)
    expect(Buffer.byteLength(knocked.close.reason)).toBeLessThanOrEqual(120)
    return { outcome: String(knocked.error.details!['code']), error: knocked.error }
  }
  const { line } = knocked
  try {
    return await withLine(house, caller, action, line, owner)
  } finally {
    line.close()
  }
}

async function withLine(house: House, caller: Caller, action: Action, line: Line, owner: Client) {
  if (action === 'probe') {
    expect((await line.call('health', {})).payload).toMatchObject({ ok: true })
    return { outcome: done }
  }
  if (action === 'approve') return approves(house, line)
  if (action === 'slash') return commands(house, line)
  if (action === 'asks for more') {
    const wider = await knock(house.gate, caller, { scopes: [...readWrite, 'operator.approvals'] })
    if (!wider.in) throw new Error('asking for more cost it the door')
    // Neither the one that was open nor the new one has lost anything.
    for (const each of [line, wider.line]) expect((await each.call('status', {})).error).toBe(null)
    const { scopes, pending } = wider.line.auth
    wider.line.close()
    expect(scopes).toEqual(expect.arrayContaining(['operator.read']))
    if (pending) expect(pending.command).toBe(`deputy devices approve ${pending.requestId}`)
    return { outcome: pending ? keeps : scopes.includes('operator.approvals') ? done : 'lost' }
  }
  if (action !== 'tool call') {
    const { payload, error } = await line.call('runs.spawn', child)
    if (!error) return { outcome: payload?.['run'] ? done : 'nothing' }
    namesRemedy(error, action)
    return { outcome: String(error.details!['code']), error }
  }
  const sessionKey = `agent:main:${randomUUID()}`
  const message = { message: 'delegate: say done', sessionKey, idempotencyKey: randomUUID() }
  const { error } = await line.call('agent', message)
  if (error) {
    namesRemedy(error, action)
    return { outcome: String(error.details!['code']) }
  }
  const { runs } = await owner.request('runs.list', { sessionKey })
  return { outcome: runs[0]?.children.length === 1 ? done : 'no child' }
}

async function commands(house: House, line: Line) {
  const key = randomUUID()
  const task = `say ${key}`
  const message = `/subagents spawn main ${task}`
  const { error } = await line.call('chat.send', { sessionKey: `agent:main:${key}`, message, idempotencyKey: key })
  if (error) {
    namesRemedy(error, 'slash')
    return { outcome: String(error.details!['code']) }
  }
  const { payload } = await line.call('agent.wait', { runId: key, timeoutMs: 10_000 })
  expect(payload).toMatchObject({ status: 'ok', text: expect.stringContaining('Started #1: main') })
  const { runs } = await house.owner.request('runs.list', {})
  return { outcome: runs.some(each => each.task === task) ? done : 'no child' }
}

async function approves(house: House, line: Line) {
  const other = makeDevice()
  const requestId = await ask(house, other, ['operator.read'])
  const { payload, error } = await line.call('device.pair.approve', { requestId })
  if (error) {
    await house.owner.request('device.pair.reject', { requestId })
    namesRemedy(error, 'approve')
    return { outcome: String(error.details!['code']) }
  }
  expect(payload).toMatchObject({ device: { deviceId: other.id, scopes: ['operator.read'] } })
  house.approved.set(other.id, ['operator.read'])
  return { outcome: done }
}

async function counts({ owner }: House) {
  const { pending, paired } = await owner.request('device.pair.list', {})
  return [pending.length, paired.length]
}

/** A stable code, what to do, and where there is a request the command that approves it. */
function namesRemedy({ details }: WireError, action: Action): void {
  expect(details).toMatchObject({ code: expect.any(String), fix: expect.stringMatching(/.{10}/) })
  const { code, requestId, fix } = details!
  if (action === 'probe' || (code !== 'PAIRING_REQUIRED' && code !== 'MISSING_SCOPE')) return
  expect(fix).toBe(`deputy devices approve ${requestId}`)
}

/** Does what the refusal says; then the same caller spawns. */
async function remedied(house: House, caller: Caller): Promise<void> {
  const { gate } = house
  let at: Caller = caller
  for (let tries = 0; tries < 4; tries++) {
    const knocked = await knock(gate, at, { scopes: readWrite })
    if (knocked.in) {
      const { line } = knocked
      try {
        const { error } = await line.call('runs.spawn', child)
        if (!error) return
        expect(error.details).toMatchObject({ code: 'MISSING_SCOPE', requestId: line.auth.pending!.requestId })
        expect(await house.deputy('devices', 'approve', String(error.details!['requestId']))).toBe(0)
        if (at.device) house.approved.set(at.device.id, readWrite)
        // No reconnect: the approval widens the line that is open.
        expect(await spawns(line)).toBe(done)
        return
      } finally {
        line.close()
      }
    }
    const { code, requestId } = knocked.error.details!
    if (code === 'PAIRING_REQUIRED') {
      expect(await house.deputy('devices', 'approve', String(requestId))).toBe(0)
      house.approved.set(at.device!.id, readWrite)
    } else if (code === 'AUTH_DEVICE_TOKEN_MISMATCH') at = { ...at, deviceToken: undefined as never }
    else at = { ...at, device: makeDevice() }
  }
  throw new Error('no remedy helped')
}

function rowsOf(mode: Mode, trusts: boolean): Who[] {
  const all: Who[] = []
  for (const transport of transports) {
    if ((transport === 'proxy, trusted') !== trusts) continue
    if (transport === 'another machine' && mode === 'none') continue
    for (const shown of shows) {
      // Without a shared secret there is none to show; over the unix socket nothing has to be.
      if (shown.startsWith('secret') && (mode === 'none' || mode === 'trusted-proxy')) continue
      if (transport === 'unix socket' && shown !== 'nothing') continue
      const device = shown === 'device' || shown === 'secret and device'
      for (const state of device ? states : [null]) all.push({ mode, transport, shows: shown, state })
    }
  }
  return all
}

async function tryRow(house: House, who: Who): Promise<Row> {
  const { mode, transport, shows, state } = who
  const shown = mode === 'password' ? { password: secret } : { token: secret }
  const device = state === null ? { device: null } : await inState(house, state)
  const caller: Caller = { transport, secret: shows.startsWith('secret') ? shown : null, ...device }
  const outcomes = {} as Row['outcomes']
  for (const action of actions) {
    const { outcome } = await act(house, caller, action)
    expect({ ...who, action, outcome }).toEqual({ ...who, action, outcome: outcomeOf(who, action) })
    outcomes[action] = outcome
  }
  const fate = fateOf(who)
  if (!fate.in || fate.may === 'read') await remedied(house, caller)
  return { ...who, outcomes, remedy: remedyOf(who) }
}

async function tryHouse(mode: Mode, trusts: boolean): Promise<Row[]> {
  const house = await openHouse(mode, trusts)
  try {
    const rows: Row[] = []
    for (const who of rowsOf(mode, trusts)) rows.push(await tryRow(house, who))
    const { paired } = await house.owner.request('device.pair.list', {})
    expect(new Set(paired.map(each => each.deviceId))).toEqual(new Set(house.approved.keys()))
    for (const each of paired) expect(each.scopes).toEqual(expect.arrayContaining(house.approved.get(each.deviceId)!))
    return rows
  } finally {
    await house.close()
  }
}

test('whoever may gets in, whoever may not does not, nothing is lost, every remedy helps', async () => {
  const houses = modes.flatMap(mode => [false, true].map(trusts => tryHouse(mode, trusts)))
  const rows = (await Promise.all(houses)).flat()
  if (!far) throw new Error('there is no other address to come from')
  await expect(report(rows)).toMatchFileSnapshot('../../docs/lockout-matrix.md')
}, 120_000)

test('a gateway without authentication does not start where others reach it', async () => {
  const home = join(dir, 'open')
  put(join(home, 'deputy.json'), JSON.stringify({ gateway: { port: 0, bind: 'lan', auth: { mode: 'none' } } }))
  const opened = openApp({ home, env: { HOME: dir, PATH: process.env['PATH'] }, log: () => undefined, version: '0' })
  await expect(opened).rejects.toMatchObject({ code: 'CONFIG_UNSAFE_BIND' })
})
