/** `deputy health`: one question that any monitor may ask. Creates nothing and needs no scope. */
import type { Command } from 'commander'
import { plain, span } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'

export function register(command: Command, cli: Cli): void {
  command
    .option('--json', "print the gateway's answer as one JSON document")
    .addHelpText(
      'after',
      `
Ends with 0 when the gateway is well, 1 when something is wrong, 3 when it does not answer.

Examples:
  $ deputy health
  $ deputy health --json`,
    )
    .action(
      cli.action(context =>
        withGateway(context, async client => {
          const started = performance.now()
          const health = await client.request('health', {})
          const took = performance.now() - started
          const { paint: p } = context
          if (context.json) context.document(health)
          else if (health.ok) context.say(`${p.green('ok')} ${p.dim(`answered in ${span(took)}`)}`)
          else context.say(p.red('not well'))
          if (!context.json)
            for (const problem of health.problems)
              context.say(`  ${plain(problem.message)} ${p.dim(`[${problem.code}]`)}`)
          return health.ok ? exit.done : exit.failed
        }),
      ),
    )
}
