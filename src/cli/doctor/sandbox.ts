/**
 * Doctor: what agents' commands run in. Tries bubblewrap for real, in the way that the tools use it.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { agentIds, agentOf } from '../../config/read.ts'
import { errors } from '../../protocol/errors.ts'
import { line } from '../format.ts'
import { type Check, type Finding, finding } from './types.ts'

/** Arguments with which bubblewrap must work for the sandbox to work. */
export const trial = [
  '--unshare-user',
  '--unshare-pid',
  '--unshare-net',
  '--ro-bind',
  '/',
  '/',
  '--proc',
  '/proc',
  '--dev',
  '/dev',
  'true',
]

export const sandboxCheck: Check = {
  id: 'sandbox',
  title: 'sandbox',
  async run({ context, settings }) {
    if (settings === null) return { says: [], findings: [] }
    const agents = agentIds(settings).map(id => ({ id, off: agentOf(settings, id).exec.sandbox === 'off' }))
    const bare = agents.filter(({ off }) => off).map(({ id }) => id)
    const findings: Finding[] = bare.length > 0 ? [off(bare)] : []
    if (bare.length === agents.length) return { says: [], findings }
    const program = onPath('bwrap', context.host.env)
    if (program === null) return { says: [], findings: [...findings, missing()] }
    const tried = spawnSync(program, trial, { env: {}, timeout: 5000, encoding: 'utf8' })
    if (tried.status !== 0)
      return { says: [], findings: [...findings, broken(program, tried.stderr || String(tried.error))] }
    return { says: [`commands run in ${program}, which works here`], findings }
  },
}

/** The program in PATH; null when it is not there or may not be run. */
export function onPath(name: string, env: Readonly<Record<string, string | undefined>>): string | null {
  for (const folder of (env['PATH'] ?? '/usr/bin:/bin').split(delimiter)) {
    if (!isAbsolute(folder)) continue
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      // Not in this folder.
    }
  }
  return null
}

function off(agents: readonly string[]): Finding {
  return finding('sandbox.off', 'warning', {
    what: `Commands of ${agents.join(', ')} run without a sandbox.`,
    why: 'They run as you and can read the token and open the socket: these agents are the operator, and so is whoever talks them into something.',
    evidence: 'tools.exec.sandbox is "off"',
    fix: 'deputy config set tools.exec.sandbox bubblewrap',
  })
}

function missing(): Finding {
  return finding('sandbox.missing', 'error', {
    what: 'bubblewrap is not installed.',
    why: 'Agents cannot run commands: exec is refused. Everything else works.',
    evidence: 'no bwrap in PATH',
    fix: 'sudo apt install bubblewrap',
  })
}

function broken(program: string, said: string): Finding {
  return finding('sandbox.broken', 'error', {
    what: 'bubblewrap is installed and cannot set up a sandbox.',
    why: 'Agents cannot run commands: exec is refused. Everything else works.',
    evidence: `${program} says: ${line(said).slice(0, 300)}`,
    fix: errors.SANDBOX_FAILED.fix,
  })
}
