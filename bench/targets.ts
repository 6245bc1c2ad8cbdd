/**
 * What is measured: Deputy from this checkout, and installed OpenClaw gateways beside it. A target writes a throw-away home
 * with a token, loopback and the provider stub, and says which command starts it. Nothing leaves loopback.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { type Command, launch, signalGroup, sleep } from './processes.ts'
import { diskMb, productionPackages } from './size.ts'
import { connect, type Device, newDevice, type Wire, type WireOptions } from './wire.ts'

const root = resolve(import.meta.dirname, '..')
export const token = 'bench-token-0123456789-0123456789'

export interface HomeOptions {
  /** Children at work for one session, and in all. */
  children?: number
  concurrent?: number
  /** How deep sub-agents nest; 2 unless said. */
  depth?: number
  /** OpenClaw 2026.9 hides sessions_spawn behind a search tool unless told not to: true where a measure spawns. */
  spawns?: boolean
}

export interface Home {
  path: string
  port: number
  workspace: string
}

export interface Target {
  name: string
  ours: boolean
  protocol: 3 | 4
  /** Pause between samples, so that one does not run into the work after another. */
  settleMs: number
  /** Samples of a measure: ours are cheap, the peers' take seconds each. */
  samples(ours: number, peers: number): number
  makeHome(baseUrl: string, options?: HomeOptions): Promise<Home>
  command(home: Home, args: readonly string[]): Command
  gatewayArgs: readonly string[]
  installedMb(): number
}

export interface Gateway {
  pid: number
  home: Home
  connect(): Promise<Wire>
  /** For a handshake with this device or with none. */
  options(device?: Device): WireOptions
  /** kill -9 of the whole process group. */
  kill(): Promise<void>
  stop(): Promise<void>
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(address && typeof address === 'object' ? address.port : 0))
    })
  })
}

async function newHome(name: string): Promise<Home> {
  const path = mkdtempSync(join(tmpdir(), `bench-${name}-`))
  const workspace = join(path, 'workspace')
  mkdirSync(workspace)
  writeFileSync(join(workspace, 'note.txt'), 'one line\n')
  return { path, port: await freePort(), workspace }
}

const provider = (baseUrl: string) => {
  const cost = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }
  const model = {
    id: 'stub-1',
    name: 'Stub',
    reasoning: false,
    input: ['text'],
    cost,
    contextWindow: 2e7,
    maxTokens: 8192,
  }
  return { stub: { baseUrl, apiKey: 'stub', api: 'openai-completions', models: [model] } }
}

function config(
  home: Home,
  baseUrl: string,
  limits: Record<string, number>,
  children: number,
  concurrent: number,
  depth = 2,
) {
  return {
    gateway: { mode: 'local', port: home.port, bind: 'loopback', auth: { mode: 'token', token } },
    models: { providers: provider(baseUrl) },
    agents: {
      defaults: {
        workspace: home.workspace,
        model: { primary: 'stub/stub-1' },
        subagents: {
          maxChildrenPerAgent: children,
          maxConcurrent: concurrent,
          maxSpawnDepth: depth,
          ...limits,
          allowAgents: ['*'],
        },
      },
    },
  }
}

/** This checkout's; `program` is its launcher, or that of a copy. */
export function deputy(program = join(root, 'bin', 'deputy')): Target {
  const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
  return {
    name: `Deputy ${version}`,
    ours: true,
    protocol: 4,
    settleMs: 10,
    samples: ours => ours,
    async makeHome(baseUrl, { children = 20, concurrent = 20, depth } = {}) {
      const home = await newHome('deputy')
      const written = JSON.stringify(config(home, baseUrl, { maxSpawnsPerMinute: 0 }, children, concurrent, depth))
      writeFileSync(join(home.path, 'deputy.json'), written, { mode: 0o600 })
      return home
    },
    command: (home, args) => ({
      file: program,
      args,
      cwd: home.path,
      env: { PATH: process.env['PATH'] ?? '', HOME: home.path, DEPUTY_HOME: home.path },
    }),
    gatewayArgs: ['gateway', 'run'],
    installedMb: () =>
      diskMb([...productionPackages(root), ...['bin', 'dist', 'docs', 'examples'].map(name => join(root, name))]),
  }
}

