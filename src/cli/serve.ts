/**
 * Runs the gateway in this process until it is told to stop, and says what a newcomer needs to know at its start.
 * Owns the ready text and the order of the end; everything else is the composition root's.
 */
import type { Context } from './context.ts'
import { padEnd, plain, width, wrap } from './format.ts'
import { exit, type RunningGateway } from './host.ts'
import { untilSignal } from './signals.ts'

const providers = 'ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY or OPENROUTER_API_KEY'

/** Where the log goes besides the home's log file: to standard error, or nowhere while a chat has the terminal. */
export type LogTo = 'stderr' | 'nowhere'

export function startGateway(context: Context, to: LogTo, options: { tcp?: false } = {}): Promise<RunningGateway> {
  const { host, home } = context
  return host.startGateway({
    home: home.dir,
    configFile: home.config,
    env: host.env,
    log: line => to === 'stderr' && context.note(plain(line)),
    ...options,
  })
}

/** The ready line, and below it where things are and what to do next. */
export function readyText(context: Context, { ready }: RunningGateway): string[] {
  const { paint: p, columns, home, host, flags } = context
  const where = ready.url ?? `unix socket ${ready.socket}`
  const lines = [
    `${p.green('●')} ${p.bold(`Deputy ${host.version} is ready`)} on ${where}`,
    p.dim(`  home   ${home.dir}`),
    `${p.dim('  model')}  ${plain(ready.model)}`,
  ]
  if (ready.model.startsWith('rehearsal/')) {
    const text =
      `The rehearsal model is not a language model: it follows a few commands, so that everything can be tried without a key. ` +
      `For a real one set ${providers} and start again, or run Ollama on this machine. Say "help" to see the commands.`
    lines.push(p.yellow(wrap(text, columns, '         ')))
  }
  for (const warning of ready.warnings)
    lines.push(p.yellow(wrap(plain(warning), columns, '  ! ').replaceAll('\n  ! ', '\n    ')))
  const next = [`deputy chat${flags}`, `deputy agent --message "…"${flags}`, 'deputy --help']
  return [...lines, ...named('next', next, context)]
}

/** A name and what belongs to it: on one line where that fits, else one a line, so that a command stays whole. */
export function named(name: string, items: readonly string[], { columns, paint: p }: Context): string[] {
  const head = `  ${padEnd(name, 7)}`
  const all = items.join(' · ')
  const rows = width(head) + width(all) <= columns ? [all] : items
  return rows.map((row, at) => p.dim(`${at === 0 ? head : ' '.repeat(width(head))}${row}`))
}

/** Foreground, no prompt: what a service manager runs. */
export async function serve(context: Context): Promise<number> {
  const signals = untilSignal(['SIGINT', 'SIGTERM', 'SIGHUP'])
  try {
    const gateway = await startGateway(context, 'stderr')
    for (const each of readyText(context, gateway)) context.say(each)
    const signal = await signals.first
    context.note(`Stopping (${signal}) …`)
    return await stopGateway(gateway, signals.second)
  } finally {
    signals.off()
  }
}

/** Ends in order; a second signal does not wait for it. What was accepted goes on at the next start either way. */
export async function stopGateway(gateway: RunningGateway, hurry: Promise<unknown>): Promise<number> {
  return await Promise.race([gateway.stop().then(() => exit.done), hurry.then(() => exit.failed)])
}
