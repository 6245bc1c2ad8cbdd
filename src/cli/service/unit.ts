/**
 * The systemd user unit of a home: its name, where it lies, what stands in it.
 *
 * Pure. Invariants: every path in it is absolute and as long as it is on this machine; whatever a path holds (spaces, quotes,
 * `%`, `$`) reaches the program unchanged; no secret stands in it. No option that mounts or forbids namespaces, since
 * bubblewrap makes its own, and over a covered /proc the kernel lets nobody mount another.
 */
import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'
import { DeputyError } from '../../protocol/errors.ts'

export interface UnitOptions {
  /** Absolute path of bin/deputy. */
  program: string
  home: string
  /** The configuration file, when it is another than the home's. */
  config: string | null
  /** PATH for agents' commands. */
  path: string
  /** Whether bubblewrap was seen to work without new privileges on this machine. */
  noNewPrivileges: boolean
}

/** `deputy.service` for `~/.deputy`; another home has a name of its own, so that both can run. */
export function unitName(home: string, user: string): string {
  if (home === join(user, '.deputy')) return 'deputy.service'
  const word = basename(home)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 32)
  const mark = createHash('sha256').update(home).digest('hex').slice(0, 8)
  return `deputy-${word === '' ? '' : `${word}-`}${mark}.service`
}

export function unitFolder(env: Readonly<Record<string, string | undefined>>, user: string): string {
  return join(env['XDG_CONFIG_HOME'] || join(user, '.config'), 'systemd', 'user')
}

/** Throws USAGE for a path that no unit file can hold. */
export function unitText({ program, home, config, path, noNewPrivileges }: UnitOptions): string {
  for (const each of [program, home, config ?? '', path]) if (/\p{Cc}/u.test(each)) throw unwritable(each)
  // systemd takes them in arguments, and refuses them in the name of a program.
  if (/["'\\]/.test(program)) throw unwritable(program)
  const command = [program, 'gateway', 'run', '--home', home, ...(config === null ? [] : ['--config', config])]
  return `# Written by "deputy service install", which writes it again; "deputy service uninstall" takes it away.
# Provider keys go into ${home}/.env (mode 0600), one NAME=value a line: the gateway reads it at its start.

[Unit]
Description=Deputy gateway (${percent(home)})
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=exec
# The colon keeps systemd from looking for variables in the paths.
ExecStart=:${command.map(quoted).join(' ')}
# The slash at the end keeps a backslash before it from joining the lines.
WorkingDirectory=${percent(home)}/
Environment=${quoted(`PATH=${path}`)}
Restart=on-failure
RestartSec=2
# Wrong usage does not mend by trying again.
RestartPreventExitStatus=2
# Work that is broken off at the end of this time goes on at the next start.
TimeoutStopSec=60
KillMode=mixed
# A command of an agent that takes too much memory must not take the gateway with it.
OOMPolicy=continue
UMask=0077
# A core file would hold keys.
LimitCORE=0
${noNewPrivileges ? 'NoNewPrivileges=yes\n' : ''}
[Install]
WantedBy=default.target
`
}

function unwritable(path: string): DeputyError {
  return new DeputyError('USAGE', `A unit file cannot hold the path ${JSON.stringify(path)}.`, {
    fix: 'Use a path without line breaks and control characters, and for the program one without quotes and backslashes.',
  })
}

/** One word of a command line or an assignment (systemd.syntax(7)); `%` begins a specifier everywhere. */
function quoted(word: string): string {
  return `"${percent(word).replace(/[\\"]/g, sign => `\\${sign}`)}"`
}

function percent(text: string): string {
  return text.replaceAll('%', '%%')
}
