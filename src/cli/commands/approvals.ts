/** `deputy approvals`: what work waits for a person to allow, the answer, and what was allowed for good. */
import type { Command } from 'commander'
import type { Client } from '../../client/connect.ts'
import type { ApprovalDecisionName, ApprovalSnapshot, TerminalSnapshot } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { ago, line, pairs, plain, span, table } from '../format.ts'
import { exit } from '../host.ts'
import { limit } from '../parse.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'

interface ListOptions {
  all?: boolean
  limit: number
}

interface ApproveOptions {
  always?: boolean
}

const json = 'print one JSON document'

export function register(command: Command, cli: Cli): void {
  command.addHelpText(
    'after',
    `
A question is named by its id or the beginning of it. Without an answer it is denied when its time is over.

Examples:
  $ deputy approvals list
  $ deputy approvals show 3f2a9c1e
  $ deputy approvals approve 3f2a9c1e
  $ deputy approvals deny 3f2a9c1e`,
  )
  command
    .command('list')
    .description('what waits for an answer')
    .option('--all', 'what was decided too, the newest first')
    .option('--limit <n>', 'how many that were decided', limit, 20)
    .option('--json', json)
    .addHelpText('after', '\nExamples:\n  $ deputy approvals list\n  $ deputy approvals list --all --json')
    .action(cli.action<ListOptions>(list))
  command
    .command('show')
    .description('one question whole: the exact command, who asks, until when')
    .argument('<id>', 'which')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy approvals show 3f2a9c1e')
    .action(cli.action((context, _options: object, [id]) => show(context, id!)))
  command
    .command('approve')
    .description('allow it, once')
    .argument('<id>', 'which')
    .option('--always', 'and the same of this agent from now on, until it is revoked')
    .option('--json', json)
    .addHelpText(
      'after',
      '\nExamples:\n  $ deputy approvals approve 3f2a9c1e\n  $ deputy approvals approve 3f2a9c1e --always',
    )
    .action(
      cli.action<ApproveOptions>((context, { always }, [id]) =>
        answer(context, id!, always ? 'allow-always' : 'allow-once'),
      ),
    )
  command
    .command('deny')
    .description('do not allow it; the agent is told')
    .argument('<id>', 'which')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy approvals deny 3f2a9c1e')
    .action(cli.action((context, _options: object, [id]) => answer(context, id!, 'deny')))
  command
    .command('grants')
    .description('what was allowed for good')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy approvals grants')
    .action(cli.action(grants))
  command
    .command('revoke')
    .description('take back what was allowed for good: it is asked about again')
    .argument('<id>', 'which of the grants')
    .option('--json', json)
    .addHelpText('after', '\nExample:\n  $ deputy approvals revoke 7c1e0b2d')
    .action(cli.action((context, _options: object, [id]) => revoke(context, id!)))
}

const short = (id: string) => id.slice(0, 8)

async function waiting(client: Client): Promise<ApprovalSnapshot[]> {
  const [exec, other] = await Promise.all([
    client.request('exec.approval.list', {}),
    client.request('plugin.approval.list', {}),
  ])
  const ids = [...exec, ...other].sort((a, b) => a.createdAtMs - b.createdAtMs).map(({ id }) => id)
  return await Promise.all(ids.map(async id => (await client.request('approval.get', { id })).approval))
}

async function list(context: Context, options: ListOptions): Promise<number> {
  const { pending, decided } = await withGateway(context, async client => ({
    pending: await waiting(client),
    decided: options.all
      ? (await client.request('approval.history', { limit: Math.min(100, options.limit) })).items
      : [],
  }))
  if (context.json) {
    context.document(options.all ? { pending, decided } : { pending })
    return exit.done
  }
  if (pending.length + decided.length === 0) {
    context.say('Nothing waits for an answer.')
    return exit.done
  }
  const now = Date.now()
  const head = [
    { title: 'id' },
    { title: 'agent' },
    { title: 'state' },
    { title: 'what', elastic: true },
    { title: 'time', right: true },
  ]
  const rows = [...pending, ...decided].map(one => [
    short(one.id),
    line(one.presentation.agentId),
    stateOf(one, context),
    line(textOf(one)),
    one.status === 'pending' ? `${span(Math.max(0, one.expiresAtMs - now))} left` : ago(one.resolvedAtMs, now),
  ])
  for (const each of table(head, rows, context.columns, context.paint)) context.say(each)
  const [first] = pending
  if (first)
    context.say(context.paint.dim(`\nAnswer: deputy approvals approve ${short(first.id)}${context.flags}, or deny`))
  return exit.done
}

