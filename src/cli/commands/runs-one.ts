/** `deputy runs show`, `steps` and `result`: one run as its rows have it. */
import type { Command } from 'commander'
import type { RunRow, RunStep } from '../../protocol/results.ts'
import type { Context } from '../context.ts'
import { whereItWent } from '../explain/run-words.ts'
import { fullId, withFacts } from '../facts.ts'
import { ago, clip, count, line, moment, money, pairs, plain, span, table, wrap } from '../format.ts'
import { exit } from '../host.ts'
import { type Journal, withJournal } from '../journal.ts'
import type { Cli } from '../program.ts'
import { runtime, sign, standing, title } from '../runs.ts'

export function registerOne(command: Command, cli: Cli): void {
  command
    .command('show')
    .description('everything about one run')
    .argument('<run>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText('after', '\nExample:\n  $ deputy runs show <run>')
    .action(cli.action((context, _options: object, [run]) => show(context, run!)))

  command
    .command('steps')
    .description('the steps of a run with their times, tokens and how each ended')
    .argument('<run>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nWhat was said in them: deputy runs log, deputy runs replay.\n\nExample:\n  $ deputy runs steps <run>',
    )
    .action(cli.action((context, _options: object, [run]) => steps(context, run!)))

  command
    .command('result')
    .description('what a run has handed in, whole')
    .argument('<run>', 'its id')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nThe text alone goes to standard output. It ends with 1 when there is none.\n\nExamples:\n  $ deputy runs result <run>\n  $ deputy runs result <run> > report.md',
    )
    .action(cli.action((context, _options: object, [run]) => result(context, run!)))
}

async function show(context: Context, id: string): Promise<number> {
  const run = await withFacts(context, async facts => facts.run(await fullId(facts, id)))
  return await withJournal(context, run.run, async journal => {
    const facts = journal?.facts ?? null
    if (context.json) context.document({ run, ...(facts && detail(facts)) })
    else tell(context, run, facts)
    return exit.done
  })
}

type Facts = Journal['facts']

/** What the list's row leaves out. `left` is what its own purse still holds; null has no limit. */
function detail({ run, mail, sent, cost }: Facts) {
  const { receipt, grant, spent, lent, terms = null, returnTo, route } = run
  const rest = (of: 'nano' | 'tokens' | 'calls') => {
    const limit = grant.budget[of]
    return limit === null ? null : Math.max(0, limit - spent[of] - lent[of])
  }
  const left = { nano: rest('nano'), tokens: rest('tokens'), calls: rest('calls') }
  return { receipt, grant, terms, lent, left, returnTo, route, mail, sent, cost }
}

/** Amounts in words; what is null, or no money at all, is left out. */
function spelt({ nano, tokens, calls }: RunRow['budget']): string {
  const words = [
    nano === null ? '' : money(nano),
    tokens === null ? '' : `${count(tokens)} tokens`,
    calls === null ? '' : `${calls} calls`,
  ]
  return words.filter(each => each !== '').join(', ')
}

function tell(context: Context, run: RunRow, facts: Facts | null): void {
  const { paint: p, columns } = context
  const now = Date.now()
  const words = (value: string) => clip(line(value), columns - 14)
  const rows: [string, string][] = [
    [
      'state',
      `${sign(run, p)} ${standing(run)}${run.waitsFor ? p.dim(` for ${line(run.waitsFor)}${until(run, now)}`) : ''}`,
    ],
    ['agent', line(run.agent)],
    ['task', words(run.task)],
    ['label', words(run.label ?? '')],
    ['model', line(run.model)],
    ['session', line(run.sessionKey)],
    ['asked', `${moment(run.createdAt)} ${p.dim(`(${ago(run.createdAt, now)})`)}`],
    ['time', runtime(run, now)],
    ['deadline', run.deadlineAt === null ? '' : moment(run.deadlineAt)],
    ['steps', String(run.steps)],
    ['parent', run.parent ?? ''],
    ['children', String(run.children.length || '')],
    ['spent', spelt(run.spent)],
    ['budget', spelt(run.budget) || 'no limit'],
    ...(facts ? inDetail(facts, words) : []),
    ['why', run.error === null ? '' : words(`${run.error} [${run.errorCode}]`)],
  ]
  context.say(p.bold(run.run))
  const shown = rows.filter(([, value]) => value !== '')
  for (const each of pairs(shown, p)) context.say(`  ${each}`)
  for (const each of facts ? whereItWent(facts, now) : []) context.say(wrap(plain(each), columns, '  '))
  if (run.result) context.say(`\n${wrap(plain(run.result), columns, '  ')}`)
}

