/**
 * The service of a home as it is: which unit belongs to it, what systemd says of it, whether the gateway that answers is its.
 * Reads only; commands/service.ts changes it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { onPath, trial } from '../doctor/sandbox.ts'
import { reach } from '../reach.ts'
import { openManager, type UnitState } from './manager.ts'
import { unitFolder, unitName, unitText } from './unit.ts'

export interface ServiceState {
  unit: string
  path: string
  installed: boolean
  /** False when the unit on the disk is not what an install would write now. */
  current: boolean
  state: UnitState | null
  answers: boolean
  lingers: boolean | null
  unavailable: DeputyError | null
}

export interface Unit {
  name: string
  path: string
  text: string
}

export function unitOf(context: Context): Unit {
  const { host, home } = context
  const name = unitName(home.dir, home.user)
  const text = unitText({
    program: join(host.root, 'bin', 'deputy'),
    home: home.dir,
    config: home.config === join(home.dir, 'deputy.json') ? null : home.config,
    path: pathOf(host.env),
    noNewPrivileges: sandboxNeedsNone(host.env),
  })
  return { name, path: join(unitFolder(host.env, home.user), name), text }
}

/** The folders of PATH as they are now, since a service has hardly any of its own. */
function pathOf(env: Context['host']['env']): string {
  const folders = (env['PATH'] ?? '').split(delimiter).filter(folder => isAbsolute(folder) && existsSync(folder))
  return [...new Set([...folders, '/usr/local/bin', '/usr/bin', '/bin'])].join(delimiter)
}

/** Whether bubblewrap works where no program may gain privileges: it does not where it is a set-user-id program. */
function sandboxNeedsNone(env: Context['host']['env']): boolean {
  const [setpriv, bwrap] = [onPath('setpriv', env), onPath('bwrap', env)]
  if (setpriv === null || bwrap === null) return false
  return spawnSync(setpriv, ['--no-new-privs', bwrap, ...trial], { env: {}, timeout: 5000 }).status === 0
}

export async function serviceOf(context: Context): Promise<ServiceState> {
  const { name, path, text } = unitOf(context)
  const installed = existsSync(path)
  const manager = await openManager(context).catch((error: unknown) => {
    if (error instanceof DeputyError && error.code === 'SERVICE_UNAVAILABLE') return error
    throw error
  })
  const answers = await pidOf(context)
  const known = manager instanceof DeputyError ? null : await manager.show(name)
  return {
    unit: name,
    path,
    installed,
    current: installed && readFileSync(path, 'utf8') === text,
    state: known,
    answers: answers !== null && answers === known?.pid,
    lingers: manager instanceof DeputyError ? null : await manager.lingers(),
    unavailable: manager instanceof DeputyError ? manager : null,
  }
}

/** Process id of the gateway that answers for the home; null when none does. */
export async function pidOf(context: Context): Promise<number | null> {
  try {
    const client = await reach(context)
    const { pid } = await client.request('status', {})
    client.close()
    return pid
  } catch (error) {
    if (error instanceof DeputyError && error.code === 'GATEWAY_UNREACHABLE') return null
    throw error
  }
}

/** What to say about services that end with the login. */
export function lingerWords(lingers: boolean | null, { host }: Context): string[] {
  if (lingers === true) return []
  const user = host.env['USER'] ?? String(process.getuid!())
  const command = `sudo loginctl enable-linger ${user}`
  return lingers === false
    ? [`It stops when you log out, and does not start with the machine. To let it: ${command}`]
    : [`Whether it goes on after you log out could not be found out. To make sure: ${command}`]
}
