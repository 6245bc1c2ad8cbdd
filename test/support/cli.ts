/**
 * Commands of the CLI against a real home: the program's own `run`, the real house behind it, no second process.
 *
 * Owns a temporary home per test, and gateways on it that end with the test. Nothing of the developer's environment reaches
 * a command: no key, no Ollama, no home.
 */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import { onTestFinished } from 'vitest'
import { openApp } from '../../src/app.ts'
import type { Channels } from '../../src/channels/all.ts'
import type { RunningGateway, StartOptions } from '../../src/cli/host.ts'
import { run } from '../../src/cli/program.ts'
import { put, tempDir } from './temp.ts'

export interface Said {
  code: number
  out: string
  err: string
}

export interface Desk {
  /** The user's home; the state directory is in it. */
  user: string
  home: string
  env: Record<string, string | undefined>
  /** Writes deputy.json; without a port in it one that the system chooses. */
  configure(settings: Record<string, unknown>): void
  deputy(...argv: string[]): Promise<Said>
  /** The one document of `--json`. */
  json<T>(...argv: string[]): Promise<{ code: number; document: T }>
  /** A gateway on the home, in this process, stopped when the test ends. */
  start(options?: { tcp?: boolean }): Promise<RunningGateway>
  /** How often a command started a gateway by itself, and on which homes. */
  started: string[]
}

export const version = '9.9.9'

/** `root`: folder of the package, as the program would find it. */
export function openDesk(root = resolve(import.meta.dirname, '../..'), channels?: Channels): Desk {
  const user = tempDir()
  const home = join(user, '.deputy')
  const env: Desk['env'] = { HOME: user, PATH: process.env['PATH'], OLLAMA_HOST: 'http://127.0.0.1:9' }
  const started: string[] = []
  const open = (options: StartOptions) => openApp({ ...options, version, ...(channels && { channels }) })

  async function deputy(...argv: string[]): Promise<Said> {
    const said = { out: '', err: '' }
    const take = (where: 'out' | 'err') => (text: string) => {
      said[where] += text
      return true
    }
    const code = await run({
      argv: [...argv, '--home', home],
      env,
      version,
      stdin: new PassThrough() as never,
      stdout: { write: take('out') },
      stderr: { write: take('err') },
      root,
      startGateway(options) {
        started.push(options.home)
        return open(options)
      },
    })
    return { code, ...said }
  }

  return {
    user,
    home,
    env,
    started,
    deputy,
    configure(settings) {
      mkdirSync(home, { recursive: true, mode: 0o700 })
      const { gateway = {}, ...rest } = settings
      put(join(home, 'deputy.json'), JSON.stringify({ gateway: { port: 0, ...(gateway as object) }, ...rest }))
    },
    async json<T>(...argv: string[]) {
      const { code, out, err } = await deputy(...argv, '--json')
      try {
        return { code, document: JSON.parse(out) as T }
      } catch {
        throw new Error(`ended with ${code} and no document: ${out}${err}`)
      }
    },
    async start({ tcp = false } = {}) {
      const gateway = await open({ home, env, log: () => undefined, tcp })
      onTestFinished(() => gateway.stop())
      return gateway
    },
  }
}
