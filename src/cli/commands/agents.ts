/** `deputy agents`: who works here and whom each may spawn, from the configuration. Needs no gateway. */
import type { Command } from 'commander'
import { agentIds, agentOf } from '../../config/read.ts'
import { openConfig } from '../../config/store.ts'
import { line, table } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'

export function register(command: Command, cli: Cli): void {
  command
    .command('list')
    .description('the agents of the configuration')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExamples:\n  $ deputy agents list\n  $ deputy agents list --json')
    .action(
      cli.action(async context => {
        const config = openConfig({
          home: context.home.dir,
          file: context.home.config,
          env: context.host.env,
        }).current()
        const agents = agentIds(config).map(id => {
          const { name, description, isDefault, model, workspace, subagents } = agentOf(config, id)
          return { id, name, description, isDefault, model, workspace, subagents }
        })
        if (context.json) {
          context.document({ agents })
          return exit.done
        }
        const { paint: p } = context
        const head = [
          { title: 'agent' },
          { title: 'model' },
          { title: 'may spawn' },
          { title: 'depth', right: true },
          { title: 'workspace', elastic: true },
        ]
        const rows = agents.map(agent => [
          agent.isDefault ? `${p.bold(agent.id)} ${p.dim('(default)')}` : agent.id,
          line(agent.model.primary ?? 'first with a key'),
          line(agent.subagents.allowAgents?.join(', ') ?? 'itself'),
          String(agent.subagents.maxSpawnDepth),
          line(agent.workspace),
        ])
        for (const each of table(head, rows, context.columns, p)) context.say(each)
        return exit.done
      }),
    )
}
