/** `deputy doctor`: looks at everything that may keep a gateway from working, and proves that delegation works by doing it. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'
import { type Examination, type Examined, examine } from '../doctor/examine.ts'
import type { Finding } from '../doctor/types.ts'
import { padEnd, plain, width, wrap } from '../format.ts'
import { exit } from '../host.ts'
import type { Cli } from '../program.ts'

interface Options {
  fix?: boolean
}

export function register(command: Command, cli: Cli): void {
  command
    .option('--fix', 'mend what is certain (modes of files, a stale socket), and look again')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      `
Works with the gateway running or stopped. At its end the default agent really spawns each agent
that it may, with the rehearsal model: no provider is asked, nothing is paid. With a stopped gateway
that is done in this process; work that waits for the next start is left alone.

Ends with 0 when nothing was found, 1 with findings. docs/doctor.md has every finding.

Examples:
  $ deputy doctor
  $ deputy doctor --fix
  $ deputy doctor --json`,
    )
    .action(
      cli.action<Options>(async (context, options) => {
        const examination = await examine(context, { fix: options.fix ?? false })
        if (context.json) context.document(documentOf(context, examination))
        else tell(context, examination)
        return findingsOf(examination).length === 0 ? exit.done : exit.failed
      }),
    )
}

function findingsOf({ checks }: Examination): Finding[] {
  return checks.flatMap(({ findings }) => findings)
}

function documentOf(context: Context, examination: Examination): unknown {
  const { gateway, checks, mended, proof } = examination
  return {
    ok: findingsOf(examination).length === 0,
    home: context.home.dir,
    version: context.host.version,
    gateway,
    checks: checks.map(({ id, says, findings, skipped }) => ({
      id,
      ...(skipped !== null && { skipped }),
      says,
      findings: findings.map(({ mend, ...shown }) => ({ ...shown, fixable: mend !== null })),
    })),
    fixed: mended,
    delegation: proof,
  }
}

function tell(context: Context, examination: Examination): void {
  const { paint: p } = context
  const { checks, mended } = examination
  const widest = Math.max(...checks.map(({ title }) => width(title)))
  for (const check of checks) tellCheck(context, check, widest)
  for (const { did, proved } of mended)
    context.say(`\n${proved ? p.green('✓ fixed') : p.red('✗ not fixed')} ${plain(did)}`)
  const findings = findingsOf(examination)
  for (const found of findings) tellFinding(context, found)
  const mendable = findings.filter(({ mend }) => mend !== null).length
  const many = findings.length === 1 ? '1 finding' : `${findings.length} findings`
  context.say(findings.length === 0 ? `\n${p.green('Nothing found.')}` : `\n${p.bold(many)}`)
  if (mendable > 0) context.note(`  deputy doctor --fix${context.flags} mends ${mendable} of them`)
}

function tellCheck(context: Context, { title, says, findings, skipped }: Examined, widest: number): void {
  const { paint: p, columns } = context
  const errors = findings.some(({ level }) => level === 'error')
  const sign = skipped !== null ? p.dim('–') : errors ? p.red('✗') : findings.length > 0 ? p.yellow('!') : p.green('✓')
  const words = skipped !== null ? [`skipped: ${skipped}`] : says.length > 0 ? says : [found(findings.length)]
  const indent = ' '.repeat(widest + 4)
  const text = words.map(each => wrap(plain(each), columns, indent)).join('\n')
  context.say(`${sign} ${padEnd(title, widest)}  ${text.slice(indent.length)}`)
}

function found(n: number): string {
  return n === 0 ? 'nothing to look at' : n === 1 ? 'see below' : `${n} findings, see below`
}

function tellFinding(context: Context, found: Finding): void {
  const { paint: p, columns } = context
  const { id, level, what, why, evidence, fix, mend } = found
  const sign = level === 'error' ? p.red('✗') : p.yellow('!')
  context.say(`\n${sign} ${p.bold(wrap(plain(what), columns, '  ').slice(2))} ${p.dim(`[${id}]`)}`)
  const rows: [string, string][] = [
    ['why', why],
    ['evidence', evidence],
    ['fix', mend === null ? fix : `${fix}   (deputy doctor --fix${context.flags} does it)`],
  ]
  for (const [name, value] of rows) {
    const text = wrap(plain(value), columns, ' '.repeat(13))
    context.say(`  ${p.dim(padEnd(name, 9))}  ${text.slice(13)}`)
  }
}
