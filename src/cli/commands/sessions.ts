/** `deputy sessions`: the conversations, newest first. */
import type { Command } from 'commander'
import { withFacts } from '../facts.ts'
import { ago, line, table } from '../format.ts'
import { exit } from '../host.ts'
import { limit } from '../parse.ts'
import type { Cli } from '../program.ts'

interface Options {
  agent?: string
  all?: boolean
  limit: number
}

export function register(command: Command, cli: Cli): void {
  command
    .command('list')
    .description('the conversations, the last used first')
    .option('--agent <id>', 'only those of this agent')
    .option('--all', 'those of sub-agents too')
    .option('--limit <n>', 'how many', limit, 20)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Works while the gateway is stopped: it reads the database then.

Examples:
  $ deputy sessions list
  $ deputy sessions list --agent main --all --json`,
    )
    .action(
      cli.action<Options>(async (context, options) => {
        const sessions = await withFacts(context, facts =>
          facts.sessions({
            limit: options.limit,
            subagents: options.all ?? false,
            ...(options.agent && { agent: options.agent }),
          }),
        )
        if (context.json) {
          context.document({ sessions })
          return exit.done
        }
        if (sessions.length === 0) {
          context.say('No conversations yet.')
          return exit.done
        }
        const { paint: p } = context
        const now = Date.now()
        const head = [
          { title: 'session', elastic: true },
          { title: 'agent' },
          { title: 'state' },
          { title: 'label' },
          { title: 'used', right: true },
        ]
        const rows = sessions.map(session => [
          line(session.key),
          line(session.agentId),
          session.status === 'done' ? p.dim('idle') : p.cyan(session.status),
          line(session.label ?? ''),
          ago(session.updatedAt, now),
        ])
        for (const each of table(head, rows, context.columns, p)) context.say(each)
        return exit.done
      }),
    )
}
