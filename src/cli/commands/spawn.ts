/** `deputy spawn`: start a sub-agent by hand, without a model turn. */
import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { line, moment, pairs, plain } from '../format.ts'
import { exit } from '../host.ts'
import { tellEnd } from '../outcome.ts'
import { seconds } from '../parse.ts'
import { pauseCaps, tellPauses } from '../pauses.ts'
import type { Cli } from '../program.ts'
import { waitForEnd, withGateway } from '../reach.ts'
import { shortId } from '../runs.ts'

interface Options {
  wait?: boolean
  session?: string
  label?: string
  model?: string
  timeout?: number
}

export function register(command: Command, cli: Cli): void {
  command
    .argument('<agent>', 'the agent that shall do it')
    .argument('<task>', 'what it shall do')
    .option('--wait', 'wait for its end and print the result')
    .option('--session <key>', "conversation that the result returns to (default: the default agent's main one)")
    .option('--label <text>', 'a short name for lists')
    .option('--model <ref>', 'provider/model for this run')
    .option('--timeout <seconds>', 'end the run after this long', seconds)
    .option('--json', 'print the receipt, or with --wait the end of the run, as one JSON document')
    .addHelpText(
      'after',
      `
Prints what truly started: the run, its model, its tools, its deadline and where the result goes.

Examples:
  $ deputy spawn extractor 'count "ERROR" in logs/api.log' --wait
  $ deputy spawn extractor "read orders.csv" --label orders
  $ deputy runs tree`,
    )
    .action(
      cli.action<Options>((context, options, [agent, task]) =>
        withGateway(
          context,
          async client => {
            const receipt = await client.request('runs.spawn', {
              agent: agent!,
              task: task!,
              idempotencyKey: randomUUID(),
              ...(options.session && { sessionKey: options.session }),
              ...(options.label && { label: options.label }),
              ...(options.model && { model: options.model }),
              ...(options.timeout && { timeoutSeconds: Math.ceil(options.timeout / 1000) }),
            })
            if (options.wait) {
              tellPauses(context, client, receipt.run)
              return tellEnd(context, await waitForEnd(context, client, receipt.run, Number.POSITIVE_INFINITY))
            }
            if (context.json) {
              context.document(receipt)
              return exit.done
            }
            const { paint: p } = context
            context.say(`${p.green('started')} ${receipt.run}`)
            const facts: [string, string][] = [
              ['agent', line(receipt.agent)],
              ['model', line(receipt.model)],
              ['tools', receipt.tools.join(', ') || 'none'],
              ['deadline', receipt.deadlineAt === null ? 'none' : moment(receipt.deadlineAt)],
              ['result to', receipt.returnTo === null ? 'nobody' : plain(options.session ?? 'the main conversation')],
            ]
            for (const each of pairs(facts, p)) context.say(`  ${each}`)
            context.note(p.dim(`  deputy runs show ${shortId(receipt.run)}${context.flags}`))
            return exit.done
          },
          pauseCaps,
        ),
      ),
    )
}
