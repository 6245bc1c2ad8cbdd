/**
 * `exec`: a shell command in the workspace, in a sandbox.
 *
 * Owns the tool, its limits, and the list of commands that are running now. Never runs a command without a sandbox unless
 * that was switched off by name, and never before its process group is a row (decisions.md 13 and 37).
 * Invariants: 1 when a call returns nothing of its command runs any more, background processes included. 2 a command sees
 * no variable of the gateway's environment in the sandbox, and outside it only those of `passed`. 3 memory does not grow
 * with the output.
 */
import { homedir, release as kernel } from 'node:os'
import { delimiter } from 'node:path'
import type { Tool, ToolAnswer, ToolContext } from '../core/ports.ts'
import { DeputyError } from '../protocol/errors.ts'
import type { Zod } from '../protocol/zod.ts'
import { type Held, hold, type Launch } from './command.ts'
import { type Guard, makeGuard, openFolder } from './guard.ts'
import { failed, makeTool, said } from './kit.ts'
import { keepOutput } from './output.ts'
import { callVariable } from './process.ts'
import { commandArguments, findSandbox, type Sandbox } from './sandbox.ts'

export interface ExecSettings {
  sandbox: 'bubblewrap' | 'off'
  /** Commands may use the machine's network, its loopback included. */
  network: boolean
  /** For a command that names no limit, and the highest it may name. */
  timeoutSeconds: number
  maxOutputBytes: number
  /** Folders that come first in PATH; the sandbox shows them read-only. */
  pathPrepend: readonly string[]
  /** Variables that every command sees. */
  env: Readonly<Record<string, string>>
}

export interface Commands {
  tool: Tool
  /** Ends the commands of one run, or all. */
  endAll(run?: string): Promise<{ ended: number; stillAlive: number[] }>
}

const passed = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR']
const standardPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const maxProcesses = 1024
const maxCommand = 100_000
const progressMs = 200
const progressBytes = 4096

/** The gateway outlives a shortage of memory: its commands are ended first. */
const launcher = 'echo 1000 2>/dev/null >/proc/self/oom_score_adj; exec "$@"'

/**
 * Waits for a line before the command, and ends when there will be none. The number of processes is limited where the
 * kernel counts them by namespace (5.14); before, it would count those of the whole user.
 */
function holder(limited: boolean): string {
  const limit = `ulimit -u ${maxProcesses} 2>/dev/null || ulimit -p ${maxProcesses} 2>/dev/null`
  return `read -r _ || exit 125; ulimit -c 0; ${limited ? `${limit}; ` : ''}exec /bin/sh -c -- "$1" </dev/null 2>&1`
}

/** `settings` is asked at each call: they may differ by agent and change with the configuration. */
export function openCommands(stateDir: string, settingsOf: (agent: string) => ExecSettings, zod: () => Zod): Commands {
  const running = new Map<Held, { run: string; end(): Promise<boolean> }>()
  const known: { sandbox?: Sandbox } = {}

  /** Looked up once; a missing bwrap is looked for again, since it may be installed meanwhile. */
  async function sandbox(): Promise<Sandbox> {
    known.sandbox ??= await findSandbox()
    if (!known.sandbox)
      throw new DeputyError('SANDBOX_MISSING', 'Commands run in bubblewrap, which is not installed here.')
    return known.sandbox
  }

  async function run(args: Arguments, context: ToolContext): Promise<ToolAnswer> {
    const settings = settingsOf(context.agent)
    const guard = await makeGuard(context.workspace, stateDir, context.folder)
    const cwd = await folderOf(guard, args.cwd ?? '.')
    const output = keepOutput(settings.maxOutputBytes)
    const watch = watcher(context)
    const onOutput = (chunk: Buffer) => {
      output.add(chunk)
      watch(chunk)
    }
    const launch =
      settings.sandbox === 'off'
        ? openLaunch(args, cwd, settings, context.key, onOutput)
        : await sandboxLaunch(args, cwd, settings, guard, await sandbox(), onOutput)
    context.signal.throwIfAborted()
    const held = await hold(launch)
    const limit = Math.min(args.timeoutSeconds ?? settings.timeoutSeconds, settings.timeoutSeconds)
    const since = performance.now()
    const { why, alive } = await supervise(held, limit, context)
    const exit = alive ? null : await held.done
    if (exit && !exit.ran && why === 'exit') return unsandboxed(exit.complaint)
    return answer(output, {
      why,
      alive,
      code: exit?.code ?? null,
      signal: exit?.signal ?? null,
      limit,
      ms: Math.round(performance.now() - since),
      pid: held.pid,
    })
  }

  /** Releases the command once it is a row, and ends it when its time is over, its run is cancelled or the house closes. */
  async function supervise(held: Held, limit: number, context: ToolContext) {
    const over = Promise.withResolvers<'timeout' | 'cancelled'>()
    const state = { cancelled: false }
    const cancel = () => {
      state.cancelled = true
      over.resolve('cancelled')
    }
    const timer = setTimeout(() => over.resolve('timeout'), limit * 1000)
    const ending: { at?: Promise<boolean> } = {}
    const end = () => (ending.at ??= held.end())
    context.signal.addEventListener('abort', cancel, { once: true })
    const stop = () => {
      cancel()
      return end()
    }
    running.set(held, { run: context.run, end: stop })
    try {
      if (held.mark) await context.started(held.mark)
      if (context.signal.aborted) cancel()
      if (!state.cancelled) held.release()
      const why = await Promise.race([held.done.then(() => 'exit' as const), over.promise])
      return { why, alive: why !== 'exit' && !(await end()) }
    } catch (error) {
      await end()
      throw error
    } finally {
      clearTimeout(timer)
      context.signal.removeEventListener('abort', cancel)
      running.delete(held)
    }
  }

  return {
    tool: makeTool(
      {
        name: 'exec',
        label: 'Run a command',
        group: 'runtime',
        repeat: 'never',
        description:
          'Run a shell command (/bin/sh) in the workspace, as a rule in a sandbox without network. What it leaves running ends with it.',
        aliases: { cmd: 'command', workdir: 'cwd', timeout: 'timeoutSeconds' },
        fixed: { description: [], background: [false], pty: [false], elevated: [false], host: ['auto', 'sandbox'] },
        input: z => {
          const text = z.string().refine(value => !value.includes('\0'), 'has a NUL character')
          return z.object({
            command: text.min(1).max(maxCommand),
            cwd: z.string().optional(),
            timeoutSeconds: z.number().positive().max(86_400).optional(),
            env: z.record(z.string().regex(/^[A-Za-z_]\w*$/), text).optional(),
          })
        },
        run: (args, context) => run(args, context),
      },
      zod,
    ),
    async endAll(only) {
      const targets = [...running].filter(([, entry]) => only === undefined || entry.run === only)
      const ended = await Promise.all(targets.map(([, entry]) => entry.end()))
      return {
        ended: ended.filter(Boolean).length,
        stillAlive: targets.filter((_, at) => !ended[at]).map(([held]) => held.pid),
      }
    },
  }
}

