import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DeputyError } from '../protocol/errors.ts'
import { toWire } from '../protocol/refusal.ts'
import type { RunRow } from '../protocol/results.ts'
import { run } from './program.ts'

type Answer = (params: Record<string, unknown>) => unknown

let home: string
let server: Server | null
const sockets = new Set<Socket>()

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'deputy-cli-'))
  server = null
})
afterEach(async () => {
  await stop()
  rmSync(home, { recursive: true, force: true })
})

/** A gateway's socket that speaks the frames and answers from a table. A thrown DeputyError becomes its refusal. */
async function serve(methods: Record<string, Answer>): Promise<string[]> {
  const called: string[] = []
  server = createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    let rest = ''
    socket.on('data', chunk => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        const { id, method, params } = JSON.parse(line)
        if (method !== 'connect') called.push(method)
        const send = (frame: object) => socket.write(`${JSON.stringify({ type: 'res', id, ...frame })}\n`)
        try {
          const answers = [methods[method]?.(params) ?? {}].flat()
          for (const payload of answers) send({ ok: true, payload })
        } catch (error) {
          if (!(error instanceof DeputyError)) throw error
          send({ ok: false, error: toWire(error.shape()) })
        }
      }
    })
  })
  await new Promise<void>(resolve => server!.listen(join(home, 'deputy.sock'), resolve))
  return called
}

async function stop(): Promise<void> {
  for (const socket of sockets) socket.destroy()
  await new Promise<void>(resolve => (server ? server.close(() => resolve()) : resolve()))
  server = null
}

async function deputy(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: '', err: '' }
  const take = (where: 'out' | 'err', text: string) => {
    said[where] += text
    return true
  }
  const code = await run({
    argv: [...argv, '--home', home],
    env: {},
    version: '9.9.9',
    stdin: new PassThrough() as never,
    stdout: { write: text => take('out', text) },
    stderr: { write: text => take('err', text) },
    root: home,
    startGateway: () => Promise.reject(new DeputyError('HOME_LOCKED', 'held')),
  })
  return { code, ...said }
}

const accepted = { runId: 'wire-1', sessionKey: 'agent:main:main', agentId: 'main', status: 'accepted', acceptedAt: 1 }
const ended = { runId: 'wire-1', status: 'ok', endedAt: 2, outcome: 'succeeded', text: 'Forty-two.', run: 'r1' }

const row: RunRow = {
  run: 'r1',
  sessionKey: 'agent:main:main',
  session: 's1',
  tree: 's1',
  parent: null,
  agent: 'main',
  task: 'count',
  label: null,
  model: 'rehearsal/rehearsal',
  state: 'done',
  paused: false,
  outcome: 'succeeded',
  errorCode: null,
  error: null,
  waitsFor: null,
  depth: 0,
  detached: false,
  children: [],
  steps: 1,
  lastLine: null,
  spent: { nano: 0, tokens: 10, calls: 1 },
  budget: { nano: null, tokens: null, calls: null },
  createdAt: 1,
  startedAt: 1,
  endedAt: 2,
  deadlineAt: null,
  result: 'Forty-two.',
}

describe('the end of a command', () => {
  test('0: the words of the answer, nothing else, on standard output', async () => {
    await serve({ agent: () => [accepted, { ...accepted, status: 'ok' }], 'agent.wait': () => ended })
    expect(await deputy('agent', '--message', 'hi')).toEqual({ code: 0, out: 'Forty-two.\n', err: '' })
  })

  test('1: a run that failed says why and what to do on standard error', async () => {
    const failed = { ...ended, status: 'error', outcome: 'failed', text: 'So far so good.', error: 'No key.' }
    await serve({
      agent: () => [accepted],
      'agent.wait': () => ({ ...failed, errorCode: 'MODEL_NO_KEY', fix: 'Set one.' }),
    })
    expect(await deputy('agent', '-m', 'hi')).toEqual({
      code: 1,
      out: 'So far so good.\n',
      err: 'deputy: No key. [MODEL_NO_KEY]\n  Set one.\n',
    })
  })

  test('1: a refusal of the gateway keeps its code and its remedy', async () => {
    await serve({
      'runs.spawn': () => {
        throw new DeputyError('UNKNOWN_AGENT', 'There is no agent "x".')
      },
    })
    const { code, out, err } = await deputy('spawn', 'x', 'do it')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(/^deputy: There is no agent "x"\. \[UNKNOWN_AGENT\]\n {2}deputy agents list/)
  })

  test.each([
    [['nope']],
    [['agent']],
    [['runs', 'cancel']],
    [['runs', 'list', '--limit', 'many']],
    [['spawn', 'a', 'b', 'c']],
  ])('2: %j is wrong usage and points at the help', async argv => {
    const { code, out, err } = await deputy(...argv)
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain('--help')
  })

  test.each([
    [['agent', '-m', 'x']],
    [['status']],
    [['health']],
    [['runs', 'list']],
    [['runs', 'cancel', '--all']],
    [['chat']],
  ])('3: %j without a gateway names the command that starts one on this home', async argv => {
    const { code, out, err } = await deputy(...argv)
    expect({ code, out }).toEqual({ code: 3, out: '' })
    expect(err).toContain(`deputy gateway run --home ${home}`)
  })
})

