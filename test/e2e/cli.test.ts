/**
 * The program as it is shipped: the launcher, the bundle and the bundled Node, nothing else of node_modules; a fresh home;
 * real processes. What each command prints, where, and how it ends.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RunRow } from '../../src/protocol/results.ts'

const root = resolve(import.meta.dirname, '../..')
const node = `node-linux-${process.arch}`
const dir = mkdtempSync(join(tmpdir(), 'deputy-e2e-'))
const home = join(dir, 'home')
let gateway: ChildProcess | null = null
let ready = ''

beforeAll(() => {
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs'), '--out', join(dir, 'pkg/dist')])
  for (const part of ['bin', 'examples', 'package.json'])
    cpSync(join(root, part), join(dir, 'pkg', part), { recursive: true })
  mkdirSync(join(dir, 'pkg/node_modules'))
  symlinkSync(join(root, 'node_modules', node), join(dir, 'pkg/node_modules', node))
})
afterAll(async () => {
  if (gateway) await stopped(gateway, 'SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

const program = join(dir, 'pkg/bin/deputy')
// No key of the developer's may be used, and no Ollama of theirs.
const env = { PATH: process.env['PATH'], HOME: dir, TMPDIR: dir, OLLAMA_HOST: 'http://127.0.0.1:9' }

function deputy(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return run([...args, '--home', home], '')
}

function run(args: string[], input: string): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise(resolve => {
    const child = spawn(program, args, { env, cwd: dir })
    const said = { out: '', err: '' }
    child.stdout.on('data', chunk => {
      said.out += chunk
    })
    child.stderr.on('data', chunk => {
      said.err += chunk
    })
    child.stdin.end(input)
    child.on('close', code => resolve({ code, ...said }))
  })
}

/** Starts the gateway and waits for its ready line. */
function started(...args: string[]): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args, '--home', home], { env, cwd: dir })
    let err = ''
    ready = ''
    child.stdout.on('data', chunk => {
      ready += chunk
      if (ready.includes('next ')) resolve(child)
    })
    child.stderr.on('data', chunk => {
      err += chunk
    })
    child.on('close', code => reject(new Error(`ended with ${code} before it was ready: ${err}`)))
  })
}

function stopped(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  return new Promise(resolve => {
    child.removeAllListeners('close')
    child.on('close', code => resolve(code))
    child.kill(signal)
  })
}

async function json<T>(...args: string[]): Promise<T> {
  const { code, out, err } = await deputy(...args, '--json')
  if (code !== 0) throw new Error(`ended with ${code}: ${err}`)
  return JSON.parse(out) as T
}

describe('before there is a gateway', () => {
  test('version, help and the configuration need none', async () => {
    expect((await run(['--version'], '')).out).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect((await deputy('config', 'get', 'gateway.port')).out).toBe('18789\n')
    expect((await deputy('config', 'path')).out).toBe(`${join(home, 'deputy.json')}\n`)
    expect(await json('agents', 'list')).toMatchObject({ agents: [{ id: 'main', isDefault: true }] })
    // Asking makes nothing.
    expect(existsSync(home)).toBe(false)
  })

  test('a change is checked before it is written', async () => {
    const wrong = await deputy('config', 'set', 'gateway.port', 'many')
    expect(wrong.code).toBe(1)
    expect(wrong.err).toContain('CONFIG_INVALID')
    expect(existsSync(join(home, 'deputy.json'))).toBe(false)
    expect((await deputy('config', 'set', 'gateway.port', '0')).code).toBe(0)
    expect((await deputy('config', 'set', 'agents.entries.main.subagents.allowAgents', '["extractor"]')).code).toBe(0)
    expect((await deputy('config', 'set', 'agents.entries.extractor', '{}')).code).toBe(0)
    expect((await deputy('config', 'validate')).code).toBe(0)
  })

  test('what needs one ends with 3 and names the command that starts it', async () => {
    const { code, out, err } = await deputy('agent', '--message', 'say hi')
    expect({ code, out }).toEqual({ code: 3, out: '' })
    expect(err).toContain(`deputy gateway run --home ${home}`)
  })
})

