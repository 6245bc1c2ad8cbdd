/** `deputy runs`: what is at work and what was done, as a list, a tree, a journal; and how to stop it. */
import type { Command } from 'commander'
import { DeputyError } from '../../protocol/errors.ts'
import type { CancelResult, RunRow, RunStep } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { ago, clip, count, line, moment, money, pairs, plain, span, table, wrap } from '../format.ts'
import { exit } from '../host.ts'
import { fromGateway, fullId, withFacts } from '../facts.ts'
import { limit } from '../parse.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'
import { drawTree, runTable, runtime, shortId, sign, standing, title } from '../runs.ts'

interface ListOptions {
  session?: string
  live?: boolean
  limit: number
}

interface CancelOptions {
  session?: string
  all?: boolean
}

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
A run is named by its id, or by the short form that the lists show. list, show, tree and log also work
while the gateway is stopped: they read its database.

Examples:
  $ deputy runs list --live
  $ deputy runs tree
  $ deputy runs log <run>
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
    .command('show')
    .description('everything about one run')
    .argument('<run>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy runs show <run>')
    .action(cli.action((context, _options: object, [run]) => show(context, run!)))

  command
    .command('tree')
    .description('a run with all that it delegated')
    .argument('[run]', 'any run of the tree (default: all trees at work, else the newest)')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\n○ queued  ● running  ◔ waiting  ✓ succeeded  ✗ failed\n⊘ cancelled  ⧗ timed out  ↯ interrupted  ¤ budget used up\n\nExamples:\n  $ deputy runs tree\n  $ deputy runs tree <run> --json',
    )
    .action(cli.action((context, _options: object, [run]) => tree(context, run)))

  command
    .command('log')
    .description('the journal of a run: each model call and tool call')
    .argument('<run>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy runs log <run>')
    .action(cli.action((context, _options: object, [run]) => log(context, run!)))

  command
    .command('cancel')
    .description('stop a run and everything below it')
    .argument('[run]', 'its id')
    .option('--session <key>', 'all runs of this conversation, and what waits in it')
    .option('--all', 'all runs')
    .option('--json', 'print what was stopped as one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy runs cancel <run>\n  $ deputy runs cancel --session agent:main:main\n  $ deputy runs cancel --all',
    )
    .action(cli.action<CancelOptions>((context, options, [run]) => cancel(context, options, run)))
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

async function show(context: Context, id: string): Promise<number> {
  const run = await withFacts(context, async facts => facts.run(await fullId(facts, id)))
  if (context.json) {
    context.document({ run })
    return exit.done
  }
  const { paint: p, columns } = context
  const now = Date.now()
  const budget = [
    run.budget.nano === null ? '' : money(run.budget.nano),
    run.budget.tokens === null ? '' : `${count(run.budget.tokens)} tokens`,
    run.budget.calls === null ? '' : `${run.budget.calls} calls`,
  ].filter(each => each !== '')
  const spent = [`${count(run.spent.tokens)} tokens`, `${run.spent.calls} calls`, money(run.spent.nano)]
  const facts: [string, string][] = [
    ['state', `${sign(run, p)} ${standing(run)}${run.waitsFor ? p.dim(` for ${line(run.waitsFor)}`) : ''}`],
    ['agent', line(run.agent)],
    ['task', clip(line(run.task), columns - 12)],
    ['label', line(run.label ?? '')],
    ['model', line(run.model)],
    ['session', run.sessionKey],
    ['asked', `${moment(run.createdAt)} ${p.dim(`(${ago(run.createdAt, now)})`)}`],
    ['time', runtime(run, now)],
    ['deadline', run.deadlineAt === null ? '' : moment(run.deadlineAt)],
    ['spent', spent.filter(each => each !== '').join(', ')],
    ['budget', budget.join(', ')],
    ['steps', String(run.steps)],
    ['parent', run.parent ?? ''],
    ['children', String(run.children.length || '')],
    ['why', run.error === null ? '' : `${plain(run.error)} ${p.dim(`[${run.errorCode}]`)}`],
  ]
  context.say(p.bold(run.run))
  for (const each of pairs(
    facts.filter(([, value]) => value !== ''),
    p,
  ))
    context.say(`  ${each}`)
  if (run.result) context.say(`\n${wrap(plain(run.result), columns, '  ')}`)
  return exit.done
}