/** An OpenClaw installed with npm under `directory`. */
export function openclaw(directory: string): Target {
  const home = join(resolve(directory), 'node_modules', 'openclaw')
  if (!existsSync(join(home, 'openclaw.mjs'))) throw new Error(`no openclaw is installed under ${directory}`)
  const version = (JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string }).version
  const old = /^2026\.[1-6]\./.test(version)
  return {
    name: `OpenClaw ${version}`,
    ours: false,
    protocol: old ? 3 : 4,
    settleMs: 500,
    samples: (_ours, peers) => peers,
    async makeHome(baseUrl, { children = 20, concurrent = 20, spawns = false } = {}) {
      const made = await newHome('openclaw')
      const base = config(made, baseUrl, {}, children, concurrent)
      const defaults = { ...base.agents.defaults, skipBootstrap: true, heartbeat: { every: '0m' } }
      const tools = spawns && !old ? { tools: { toolSearch: false } } : {}
      const written = { ...base, ...tools, agents: { defaults } }
      mkdirSync(join(made.path, '.openclaw'))
      writeFileSync(join(made.path, '.openclaw', 'openclaw.json'), JSON.stringify(written), { mode: 0o600 })
      return made
    },
    command: (made, args) => ({
      file: process.execPath,
      args: [join(home, 'openclaw.mjs'), ...args],
      cwd: made.path,
      env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, HOME: made.path, NO_COLOR: '1' },
    }),
    gatewayArgs: ['gateway', 'run'],
    installedMb: () => diskMb([resolve(directory)]),
  }
}

/** Starts a gateway over a home; `ready` resolves with the first handshake. */
export async function start(target: Target, home: Home): Promise<Gateway & { helloMs: number }> {
  const startedAt = performance.now()
  const child = launch(target.command(home, target.gatewayArgs), join(home.path, 'gateway.log'))
  let exit: number | string | null = null
  const gone = new Promise<void>(resolve => {
    child.once('exit', (code, signal) => {
      exit = code ?? signal
      resolve()
    })
  })
  const pid = child.pid ?? 0
  // 4.12 gives a client its scopes only with a device; the others need none on loopback.
  const own = target.protocol === 3 ? newDevice() : undefined
  const client = target.ours ? { id: 'gateway-client', mode: 'backend' } : { id: 'cli', mode: 'cli' }
  const options = (device?: Device) => ({ port: home.port, token, protocol: target.protocol, device, client })
  // A peer that is still busy with its start lets a handshake run out of time.
  const open = async (tries = 3): Promise<Wire> =>
    connect(options(own)).catch(error => (tries > 1 ? sleep(500).then(() => open(tries - 1)) : Promise.reject(error)))
  for (;;) {
    const wire = await connect(options()).catch(() => null)
    if (wire) {
      const helloMs = performance.now() - startedAt
      await wire.close()
      return {
        pid,
        home,
        helloMs,
        connect: () => open(),
        options,
        async kill() {
          signalGroup(pid, 'SIGKILL')
          await gone
        },
        async stop() {
          signalGroup(pid, 'SIGKILL')
          await gone
          rmSync(home.path, { recursive: true, force: true, maxRetries: 5 })
        },
      }
    }
    const late = performance.now() - startedAt > 60_000
    if (exit !== null || late) {
      signalGroup(pid, 'SIGKILL')
      const log = readFileSync(join(home.path, 'gateway.log'), 'utf8').slice(-2000)
      throw new Error(`${target.name} ${late ? 'gave no hello within 60 s' : `ended with ${exit}`}:\n${log}`)
    }
    await sleep(2)
  }
}
