/**
 * A Deputy gateway with a scripted provider, and OpenClaw's programs pointed at it, each in a home of its own.
 *
 * Owns the processes and folders of one test file. The model answers `You said: …`; a message with `hang` in it begins to
 * answer and goes on for ever; one with `use tool` calls a tool first.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll } from 'vitest'
import { type GatewayProcess, openGateways, stubConfig } from '../../support/gateway.ts'
import { freePort } from '../../support/port.ts'
import { type Provider, type ProviderReply, type ProviderRequest, startProvider } from '../../support/provider.ts'
import { type Peer, peer } from './peers.ts'

export type Version = Extract<Peer, '9.6' | '4.12'>
export const versions: readonly Version[] = ['9.6', '4.12']
export const token = 'lab-token-0123456789abcdef0123456789abcdef'

/** How a program is told where the gateway is (openclaw-clients.md §2). */
export type Way = 'env' | 'envUrl' | 'local' | 'remote' | 'url'

export interface Ran {
  code: number
  out: string
}

export interface Lab {
  gateway: GatewayProcess
  provider: Provider
  url: string
  port: number
  /** A program of OpenClaw to its end. `out` has both of its streams. */
  openclaw(version: Version, args: readonly string[], options?: { way?: Way; token?: string | null }): Promise<Ran>
  /** The command line and the environment that start it, for who runs it elsewhere. */
  command(
    version: Version,
    args: readonly string[],
    way?: Way,
  ): Promise<{ argv: string[]; env: Record<string, string>; cwd: string }>
  /** A new folder of this lab. */
  folder(name: string): string
  /** Ends the gateway and starts it again on the same port and home. */
  restart(): Promise<void>
}

/** For one test file, called at its top: the gateway runs from before its first test on. */
export function useLab(config: Record<string, unknown> = {}): Lab {
  const dir = mkdtempSync(join(tmpdir(), 'deputy-lab-'))
  const gateways = openGateways()
  const parts: { gateway?: GatewayProcess; provider?: Provider; home: string; port: number } = { home: '', port: 0 }
  let folders = 0

  beforeAll(async () => {
    parts.port = await freePort()
    parts.provider = await startProvider({ script: parrot })
    parts.home = gateways.home(
      stubConfig(parts.provider.baseUrl, {
        gateway: { port: parts.port, auth: { token } },
        agents: {
          defaults: { model: 'stub/m' },
          entries: { main: { subagents: { allowAgents: ['main', 'extractor'] } }, extractor: {} },
        },
        ...config,
      }),
    )
    parts.gateway = await gateways.start(parts.home)
  })
  afterAll(async () => {
    await parts.provider?.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })

  const url = () => `ws://127.0.0.1:${parts.port}`

  const folder = (name: string) => {
    const path = join(dir, `${name}-${folders++}`)
    mkdirSync(path)
    return path
  }

  async function command(version: Version, args: readonly string[], way: Way = 'env', shown: string | null = token) {
    const program = join(await peer(version), 'openclaw.mjs')
    const user = join(dir, `user-${version}-${way}`)
    mkdirSync(join(user, '.openclaw'), { recursive: true })
    const remote = { url: url(), ...(shown === null ? {} : { token: shown }) }
    const local = { mode: 'local', port: parts.port, auth: { mode: 'token', token: shown ?? '' } }
    const gateway = way === 'remote' ? { mode: 'remote', remote } : way === 'local' ? local : null
    if (gateway) writeFileSync(join(user, '.openclaw', 'openclaw.json'), JSON.stringify({ gateway }))
    const env: Record<string, string> = {
      PATH: process.env['PATH'] ?? '',
      HOME: user,
      TMPDIR: dir,
      TERM: 'xterm-256color',
    }
    if (way === 'env') env['OPENCLAW_GATEWAY_PORT'] = String(parts.port)
    if (way === 'envUrl') env['OPENCLAW_GATEWAY_URL'] = url()
    if (way === 'env' || way === 'envUrl') {
      if (shown !== null) env['OPENCLAW_GATEWAY_TOKEN'] = shown
    }
    const more = way === 'url' ? ['--url', url(), ...(shown === null ? [] : ['--token', shown])] : []
    return { argv: [process.execPath, program, ...args, ...more], env, cwd: user }
  }

  return {
    get gateway() {
      return parts.gateway!
    },
    get provider() {
      return parts.provider!
    },
    get url() {
      return url()
    },
    get port() {
      return parts.port
    },
    folder,
    command,
    async openclaw(version, args, { way = 'env', token: shown = token } = {}) {
      const { argv, env, cwd } = await command(version, args, way, shown)
      const [file = '', ...rest] = argv
      return await new Promise<Ran>(resolve => {
        const child = execFile(file, rest, { env, cwd, timeout: 120_000, maxBuffer: 20_000_000 }, (error, out, err) => {
          const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0
          resolve({ code, out: out + err })
        })
        child.stdin?.end()
      })
    },
    async restart() {
      await parts.gateway?.stop()
      parts.gateway = await gateways.start(parts.home)
    },
  }
}

/** What the model says. */
export function parrot(request: ProviderRequest): ProviderReply {
  if (request.user.includes('hang')) return { text: 'one two three four five six seven', hang: 'middle' }
  if (request.user.includes('use tool') && request.results.length === 0)
    return { text: 'looking', toolCalls: [{ name: 'ls', args: { path: '.' } }] }
  const told = request.results.map(result => ` and ${result.text.slice(0, 40)}`).join('')
  return { text: `You said: ${request.user.split('\n').at(-1)}${told}` }
}

/** Asks until it is so; rejects with what was seen last. */
export async function until<T>(look: () => Promise<T> | T, so: (seen: T) => boolean, ms = 20_000): Promise<T> {
  const end = Date.now() + ms
  for (;;) {
    const seen = await look()
    if (so(seen)) return seen
    if (Date.now() > end)
      throw new Error(`it did not come; last seen:\n${typeof seen === 'string' ? seen : JSON.stringify(seen, null, 1)}`)
    await sleep(100)
  }
}