describe('with a gateway', () => {
  beforeAll(async () => {
    gateway = await started('start')
    cpSync(join(root, 'examples'), join(home, 'workspace'), { recursive: true })
    cpSync(join(root, 'examples'), join(home, 'workspace-extractor'), { recursive: true })
  })

  test('the ready text has the address, the model and what it is not', async () => {
    expect(ready).toMatch(/Deputy \d+\.\d+\.\d+ is ready on http:\/\/127\.0\.0\.1:\d+\n/)
    expect(ready).toContain('not a language model')
    expect(ready).toContain('ANTHROPIC_API_KEY')
    const [, url] = /(http:\S+)/.exec(ready)!
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
  })

  test('nobody else can read the home', () => {
    expect(statSync(home).mode & 0o777).toBe(0o700)
    for (const name of ['deputy.json', 'deputy.sqlite', 'deputy.sock'])
      expect(`${name} ${(statSync(join(home, name)).mode & 0o777).toString(8)}`).toBe(`${name} 600`)
  })

  test('health and status', async () => {
    expect((await deputy('health')).code).toBe(0)
    expect(await json('health')).toMatchObject({ ok: true })
    expect(await json('status')).toMatchObject({ pid: gateway!.pid, problems: [] })
    expect((await deputy('status')).out).toContain('rehearsal/rehearsal')
  })

  test('a second gateway on the same home is refused and told who holds it', async () => {
    const { code, err } = await deputy('gateway', 'run')
    expect(code).toBe(1)
    expect(err).toContain('HOME_LOCKED')
    expect(err).toContain(String(gateway!.pid))
  })

  test('agent waits for the answer, delegated results included', async () => {
    const message = 'delegate to extractor as "errors": count " ERROR " in logs/api.log'
    const { code, out, err } = await deputy('agent', '--message', message)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toContain('errors (extractor) — completed')
    expect(out).toContain('count  ERROR  in logs/api.log: 6')
    const again = await json<{ status: string; text: string }>(
      'agent',
      '--message',
      'say hi',
      '--session',
      'agent:main:x',
    )
    expect(again).toMatchObject({ status: 'ok', text: 'hi', sessionKey: 'agent:main:x' })
  })

  test('a run that fails ends with 1', async () => {
    const { code, err } = await deputy('agent', '--message', 'fail on purpose', '--session', 'agent:main:fail')
    expect(code).toBe(1)
    expect(err).toContain('on purpose')
  })

  test('spawn by hand, and wait for the result', async () => {
    const { code, out } = await deputy('spawn', 'extractor', 'count TODO in notes/monday.md', '--wait')
    expect(code).toBe(0)
    expect(out).toContain('count TODO in notes/monday.md: 2')
    const nobody = await deputy('spawn', 'nobody', 'anything')
    expect(nobody.code).toBe(1)
    expect(nobody.err).toContain('UNKNOWN_AGENT')
  })

  test('runs: list, show, tree, log', async () => {
    const { runs } = await json<{ runs: RunRow[] }>('runs', 'list')
    const child = runs.find(run => run.label === 'errors')!
    expect(child).toMatchObject({ agent: 'extractor', state: 'done', outcome: 'succeeded' })
    expect(await json('runs', 'show', child.run)).toMatchObject({ run: { run: child.run } })
    const tree = await json<{ runs: RunRow[] }>('runs', 'tree', child.run)
    expect(tree.runs.some(run => run.run === child.parent)).toBe(true)
    const log = await json<{ steps: { name: string }[] }>('runs', 'log', child.run)
    expect(log.steps.map(step => step.name)).toContain('grep')
    for (const args of [['list'], ['show', child.run], ['tree', child.run], ['log', child.run]]) {
      const { code, out } = await deputy('runs', ...args)
      expect(code).toBe(0)
      for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    }
    expect((await deputy('runs', 'show', 'nonesuch')).code).toBe(1)
  })

  test('cancel stops the tree below a run', async () => {
    const receipt = await json<{ run: string }>('spawn', 'extractor', 'sleep 600000')
    const report = await json<{ runs: { run: string }[] }>('runs', 'cancel', receipt.run)
    expect(report.runs.map(({ run }) => run)).toEqual([receipt.run])
    expect(await json('runs', 'show', receipt.run)).toMatchObject({ run: { outcome: 'cancelled' } })
  })

  test('chat reads lines from a pipe and ends when all is answered', async () => {
    const { code, out } = await run(['chat', '--session', 'agent:main:pipe', '--home', home], 'say one\n')
    expect(code).toBe(0)
    expect(out.match(/^one$/gm)).toHaveLength(1)
  })

  test('sessions list', async () => {
    const { sessions } = await json<{ sessions: { key: string }[] }>('sessions', 'list')
    expect(sessions.map(({ key }) => key)).toContain('agent:main:main')
    expect(sessions.some(({ key }) => key.includes(':subagent:'))).toBe(false)
  })
})

describe('after the gateway has stopped', () => {
  let before: { runs: RunRow[] }
  beforeAll(async () => {
    before = await json('runs', 'list')
    expect(await stopped(gateway!, 'SIGTERM')).toBe(0)
    gateway = null
  })

  test('the lists are read from its database, which stays as it was', async () => {
    const files = () => readdirSync(home).map(name => `${name} ${statSync(join(home, name)).size}`)
    const there = files()
    const { code, out, err } = await deputy('runs', 'list', '--json')
    expect(code).toBe(0)
    expect(err).toContain('stopped')
    const plain = ({ runs }: { runs: RunRow[] }) => runs.map(run => ({ ...run, lastLine: null }))
    expect(plain(JSON.parse(out))).toEqual(plain(before))
    expect((await json<{ sessions: { key: string }[] }>('sessions', 'list')).sessions.length).toBeGreaterThan(3)
    expect((await deputy('runs', 'log', before.runs[0]!.run)).code).toBe(0)
    expect(files().filter(name => !/-(wal|shm) /.test(name))).toEqual(there.filter(name => !/-(wal|shm) /.test(name)))
  })

  test('health says so', async () => {
    expect((await deputy('health')).code).toBe(3)
  })
})

test('demo: no questions, the merged answer of three sub-agents, nothing left behind', async () => {
  const { code, out, err } = await run(['demo'], '')
  expect({ code, err }).toEqual({ code: 0, err: '' })
  for (const part of ['errors in the logs', 'orders of the week', 'what is still to do'])
    expect(out).toContain(`${part} (extractor) — completed`)
  expect(out).toMatch(/✓ 4 runs in /)
  expect(readdirSync(dir).filter(name => name.startsWith('deputy-demo-'))).toEqual([])
})
