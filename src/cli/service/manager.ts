/**
 * systemd's user manager and logind, as far as a service needs them: asked through systemctl and loginctl.
 *
 * Owns the calls and the words for what they refuse. Never writes a file, never asks for another user's privileges.
 */
import { execFile } from 'node:child_process'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { onPath } from '../doctor/sandbox.ts'
import { line } from '../format.ts'

export interface Manager {
  /** Throws SERVICE_FAILED with what systemctl said. */
  run(...args: string[]): Promise<string>
  /** What systemd knows of a unit now. */
  show(unit: string): Promise<UnitState>
  /** Whether the user's services run without a login; null when nobody can say. */
  lingers(): Promise<boolean | null>
}

export interface UnitState {
  loaded: boolean
  enabled: boolean
  /** `active`, `activating`, `failed`, `inactive`, … */
  active: string
  sub: string
  pid: number | null
  /** Starts after a failure, since it was last started by hand. */
  restarts: number
  /** `success`, `exit-code`, `start-limit-hit`, … */
  result: string
  exitStatus: number
}

interface Said {
  code: number
  out: string
  err: string
}

const longestMs = 90_000

/** Throws SERVICE_UNAVAILABLE where there is no user manager to talk to. */
export async function openManager(context: Context): Promise<Manager> {
  const { env } = context.host
  const systemctl = onPath('systemctl', env)
  if (process.platform !== 'linux' || systemctl === null) throw unavailable('systemctl is not here.', context)
  const call = (...args: string[]) => run(systemctl, ['--user', '--no-pager', '--no-ask-password', ...args], env)
  const first = await call('show-environment')
  if (first.code !== 0) throw unavailable(line(first.err) || 'systemctl --user does not answer.', context)

  return {
    async run(...args) {
      const said = await call(...args)
      if (said.code === 0) return said.out
      throw new DeputyError('SERVICE_FAILED', `systemctl --user ${args.join(' ')}: ${line(said.err || said.out)}`)
    },
    async show(unit) {
      const names = 'LoadState,UnitFileState,ActiveState,SubState,MainPID,NRestarts,Result,ExecMainStatus'
      const said = await call('show', unit, `--property=${names}`)
      const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(said.out)?.[1] ?? ''
      const pid = Number(value('MainPID'))
      return {
        loaded: value('LoadState') === 'loaded',
        enabled: value('UnitFileState') === 'enabled',
        active: value('ActiveState') || 'inactive',
        sub: value('SubState'),
        pid: pid > 0 ? pid : null,
        restarts: Number(value('NRestarts')) || 0,
        result: value('Result'),
        exitStatus: Number(value('ExecMainStatus')) || 0,
      }
    },
    async lingers() {
      const loginctl = onPath('loginctl', env)
      if (loginctl === null) return null
      const said = await run(loginctl, ['show-user', String(process.getuid!()), '--property=Linger'], env)
      const answer = /^Linger=(yes|no)$/m.exec(said.out)?.[1]
      return said.code === 0 && answer !== undefined ? answer === 'yes' : null
    },
  }
}

function unavailable(why: string, context: Context): DeputyError {
  const user = context.host.env['USER'] ?? '<user>'
  return new DeputyError('SERVICE_UNAVAILABLE', `There is no systemd user manager to give a service to: ${why}`, {
    fix: `On a server with systemd: log in as that user (ssh, or sudo machinectl shell ${user}@), or let its services run without a login: sudo loginctl enable-linger ${user}. Elsewhere (a container, another init) run this in the foreground under what supervises there: deputy gateway run${context.flags}`,
  })
}

function run(program: string, args: string[], env: Context['host']['env']): Promise<Said> {
  return new Promise(resolve => {
    execFile(program, args, { env: { ...env }, timeout: longestMs }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, out, err: err || (error === null ? '' : error.message) })
    })
  })
}
