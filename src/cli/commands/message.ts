/** `deputy message`: say something in a chat by hand, change it, react to a message, ask a poll. */
import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import type { SendResult } from '../../protocol/results-outbox.ts'
import type { Context } from '../context.ts'
import { line } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'

interface Options {
  channel: string
  target: string
  account?: string
  thread?: string
  message?: string
  media?: string[]
  agent?: string
  replyTo?: string
  messageId?: string
  emoji?: string
  remove?: boolean
  question?: string
  option?: string[]
  multiple?: boolean
}

const many = (value: string, before: string[] | undefined) => [...(before ?? []), value]

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
Waits for what becomes of it: sent, with the service's id of the message; or queued, or uncertain, which
stays in the outbox and goes on by itself (deputy outbox list).

Examples:
  $ deputy message send --channel telegram --target 42 --message "Done: **3** files"
  $ deputy message send --channel telegram --target 42 --media report.pdf
  $ deputy message edit --channel telegram --target 42 --message-id 17 --message "Done: **4** files"
  $ deputy message react --channel telegram --target 42 --message-id 17 --emoji 👍
  $ deputy message poll --channel telegram --target 42 --question "When?" --option today --option tomorrow`,
  )
  const each = (name: string, summary: string) =>
    command
      .command(name)
      .description(summary)
      .requiredOption('--channel <id>', 'the service: telegram, whatsapp, …')
      .requiredOption('--target <id>', 'the chat, as the service names it')
      .option('--account <id>', 'the account that says it (default: default)')
      .option('--json', 'print one JSON document')

  each('send', 'words, in Markdown, and files')
    .option('--thread <id>', 'a topic or thread of the chat')
    .option('-m, --message <text>', 'what is said')
    .option('--media <path>', 'a file of the workspace; may be repeated', many)
    .option('--agent <id>', 'whose workspace files are taken from (default: the default agent)')
    .option('--reply-to <id>', 'the message that it answers')
    .action(
      cli.action<Options>((context, options) =>
        withGateway(context, async client => {
          const { channel, target, account, thread, message, media, agent, replyTo } = options
          const sent = await client.request('send', {
            to: target,
            channel,
            ...(account && { accountId: account }),
            ...(thread && { threadId: thread }),
            ...(message && { message }),
            ...(media && { mediaUrls: media }),
            ...(agent && { agentId: agent }),
            ...(replyTo && { replyToId: replyTo }),
            idempotencyKey: randomUUID(),
          })
          return tell(context, sent)
        }),
      ),
    )

  each('edit', 'other words for a message of ours')
    .requiredOption('--message-id <id>', 'as the service names it')
    .requiredOption('-m, --message <text>', 'what it says from now on')
    .action(act(cli, 'edit', ({ message, messageId }) => ({ message, messageId })))

  each('react', 'an emoji on a message')
    .requiredOption('--message-id <id>', 'as the service names it')
    .requiredOption('--emoji <emoji>', 'which')
    .option('--remove', 'take it off')
    .action(act(cli, 'react', ({ messageId, emoji, remove }) => ({ messageId, emoji, ...(remove && { remove }) })))

  each('poll', 'a question with answers to choose from')
    .requiredOption('--question <text>', 'what is asked')
    .requiredOption('--option <text>', 'an answer; give two to twelve', many)
    .option('--multiple', 'more than one may be chosen')
    .action(
      cli.action<Options>((context, options) =>
        withGateway(context, async client => {
          const { channel, target, account, question, option, multiple } = options
          const sent = await client.request('poll', {
            to: target,
            channel,
            ...(account && { accountId: account }),
            question: question!,
            options: option!,
            ...(multiple && { maxSelections: option!.length }),
            idempotencyKey: randomUUID(),
          })
          return tell(context, sent)
        }),
      ),
    )
}

function act(cli: Cli, action: string, params: (options: Options) => Record<string, unknown>) {
  return cli.action<Options>((context, options) =>
    withGateway(context, async client => {
      const { channel, target, account } = options
      const sent = await client.request('message.action', {
        channel,
        action,
        params: { target, ...params(options) },
        ...(account && { accountId: account }),
        idempotencyKey: randomUUID(),
      })
      return tell(context, sent)
    }),
  )
}

function tell(context: Context, sent: SendResult): number {
  if (context.json) {
    context.document(sent)
    return exit.done
  }
  const { paint: p } = context
  const where = `${sent.channel} ${line(sent.to)}`
  if (sent.status === 'sent') {
    context.say(`${p.green('sent')} to ${where}${sent.messageId === null ? '' : `, message ${line(sent.messageId)}`}`)
    return exit.done
  }
  const why = sent.error === null ? '' : `: ${line(sent.error)}`
  context.say(`${p.yellow(sent.status)} for ${where}${why}`)
  context.note(
    sent.status === 'uncertain'
      ? 'It may have been seen; the service did not say so. It is looked up or repeated by itself.'
      : 'It goes out by itself as soon as it can.',
  )
  context.note(p.dim(`  deputy outbox list${context.flags}`))
  return exit.done
}
