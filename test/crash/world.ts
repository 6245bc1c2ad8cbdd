/**
 * One home and the gateway process over it, to be killed and started again.
 *
 * Owns the process: real program, real files, real sockets on loopback. The provider stands outside and survives.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { launch, signalGroup, sleep } from '../../bench/processes.ts'
import type { Provider } from '../../bench/provider.ts'
import { deputy, type Home, type HomeOptions, token } from '../../bench/targets.ts'
import { connect, type Wire } from '../../bench/wire.ts'

export interface Life {
  pid: number
  /** True from the moment the process has ended, by whatever it was. */
  over(): boolean
  /** `SIGKILL`, or an exit code in words. */
  end: Promise<string>
  /** A connection, or null when the process ended first. */
  connect(): Promise<Wire | null>
  kill(): Promise<void>
}

export interface World<P = Provider> {
  home: Home
  provider: P
  /** Starts the gateway; `crash` is a DEPUTY_CRASH point. */
  start(crash?: string): Life
  remove(): void
}

/** `program` is the launcher to start (test/support/shipped.ts). */
export async function makeWorld<P extends { baseUrl: string }>(
  program: string,
  provider: P,
  options: HomeOptions = {},
): Promise<World<P>> {
  const target = deputy(program)
  const home = await target.makeHome(provider.baseUrl, options)

  function start(crash?: string): Life {
    const command = target.command(home, target.gatewayArgs)
    const env = { ...command.env, ...(crash ? { DEPUTY_CRASH: crash } : {}) }
    const child = launch({ ...command, env }, join(home.path, 'gateway.log'))
    const state = { over: false }
    const end = new Promise<string>(resolve => {
      child.once('exit', (code, signal) => {
        state.over = true
        resolve(signal ?? `exit ${code}`)
      })
    })
    const pid = child.pid ?? 0
    return {
      pid,
      over: () => state.over,
      end,
      async connect() {
        for (;;) {
          const wire = await connect({ port: home.port, token, protocol: 4 }).catch(() => null)
          if (wire || state.over) return wire
          await sleep(5)
        }
      },
      async kill() {
        signalGroup(pid, 'SIGKILL')
        await end
      },
    }
  }

  return { home, provider, start, remove: () => rmSync(home.path, { recursive: true, force: true, maxRetries: 5 }) }
}
