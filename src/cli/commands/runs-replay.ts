/** `deputy runs replay`: a run's journal from its first step on, as it happened. Carries nothing out again. */
import { createInterface } from 'node:readline'
import type { Command } from 'commander'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { count, line, moment, plain, span, wrap } from '../format.ts'
import { exit } from '../host.ts'
import { type Moment, withJournal } from '../journal.ts'
import type { Cli } from '../program.ts'
import { sign, standing } from '../runs.ts'

interface Options {
  step?: boolean
  all?: boolean
}

export function registerReplay(command: Command, cli: Cli): void {
  command
    .command('replay')
    .description('walk through the journal of a run: what each step was shown, said and did')
    .argument('<run>', 'its id')
    .option('--step', 'wait for Enter after each step')
    .option('--all', 'show of each model call all that it was shown, not only what was new')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nNothing is carried out again; it reads what was written down, whole.\n\nExamples:\n  $ deputy runs replay <run>\n  $ deputy runs replay <run> --step',
    )
    .action(cli.action<Options>((context, options, [run]) => replay(context, options, run!)))
}

async function replay(context: Context, options: Options, id: string): Promise<number> {
  return await withJournal(context, id, async journal => {
    if (journal === null) throw new DeputyError('UNKNOWN_RUN', `There is no run ${id}.`)
    const { run } = journal.facts
    const steps = await journal.moments()
    if (context.json) {
      context.document({ run: run.id, steps })
      return exit.done
    }
    const { paint: p, columns } = context
    context.say(`${p.bold(run.id)}  ${line(run.agent)}, ${moment(run.createdAt)}`)
    const pace = options.step ? openPace(context) : null
    try {
      for (const each of steps) {
        for (const text of told(context, each, options.all === true)) context.say(text)
        if (pace && each !== steps.at(-1) && !(await pace.next())) return exit.done
      }
    } finally {
      pace?.close()
    }
    const why = run.error === null ? '' : `: ${run.error} [${run.errorCode}]`
    context.say(`\n${sign(run, p)} ${wrap(plain(`${standing(run)}${why}`), columns - 2)}`)
    return exit.done
  })
}

/** One Enter a step; the end of the input, or Ctrl-C, is the end of the walk. */
function openPace(context: Context) {
  const input = createInterface({ input: context.host.stdin, terminal: false })
  const lines = input[Symbol.asyncIterator]()
  return {
    async next(): Promise<boolean> {
      context.note(context.paint.dim('Enter goes on, Ctrl-C ends'))
      return !(await lines.next()).done
    },
    close: () => input.close(),
  }
}

const reasons: Record<string, string> = {
  asked: 'a person asked',
  window: 'the window was nearly full',
  provider: 'the provider refused the prompt as too long',
}

function told(context: Context, step: Moment, all: boolean): string[] {
  const { paint: p, columns } = context
  const { n, kind, name, state, startedAt, endedAt, shown, summary, reply, call, result, usage } = step
  const took = startedAt !== null && endedAt !== null ? `, ${span(endedAt - startedAt)}` : ''
  const out = [`\n${p.bold(`${n} ${kind} ${line(name)}`)}  ${p.dim(`${state}${took}`)}`]
  const block = (head: string, text: string) => {
    out.push(`  ${head}`)
    if (text !== '') out.push(wrap(plain(text), columns, '    '))
  }
  if (shown) {
    const { messages, fresh } = shown
    const older = shown.summary === null ? '' : ', older ones as a summary'
    out.push(`  ${p.cyan('shown')}  ${messages.length} ${messages.length === 1 ? 'message' : 'messages'}${older}`)
    if (all && shown.summary !== null) block(p.cyan('summary'), shown.summary)
    for (const { from, text } of all ? messages : fresh)
      block(`${p.cyan(all ? 'read' : 'new')}    from ${line(from)}`, text)
  }
  if (summary) {
    const { why, messages, tokensBefore, tokensAfter, text } = summary
    block(
      `${p.cyan('summary')} of ${messages} messages, ~${count(tokensBefore)} → ~${count(tokensAfter)} tokens (${reasons[why] ?? why})`,
      text,
    )
  }
  if (call) {
    block(p.cyan('given'), JSON.stringify(call.args, null, 2))
    if (call.refused !== null) block(p.red('not run'), call.refused)
  }
  if (reply) {
    const { stop, text, calls } = reply
    block(`${p.cyan('reply')}${stop === null ? '' : `  ${p.dim(stop)}`}`, text)
    for (const each of calls) out.push(wrap(`→ ${line(each.name)} ${line(JSON.stringify(each.args))}`, columns, '    '))
  }
  if (result) block(result.isError ? p.red('error') : p.cyan('result'), result.text)
  if (usage) {
    const { input, output, cacheRead } = usage
    out.push(`  ${p.dim(`tokens ${count(input)} in, ${count(cacheRead)} cached, ${count(output)} out`)}`)
  }
  if (!reply && !result && !summary)
    out.push(`  ${p.yellow(state === 'unknown' ? 'how it ended is not known' : 'no answer yet')}`)
  return out
}
