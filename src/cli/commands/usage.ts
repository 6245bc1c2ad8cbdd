/**
 * `deputy usage`: what was spent, by whom or on what, and what the limits over many runs leave of it.
 * Owns the report. Reads the home's database, so it answers whether the gateway runs or not; what is set aside for calls in
 * flight counts, as it does for the limits.
 */
import type { Command } from 'commander'
import { type CapSetting, capsOf, dayAt, isSet } from '../../config/budgets.ts'
import { agentIds } from '../../config/read.ts'
import { DeputyError } from '../../protocol/errors.ts'
import type { Reader } from '../../store/reader.ts'
import {
  type Grouping,
  groupings,
  secondsBy,
  usageBy,
  type UsedRow,
  usedBy,
  type Whose,
  withRaises,
} from '../../store/used.ts'
import type { Context } from '../context.ts'
import { withPatient } from '../doctor/patient.ts'
import { readerOf } from '../doctor/store.ts'
import type { Patient } from '../doctor/types.ts'
import { findRun } from '../explain/run-facts.ts'
import { clip, count, line, money, span, table } from '../format.ts'
import { exit } from '../host.ts'
import { limit } from '../parse.ts'
import type { Cli } from '../program.ts'
import { shortId } from '../runs.ts'

interface Options {
  by: string
  days: number
  tree?: string
}

const dayMs = 86_400_000

