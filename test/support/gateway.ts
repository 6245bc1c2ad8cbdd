/**
 * The real program (test/support/shipped.ts) as processes over throw-away homes, spoken to over the unix socket.
 *
 * Owns the program, the processes and the homes of one test file, and removes them when the file is through.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { type Client, connect } from '../../src/client/connect.ts'
import type { AgentWait } from '../../src/protocol/results.ts'
import { type Shipped, ship } from './shipped.ts'

export interface Ran {
  /** Null when a signal ended it. */
  code: number | null
  out: string
  err: string
}

export interface GatewayProcess {
  home: string
  pid: number
  /** Null with TCP switched off. */
  url: string | null
  /** What it has written so far, log included. */
  said(): string
  /** A connection over the unix socket; closed with the process. */
  client(): Promise<Client>
  /** A message to its end, sub-agents included. */
  say(message: string, more?: Record<string, unknown>): Promise<AgentWait>
  /** SIGTERM, and how it ended. */
  stop(): Promise<Ran>
  kill(): Promise<Ran>
  ended: Promise<Ran>
}

export interface StartOptions {
  env?: Record<string, string>
  /** Put before the program, for instance to give it a small disk. */
  wrap?: readonly string[]
  /** Where this process finds the socket, when the program sees another root. Default: in the home. */
  socket?(pid: number): string
  args?: readonly string[]
}

/** A provider that the config calls `stub`, its one model `m`; the default model of every agent. */
export function stubConfig(baseUrl: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const cost = { input: 1, output: 1 }
  return {
    gateway: { port: 0 },
    models: {
      providers: {
        stub: {
          baseUrl,
          api: 'openai-completions',
          apiKey: 'k-1234567890',
          models: [{ id: 'm', contextWindow: 2_000_000, maxTokens: 4096, cost }],
        },
      },
    },
    agents: { defaults: { model: 'stub/m' } },
    ...more,
  }
}

export interface Gateways {
  /** A new home (0700) with this configuration; text is written as it is. Its path is short enough for a socket. */
  home(config: Record<string, unknown> | string): string
  /** Resolves when it is ready; rejects with what it said when it ended before. */
  start(home: string, options?: StartOptions): Promise<GatewayProcess>
  /** Any command to its end. */
  run(home: string, args: readonly string[], input?: string): Promise<Ran>
}

/** For one test file: to be called at its top, outside any test. */
export function openGateways(): Gateways {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-gw-'))
  const alive = new Set<ChildProcess>()
  let shipped: Shipped
  let homes = 0

  beforeAll(() => {
    shipped = ship()
  })
  afterAll(async () => {
    await Promise.all([...alive].map(child => ended(child, 'SIGKILL')))
    shipped.remove()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })

  function begin(home: string, args: readonly string[], options: StartOptions) {
    const [file = '', ...rest] = [...(options.wrap ?? []), shipped.program, ...args, '--home', home]
    // No key of the developer's may be used, and no Ollama of theirs.
    const env = { PATH: process.env['PATH'], HOME: dir, TMPDIR: dir, OLLAMA_HOST: 'http://127.0.0.1:9', ...options.env }
    const child = spawn(file, rest, { env, cwd: dir })
    const said = { out: '', err: '' }
    alive.add(child)
    child.stdout.on('data', chunk => (said.out += chunk))
    child.stderr.on('data', chunk => (said.err += chunk))
    const end = new Promise<Ran>((done, failed) => {
      child.on('error', failed)
      child.on('close', code => {
        alive.delete(child)
        done({ code, ...said })
      })
    })
    return { child, said, end }
  }

  return {
    home(config) {
      const path = mkdtempSync(join(dir, `h${homes++}-`))
      const text = typeof config === 'string' ? config : JSON.stringify(config)
      writeFileSync(join(path, 'deputy.json'), text, { mode: 0o600 })
      return path
    },

    run(home, args, input = '') {
      const { child, end } = begin(home, args, {})
      child.stdin.on('error', () => undefined)
      child.stdin.end(input)
      return end
    },

    async start(home, options = {}) {
      const { child, said, end } = begin(home, ['gateway', 'run', ...(options.args ?? [])], options)
      const ready = new Promise<void>(resolve => {
        child.stdout.on('data', () => said.out.includes('\n  next ') && resolve())
      })
      const first = await Promise.race([ready, end])
      if (first) throw new Error(`the gateway ended with ${first.code} before it was ready:\n${first.out}${first.err}`)
      const pid = child.pid ?? 0
      const clients: Client[] = []
      const socketPath = options.socket?.(pid) ?? join(home, 'deputy.sock')
      const client = async () => {
        const made = await connect({ socketPath })
        clients.push(made)
        return made
      }
      const stop = async (signal: NodeJS.Signals) => {
        for (const one of clients) one.close()
        return ended(child, signal, end)
      }
      return {
        home,
        pid,
        url: /ready on (http:\S+)/.exec(said.out)?.[1] ?? null,
        said: () => said.out + said.err,
        client,
        async say(message, more = {}) {
          const line = await client()
          const accepted = Promise.withResolvers<string>()
          const params = { message, idempotencyKey: `k${Math.random()}`, ...more }
          line
            .request('agent', params, { onProgress: (first: { runId: string }) => accepted.resolve(first.runId) })
            .then(done => accepted.resolve(done.runId), accepted.reject)
          const runId = await accepted.promise
          return line.request('agent.wait', { runId, until: 'done', timeoutMs: 60_000 })
        },
        stop: () => stop('SIGTERM'),
        kill: () => stop('SIGKILL'),
        ended: end,
      }
    },
  }
}

function ended<T>(child: ChildProcess, signal: NodeJS.Signals, end?: Promise<T>): Promise<T> {
  const over = end ?? new Promise<T>(resolve => child.once('close', () => resolve(undefined as T)))
  if (child.exitCode === null && child.signalCode === null) child.kill(signal)
  else if (!end) return Promise.resolve(undefined as T)
  return over
}
