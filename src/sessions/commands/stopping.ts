/**
 * `/stop` and `/kill`: what ends, and the report of it. Owns the words of the report; the house's cancel does the ending
 * (decisions.md 6 and 7).
 */
import { together } from '../reports.ts'
import type { CancelReport } from '../types.ts'
import { atWorkBelow, childNamed, childrenOf, nameOfChild } from './children.ts'
import type { Answer, Command, CommandCall } from './types.ts'
import { count, line, lines } from './words.ts'

/** More than so many are counted, not named. */
const named = 5

export const stop: Command = {
  name: 'stop',
  aliases: [],
  category: 'session',
  description: 'Stop all that is at work here.',
  usage: [''],
  needs: 'operator.write',
  async run({ house, options, session, principal }) {
    const report = await house.cancel({ principal, target: { session: session.id }, reason: '/stop' })
    const left = await atWorkBelow(options.store.read, session)
    const goesOn =
      left.length > 0 &&
      `${count(left.length, 'sub-agent')} of yours ${left.length === 1 ? 'goes' : 'go'} on: /kill all`
    if (report.runs.length === 0) return lines(['Nothing is at work here.', goesOn])
    return lines([stopped(report), goesOn])
  },
}

export const kill: Command = {
  name: 'kill',
  aliases: [],
  category: 'management',
  description: 'Stop a sub-agent, or all.',
  usage: ['<id|#|all>'],
  needs: 'operator.write',
  run: call => killed(call, call.args),
}

/** `/kill` and `/subagents kill`. */
export async function killed(call: CommandCall, args: string): Promise<Answer> {
  const { house, options, session, principal } = call
  const target = args.trim()
  if (target.toLowerCase() === 'all') {
    // Oldest first: what hangs on another ends with it, and is not there any more when its turn comes.
    const reports: CancelReport[] = []
    for (const { id } of await atWorkBelow(options.store.read, session))
      reports.push(await house.cancel({ principal, target: { run: id }, reason: '/kill all' }))
    if (reports.length === 0) return 'No sub-agent is at work.'
    return stopped(together(reports))
  }
  const found = childNamed(await childrenOf(options.store.read, session.id), target)
  if (!found.ok) return found.problem
  const { child } = found
  const report = await house.cancel({ principal, target: { run: child.run.id }, reason: '/kill' })
  if (report.runs.length === 0) return `${nameOfChild(child)} had ended already.`
  return stopped(report)
}

/** What was stopped, what was dropped, and what would not end. */
export function stopped(report: CancelReport): string {
  const { runs, processes } = report
  // What a stopped run was to begin with is named as its task already.
  const dropped = report.dropped.filter(text => !runs.some(run => run.task.startsWith(text)))
  return lines([
    `Stopped ${count(runs.length, 'run')}:`,
    ...runs.slice(0, named).map(run => `- ${line(run.agent, 24)}: ${line(run.task, 40)}`),
    runs.length > named && `- and ${runs.length - named} more`,
    dropped.length > 0 && `Dropped ${count(dropped.length, 'message')} that nobody had read:`,
    ...dropped.slice(0, named).map(text => `- ${line(text, 56)}`),
    dropped.length > named && `- and ${dropped.length - named} more`,
    processes.ended > 0 && `Ended ${count(processes.ended, 'command')}.`,
    processes.stillAlive.length > 0 &&
      `Still alive: ${count(processes.stillAlive.length, 'process', 'processes')} (group ${processes.stillAlive.slice(0, named).join(', ')}).`,
  ])
}