async function folderOf(guard: Guard, path: string): Promise<string> {
  await using folder = await openFolder(guard, path)
  return folder.real
}

interface Arguments {
  command: string
  cwd?: string | undefined
  timeoutSeconds?: number | undefined
  env?: Record<string, string> | undefined
}

function openLaunch(
  args: Arguments,
  cwd: string,
  settings: ExecSettings,
  key: string,
  onOutput: Launch['onOutput'],
): Launch {
  const own = passed.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]))
  const path = [...settings.pathPrepend, process.env['PATH'] ?? standardPath].join(delimiter)
  const env = {
    HOME: homedir(),
    TERM: 'dumb',
    ...Object.fromEntries(own),
    PATH: path,
    ...settings.env,
    ...args.env,
    [callVariable]: key,
  }
  const argv = ['/bin/sh', '-c', launcher, 'sh', '/bin/sh', '-c', holder(false), 'sh', args.command]
  return { argv, cwd, env, user: null, sandbox: null, key, onOutput }
}

async function sandboxLaunch(
  args: Arguments,
  cwd: string,
  settings: ExecSettings,
  guard: Guard,
  sandbox: Sandbox,
  onOutput: Launch['onOutput'],
): Promise<Launch> {
  const path = [...settings.pathPrepend, standardPath].join(':')
  const env = { PATH: path, HOME: '/tmp', TMPDIR: '/tmp', LANG: 'C.UTF-8', TERM: 'dumb', ...settings.env, ...args.env }
  return {
    argv: [
      '/bin/sh',
      '-c',
      launcher,
      'sh',
      sandbox.program,
      '--args',
      '3',
      '--json-status-fd',
      '4',
      '--',
      '/bin/sh',
      '-c',
      holder(countsByNamespace()),
      'sh',
      args.command,
    ],
    cwd: '/',
    env: {},
    user: guard.owner && guard.owner.uid !== 0 ? guard.owner : null,
    sandbox: await commandArguments(sandbox, guard, {
      cwd,
      env,
      network: settings.network,
      tools: settings.pathPrepend,
    }),
    key: '',
    onOutput,
  }
}

function countsByNamespace(): boolean {
  const [major = 0, minor = 0] = kernel().split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 14)
}

/** Shows new output to whoever watches, a few times a second at most. */
function watcher(context: ToolContext): (chunk: Buffer) => void {
  const last = { at: 0 }
  return chunk => {
    const now = performance.now()
    if (now - last.at < progressMs) return
    last.at = now
    context.progress(chunk.subarray(-progressBytes).toString('utf8'))
  }
}

function unsandboxed(complaint: string): ToolAnswer {
  throw new DeputyError('SANDBOX_FAILED', `The sandbox could not be set up: ${complaint || 'bwrap gave no reason'}.`)
}

interface End {
  why: 'exit' | 'timeout' | 'cancelled'
  alive: boolean
  code: number | null
  signal: string | null
  limit: number
  ms: number
  pid: number
}

function answer(output: ReturnType<typeof keepOutput>, end: End): ToolAnswer {
  const text = output.text()
  const status = end.code === null ? `ended by ${end.signal ?? 'a signal'}` : `exit ${end.code}`
  const last = {
    exit: `${status}, ${end.ms} ms`,
    timeout: `ended: it took longer than ${end.limit} s`,
    cancelled: 'ended: cancelled',
  }[end.why]
  const alive = end.alive ? `; process group ${end.pid} could not be ended and is still alive` : ''
  const words = `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}[${last}${alive}]`
  const details = {
    exitCode: end.code,
    signal: end.signal,
    durationMs: end.ms,
    bytes: output.bytes(),
    truncated: output.truncated(),
  }
  if (end.why === 'timeout') return failed('TOOL_TIMEOUT', words, details)
  if (end.why === 'cancelled') return failed('RUN_CANCELLED', words, details)
  return end.code === 0 ? said(words, details) : failed('TOOL_FAILED', words, details)
}
