/** `deputy outbox`: what is to be said in chats and has not been, and trying again what was given up. */
import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import type { OutboxEntry } from '../../protocol/results-outbox.ts'
import { ago, line, table } from '../format.ts'
import { exit } from '../host.ts'
import { limit } from '../parse.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'

interface Options {
  dead?: boolean
  sent?: boolean
  limit: number
}

export function register(command: Command, cli: Cli): void {
  command
    .command('list')
    .description('messages that are not out yet, the newest first')
    .option('--dead', 'only those that were given up')
    .option('--sent', 'only those that were sent')
    .option('--limit <n>', 'how many', limit, 20)
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
pending waits for its turn or its next try, uncertain may have been seen, dead was given up.

Examples:
  $ deputy outbox list
  $ deputy outbox list --dead
  $ deputy outbox retry 17`,
    )
    .action(
      cli.action<Options>((context, options) =>
        withGateway(context, async client => {
          const state = options.dead ? (['dead'] as const) : options.sent ? (['sent'] as const) : null
          const { messages } = await client.request('outbox.list', {
            limit: options.limit,
            ...(state && { state: [...state] }),
          })
          if (context.json) {
            context.document({ messages })
            return exit.done
          }
          if (messages.length === 0) {
            context.say(state ? 'None.' : 'Everything is out.')
            return exit.done
          }
          const head = [
            { title: 'id', right: true },
            { title: 'state' },
            { title: 'to' },
            { title: 'says', elastic: true },
            { title: 'tries', right: true },
            { title: 'since', right: true },
            { title: 'why' },
          ]
          const now = Date.now()
          const rows = messages.map(each => [
            String(each.id),
            each.parts > 1 && each.state !== 'sent' ? `${each.state} ${each.part + 1}/${each.parts}` : each.state,
            line(`${each.channel} ${each.to}`),
            line(each.text),
            String(each.attempt),
            ago(each.createdAt, now),
            line(each.error ?? ''),
          ])
          for (const row of table(head, rows, context.columns, context.paint)) context.say(row)
          return exit.done
        }),
      ),
    )

  command
    .command('retry')
    .description('try a message again that was given up')
    .argument('<id>', 'its number in the list', number)
    .option('--json', 'print one JSON document')
    .action(
      cli.action((context, _options, [id]) =>
        withGateway(context, async client => {
          const { message } = await client.request('outbox.retry', { id: Number(id) })
          if (context.json) context.document(message)
          else context.say(told(message))
          return message.state === 'dead' ? exit.failed : exit.done
        }),
      ),
    )
}

function told(message: OutboxEntry): string {
  const { id, state, channel, to, error } = message
  if (state === 'sent') return `Message ${id} is sent to ${channel} ${line(to)}.`
  return `Message ${id} is ${state}${error === null ? '' : `: ${line(error)}`}.`
}

function number(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('must be the number of a message.')
  return Number(text)
}
