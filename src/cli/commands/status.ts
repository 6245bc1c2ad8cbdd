/** `deputy status`: one screen about the gateway. Exit code 0 also when it names problems: health is for monitors. */
import type { Command } from 'commander'
import { ago, bytes, line, pairs, plain, span } from '../format.ts'
import { exit } from '../host.ts'
import type { Status } from '../../protocol/results.ts'
import type { Cli } from '../program.ts'
import { withGateway } from '../reach.ts'
import { shortId } from '../runs.ts'

export function register(command: Command, cli: Cli): void {
  command
    .option('--json', "print the gateway's answer as one JSON document")
    .addHelpText('after', '\nExamples:\n  $ deputy status\n  $ deputy status --json')
    .action(
      cli.action(context =>
        withGateway(context, async client => {
          const status = await client.request('status', {})
          if (context.json) {
            context.document(status)
            return exit.done
          }
          const { paint: p, home } = context
          const now = Date.now()
          const { tasks, sessions } = status
          const undelivered = Object.entries(status.outbox).filter(([state]) => state !== 'sent')
          const facts: [string, string][] = [
            ['gateway', `${p.green('running')} for ${span(status.uptimeMs)}, process ${status.pid}`],
            ['version', status.runtimeVersion],
            ['home', home.dir],
            ['model', line(sessions.defaults.model ?? 'none')],
            [
              'runs',
              `${tasks.running} running, ${tasks.waiting} waiting, ${tasks.queued} queued, ${tasks.total} in all`,
            ],
            ['sessions', String(sessions.count)],
            ['connections', String(status.connections)],
            ['channels', line(status.channelSummary.join('; '))],
            ['memory', bytes(status.processMemory.rss)],
            ['outbox', undelivered.map(([state, n]) => `${n} ${state}`).join(', ')],
            ['dead letters', status.deadLetters > 0 ? p.yellow(deadLetters(status)) : ''],
          ]
          for (const each of pairs(
            facts.filter(([, value]) => value !== ''),
            p,
          ))
            context.say(each)
          if (sessions.recent.length > 0) {
            context.say(`\n${p.dim('last used')}`)
            for (const each of sessions.recent.slice(0, 5))
              context.say(`  ${line(each.key)}  ${p.dim(ago(each.updatedAt, now))}`)
          }
          if (status.problems.length > 0) {
            context.say(`\n${p.yellow('needs attention')}`)
            for (const each of status.problems) context.say(`  ${plain(each.message)} ${p.dim(`[${each.code}]`)}`)
          }
          return exit.done
        }),
      ),
    )
}

/** How many, and the newest by their ids. */
function deadLetters({ deadLetters: all, deadLetterRuns: runs }: Status): string {
  const more = all > runs.length ? ', …' : ''
  return `${all} (${runs.map(shortId).join(', ')}${more}): deputy runs result <run>`
}
