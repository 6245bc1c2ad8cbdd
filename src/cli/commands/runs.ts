/** `deputy runs`: what is at work and what was done, as a list, a tree, a journal; how to steer, stop and repeat it. */
import type { Command } from 'commander'
import type { RunStep } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { fullId, withFacts } from '../facts.ts'
import { clip, line, span, table } from '../format.ts'
import { exit } from '../host.ts'
import { limit } from '../parse.ts'
import type { Cli } from '../program.ts'
import { runTable, sign, title } from '../runs.ts'
import { registerActs } from './runs-act.ts'
import { registerOne } from './runs-one.ts'
import { registerReplay } from './runs-replay.ts'
import { registerTree } from './runs-tree.ts'

interface ListOptions {
  session?: string
  live?: boolean
  limit: number
}

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
A run is named by its id, or by the short form that the lists show. What only looks (list, tree, show,
steps, log, result, replay) also works while the gateway is stopped: it reads its database.

Examples:
  $ deputy runs list --live
  $ deputy runs tree --watch
  $ deputy runs log <run>
  $ deputy runs steer <run> "leave out the drafts"
  $ deputy runs cancel <run>`,
  )

  command
    .command('list')
    .description('the newest runs')
    .option('--session <key>', 'only those of this conversation')
    .option('--live', 'only those that have not ended')
    .option('--limit <n>', 'how many', limit, 20)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy runs list\n  $ deputy runs list --live --json\n  $ deputy runs list --session agent:main:main',
    )
    .action(cli.action<ListOptions>(list))

  command
    .command('log')
    .description('the journal of a run: each model call and tool call')
    .argument('<run>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy runs log <run>')
    .action(cli.action((context, _options: object, [run]) => log(context, run!)))

  registerTree(command, cli)
  registerOne(command, cli)
  registerReplay(command, cli)
  registerActs(command, cli)
}

async function list(context: Context, options: ListOptions): Promise<number> {
  const runs = await withFacts(context, facts =>
    facts.runs({
      limit: options.limit,
      ...(options.session && { sessionKey: options.session }),
      ...(options.live && { state: ['queued', 'running', 'waiting'] }),
    }),
  )
  if (context.json) context.document({ runs })
  else if (runs.length === 0) context.say(options.live ? 'Nothing is at work.' : 'No runs yet.')
  else for (const each of runTable(runs, context.columns, Date.now(), context.paint)) context.say(each)
  return exit.done
}

async function log(context: Context, id: string): Promise<number> {
  const { run, steps } = await withFacts(context, async facts => facts.log(await fullId(facts, id)))
  if (context.json) {
    context.document({ run, steps })
    return exit.done
  }
  const { paint: p, columns } = context
  context.say(`${sign(run, p)} ${p.bold(line(run.agent))}  ${clip(title(run), columns - 30)}`)
  const head = [
    { title: '#', right: true },
    { title: 'step' },
    { title: 'state' },
    { title: 'what', elastic: true },
    { title: 'time', right: true },
  ]
  const rows = steps.map(step => [
    String(step.n),
    line(step.name),
    step.isError ? p.red('error') : stateOf(step, p),
    gist(step),
    step.startedAt !== null && step.endedAt !== null ? span(step.endedAt - step.startedAt) : '',
  ])
  for (const each of table(head, rows, columns, p)) context.say(each)
  return exit.done
}

function stateOf(step: RunStep, p: Context['paint']): string {
  if (step.state === 'done') return p.green('done')
  return step.state === 'unknown' ? p.red('unknown') : p.yellow(step.state)
}

/** Arguments of a call, words of an answer. */
function gist(step: RunStep): string {
  const args = step.args === undefined ? '' : line(JSON.stringify(step.args))
  const text = step.text === undefined ? '' : line(step.text)
  return args !== '' && text !== '' ? `${clip(args, 40)} → ${text}` : args || text
}