export function register(command: Command, cli: Cli): void {
  command
    .option('--by <what>', groupings.join(', '), 'day')
    .option('--days <n>', 'of so many days, today the last', limit, 7)
    .option('--tree <run>', 'only the conversation of this run, with all that it delegated')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Amounts are the ledger's: what is set aside for a call in flight counts in full until it is answered.
Works with the gateway running or stopped.

Examples:
  $ deputy usage
  $ deputy usage --by agent --days 1
  $ deputy usage --by run --tree <run>`,
    )
    .action(
      cli.action<Options>((context, options) => withPatient(context, patient => usage(context, patient, options))),
    )
}

async function usage(context: Context, patient: Patient, options: Options): Promise<number> {
  const by = groupings.find(one => one === options.by)
  if (!by)
    throw new DeputyError('USAGE', `There is no --by ${options.by}.`, { fix: `There are: ${groupings.join(', ')}.` })
  const reader = readerOf(patient)
  if (reader === null) {
    if (context.json) context.document({ by, rows: [], limits: [] })
    else context.say('Nothing was spent yet.')
    return exit.done
  }
  try {
    return await report(context, patient, reader.read, by, options)
  } finally {
    reader.close()
  }
}

interface Named extends UsedRow {
  label: string
}

async function report(
  context: Context,
  patient: Patient,
  read: Reader['read'],
  by: Grouping,
  options: Options,
): Promise<number> {
  const { settings } = patient
  const now = Date.now()
  const zone = settings ? (settings.agents.defaults.userTimezone ?? null) : null
  const today = dayAt(now, zone)
  const run = options.tree === undefined ? null : await findRun(read, options.tree)
  if (options.tree !== undefined && run === null)
    throw new DeputyError('UNKNOWN_RUN', `There is no run ${options.tree}.`, { details: { run: options.tree } })
  const since = run ? 0 : today.from - (options.days - 1) * dayMs
  const tree = run
    ? (await read.selectFrom('runs').select('tree').where('id', '=', run).executeTakeFirst())?.tree
    : undefined
  const offsetMs = (dayMs - (today.from % dayMs)) % dayMs
  const found = await usageBy(read, by, { since, offsetMs, ...(tree === undefined ? {} : { tree }) })
  const rows = await named(read, by, found)
  const limits = settings ? await limitsOf(read, settings, today.from, now) : []
  if (context.json) {
    context.document({ by, since, rows, limits })
    return exit.done
  }
  tell(context, by, rows, limits)
  return exit.done
}

/** Ids as people know them: a conversation's key, a run's task. */
async function named(read: Reader['read'], by: Grouping, rows: readonly UsedRow[]): Promise<Named[]> {
  const labels = new Map<string, string>()
  const ids = rows.map(row => String(row.name))
  for (let at = 0; at < ids.length; at += 400) {
    const part = ids.slice(at, at + 400)
    if (by === 'session' || by === 'tree')
      for (const row of await read.selectFrom('sessions').select(['id', 'key']).where('id', 'in', part).execute())
        labels.set(row.id, row.key)
    if (by === 'run')
      for (const row of await read.selectFrom('runs').select(['id', 'agent', 'task']).where('id', 'in', part).execute())
        labels.set(row.id, `${shortId(row.id)} ${row.agent}: ${row.task}`)
  }
  return rows.map(row => ({
    ...row,
    label:
      by === 'day'
        ? new Date(Number(row.name) * dayMs).toISOString().slice(0, 10)
        : row.name === null
          ? 'nobody is known'
          : (labels.get(String(row.name)) ?? String(row.name)),
  }))
}

interface Standing {
  of: string
  key: string
  /** With what people have allowed besides: `raised`. */
  limit: CapSetting['limit']
  raised: { nano: number; tokens: number; calls: number; seconds: number }
  seconds: { limit: number; used: number } | null
  used: { nano: number; tokens: number; calls: number }
}

/** The limits of a day that are set, with what counts towards each now. */
async function limitsOf(
  read: Reader['read'],
  settings: NonNullable<Patient['settings']>,
  since: number,
  now: number,
): Promise<Standing[]> {
  const standing: Standing[] = []
  const stand = async (setting: CapSetting, of: string, whose: Whose) => {
    if (!isSet(setting)) return
    const { limit: cap, raised } = await withRaises(read, whose, since, setting.limit)
    const seconds =
      setting.seconds === null
        ? null
        : { limit: setting.seconds + raised.seconds, used: Math.round(await secondsBy(read, whose, since, now)) }
    standing.push({ of, key: setting.key, limit: cap, raised, seconds, used: await usedBy(read, whose, since) })
  }
  const agents = agentIds(settings)
  await stand(capsOf(settings, agents[0] ?? 'main').gateway, 'all agents', {})
  for (const agent of agents) await stand(capsOf(settings, agent).agent, `agent ${agent}`, { agent })
  const { sender } = capsOf(settings, agents[0] ?? 'main')
  for (const row of await usageBy(read, 'sender', { since: Math.min(since, now), offsetMs: 0 }))
    if (row.name !== null) await stand(sender, String(row.name), { sender: String(row.name) })
  return standing
}

function tell(context: Context, by: Grouping, rows: readonly Named[], limits: readonly Standing[]): void {
  const { paint: p, columns } = context
  if (rows.length === 0) context.say('Nothing was spent.')
  else {
    const head = [
      { title: by, elastic: true },
      { title: 'calls', right: true },
      { title: 'read', right: true },
      { title: 'cached', right: true },
      { title: 'written', right: true },
      { title: 'tokens', right: true },
      { title: 'cost', right: true },
    ]
    const sum = (of: (row: Named) => number) => rows.reduce((total, row) => total + of(row), 0)
    const cells = (label: string, of: (pick: (row: Named) => number) => number) => [
      label,
      count(of(row => row.calls)),
      count(of(row => row.input)),
      count(of(row => row.cached)),
      count(of(row => row.output)),
      count(of(row => row.tokens)),
      money(of(row => row.nano)),
    ]
    const lines = rows.map(row => cells(clip(line(row.label), 60), pick => pick(row)))
    if (rows.length > 1) lines.push(cells('all', sum))
    for (const each of table(head, lines, columns, p)) context.say(each)
    const open = sum(row => row.open)
    const unknown = sum(row => row.unknown)
    if (open > 0) context.say(p.dim(`${open} in flight, counted as what is set aside for them.`))
    if (unknown > 0)
      context.say(p.dim(`${unknown} were cut off and are charged in full: nobody can say what they cost.`))
  }
  for (const { of, key, limit: cap, raised, seconds, used } of limits) {
    const parts = [
      cap.nano === null ? '' : `${money(used.nano) || '$0'} of ${money(cap.nano) || '$0'}`,
      cap.tokens === null ? '' : `${count(used.tokens)} of ${count(cap.tokens)} tokens`,
      cap.calls === null ? '' : `${used.calls} of ${cap.calls} calls`,
      seconds === null ? '' : `${span(seconds.used * 1000)} of ${span(seconds.limit * 1000)} at work`,
    ].filter(part => part !== '')
    const more = [
      cap.nano === null || raised.nano === 0 ? '' : money(raised.nano),
      cap.tokens === null || raised.tokens === 0 ? '' : `${count(raised.tokens)} tokens`,
      cap.calls === null || raised.calls === 0 ? '' : `${raised.calls} calls`,
      seconds === null || raised.seconds === 0 ? '' : span(raised.seconds * 1000),
    ].filter(part => part !== '')
    const besides = more.length === 0 ? '' : ` (${more.join(', ')} of it allowed today)`
    context.say(`Today, ${line(of)}: ${parts.join(', ')}${besides}  ${p.dim(key)}`)
  }
}