describe('--json', () => {
  test.each([
    ['agent', ['agent', '-m', 'x'], 0, { status: 'ok', text: 'Forty-two.' }],
    ['a wrong usage', ['runs', 'list', '--limit', '0'], 2, { error: { code: 'USAGE' } }],
    ['an unknown option', ['status', '--nope'], 2, { error: { code: 'USAGE' } }],
    ['a refusal', ['runs', 'show', 'r9'], 1, { error: { code: 'UNKNOWN_RUN', fix: 'deputy runs list' } }],
    ['a list', ['runs', 'list'], 0, { runs: [{ run: 'r1' }] }],
    ['a value', ['config', 'get', 'gateway.port'], 0, 18_789],
  ])('%s: exactly one document on standard output', async (_, argv, code, expected) => {
    await serve({
      agent: () => [accepted],
      'agent.wait': () => ended,
      'runs.list': () => ({ runs: [row] }),
      'runs.get': () => {
        throw new DeputyError('UNKNOWN_RUN', 'There is no run r9.')
      },
    })
    const got = await deputy(...argv, '--json')
    expect(got.code).toBe(code)
    const document = JSON.parse(got.out)
    if (typeof expected === 'object') expect(document).toMatchObject(expected)
    else expect(document).toBe(expected)
  })

  test('says who does not answer, too', async () => {
    const { code, out } = await deputy('status', '--json')
    expect(code).toBe(3)
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'GATEWAY_UNREACHABLE' } })
  })
})

describe('waiting for an answer', () => {
  test('goes on over a restart of the gateway', async () => {
    let asked = 0
    await serve({
      agent: () => [accepted],
      'agent.wait': () => {
        asked++
        for (const socket of sockets) socket.destroy()
        return []
      },
    })
    const answer = deputy('agent', '-m', 'x')
    while (asked === 0) await new Promise(resolve => setTimeout(resolve, 5))
    await stop()
    const called = await serve({ 'agent.wait': () => ended })
    expect(await answer).toEqual({ code: 0, out: 'Forty-two.\n', err: '' })
    expect(called).toEqual(['agent.wait'])
  })

  test('a pause of the run is no answer; the timeout is, and the run goes on', async () => {
    await serve({ agent: () => [accepted], 'agent.wait': () => ({ runId: 'wire-1', status: 'timeout' }) })
    const { code, out, err } = await deputy('agent', '-m', 'x', '--timeout', '0.05')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain('deputy runs tree wire-1')
  })
})

describe('the short form of a run’s id', () => {
  const id = '900f7e8e-7b24-4f73-b27a-aec509b2e99f'
  const other = '900f7e8e-0000-4000-8000-000000000000'
  const serveRuns = (...ids: string[]) =>
    serve({
      'runs.list': () => ({ runs: ids.map(run => ({ ...row, run })) }),
      'runs.get': params => ({ run: { ...row, run: params['run'] } }),
    })

  test('is what the list shows and what the commands take', async () => {
    await serveRuns(id, `${id}.2`)
    expect((await deputy('runs', 'list')).out).toMatch(/^900f7e8e {4}main.*\n900f7e8e\.2 {2}main/m)
    expect(JSON.parse((await deputy('runs', 'show', '900f7e8e.2', '--json')).out).run.run).toBe(`${id}.2`)
    expect(JSON.parse((await deputy('runs', 'show', id, '--json')).out).run.run).toBe(id)
  })

  test('that fits two runs is refused', async () => {
    await serveRuns(id, other)
    const { code, err } = await deputy('runs', 'show', '900f7e8e')
    expect(code).toBe(2)
    expect(err).toContain(other)
  })
})

test('words from a model cannot drive the terminal', async () => {
  await serve({ agent: () => [accepted], 'agent.wait': () => ({ ...ended, text: 'a\x1b[2J\x1b]0;title\x07b' }) })
  expect((await deputy('agent', '-m', 'x')).out).toBe('ab\n')
})

test('cancel says what it stopped, and fails when a process lives on', async () => {
  const report = {
    runs: [{ run: 'r1', agent: 'main', task: 'count', was: 'running' }],
    alreadyDone: [],
    dropped: ['more to do'],
    processes: { ended: 2, stillAlive: [4242] },
  }
  await serve({ 'runs.cancel': params => ({ ...report, params }) })
  const { code, out, err } = await deputy('runs', 'cancel', 'r1')
  expect(code).toBe(1)
  expect(out).toContain('Stopped 1 run:')
  expect(out).toContain('Ended processes: 2')
  expect(err).toContain('still alive: process 4242')
})

describe('help', () => {
  test.each([
    [['--help']],
    ...['start', 'chat', 'agent', 'spawn', 'status', 'health', 'demo', 'doctor', 'explain', 'dashboard'].map(name => [
      [name, '--help'],
    ]),
    ...['list', 'show', 'tree', 'log', 'cancel'].map(name => [['runs', name, '--help']]),
    ...['get', 'set', 'unset', 'validate', 'path', 'restore'].map(name => [['config', name, '--help']]),
    ...['install', 'uninstall', 'status'].map(name => [['service', name, '--help']]),
    [['agents', 'list', '--help']],
    [['sessions', 'list', '--help']],
    [['gateway', 'run', '--help']],
  ])('%j has an example and fits in 100 columns', async argv => {
    const { code, out } = await deputy(...argv)
    expect(code).toBe(0)
    expect(out).toMatch(/Examples?:\n {2}\$ /)
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
  })
})
