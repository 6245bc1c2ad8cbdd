/** `deputy gateway run`: the gateway in the foreground, for a terminal of its own or a service manager. */
import type { Command } from 'commander'
import type { Cli } from '../program.ts'
import { serve } from '../serve.ts'

export function register(command: Command, cli: Cli): void {
  command
    .command('run', { isDefault: true })
    .description('run the gateway until it is told to stop')
    .addHelpText(
      'after',
      `
SIGTERM and Ctrl-C stop it; accepted work goes on at the next start. Log lines go to standard error.

Examples:
  $ deputy gateway run
  $ deputy gateway run --home /srv/deputy`,
    )
    .action(cli.action(context => serve(context)))
}