async function tree(context: Context, id: string | undefined): Promise<number> {
  const trees = await withFacts(context, async facts => {
    if (id !== undefined) return [await facts.tree(await fullId(facts, id))]
    const live = await facts.runs({ limit: 200, state: ['queued', 'running', 'waiting'] })
    const newest = live.length > 0 ? live : await facts.runs({ limit: 1 })
    const one = new Map(newest.map(run => [run.tree, run.run]))
    return await Promise.all([...one.values()].map(run => facts.tree(run)))
  })
  const shown = id === undefined ? trees.map(recent) : trees
  if (context.json) context.document({ runs: shown.flat() })
  else if (shown.flat().length === 0) context.say('No runs yet.')
  else for (const each of drawTree(shown.flat(), context.columns, Date.now(), context.paint)) context.say(each)
  return exit.done
}

/** Of a conversation with many runs, the top ones at work and what hangs below them; when none is, the newest. */
function recent(runs: readonly RunRow[]): readonly RunRow[] {
  const byId = new Map(runs.map(run => [run.run, run]))
  const top = (run: RunRow): RunRow => {
    const parent = run.parent === null ? undefined : byId.get(run.parent)
    return parent ? top(parent) : run
  }
  const live = new Set(runs.filter(run => run.state !== 'done').map(run => top(run).run))
  const newest = runs.filter(run => top(run) === run).at(-1)
  if (live.size === 0 && newest) live.add(newest.run)
  return runs.filter(run => live.has(top(run).run))
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

async function cancel(context: Context, options: CancelOptions, run: string | undefined): Promise<number> {
  const named = [run !== undefined, options.session !== undefined, options.all === true].filter(Boolean).length
  if (named !== 1)
    throw new DeputyError('USAGE', 'Say what to stop: one of a run id, --session <key> and --all.', {
      fix: 'deputy runs cancel --help',
    })
  const report = await withGateway(context, async client =>
    client.request('runs.cancel', {
      reason: 'deputy runs cancel',
      ...(run !== undefined && { run: await fullId(fromGateway(client), run) }),
      ...(options.session !== undefined && { sessionKey: options.session }),
      ...(options.all && { all: true as const }),
    }),
  )
  if (context.json) context.document(report)
  else tellCancel(context, report)
  return report.processes.stillAlive.length === 0 ? exit.done : exit.failed
}

function tellCancel(context: Context, report: CancelResult): void {
  const { paint: p, columns } = context
  if (report.runs.length === 0) context.say('Nothing was at work.')
  else {
    context.say(`Stopped ${report.runs.length} ${report.runs.length === 1 ? 'run' : 'runs'}:`)
    const head = [{ title: 'run' }, { title: 'agent' }, { title: 'was' }, { title: 'task', elastic: true }]
    const rows = report.runs.map(each => [shortId(each.run), line(each.agent), each.was, line(each.task)])
    for (const each of table(head, rows, columns, p)) context.say(each)
  }
  if (report.alreadyDone.length > 0) context.say(p.dim(`Had already ended: ${report.alreadyDone.length}`))
  if (report.dropped.length > 0) {
    context.say(`Taken back, not yet read: ${report.dropped.length}`)
    for (const each of report.dropped) context.say(`  ${clip(line(each), columns - 2)}`)
  }
  if (report.processes.ended > 0) context.say(`Ended processes: ${report.processes.ended}`)
  if (report.processes.stillAlive.length > 0)
    context.note(`${p.red('deputy:')} still alive: process ${report.processes.stillAlive.join(', ')}`)
}
