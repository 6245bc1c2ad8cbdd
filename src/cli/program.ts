/**
 * The command line: which commands there are, what is common to all, how each ends.
 *
 * Owns the list and the exit code; a command's own options and work lie in its file, which is read only when its name
 * stands in the arguments. A command returns its exit code or throws; nothing here or below exits the process.
 */
import { Command, CommanderError } from 'commander'
import { homeOf } from '../config/home.ts'
import { DeputyError } from '../protocol/errors.ts'
import { type Context, colourful, exitOf, openContext, problemOf, problemText, widest } from './context.ts'
import { paint } from './format.ts'
import { exit, type Host } from './host.ts'

/** Turns a command's body into what commander calls: opens the context, keeps the exit code. */
export interface Cli {
  action<Options>(body: (context: Context, options: Options, args: string[]) => Promise<number>): () => Promise<void>
}

type Register = (command: Command, cli: Cli) => void

interface Entry {
  name: string
  summary: string
  load(): Promise<{ register: Register }>
}

const entries: readonly Entry[] = [
  {
    name: 'start',
    summary: 'start the gateway and, in a terminal, chat with it',
    load: () => import('./commands/start.ts'),
  },
  { name: 'chat', summary: 'chat with an agent in the terminal', load: () => import('./commands/chat.ts') },
  {
    name: 'agent',
    summary: 'send one message and wait for the final answer',
    load: () => import('./commands/agent.ts'),
  },
  { name: 'spawn', summary: 'start a sub-agent on a task', load: () => import('./commands/spawn.ts') },
  { name: 'runs', summary: 'list, show, watch, steer and cancel runs', load: () => import('./commands/runs.ts') },
  {
    name: 'approvals',
    summary: 'what waits for your yes or no, what you have allowed for good',
    load: () => import('./commands/approvals.ts'),
  },
  { name: 'usage', summary: 'what was spent, on what and by whom', load: () => import('./commands/usage.ts') },
  { name: 'agents', summary: 'the agents of the configuration', load: () => import('./commands/agents.ts') },
  { name: 'sessions', summary: 'the conversations', load: () => import('./commands/sessions.ts') },
  { name: 'message', summary: 'say something in a chat', load: () => import('./commands/message.ts') },
  { name: 'outbox', summary: 'messages that are not out yet', load: () => import('./commands/outbox.ts') },
  {
    name: 'status',
    summary: 'what runs, what waits, what needs attention',
    load: () => import('./commands/status.ts'),
  },
  { name: 'health', summary: 'whether the gateway answers', load: () => import('./commands/health.ts') },
  {
    name: 'devices',
    summary: 'which devices ask and which are let in; approve and remove',
    load: () => import('./commands/devices.ts'),
  },
  {
    name: 'channels',
    summary: 'chat services: set up, log in, see how they stand',
    load: () => import('./commands/channels.ts'),
  },
  {
    name: 'pairing',
    summary: 'people who ask to write to the agent; let them in',
    load: () => import('./commands/pairing.ts'),
  },
  { name: 'config', summary: 'read and change the configuration', load: () => import('./commands/config.ts') },
  {
    name: 'doctor',
    summary: 'find what is wrong, mend what is certain, prove delegation',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'explain',
    summary: 'what a refusal means here and who can grant it; how a run stands',
    load: () => import('./commands/explain.ts'),
  },
  { name: 'import', summary: 'bring a home of OpenClaw over', load: () => import('./commands/import.ts') },
  { name: 'dashboard', summary: 'a one-time login link for a browser', load: () => import('./commands/dashboard.ts') },
  { name: 'service', summary: 'the gateway as a systemd service', load: () => import('./commands/service.ts') },
  { name: 'gateway', summary: 'run the gateway in the foreground', load: () => import('./commands/gateway.ts') },
  {
    name: 'demo',
    summary: 'see an agent delegate to sub-agents, in a throw-away home',
    load: () => import('./commands/demo.ts'),
  },
]

const examples = `
Examples:
  $ deputy start                                   gateway and chat, right here
  $ deputy agent --message "What is in logs/?"     one question, one answer
  $ deputy spawn extractor "count ERROR in logs/api.log" --wait
  $ deputy runs tree                               what is at work, as a tree
  $ deputy config set agents.defaults.model anthropic/claude-sonnet-4-5

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 gateway not reachable.
DEPUTY_HOME names another home; NO_COLOR turns colours off.`

interface CommonOptions {
  home?: string
  config?: string
  json?: boolean
}

/** Runs one command line and returns its exit code. */
export async function run(host: Host): Promise<number> {
  let code: number = exit.done
  const program = new Command('deputy')
  const asksJson = host.argv.includes('--json')

  const cli: Cli = {
    action: body =>
      async function (this: void, ...all: unknown[]) {
        const command = all.at(-1) as Command
        const options = command.optsWithGlobals<CommonOptions>()
        const context = openContext(host, {
          home: homeOf({ home: options.home, config: options.config, env: host.env }),
          flags: flagsOf(options),
          json: options.json ?? false,
        })
        code = await body(context, options as never, command.args)
      },
  }

  program
    .description(
      'A self-hosted gateway for AI agents whose sub-agents run in parallel, survive crashes and report back.',
    )
    .option('--home <dir>', 'state directory (default: $DEPUTY_HOME, else ~/.deputy)')
    .option('--config <file>', 'configuration file (default: deputy.json in the home)')
    .version(host.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .configureHelp({ showGlobalOptions: true })
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', examples)
    .showHelpAfterError('(deputy --help shows what there is)')
    .configureOutput({
      writeOut: text => void host.stdout.write(text),
      writeErr: text => void host.stderr.write(text),
      getOutHelpWidth: () => Math.min(host.stdout.columns ?? widest, widest),
      getErrHelpWidth: () => Math.min(host.stderr.columns ?? widest, widest),
    })

  for (const entry of entries) {
    const command = program.command(entry.name).description(entry.summary)
    if (host.argv.includes(entry.name)) (await entry.load()).register(command, cli)
  }
  inherit(program)

  try {
    if (host.argv.length === 0) program.outputHelp()
    else await program.parseAsync(host.argv, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exit.done
      if (asksJson) {
        const message = error.message.replace(/^error: /, '')
        host.stdout.write(`${JSON.stringify({ error: new DeputyError('USAGE', message).shape() }, null, 2)}\n`)
      }
      return exit.usage
    }
    const problem = problemOf(error)
    if (asksJson) host.stdout.write(`${JSON.stringify({ error: problem }, null, 2)}\n`)
    host.stderr.write(`${problemText(problem, paint(colourful(host.stderr, host.env)))}\n`)
    return exitOf(problem.code)
  }
}

/** ` --home x --config y` as they were given: a command that is suggested must reach the same house. */
function flagsOf(options: CommonOptions): string {
  const home = options.home ? ` --home ${options.home}` : ''
  return options.config ? `${home} --config ${options.config}` : home
}

/** Settings that commander does not hand down to commands by itself when they are made before the settings. */
function inherit(command: Command): void {
  command.exitOverride()
  for (const each of command.commands) {
    each.copyInheritedSettings(command)
    inherit(each)
  }
}
