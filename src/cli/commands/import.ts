/** `deputy import`: a home of OpenClaw comes over, and each thing that was taken or left is named. */
import type { Command } from 'commander'
import { expand } from '../../config/home.ts'
import { plain, wrap } from '../format.ts'
import { exit } from '../host.ts'
import type { Item } from '../import/item.ts'
import type { Cli } from '../program.ts'

interface Options {
  from: string
  dryRun?: boolean
  force?: boolean
}

export function register(command: Command, cli: Cli): void {
  command
    .option('--from <dir>', 'the directory of OpenClaw', '~/.openclaw')
    .option('--dry-run', 'say what would be done, write nothing')
    .option('--force', 'replace a deputy.json that differs; the old one is kept as .bak')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Stop both gateways first. OpenClaw's files are read and never changed. Importing again takes what is
missing. Ends with 1 when something could not be taken. docs/import.md says what is taken and what is not.

Examples:
  $ deputy import --dry-run
  $ deputy import
  $ deputy import --from /srv/openclaw --json`,
    )
    .action(
      cli.action<Options>(async (context, { from, dryRun: dry = false, force = false }) => {
        const { home, host } = context
        const source = expand(from, home.user, process.cwd())
        const { bring } = await import('../import/bring.ts')
        const items = await bring({ source, home, env: host.env, dry, force }, line => context.note(line))
        if (context.json) context.document({ from: source, home: home.dir, dryRun: dry, items })
        else {
          for (const each of items) for (const line of told(each, dry, context.columns)) context.say(line)
          if (dry) context.note('Nothing was written.')
        }
        return items.some(({ state }) => state === 'failed') ? exit.failed : exit.done
      }),
    )
}

function told({ state, what, from, why, todo }: Item, dry: boolean, columns: number): string[] {
  const word = state === 'taken' && dry ? 'would take' : state
  const lines = [wrap(plain(`${word}: ${what} (${from}): ${why}`), columns, '  ').slice(2)]
  if (todo !== null) lines.push(wrap(plain(`→ ${todo}`), columns, '    '))
  return lines
}