function textOf({ presentation: shown }: ApprovalSnapshot): string {
  return shown.kind === 'exec' ? shown.commandText : `${shown.title}: ${shown.detail}`
}

function stateOf(one: ApprovalSnapshot, { paint: p }: Context): string {
  switch (one.status) {
    case 'pending':
      return p.yellow('waits')
    case 'allowed':
      return p.green(one.decision === 'allow-always' ? 'always' : 'allowed')
    default:
      return p.red(one.status)
  }
}

async function show(context: Context, id: string): Promise<number> {
  const one = await withGateway(context, async client => (await client.request('approval.get', { id })).approval)
  if (context.json) context.document(one)
  else tell(context, one)
  return exit.done
}

function tell(context: Context, one: ApprovalSnapshot): void {
  const { paint: p } = context
  const { presentation: shown } = one
  const now = Date.now()
  context.say(
    `${p.bold(short(one.id))}  ${line(shown.kind === 'exec' ? `${shown.agentId} wants to run a command` : shown.title)}`,
  )
  // Each line of it behind a mark of ours: none can pass for a line of this page.
  const text = shown.kind === 'exec' ? shown.commandText : shown.detail
  for (const each of text.split('\n')) context.say(`  | ${plain(each)}`)
  const rows: [string, string][] = [['state', stateOf(one, context)]]
  if (one.status === 'pending') {
    rows.push(['denied in', span(Math.max(0, one.expiresAtMs - now))], ['answers', shown.allowedDecisions.join(', ')])
  } else {
    rows.push(['decided', `${ago(one.resolvedAtMs, now)}${one.resolver.id ? ` by ${line(one.resolver.id)}` : ''}`])
    rows.push(['session', line(one.source.sessionKey)])
  }
  for (const each of pairs(rows, p)) context.say(each)
}

async function answer(context: Context, id: string, decision: ApprovalDecisionName): Promise<number> {
  const done = await withGateway(context, client => client.request('approval.resolve', { id, decision }))
  if (context.json) context.document(done)
  else if (done.applied) context.say(`${short(done.approval.id)}: ${wordOf(done.approval)}.`)
  else
    context.note(
      `${context.paint.red('deputy:')} ${short(done.approval.id)} was decided already: ${wordOf(done.approval)} ${ago(done.approval.resolvedAtMs, Date.now())}${done.approval.resolver.id ? ` by ${line(done.approval.resolver.id)}` : ''}.`,
    )
  return done.applied ? exit.done : exit.failed
}

function wordOf(one: TerminalSnapshot): string {
  if (one.status === 'allowed') return one.decision === 'allow-always' ? 'allowed for good' : 'allowed once'
  return one.status === 'expired' ? 'denied, because nobody answered in time' : one.status
}

async function grants(context: Context): Promise<number> {
  const all = (await withGateway(context, client => client.request('exec.approval.grants.list', {}))).grants
  if (context.json) context.document({ grants: all })
  else if (all.length === 0) context.say('Nothing is allowed for good.')
  else {
    const now = Date.now()
    const head = [
      { title: 'id' },
      { title: 'agent' },
      { title: 'kind' },
      { title: 'what', elastic: true },
      { title: 'by' },
      { title: 'since', right: true },
    ]
    const rows = all.map(one => [
      short(one.id),
      line(one.agentId),
      one.kind,
      line(one.pattern),
      line(one.createdBy),
      ago(one.createdAtMs, now),
    ])
    for (const each of table(head, rows, context.columns, context.paint)) context.say(each)
  }
  return exit.done
}

async function revoke(context: Context, id: string): Promise<number> {
  const { grant } = await withGateway(context, client => client.request('exec.approval.grants.revoke', { id }))
  if (context.json) context.document(grant)
  else context.say(`${short(grant.id)}: ${line(grant.agentId)} is asked about again: ${line(grant.pattern)}`)
  return exit.done
}
