/** `deputy agent`: one message, one final answer, what was delegated included. */
import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { tellEnd } from '../outcome.ts'
import { seconds } from '../parse.ts'
import { pauseCaps, tellPauses } from '../pauses.ts'
import type { Cli } from '../program.ts'
import { waitForEnd, withGateway } from '../reach.ts'

interface Options {
  message: string
  agent?: string
  session?: string
  timeout?: number
}

export function register(command: Command, cli: Cli): void {
  command
    .requiredOption('-m, --message <text>', 'what to say')
    .option('--agent <id>', 'which agent (default: the default agent)')
    .option('--session <key>', "which conversation (default: the agent's main one)")
    .option('--timeout <seconds>', 'how long to wait for the answer (default: as long as it takes)', seconds)
    .option('--json', 'print the end of the run as one JSON document')
    .addHelpText(
      'after',
      `
Waits until the run is over, sub-agents included. When --timeout runs out the run goes on.

Examples:
  $ deputy agent --message "What stands in notes/monday.md?"
  $ deputy agent --agent extractor --message "count ERROR in logs/api.log"
  $ deputy agent --message "Summarise the week" --timeout 120 --json`,
    )
    .action(
      cli.action<Options>((context, options) =>
        withGateway(
          context,
          async client => {
            const idempotencyKey = randomUUID()
            tellPauses(context, client, idempotencyKey)
            const accepted = Promise.withResolvers<string>()
            const answer = client.request(
              'agent',
              {
                message: options.message,
                idempotencyKey,
                ...(options.agent && { agentId: options.agent }),
                ...(options.session && { sessionKey: options.session }),
              },
              { onProgress: (first: { runId: string }) => accepted.resolve(first.runId) },
            )
            // The second answer tells of the first stretch only; the end of the run is asked for. It still says when it was refused.
            answer.then(done => accepted.resolve(done.runId), accepted.reject)
            const runId = await accepted.promise
            const end = await waitForEnd(context, client, runId, options.timeout ?? Number.POSITIVE_INFINITY)
            return tellEnd(context, end)
          },
          pauseCaps,
        ),
      ),
    )
}
