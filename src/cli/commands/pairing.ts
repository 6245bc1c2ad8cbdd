/** `deputy pairing`: people who wrote to an account and wait to be let in. With the gateway running or stopped. */
import type { Command } from 'commander'
import { DeputyError } from '../../protocol/errors.ts'
import type { SenderList } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { ago, clip, line, span, table } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'
import { type SenderAt, type SenderDesk, withSenders } from '../senders.ts'

interface At {
  account?: string
}

interface Approving extends At {
  notify?: boolean
}

const nameWide = 24

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
Whoever writes to an account for the first time gets a code, once. Nothing else happens until it is approved.
The first who is let in becomes the owner, who may give every command, if there is no owner yet.

Examples:
  $ deputy pairing list
  $ deputy pairing approve whatsapp K7WPQX2M --notify`,
  )
  const json = 'print one JSON document'
  const account = ['--account <id>', 'the account they wrote to; default: any'] as const
  command
    .command('list')
    .description('who waits and who was let in')
    .argument('[channel]', 'only there')
    .option(...account)
    .option('--json', json)
    .addHelpText('after', '\nExamples:\n  $ deputy pairing list\n  $ deputy pairing list telegram --json')
    .action(cli.action<At>((context, { account }, [channel]) => list(context, channel, account)))
  command
    .command('approve')
    .description('let somebody in to write directly; never to groups')
    .argument('<channel>', 'where they wrote')
    .argument('<code>', 'as they were told')
    .option(...account)
    .option('--notify', 'tell them')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy pairing approve telegram K7WPQX2M --notify')
    .action(
      cli.action<Approving>((context, { account, notify = false }, [channel, code]) =>
        decide(context, async desk => {
          const done = await desk.approve(at(channel, code, account), notify)
          const owner = done.ownerAdded ? ' They are the owner now: they may give commands and answer questions.' : ''
          return [done, `${line(done.senderId)} may write at ${done.channel} (${line(done.accountId)}).${owner}`]
        }),
      ),
    )
  command
    .command('reject')
    .description('turn somebody down; they may ask again')
    .argument('<channel>', 'where they wrote')
    .argument('<code>', 'as they were told')
    .option(...account)
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy pairing reject telegram K7WPQX2M')
    .action(
      cli.action<At>((context, { account }, [channel, code]) =>
        decide(context, async desk => {
          const done = await desk.reject(at(channel, code, account))
          return [done, `Turned down: ${line(done.senderId)} at ${done.channel} (${line(done.accountId)}).`]
        }),
      ),
    )
}

function at(channel: string | undefined, code: string | undefined, accountId: string | undefined): SenderAt {
  if (!channel || !code) throw new DeputyError('USAGE', 'Name the channel and the code.')
  return { channel: channel.toLowerCase(), code, accountId }
}

async function decide(
  context: Context,
  body: (desk: SenderDesk) => Promise<readonly [answer: object, words: string]>,
): Promise<number> {
  const [answer, words] = await withSenders(context, body)
  if (context.json) context.document(answer)
  else context.say(words)
  return exit.done
}

async function list(context: Context, channel: string | undefined, account: string | undefined): Promise<number> {
  const all = await withSenders(context, desk => desk.list())
  const here = (each: { channel: string; accountId: string }) =>
    (channel === undefined || each.channel === channel.toLowerCase()) &&
    (account === undefined || each.accountId === account)
  const shown: SenderList = { ...all, requests: all.requests.filter(here), approved: all.approved.filter(here) }
  if (context.json) {
    context.document(shown)
    return exit.done
  }
  const { paint: p, columns } = context
  const now = Date.now()
  const who = (id: string, label: string | null) =>
    clip(label === null ? line(id) : `${line(label)} (${line(id)})`, nameWide * 2)
  if (shown.requests.length === 0) context.say('Nobody waits.')
  else {
    const head = [
      { title: 'code' },
      { title: 'channel' },
      { title: 'account' },
      { title: 'who' },
      { title: 'good for' },
    ]
    const rows = shown.requests.map(each => [
      p.bold(each.code),
      each.channel,
      line(each.accountId),
      who(each.senderId, each.senderLabel),
      span(each.expiresAt - now),
    ])
    for (const row of table(head, rows, columns, p)) context.say(row)
  }
  if (shown.approved.length > 0) {
    context.say(`\n${p.dim('let in')}`)
    for (const each of shown.approved)
      context.say(
        `  ${each.channel} (${line(each.accountId)})  ${who(each.senderId, each.senderLabel)}  ${p.dim(ago(each.since, now))}`,
      )
  }
  return exit.done
}
