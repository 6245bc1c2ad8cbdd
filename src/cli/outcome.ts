/**
 * The end of a run as a command tells it: the words on standard output, trouble on standard error, an exit code.
 * Shared by the commands that wait for one.
 */
import type { AgentWait } from '../protocol/results.ts'
import type { Context } from './context.ts'
import { plain } from './format.ts'
import { exit } from './host.ts'
import { atWork } from './reach.ts'
import { shortId } from './runs.ts'

export function tellEnd(context: Context, end: AgentWait): number {
  const { paint: p } = context
  if (atWork(end)) {
    if (context.json) context.document(end)
    context.note(p.yellow('Still at work; it goes on without you.'))
    context.note(`  deputy runs tree ${shortId(end.run ?? end.runId)}${context.flags}`)
    return exit.failed
  }
  const failed = end.status !== 'ok'
  if (context.json) {
    context.document(end)
    return failed ? exit.failed : exit.done
  }
  if (end.text) context.say(plain(end.text))
  if (failed) {
    const why = end.error ?? `The run ended as ${end.outcome ?? end.status}.`
    context.note(`${p.red('deputy:')} ${plain(why)}${end.errorCode ? ` ${p.dim(`[${end.errorCode}]`)}` : ''}`)
    // An error that was stored for those who see nothing else ends with what to do.
    if (end.fix && !why.endsWith(end.fix)) context.note(`  ${plain(end.fix)}`)
  }
  return failed ? exit.failed : exit.done
}
