/** `deputy config`: read, change and check deputy.json. Needs no gateway; one that runs takes a change by itself. */
import type { Command } from 'commander'
import JSON5 from 'json5'
import { getAt, parsePath } from '../../config/path.ts'
import { type Change, type ConfigStore, openConfig } from '../../config/store.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Context } from '../context.ts'
import { plain } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'

interface GetOptions {
  showSecrets?: boolean
}

interface SetOptions {
  string?: boolean
}

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
Keys are written like gateway.port, agents.entries.main.model or models.providers["my.host"].baseUrl.

Examples:
  $ deputy config get agents.defaults.model
  $ deputy config set agents.defaults.model anthropic/claude-sonnet-4-5
  $ deputy config set agents.entries.main.subagents.allowAgents '["extractor"]'
  $ deputy config validate`,
  )

  command
    .command('get')
    .description('the value of a key, defaults included; without a key, everything')
    .argument('[key]', 'which')
    .option('--show-secrets', 'print secrets instead of a placeholder')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy config get\n  $ deputy config get gateway.port\n  $ deputy config get gateway.auth.token --show-secrets',
    )
    .action(cli.action<GetOptions>((context, options, [key]) => get(context, options, key)))

  command
    .command('set')
    .description('set a key; the file is checked before it is written, comments stay')
    .argument('<key>', 'which')
    .argument('<value>', 'JSON5, or plain text')
    .option('--string', 'take the value as text, also where it looks like a number or a list')
    .option('--json', 'print what changed as one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy config set gateway.port 18800\n  $ deputy config set agents.entries.extractor \'{ description: "Reads files" }\'',
    )
    .action(
      cli.action<SetOptions>((context, options, [key, value]) => {
        const parsed = options.string ? value! : parseValue(value!)
        return change(context, config => config.set(key!, parsed), `${key} is set.`)
      }),
    )

  command
    .command('unset')
    .description('take a key out, so that its default holds')
    .argument('<key>', 'which')
    .option('--json', 'print what changed as one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy config unset agents.defaults.model')
    .action(
      cli.action((context, _options: object, [key]) =>
        change(context, config => config.set(key!, undefined), `${key} is taken out.`),
      ),
    )

  command
    .command('validate')
    .description('check the file; ends with 1 when it would be refused')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExamples:\n  $ deputy config validate\n  $ deputy config validate --config new.json')
    .action(cli.action(validate))

  command
    .command('path')
    .description('where the file is')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ $EDITOR "$(deputy config path)"')
    .action(
      cli.action(async context => {
        if (context.json) context.document({ path: context.home.config, home: context.home.dir })
        else context.say(context.home.config)
        return exit.done
      }),
    )

  command
    .command('restore')
    .description('go back to the last configuration that worked')
    .option('--json', 'print what changed as one JSON document')
    .addHelpText(
      'after',
      '\nThe file as it is now is kept beside it as deputy.json.bak.\n\nExample:\n  $ deputy config restore',
    )
    .action(
      cli.action(context => change(context, config => config.restore(), 'The last configuration that worked is back.')),
    )
}

function open(context: Context): ConfigStore {
  return openConfig({ home: context.home.dir, file: context.home.config, env: context.host.env })
}

/** JSON5 where it is JSON5, else the text itself: `true` is a flag, `loopback` a word. */
function parseValue(text: string): unknown {
  try {
    return JSON5.parse(text)
  } catch {
    return text
  }
}

async function get(context: Context, options: GetOptions, key: string | undefined): Promise<number> {
  const store = open(context)
  const { home: _, ...plainly } = store.current()
  const whole = options.showSecrets ? plainly : store.view().config
  const value = key === undefined ? whole : getAt(whole, parsePath(key))
  if (value === undefined)
    throw new DeputyError('CONFIG_INVALID', `${key} has no value, and there is no default.`, {
      fix: `Set it: deputy config set ${key} <value>`,
    })
  if (context.json) context.document(value)
  else context.say(typeof value === 'string' ? plain(value) : JSON.stringify(value, null, 2))
  return exit.done
}

async function change(context: Context, make: (config: ConfigStore) => Promise<Change>, said: string): Promise<number> {
  const store = open(context)
  const existed = store.exists
  const done = await make(store)
  if (context.json) {
    context.document(done)
    return exit.done
  }
  const { paint: p } = context
  context.say(done.changed.length === 0 ? 'Nothing changed: it was so already.' : said)
  if (existed && !done.commentsKept)
    context.note(p.yellow('The file had to be written anew, without its comments; they are in deputy.json.bak.'))
  if (done.restart.length > 0)
    context.note(p.dim(`A gateway that runs takes this at its next start: ${done.restart.join(', ')}`))
  return exit.done
}

async function validate(context: Context): Promise<number> {
  const { exists, issues, warnings } = open(context)
  const valid = issues.length === 0
  const { paint: p, home } = context
  if (context.json) {
    context.document({ path: home.config, exists, valid, issues, warnings })
    return valid ? exit.done : exit.failed
  }
  for (const { path, message, line, column } of issues) {
    const place = line === undefined ? '' : p.dim(` (line ${line}, column ${column})`)
    context.say(`${p.red('✗')} ${plain(path)}${place}: ${plain(message)}`)
  }
  for (const { path, message } of warnings) context.say(`${p.yellow('!')} ${plain(path)}: ${plain(message)}`)
  if (valid)
    context.say(
      exists ? `${p.green('✓')} ${home.config} is fine.` : `${home.config} does not exist: every default holds.`,
    )
  return valid ? exit.done : exit.failed
}
