/** `deputy runs cancel`, `steer`, `retry` and `fork`: what a person does about a run. */
import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { DeputyError } from '../../protocol/errors.ts'
import type { CancelResult } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { fromGateway, fullId } from '../facts.ts'
import { clip, line, table } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'
import { shortId } from '../runs.ts'

interface CancelOptions {
  session?: string
  all?: boolean
}

interface ForkOptions {
  at: string
  model?: string
  message?: string
}

export function registerActs(command: Command, cli: Cli): void {
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

  command
    .command('steer')
    .description('write to a run at work; it reads it at its next step')
    .argument('<run>', 'its id')
    .argument('<text...>', 'what it shall know')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy runs steer <run> "leave out the drafts"')
    .action(cli.action((context, _options: object, [run, ...words]) => steer(context, run!, words.join(' '))))

  for (const verb of ['pause', 'resume'] as const)
    command
      .command(verb)
      .description(
        verb === 'pause'
          ? 'nobody takes the run up until it is resumed; a call in flight is heard out, deadlines go on'
          : 'let a paused run go on',
      )
      .argument('<run>', 'its id')
      .option('--tree', 'with everything below it that is at work')
      .option('--json', 'print one JSON document')
      .addHelpText('after', `\nExamples:\n  $ deputy runs ${verb} <run>\n  $ deputy runs ${verb} <run> --tree`)
      .action(cli.action<{ tree?: boolean }>((context, options, [run]) => pause(context, verb, options, run!)))

  command
    .command('retry')
    .description('give the task of an ended run to a new one; the result goes to the same place')
    .argument('<run>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy runs retry <run>')
    .action(cli.action((context, _options: object, [run]) => retry(context, run!)))

  command
    .command('fork')
    .description('go on with a copy of a run from one of its steps; the run itself stays as it is')
    .argument('<run>', 'its id')
    .requiredOption(
      '--at <step>',
      'a model call is made anew, after a tool call its result is there (runs steps lists them)',
    )
    .option('--model <model>', 'another model, as provider/model or alias')
    .option('--message <text>', 'what it is told to do now')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nThe copy is a conversation of its own: messages are copied, files and whatever else was done are not rolled back.\nIts result comes to you, never to where the run answers.\n\nExamples:\n  $ deputy runs fork <run> --at 3\n  $ deputy runs fork <run> --at 3 --model anthropic/claude-opus-4-5 --message "Try it without the cache"',
    )
    .action(cli.action<ForkOptions>((context, options, [run]) => fork(context, options, run!)))
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

async function steer(context: Context, id: string, message: string): Promise<number> {
  const { named, sent } = await withGateway(context, async client => {
    const run = await fullId(fromGateway(client), id)
    return { named: run, sent: await client.request('runs.steer', { run, message, idempotencyKey: randomUUID() }) }
  })
  if (context.json) context.document(sent)
  else if (sent.status === 'command') context.say('It was a command, and was carried out.')
  else if (sent.status === 'absorbed') context.say(`${shortId(sent.run)} reads it at its next step.`)
  else context.say(`${shortId(named)} had just ended: ${sent.run} was started to read it.`)
  return exit.done
}

async function pause(
  context: Context,
  verb: 'pause' | 'resume',
  options: { tree?: boolean },
  id: string,
): Promise<number> {
  const report = await withGateway(context, async client => {
    const run = await fullId(fromGateway(client), id)
    return await client.request(`runs.${verb}`, { run, ...(options.tree && { tree: true }) })
  })
  if (context.json) {
    context.document(report)
    return exit.done
  }
  const said = verb === 'pause' ? 'Paused' : 'Going on'
  if (report.runs.length === 0) context.say(verb === 'pause' ? 'It is paused already.' : 'It is not paused.')
  for (const each of report.runs)
    context.say(`${said}: ${shortId(each.run)}  ${line(each.agent)}  ${clip(line(each.task), 60)}`)
  return exit.done
}

async function retry(context: Context, id: string): Promise<number> {
  const again = await withGateway(context, async client => {
    const run = await fullId(fromGateway(client), id)
    return await client.request('runs.retry', { run, idempotencyKey: randomUUID() })
  })
  if (context.json) {
    context.document(again)
    return exit.done
  }
  context.say(`${context.paint.green('started')} ${again.run}`)
  context.say(`  ${line(again.agent)} again; the result goes to ${line(again.returnTo)}`)
  if (again.left.length > 0) context.note(`Not asked again: ${again.left.join(', ')}`)
  return exit.done
}

async function fork(context: Context, options: ForkOptions, id: string): Promise<number> {
  const step = Number(options.at)
  if (!Number.isInteger(step) || step < 1)
    throw new DeputyError('USAGE', `--at needs the number of a step, not ${JSON.stringify(options.at.slice(0, 40))}.`, {
      fix: 'deputy runs steps <run> lists them.',
    })
  const forked = await withGateway(context, async client => {
    const run = await fullId(fromGateway(client), id)
    return await client.request('runs.fork', {
      run,
      step,
      idempotencyKey: randomUUID(),
      ...(options.model !== undefined && { model: options.model }),
      ...(options.message !== undefined && { message: options.message }),
    })
  })
  if (context.json) {
    context.document(forked)
    return exit.done
  }
  const { paint: p } = context
  context.say(`${p.green('started')} ${forked.run}`)
  context.say(`  a copy of ${shortId(forked.of)} from step ${forked.step} on, with ${line(forked.model)}`)
  context.say(
    `  in the conversation ${line(forked.sessionKey)}, which begins with ${forked.messages} ${forked.messages === 1 ? 'message' : 'messages'}`,
  )
  context.note('Files and whatever else the run did are as they are now: nothing was rolled back.')
  context.note(`What it says: deputy runs result ${shortId(forked.run)}`)
  return exit.done
}