function until({ waitUntil }: RunRow, now: number): string {
  return waitUntil === undefined ? '' : ` until ${moment(waitUntil)} (${span(Math.max(0, waitUntil - now))} from now)`
}

function inDetail(facts: Facts, words: (value: string) => string): [string, string][] {
  const { grant, receipt, left, lent, terms, route } = detail(facts)
  const agents = grant.agents === '*' ? 'any agent' : grant.agents.join(', ') || 'nobody'
  const kind = receipt?.detached ? 'detached' : 'attached to its parent'
  return [
    ['left', spelt(left)],
    ['lent', lent.calls + lent.tokens + lent.nano === 0 ? '' : `${spelt(lent)} to its sub-agents`],
    ['receipt', receipt === null ? '' : words(`${kind}, with ${receipt.model}`)],
    ['tools', words(grant.tools.join(', ') || 'none')],
    ['may spawn', grant.depth === 0 ? 'nobody' : words(`${agents}, ${grant.depth} deep`)],
    ['scopes', words(grant.scopes.join(', '))],
    ['terms', terms === null ? '' : words(JSON.stringify(terms))],
    ['result to', words(returnAddress(facts))],
    ['route', route === null ? '' : words(`${route.channel} ${route.to}`)],
  ]
}

function returnAddress({ run, mail, sessionKey }: Facts): string {
  if (mail !== null) return mail.sessionKey
  if (run.returnTo !== null) return `the conversation ${run.returnTo}`
  return run.receipt === null ? `${sessionKey}, where it was asked` : 'nobody'
}

async function steps(context: Context, id: string): Promise<number> {
  const { run, steps: all } = await withFacts(context, async facts => facts.log(await fullId(facts, id)))
  if (context.json) {
    context.document({ run: run.run, steps: all.map(({ args: _, text: __, ...step }) => step) })
    return exit.done
  }
  const { paint: p, columns } = context
  context.say(`${sign(run, p)} ${p.bold(line(run.agent))}  ${clip(title(run), columns - 30)}`)
  const head = [
    { title: '#', right: true },
    { title: 'kind' },
    { title: 'step', elastic: true },
    { title: 'state' },
    { title: 'ended' },
    { title: 'in', right: true },
    { title: 'cached', right: true },
    { title: 'out', right: true },
    { title: 'time', right: true },
  ]
  for (const each of table(head, all.map(cells), columns, p)) context.say(each)
  return exit.done
}

function cells(step: RunStep): string[] {
  const { n, kind, name, state, stop, isError, usage, startedAt, endedAt } = step
  const of = (key: string) => (usage?.[key] ? count(usage[key]) : '')
  const time = startedAt !== null && endedAt !== null ? span(endedAt - startedAt) : ''
  const ended = isError ? 'error' : (stop ?? '')
  return [String(n), kind, line(name), state, ended, of('input'), of('cacheRead'), of('output'), time]
}

async function result(context: Context, id: string): Promise<number> {
  const run = await withFacts(context, async facts => facts.run(await fullId(facts, id)))
  const { state, outcome, error, errorCode } = run
  const text = run.result
  if (context.json) context.document({ run: run.run, state, outcome, error, errorCode, result: text })
  else if (text !== null) context.say(context.host.stdout.isTTY ? plain(text) : text)
  else if (state !== 'done') context.note(`It has not ended: it is ${standing(run)}.`)
  else
    context.note(`It ended as ${outcome} without a result${error === null ? '.' : `: ${plain(error)} [${errorCode}]`}`)
  return text === null ? exit.failed : exit.done
}
